"""What the vector store costs: loading, searching, starting, space; and what its embedder finds.

    python -m benchmarks.bench_store --directory DIR [--items 10000,100000] [--searches 200] [--stores sqlite]

The limit is the bare product: as many random vectors of float32 in one matrix, times one vector, and the five best of
it. Every search takes its turn with one of these. PostgreSQL is the one of the tests; it is left out where that is not
installed. Retrieval is measured on questions in other words, the half that nothing was tuned on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.steps.training.step import ITEMS_AT_ONCE
from data_pipeline.vectors.embedding.contract import Corpus, Passage
from data_pipeline.vectors.embedding.hashed_words import DIMENSION, HashedWords
from data_pipeline.vectors.store.contract import Holding, Item, Load, Question, VectorStore, pair_content
from data_pipeline.vectors.store.opening import open_vector_store
from tests.support.bm25 import bm25, recall
from tests.support.paraphrases import Paraphrase, paraphrases, siblings
from tests.support.postgres import fresh_database

PRODUCT_TARGET = 2.0
FIRST_SEARCH_SECONDS = 1.0
LOAD_TARGET = 3_000.0
RECALL_TARGET = 0.90
SEED = 7


def items_of(count: int) -> list[Item]:
    """Pairs as a generator makes them: questions of the demo about one more thing each, nine of ten; else pages."""
    plans = paraphrases("en") + paraphrases("zh")
    chosen = random.Random(SEED)
    words = ["orders", "invoices", "returns", "visits", "claims", "tickets", "meters", "trips", "loans", "batches"]
    found = []
    for number in range(count):
        plan = plans[number % len(plans)]
        about = f"{chosen.choice(words)} of region {number // len(plans)} in {chosen.choice(words)} {number}"
        if number % 10:
            question = f"{plan.stored} ({about})"
            found.append(Item("sql", "demo", pair_content(question, f"{plan.sql} /* {about} */")))
        else:
            lines = "\n".join(f"- column_{n} (integer) - {chosen.choice(words)} {n}" for n in range(12))
            found.append(Item("documentation", "demo", f"## table_{number} ({about})\n{lines}"))
    return found


def load(store: VectorStore, items: list[Item]) -> float:
    """As the step does; seconds."""
    started = time.perf_counter()
    ids = [item.id for item in items]
    for start in range(0, len(items), ITEMS_AT_ONCE):
        part = {item.id: item for item in items[start : start + ITEMS_AT_ONCE]}
        fresh = [part[one] for one in store.claim("task_1", list(part))]
        if fresh:
            store.stage("task_1", fresh, store.embedder.embed([item.passage for item in fresh]))
    store.commit(Load("task_1", f"run_{len(ids)}", [Holding(one, "a_pair.json") for one in ids]))
    return time.perf_counter() - started


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def searches(store: VectorStore, count: int, rounds: int) -> dict[str, float]:
    """Searches and bare products, taking turns."""
    matrix = np.random.default_rng(SEED).random((count, DIMENSION), np.float32)
    vector = matrix[0].copy()
    questions = [plan.asked for plan in paraphrases("en")]
    times: dict[str, list[float]] = {"search": [], "product": []}

    def product() -> None:
        scores = matrix @ vector
        np.argpartition(scores, -5)[-5:]

    for number in range(rounds + 10):
        question = Question(questions[number % len(questions)])
        search, bare = timed(lambda question=question: store.search(question)), timed(product)  # type: ignore[misc]
        if number >= 10:
            times["search"].append(search)
            times["product"].append(bare)
    return {
        "search_p50_ms": 1000 * statistics.median(times["search"]),
        "search_p95_ms": 1000 * percentile(times["search"], 0.95),
        "product_p50_ms": 1000 * statistics.median(times["product"]),
        "product_p95_ms": 1000 * percentile(times["product"], 0.95),
    }


def peak_mb() -> float:
    """The most memory of this process; getrusage would give the parent's where that is more."""
    status = Path("/proc/self/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) / 1024


def _loading(url: str, count: int, result: Any) -> None:
    """A process that does nothing but a load, and then the same again."""
    items = items_of(count)
    base = peak_mb()
    store = open_vector_store(VectorPlace(url))
    first = load(store, items)
    again = load(store, items)
    result.put({"load_s": first, "reload_s": again, "load_peak_mb": peak_mb(), "items_alone_mb": base})
    store.close()


def _searching(url: str, count: int, rounds: int, result: Any) -> None:
    """A process that starts, and searches: its first search reads every vector."""
    started = time.perf_counter()
    store = open_vector_store(VectorPlace(url))
    store.search(Question("average salary by position"))
    first = time.perf_counter() - started
    peak = peak_mb()
    figures = searches(store, count, rounds) if rounds else {}
    result.put({"first_search_s": first, "search_peak_mb": peak, **figures})
    store.close()


def in_a_process(work: Callable[..., None], *arguments: Any) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=work, args=(*arguments, result))
    process.start()
    found: dict[str, float] = result.get()
    process.join()
    return found


@contextlib.contextmanager
def place(kind: str, folder: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """A URL, and how many bytes lie there."""
    if kind == "sqlite":
        path = Path(tempfile.mkdtemp(dir=folder)) / "vectors.sqlite"
        yield f"sqlite:///{path}", lambda: float(sum(os.path.getsize(file) for file in path.parent.iterdir()))
    else:
        with fresh_database() as url:

            def size() -> float:
                with psycopg.connect(url) as session:
                    row = session.execute("SELECT pg_database_size(current_database())").fetchone()
                assert row is not None
                return float(row[0])

            yield url, size


def measure(kind: str, folder: Path, count: int, rounds: int) -> dict[str, float]:
    with place(kind, folder) as (url, size):
        found = in_a_process(_loading, url, count)
        found["items_per_s"] = count / found["load_s"]
        found["size_mb"] = size() / 1024**2
        starts = [in_a_process(_searching, url, count, rounds if last else 0) for last in (False, False, True)]
        first = statistics.median(start["first_search_s"] for start in starts)
        return {"items": count, **found, **starts[-1], "first_search_s": first}


def retrieval(plans: list[Paraphrase]) -> dict[str, tuple[float, float, float]]:
    """R@1, R@5 and MRR of the held-out questions: the embedder, and BM25 over the same words."""
    embedder = HashedWords()
    stored = embedder.embed([Passage(plan.stored, plan.sql) for plan in plans])
    corpus = Corpus(len(plans), np.count_nonzero(stored, axis=0))
    ours = np.stack([embedder.embed_question(plan.asked, corpus) for plan in plans]) @ stored.T
    rival = bm25([f"{plan.stored} {plan.sql}" for plan in plans], [plan.asked for plan in plans])
    rows = [number for number, plan in enumerate(plans) if plan.is_held_out]
    return {"embedder": recall(ours[rows], rows), "BM25": recall(rival[rows], rows)}


def verdict(name: str, is_met: bool, figure: str) -> str:
    return f"{name}: {figure}: {'pass' if is_met else 'FALLS SHORT'}"


def print_rows(kind: str, rows: list[dict[str, float]]) -> None:
    print(f"\n{kind}\n")
    print("| items | load, items/s | the same again, items/s | search p50 / p95 ms | bare product p50 / p95 ms | x "
          "| first search s | on disk MB | peak MB load / search |")  # fmt: skip
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(
            f"| {row['items']:,.0f} | {row['items_per_s']:,.0f} | {row['items'] / row['reload_s']:,.0f} "
            f"| {row['search_p50_ms']:.2f} / {row['search_p95_ms']:.2f} "
            f"| {row['product_p50_ms']:.2f} / {row['product_p95_ms']:.2f} "
            f"| {row['search_p50_ms'] / row['product_p50_ms']:.2f} | {row['first_search_s']:.2f} "
            f"| {row['size_mb']:.0f} | {row['load_peak_mb']:.0f} / {row['search_peak_mb']:.0f} |"
        )
    print()
    for row in rows:
        count = f"{row['items']:,.0f} items"
        print(verdict(f"{count}, load", row["items_per_s"] >= LOAD_TARGET, f"{row['items_per_s']:,.0f} items/s"))
        if kind == "sqlite" and row["items"] == 10_000:
            times = row["search_p50_ms"] / row["product_p50_ms"]
            print(verdict(f"{count}, search against the bare product", times <= PRODUCT_TARGET, f"{times:.2f} x"))
        if kind == "sqlite" and row["items"] == 100_000:
            first = row["first_search_s"]
            print(verdict(f"{count}, first search after the start", first <= FIRST_SEARCH_SECONDS, f"{first:.2f} s"))


def print_retrieval() -> dict[str, Any]:
    found: dict[str, Any] = {}
    print("\n| questions | stored | asked | by | R@1 | R@5 | MRR |\n| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for name, plans_of in (("in other words", paraphrases), ("siblings, hard", siblings)):
        for language in ("en", "zh"):
            plans = plans_of(language)
            found[f"{name}, {language}"] = figures = retrieval(plans)
            held = sum(plan.is_held_out for plan in plans)
            for by, row in figures.items():
                shown = " | ".join(f"{figure:.3f}" for figure in row)
                print(f"| {name}, {language} | {len(plans)} | {held} | {by} | {shown} |")
    print()
    for language in ("en", "zh"):
        five = found[f"in other words, {language}"]["embedder"][1]
        print(verdict(f"R@5, {language}", five >= RECALL_TARGET, f"{five:.3f}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="on the disk to measure")
    parser.add_argument("--items", default="10000,100000")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"retrieval": print_retrieval()}
    for kind in arguments.stores.split(","):
        counts = [int(count) for count in arguments.items.split(",")]
        found[kind] = [measure(kind, arguments.directory, count, arguments.searches) for count in counts]
        print_rows(kind, found[kind])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
