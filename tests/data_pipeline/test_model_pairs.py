"""Pairs by a language model, over a real connection: what is taken, what is refused, what is told, what is paid."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tenacity import wait_none

from data_pipeline.config.model_endpoint import ModelEndpoint
from data_pipeline.config.settings import load_settings
from data_pipeline.demo.database import TABLES, build_database
from data_pipeline.errors import InvalidInput
from data_pipeline.language_model import client as module
from data_pipeline.language_model.client import Answers, LanguageModel
from data_pipeline.steps import RunParameters
from data_pipeline.steps.qa import QaGeneration
from data_pipeline.steps.qa.sql.forms import normal_question
from data_pipeline.store import Store
from tests.data_pipeline.test_qa_generation import fill_sqlite
from tests.support.library import SCHEMA, statements
from tests.support.model_server import ModelServer, Reply, model_server
from tests.support.postgres import fresh_database
from tests.support.shop import CLI, Shop
from tests.support.tasks import make_task, run_step
from tests.support.waiting import PATIENCE_SECONDS

LIBRARY = ("branch", "publisher", "book", "book_publisher", "reader", "loan", "reservation", "holiday", "long_book")
WANTED = 90

TRAVEL = (
    "How many travel books stand on each shelf?",
    ("SELECT shelf, COUNT(*) AS books FROM book WHERE genre = 'travel' AND NOT shelf IS NULL GROUP BY shelf"),
)
DAYS = (
    "Which readers' levels borrow longest on average?",
    (
        "SELECT r.level, AVG(l.days) AS days FROM loan AS l "
        "JOIN reader AS r ON l.reader_id = r.reader_id GROUP BY r.level"
    ),
)
FEES = (
    "What did the branches in Graz take in fees?",
    (
        "SELECT b.name, SUM(l.fee) AS fees FROM loan AS l JOIN branch AS b ON l.branch_id = b.branch_id "
        "WHERE b.city = 'Graz' GROUP BY b.name"
    ),
)
GOOD = (TRAVEL, DAYS, FEES)

Pairs = tuple[tuple[str, str], ...]


class Librarian:
    """A model that knows the library: `pairs` about it, what it writes for those that fail, and other wordings."""

    def __init__(
        self,
        pairs: Pairs = GOOD,
        mended: Pairs = (),
        reword: Callable[[str], str] | None = None,
        about: str = "table main.book\n",
    ) -> None:
        self.about = about
        self.pairs = pairs
        self.mended = mended
        self.reword = reword or (lambda question: f"Please look this up for me: {question}")

    def __call__(self, body: dict[str, Any]) -> Reply:
        text = body["messages"][1]["content"]
        if is_asked_for("pairs", text):
            return {"pairs": [{"question": question, "sql": sql} for question, sql in self.pairs_about(text)]}
        if is_asked_for("repairs", text):
            found = enumerate(self.mended, start=1)
            return {"pairs": [{"number": place, "question": question, "sql": sql} for place, (question, sql) in found]}
        asked = re.findall(r"^(\d+)\. (.*)\n   Query: ", text, re.MULTILINE)
        return {"questions": [{"number": int(number), "question": self.reword(said)} for number, said in asked]}

    def pairs_about(self, text: str) -> Pairs:
        """All of them where their tables are."""
        return self.pairs if self.about in text else ()


def is_asked_for(what: str, text: str) -> bool:
    beginnings = {
        "pairs": "You write questions", "repairs": "These pairs of a question", "wordings": "Say each of these",
    }  # fmt: skip
    return text.startswith(beginnings[what])


def prompts_for(server: ModelServer, what: str) -> list[str]:
    """What was asked for pairs, for repairs, or for wordings."""
    texts = [request["messages"][1]["content"] for request in server.requests]
    return [text for text in texts if is_asked_for(what, text)]


class Made:
    """What one run of the step left."""

    def __init__(self, folder: Path, artifact: Mapping[str, Any]) -> None:
        self.result = artifact
        self.pairs = json.loads((folder / artifact["output_file"]).read_text())
        meta = (folder / artifact["output_file"].replace("_pair.json", "_pair.meta.jsonl")).read_text()
        self.meta = [json.loads(line) for line in meta.splitlines()]

    def by(self, provenance: str) -> dict[str, str]:
        """The pairs that one of the three wrote, SQL by question."""
        return {
            pair["question"]: pair["sql"]
            for pair, line in zip(self.pairs, self.meta, strict=True)
            if line["provenance"] == provenance
        }


def make(
    folder: Path,
    url: str,
    server: ModelServer | None,
    *,
    answers: Answers | None = None,
    tables: tuple[str, ...] = LIBRARY,
    limits: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> Made:
    """Run the step in this process, with a model at the server where there is one."""
    task = make_task(folder, table_list="\n".join(tables))
    model = LanguageModel(ModelEndpoint(server.url, "m", **(limits or {})), answers) if server is not None else None
    wishes = {"max_pairs": WANTED, "llm_paraphrase_share": 0.0, **parameters}
    done = run_step(
        task,
        QaGeneration(),
        step="qa_generation",
        model=model,
        parameters=RunParameters(db_connection=url, **wishes),
    )
    assert done["error"] is None, done["error"]
    return Made(task, done["artifacts"]["qa_generation"])


def fill_postgres(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(SCHEMA.encode())
        for text, values in statements():
            connection.execute(text.replace("?", "%s").encode(), values)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill_sqlite(tmp_path_factory.mktemp("library") / "library.sqlite")


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT", wait_none())


def test_good_pairs_are_taken_and_marked(library: str, tmp_path: Path) -> None:
    """With what they read, found in their SQL; they are some of the wanted number, and all are counted by who wrote."""
    with model_server(Librarian()) as server:
        made = make(tmp_path / "t", library, server)
    lines = {line["id"]: line for line in made.meta}

    assert made.by("llm") == {question: f"{sql};" for question, sql in GOOD}
    assert made.result["provenance"] == {"llm": 3, "template": WANTED - 3}
    assert made.result["total_questions"] == made.result["requested"] == WANTED
    (fees,) = [
        lines[line["id"]] for line, pair in zip(made.meta, made.pairs, strict=True) if pair["question"] == FEES[0]
    ]
    assert (fees["family"], fees["difficulty"]) == ("llm", "hard")
    assert fees["tables"] == ["main.branch", "main.loan"]
    assert fees["columns"] == [
        "main.branch.branch_id", "main.branch.city", "main.branch.name", "main.loan.branch_id", "main.loan.fee",
    ]  # fmt: skip
    assert made.result["families"]["llm"] == 3
    assert (made.result["failed_themes"], made.result["successful_themes"]) == ({}, 2)
    assert made.result["language_model"] == {
        "calls": 2, "kept_answers": 0, "prompt_tokens": 200, "completion_tokens": 20, "cost": None,
    }  # fmt: skip


def test_failed_pairs_are_mended_once_and_pass_the_gates_again(library: str, tmp_path: Path) -> None:
    """Those of a theme in one call, each with its query and what is wrong with it; what fails again is left out."""
    bad = (
        ("How many travel books stand on each shelf?", "SELECT shelf, COUNT(*) FROM books GROUP BY shelf"),
        ("Which books were lent most?", "SELECT title FROM book LIMIT 3"),
        ("Which genres have books?", "SELECT genre FROM book WHERE pages > 0 GROUP BY genre"),
    )
    mended = (TRAVEL, ("Which books were lent most?", "SELECT title FROM book LIMIT 4"))
    with model_server(Librarian((*bad, DAYS), mended)) as server:
        made = make(tmp_path / "t", library, server)
    (prompt,) = prompts_for(server, "repairs")

    assert made.by("llm") == {question: f"{sql};" for question, sql in (DAYS, TRAVEL)}
    assert made.result["model_pairs"] == {
        "asked_for": 20, "answered": 4, "taken": 2, "repaired": 1,
        "rejections": {"names": 1, "trivial": 1, "undecided": 2},
    }  # fmt: skip
    for question, sql in bad:
        assert f"Question: {question}\nQuery: {sql}\n" in prompt
    assert "because: the table books is not among those that there are" in prompt
    assert "because: LIMIT without ORDER BY" in prompt
    assert "because: the condition pages > 0 changes nothing" in prompt
    assert "table main.book\n" in prompt


HOSTILE = {
    "EXPLAIN ANALYZE SELECT title FROM book": "not_a_query",
    "SELECT title FROM book; DROP TABLE book": "statements",
    "DELETE FROM book": "not_a_query",
    "SELECT pg_sleep(60)": "function",
    "SELECT title FROM book WHERE pg_sleep(60) IS NULL": "function",
    "SELECT load_extension('x')": "function",
    "PRAGMA writable_schema = 1": "not_a_query",
    "SELECT sql FROM sqlite_master": "table",
    "SELECT email FROM reader": "personal_data",
    "SELECT * FROM reader": "personal_data",
    "SELECT level FROM reader WHERE full_name = 'Jana Novakova7'": "personal_data",
    "SELECT title FROM book WHERE title = 'Jana Novakova7'": "personal_data",
    "WITH reader AS (SELECT email AS e FROM reader) SELECT e FROM reader": "personal_data",
    "SELECT r FROM reader AS r": "names",
    "SELECT r.to_json FROM reader AS r": "names",
    "SELECT reader.level FROM reader WHERE CAST(reader AS TEXT) LIKE '%a%'": "names",
    "SELECT COUNT(*) FROM reader AS r GROUP BY r.reader_id HAVING CAST(r AS TEXT) LIKE '%a%'": "names",
    "SELECT b FROM reader AS r (a, b, c, d, e, f)": "names",
    "SELECT 1": "names",
    "SELECT name FROM unlisted": "names",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000 + " FROM book": "too_long",
    "SELECT title FROM book ORDER BY pages LIMIT 1.5": "",
    "no SQL at all": "syntax",
    "": "statements",
}
QUESTIONS = {
    "": "unreadable",
    "What did Jana Novakova7 borrow?": "personal_data",
    "Who is reader7@mail.example?": "personal_data",
    "Which \u202ebooks are there?": "unreadable",
    "Which books? " * 100: "unreadable",
    "哪些书超过六百页？": "language",
}


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_hostile_answers_are_refused_each_for_its_reason(library: str, tmp_path: Path, dialect: str) -> None:
    """Nothing of them is published, asked for again more than once, or stops the run."""
    hostile = [(f"What is asked here, {number}?", sql) for number, sql in enumerate(HOSTILE)]
    hostile += [(question, TRAVEL[1]) for question in QUESTIONS]
    answers = Librarian(tuple(hostile), tuple(hostile), about=".book\n")
    wishes: dict[str, Any] = {"max_pairs": 300, "pairs_per_table": 100, "llm_pairs_per_theme": 100}
    with contextlib.ExitStack() as stack:
        url = library
        if dialect == "postgresql":
            url = stack.enter_context(fresh_database())
            fill_postgres(url)
        server = stack.enter_context(model_server(answers))
        tables = tuple(f"public.{table}" if dialect == "postgresql" else table for table in LIBRARY)
        made = make(tmp_path / "t", url, server, tables=tables, **wishes)

    expected = Counter([*HOSTILE.values(), *QUESTIONS.values()])
    del expected[""]
    assert made.by("llm") == {}
    assert made.result["total_questions"] == 300
    assert len(prompts_for(server, "repairs")) == 1
    rejections = made.result["model_pairs"]["rejections"]
    assert {reason: rejections.get(reason, 0) for reason in expected} == {
        reason: 2 * count for reason, count in expected.items()
    }
    published = json.dumps(made.pairs)
    assert not re.search("email|full_name|Novakova|pg_sleep|unlisted|sqlite_master", published)


def test_sql_is_written_anew_from_its_tree(library: str, tmp_path: Path) -> None:
    """What stands in comments, and how names are quoted, is not the model's to say."""
    sql = (
        "select `shelf`, count(*) as books /* Jana Novakova7 */ from book where genre = 'travel' -- ; drop table book\n"
    )
    with model_server(Librarian(((TRAVEL[0], sql + "and not shelf is null group by shelf;;"),))) as server:
        made = make(tmp_path / "t", library, server)

    assert made.by("llm") == {TRAVEL[0]: TRAVEL[1].replace("SELECT shelf", 'SELECT "shelf"') + ";"}


def test_duplicates_are_refused_across_those_who_write(library: str, tmp_path: Path) -> None:
    """The model repeats itself, and what covers the schema already; a repair would not help, so none is asked for."""
    alone = make(tmp_path / "alone", library, None)
    first = alone.pairs[0]
    repeated = (
        ("Say it once more, in quite other words than before?", first["sql"]),
        (first["question"].upper(), TRAVEL[1]),
        DAYS,
        ("And once more, how long do the levels borrow?", DAYS[1].lower()),
        DAYS,
    )
    with model_server(Librarian(repeated)) as server:
        made = make(tmp_path / "t", library, server)

    assert made.by("llm") == {DAYS[0]: f"{DAYS[1]};"}
    assert made.result["model_pairs"]["rejections"].keys() <= {"duplicate", "near_duplicate"}
    assert made.result["model_pairs"]["taken"] == 1
    assert prompts_for(server, "repairs") == []


def test_paraphrases_keep_the_sql_and_are_a_share(library: str, tmp_path: Path) -> None:
    """Chosen by the seed; what was asked in the generator's words is asked in the model's."""
    with model_server(Librarian(())) as server:
        made = make(tmp_path / "t", library, server, llm_paraphrase_share=0.5)
        other = make(tmp_path / "other", library, server, llm_paraphrase_share=0.5, seed=8)
    alone = make(tmp_path / "alone", library, None)
    new = made.by("llm_paraphrase")

    assert made.result["paraphrases"]["asked_for"] == WANTED // 2
    assert made.result["provenance"] == {"llm_paraphrase": len(new), "template": WANTED - len(new)}
    assert len(new) > WANTED // 3
    assert all(question.startswith("Please look this up for me: ") for question in new)
    known = {pair["sql"] for pair in alone.pairs}
    assert sum(sql in known for sql in new.values()) > len(new) / 2
    assert len({normal_question(pair["question"]) for pair in made.pairs}) == WANTED
    assert new.keys() != other.by("llm_paraphrase").keys()
    prompts = prompts_for(server, "wordings")
    assert all(len(re.findall(r"^\d+\. ", prompt, re.MULTILINE)) <= 10 for prompt in prompts)


@pytest.mark.parametrize(
    ("reword", "reason"),
    [
        (lambda question: question, "same"),
        (lambda question: question.upper(), "same"),
        (lambda question: "What is there?", "duplicate"),
        (lambda question: f"{question} Only the first 987.", "number_added"),
        (lambda question: re.sub(r"\d+", "", question) + " Please.", "number_lost"),
        (lambda question: f"请问：{question}", "language"),
        (lambda question: f"Jana Novakova7 asks: {question}", "personal_data"),
        (lambda question: "", "unreadable"),
    ],
)  # fmt: skip
def test_wording_that_says_something_else_is_not_taken(
    library: str, tmp_path: Path, reword: Callable[[str], str], reason: str
) -> None:
    """The generator's question stays, and the result says why."""
    with model_server(Librarian((), reword=reword)) as server:
        made = make(tmp_path / "t", library, server, llm_paraphrase_share=1.0, max_pairs=40)

    refused = made.result["paraphrases"]["rejections"]
    assert refused[reason] > 0
    assert made.result["provenance"]["template"] == sum(refused.values())
    assert made.result["total_questions"] == 40


@pytest.mark.parametrize("failure", [401, 503, b"<html>", "no JSON"])
def test_run_without_its_model_has_the_pairs_of_the_generator(library: str, tmp_path: Path, failure: Reply) -> None:
    """All of them, and the result says by theme what is missing."""
    with model_server(lambda body: failure) as server:
        made = make(tmp_path / "t", library, server, llm_paraphrase_share=0.5)
    alone = make(tmp_path / "alone", library, None)

    assert made.result["provenance"] == alone.result["provenance"] == {"template": WANTED}
    assert made.result["coverage"]["columns"] == alone.result["coverage"]["columns"]
    assert made.result["total_themes"] == 2
    assert made.result["successful_themes"] == 0
    assert len(made.result["failed_themes"]) == 2
    assert all(made.result["failed_themes"].values())
    assert len(made.result["paraphrases"]["failed_batches"]) == -(-WANTED // 20)


def test_tokens_that_run_out_leave_the_rest_to_the_generator(library: str, tmp_path: Path) -> None:
    """What was answered counts; what was not is named."""
    with model_server(Librarian()) as server:
        limits = {"tokens_per_run": 100, "calls_at_once": 1}
        made = make(tmp_path / "t", library, server, limits=limits, llm_paraphrase_share=0.5)

    assert len(server.requests) == 1
    assert made.result["successful_themes"] == 1
    (reason,) = made.result["failed_themes"].values()
    assert "DATA_PIPELINE_LLM_TOKENS_PER_RUN" in reason
    assert made.result["provenance"] == {"llm": 3, "template": WANTED - 3}


def test_repair_that_fails_leaves_what_was_good(library: str, tmp_path: Path) -> None:
    """And is told."""
    librarian = Librarian((*GOOD, ("Which books?", "SELECT nothing FROM book")))

    def reply(body: dict[str, Any]) -> Reply:
        return 400 if is_asked_for("repairs", body["messages"][1]["content"]) else librarian(body)

    with model_server(reply) as server:
        made = make(tmp_path / "t", library, server)

    assert made.by("llm").keys() == {question for question, _ in GOOD}
    (reason,) = made.result["failed_themes"].values()
    assert reason.startswith("nothing was repaired: ")


def test_second_run_pays_nothing_and_makes_the_same_pairs(library: str, tmp_path: Path) -> None:
    """Prompts follow from the schema, the rows and the seed; repairs and wordings are found again, too."""
    pairs = (*GOOD, ("Which books?", "SELECT nothing FROM book"))
    with (
        Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store,
        model_server(Librarian(pairs, (("Which books?", "SELECT still nothing"),))) as server,
    ):
        first = make(tmp_path / "first", library, server, answers=store, llm_paraphrase_share=0.3)
        paid = len(server.requests)
        second = make(tmp_path / "second", library, server, answers=store, llm_paraphrase_share=0.3)

    assert paid == first.result["language_model"]["calls"] == second.result["language_model"]["kept_answers"]
    assert second.result["language_model"]["calls"] == 0
    assert len(server.requests) == paid
    assert second.pairs == first.pairs


def test_killed_run_pays_only_once_for_what_was_answered(tmp_path: Path) -> None:
    """After a kill -9 while an answer is on its way the next run asks for that one, and for what follows."""
    shop = Shop(tmp_path)
    fill_sqlite(tmp_path / "library.sqlite")
    (tmp_path / "tables.txt").write_text("\n".join(LIBRARY))
    librarian, victims = Librarian(), list[Any]()
    with model_server(librarian) as server:
        model = {
            "DATA_PIPELINE_LLM_BASE_URL": server.url,
            "DATA_PIPELINE_LLM_MODEL": "m",
            "DATA_PIPELINE_LLM_CALLS_AT_ONCE": "1",
            "DATA_PIPELINE_QA_MAX_PAIRS": str(WANTED),
        }
        shop.environment |= model
        task = shop.answer(
            "tasks", "create", "--db-connection", "sqlite:///library.sqlite", "--table-list", "tables.txt"
        )  # fmt: skip
        words = ["run", task["task_id"], "--step", "qa_generation"]

        def dies_at_the_third(body: dict[str, Any]) -> Reply:
            if len(server.requests) == 3 and len(victims) == 1:
                victims[0].send_signal(signal.SIGKILL)
            return librarian(body)

        server.reply = dies_at_the_third
        victims.append(shop.start(CLI, *words, output=tmp_path / "killed.log"))
        assert victims[0].wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL
        before = list(server.requests)
        used = shop.answer(*words)["artifacts"]["qa_generation"]["language_model"]
        after = server.requests[len(before) :]
        again = shop.answer(*words)["artifacts"]["qa_generation"]["language_model"]

    assert len(before) == 3
    assert used["kept_answers"] == 2
    assert used["calls"] == len(after)
    assert [request for request in before if request in after] == [before[2]]
    assert (again["calls"], again["kept_answers"]) == (0, used["calls"] + 2)


def test_prompts_hold_no_value_of_a_personal_column(tmp_path: Path) -> None:
    """Of the demo's database, whatever is asked; nor the names of such columns."""
    path = tmp_path / "demo.sqlite"
    build_database(str(path))
    connection = sqlite3.connect(path)
    columns = {
        "employee": ("full_name", "email", "phone", "id_card_number"),
        "member": ("full_name", "email", "phone", "plate_number", "birthday"),
        "supplier": ("contact_name", "contact_email"),
    }
    values = {
        str(value)
        for table, names in columns.items()
        for name in names
        for (value,) in connection.execute(f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL")
    }
    connection.close()
    bad = (("Which shops?", "SELECT nothing FROM shop"),)
    librarian = Librarian(bad, about="main.")
    with model_server(librarian) as server:
        make(tmp_path / "t", f"sqlite:///{path}", server, tables=tuple(TABLES), llm_paraphrase_share=1.0)
    asked = [request["messages"][1]["content"] for request in server.requests]
    found = {value for value in values for text in asked if value in text}

    assert {len(prompts_for(server, what)) > 0 for what in ("pairs", "repairs", "wordings")} == {True}
    assert len(values) > 1000
    assert found == set()
    for name in {name for names in columns.values() for name in names}:
        assert not any(re.search(rf"\b{name}\b", text) for text in prompts_for(server, "pairs"))


def test_prompt_holds_the_tables_of_one_theme_alone(tmp_path: Path) -> None:
    """Of sixty tables that all hang together at most eight; every one that has rows is in some prompt."""
    names = [f"part{number:02}" for number in range(60)]
    connection = sqlite3.connect(tmp_path / "wide.sqlite")
    for number, name in enumerate(names):
        target = names[(number - 1) // 3] if number else name
        connection.execute(
            f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, size INTEGER, kind TEXT,"
            f" above_id INTEGER REFERENCES {target} (id))"
        )
        rows = [(row, row * 7 % 11, "abc"[row % 3], row % 5 + 1) for row in range(1, 8)]
        connection.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    with model_server(Librarian(())) as server:
        made = make(tmp_path / "t", f"sqlite:///{tmp_path / 'wide.sqlite'}", server, tables=tuple(names), max_pairs=600)
    prompts = prompts_for(server, "pairs")
    shown = [set(re.findall(r"^table main\.(\w+)", prompt, re.MULTILINE)) for prompt in prompts]

    assert len(prompts) == made.result["total_themes"] > 60 / 8
    assert all(0 < len(tables) <= 8 for tables in shown)
    assert set().union(*shown) == set(names)
    for prompt, tables in zip(prompts, shown, strict=True):
        body = prompt.partition("Its tables:")[2]
        assert set(re.findall(r"part\d\d", body)) == tables


@pytest.mark.parametrize("max_pairs", [30, 60, 180])
def test_coverage_is_not_worse_than_without_a_model(library: str, tmp_path: Path, max_pairs: int) -> None:
    """The schema has its pairs before the model has any, whatever is wanted; the model has a third at most."""
    many = tuple(
        (f"How many books of {genre} have more than {pages} pages?",
         f"SELECT COUNT(*) FROM book WHERE genre = '{genre}' AND pages {sign} {pages}{more}")
        for genre in ("novel", "poetry", "history", "travel", "science")
        for pages, sign, more in ((300, ">", ""), (400, "<", " AND NOT shelf IS NULL"), (500, ">=", " OR price > 60"))
    )  # fmt: skip
    with model_server(Librarian(many)) as server:
        made = make(tmp_path / "t", library, server, max_pairs=max_pairs, llm_pairs_per_theme=100)
    alone = make(tmp_path / "alone", library, None, max_pairs=max_pairs)

    assert made.result["total_questions"] == max_pairs
    assert len(made.by("llm")) <= max_pairs // 3
    for part in ("tables", "columns", "foreign_keys"):
        assert made.result["coverage"][part]["covered"] >= alone.result["coverage"][part]["covered"]


def test_chinese_task_takes_chinese_questions(library: str, tmp_path: Path) -> None:
    """And asks for them; English ones are refused, and asked for once more."""
    chinese = ("每个书架上有多少本旅行类图书？", TRAVEL[1])
    with model_server(Librarian((chinese, DAYS))) as server:
        made = make(tmp_path / "t", library, server, language="zh")

    assert made.by("llm").keys() == {chinese[0]}
    assert made.result["model_pairs"]["rejections"] == {"language": 1}
    assert "Language of the questions: Chinese" in prompts_for(server, "pairs")[0]
    assert "the question is not in the language that was asked for" in prompts_for(server, "repairs")[0]


@pytest.mark.parametrize(
    "wishes", [{"enable_llm_pairs": False}, {"llm_pairs_per_theme": 0}], ids=lambda wishes: next(iter(wishes))
)
def test_task_that_wants_no_pairs_of_a_model_asks_for_none(
    library: str, tmp_path: Path, wishes: dict[str, Any]
) -> None:
    """By the switch, or by their number."""
    with model_server(Librarian()) as server:
        made = make(tmp_path / "t", library, server, **wishes)

    assert server.requests == []
    assert made.result["provenance"] == {"template": WANTED}
    assert made.result["failed_themes"] == {}


def test_glossary_and_business_context_are_in_the_prompt(library: str, tmp_path: Path) -> None:
    """Of the theme's tables only; a term of a masked column is not."""
    task = make_task(
        tmp_path / "t", {"glossary.csv": "term,target,synonyms\nvolume,book,tome; opus\nmailbox,reader.email,\n"
                                         "turnover,SUM(loan.fee),\nday off,holiday.day,\n"}
    )  # fmt: skip
    with model_server(Librarian()) as server:
        make(task, library, server, business_context="lending of books")
    prompt = next(text for text in prompts_for(server, "pairs") if "table main.book\n" in text)

    assert "The database is about: lending of books\n" in prompt
    assert "volume, tome, opus: main.book\nturnover: SUM(loan.fee)\n" in prompt
    assert "mailbox" not in prompt
    assert "day off" not in prompt


def test_cost_is_told_where_prices_are_set(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the currency of the prices; one price without the other is refused at the start."""
    prices = {"price_per_million_prompt_tokens": 2.0, "price_per_million_completion_tokens": 8.0}
    with model_server(Librarian()) as server:
        made = make(tmp_path / "t", library, server, limits=prices)
    assert made.result["language_model"]["cost"] == 0.00056  # 2 calls of 100 and 10 tokens

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_PIPELINE_LLM_PRICE_PER_MILLION_PROMPT_TOKENS", "2.5")
    with pytest.raises(InvalidInput, match="must be set together"):
        load_settings()
    monkeypatch.setenv("DATA_PIPELINE_LLM_PRICE_PER_MILLION_COMPLETION_TOKENS", "10")
    assert load_settings().llm_price_per_million_completion_tokens == 10.0
