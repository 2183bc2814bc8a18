"""What a database is about, as three files: themes of tables that belong together, for programs, people and models.

    metadata.txt                    SQL that PostgreSQL and SQLite load, twice without a difference
    metadata_detail.md              the same as a page
    db_query_decision_prompt.txt    what can be asked at all

Schema, comments and numbers of rows in, texts out: nothing of any row. Opens nothing.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from data_pipeline.database.schema import Column, Table
from data_pipeline.semantics.personal import ColumnSigns, judge_privacy
from data_pipeline.semantics.wording import Suggestion, column_comments, escaped, one_line, table_comment, words_of
from data_pipeline.tasks.table_list import TableName

THEME_TABLES: Final = 8
"""How many tables a theme has at most."""

_WITH_ROOM: Final = range(1, THEME_TABLES)

LISTED: Final = 5
"""How many entities and measures a theme lists."""

PROMPT_LISTED: Final = 60
"""How many of each the prompt lists."""

NAME_CHARACTERS: Final = 10
"""Of a name in Chinese."""

NAME_WORDS: Final = 5
WORDS_CHARACTERS: Final = 40
"""Of a name in words."""

_CJK: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_CLAUSE_END: Final = re.compile("[,;:.!?()\\[\\]\uff0c\u3002\uff1b\uff1a\uff01\uff1f\uff08\uff09\u3010\u3011\u3001]")
_NUMBER: Final = re.compile(r"(small|big)?int(eger)?\b|numeric|decimal|real|double|float|money", re.IGNORECASE)
_NO_MEASURE: Final = re.compile(
    r"\b(id|no|nr|num|number|code|key|year|month|day|hour|version|level|status|state|type|flag|is|has|rank|position|"
    r"sort|order by|latitude|longitude|lat|lng|lon|zip|seq|sequence)\b|编号|编码|代码|年份|月份|状态|类型|序号|版本"
)
_AVERAGED: Final = re.compile(
    r"\b(price|rate|ratio|percent|percentage|share|age|score|rating|discount|temperature|speed|average|avg)\b|"
    "单价|价格|比例|比率|折扣|年龄|评分|温度|均价"
)

_SAID: Final = re.compile(r"\b(total|sum|average|avg|mean)\b|合计|总|平均", re.IGNORECASE)
"""Titles that say themselves how rows are put together."""


@dataclass(frozen=True)
class Theme:
    """Tables that are asked about together; the first of them is what the theme is called after."""

    name: str
    description: str
    related_tables: tuple[TableName, ...]
    biz_entities: tuple[str, ...]
    biz_metrics: tuple[str, ...]


@dataclass(frozen=True)
class About:
    """What all three files say at their beginning."""

    database: str
    business_context: str
    language: str
    at: datetime


@dataclass(frozen=True)
class _Words:
    """The words of one language."""

    and_: str
    comma: str
    description: str
    alone: str
    more: str
    count: str
    total: str
    average: str
    of_table: str
    sql_title: str
    title: str
    context: str
    database: str
    at: str
    tables: str
    rows: str
    entities: str
    metrics: str
    stored: str
    scope: str
    holds: str
    core_entities: str
    key_metrics: str
    plural: Callable[[str], str]


def _plural(title: str) -> str:
    """More than one of a thing, in English; what is no English word, or a phrase, stays."""
    if not title.isascii() or not title[-1:].isalpha() or title[-1] in "sS" or title.count(" ") > 2:
        return title
    if title.endswith("y") and title[-2:-1] not in tuple("aeiou"):
        return title[:-1] + "ies"
    return title + ("es" if title.endswith(("x", "ch", "sh", "z")) else "s")


_WORDS: Final = {
    "en": _Words(
        and_=" and ",
        comma=", ",
        description="{first}, with {others}",
        alone="{first}",
        more="{count} more",
        count="number of {name}",
        total="total {name}",
        average="average {name}",
        of_table="{table} {name}",
        sql_title="Themes of the database",
        title="# Themes of the database {database}",
        context="Business context",
        database="Database",
        at="Time",
        tables="Tables",
        rows="{count} rows",
        entities="Entities",
        metrics="Measures",
        stored="`metadata.txt` loads these themes into the table `metadata`, one row each, lists as JSON arrays.",
        scope="=== Business scope of the database ===",
        holds="The database {database} is about: {names}.",
        core_entities="Core business entities:",
        key_metrics="Key business metrics:",
        plural=_plural,
    ),
    "zh": _Words(
        and_="和",
        comma="、",
        description="围绕{first}，涉及{others}",
        alone="围绕{first}",
        more="其他{count}项",
        count="{name}数量",
        total="{name}合计",
        average="平均{name}",
        of_table="{table}的{name}",
        sql_title="数据库业务主题",
        title="# 数据库 {database} 的业务主题",
        context="业务背景",
        database="数据库",
        at="生成时间",
        tables="相关表",
        rows="{count} 行",
        entities="业务实体",
        metrics="业务指标",
        stored="`metadata.txt` 将这些主题写入 `metadata` 表，每个主题一行，列表为 JSON 数组。",
        scope="=== 数据库业务范围 ===",
        holds="数据库 {database} 涉及以下业务：{names}。",
        core_entities="核心业务实体：",
        key_metrics="关键业务指标：",
        plural=str,
    ),
}


def themes_of(
    tables: Sequence[Table],
    language: str,
    *,
    suggestions: Mapping[TableName, Suggestion] | None = None,
    joined: Iterable[tuple[TableName, TableName]] = (),
) -> list[Theme]:
    """Themes of 2 to `THEME_TABLES` tables; each table is in at least one, the same in every run.

    Tables belong together by their foreign keys, by what views read, and by `joined`, joins that were inferred. Where
    more belong together than a theme holds, it is a hub and its neighbours. Tables that belong to none go by the first
    word of their names; one that is left over is a theme alone.
    """
    words = _WORDS[language]
    known = {
        table.name: table for table in sorted(tables, key=lambda table: (table.name.schema or "", table.name.name))
    }
    titles = {
        name: _title(table_comment(table, (suggestions or {}).get(name, Suggestion())).text, name.name)
        for name, table in known.items()
    }
    themes: list[Theme] = []
    taken: set[str] = set()
    for group in _grouped(_Graph.of(known, joined)):
        others = list(dict.fromkeys(titles[one] for one in group[1:]))
        name = _distinct(_theme_name(titles[group[0]], language), others, taken, words)
        taken.add(name)
        sentence = words.description if others else words.alone
        description = _capital(sentence.format(first=titles[group[0]], others=_listed(others, LISTED, words)))
        of_group = [known[one] for one in group]
        # A view repeats what its tables have.
        told = [table for table in of_group if table.kind == "table"] or of_group
        entities = dict.fromkeys(titles[one.name] for one in told if not _only_links(one)) or {titles[group[0]]: None}
        metrics = _metrics(told, titles, suggestions or {}, words)
        themes.append(Theme(name, description, tuple(group), tuple(entities)[:LISTED], tuple(metrics)[:LISTED]))
    return themes


def metadata_sql(themes: Sequence[Theme], about: About) -> str:
    """`metadata.txt`: a table, and one row a theme; loaded again it writes the same rows over."""
    words = _WORDS[about.language]
    lines = [
        f"-- {words.sql_title}",
        f"-- {words.context}: {one_line(about.business_context)}",
        f"-- {words.at}: {about.at:%Y-%m-%d %H:%M:%S}",
        f"-- {words.database}: {one_line(about.database)}",
        "",
        "CREATE TABLE IF NOT EXISTS metadata (",
        "    id INTEGER PRIMARY KEY,",
        "    topic_name VARCHAR(100) NOT NULL,",
        "    description TEXT NOT NULL,",
        "    related_tables TEXT NOT NULL, -- JSON",
        "    biz_entities TEXT NOT NULL, -- JSON",
        "    biz_metrics TEXT NOT NULL, -- JSON",
        "    created_at TIMESTAMP NOT NULL",
        ");",
    ]
    columns = ("topic_name", "description", "related_tables", "biz_entities", "biz_metrics", "created_at")
    replaced = ", ".join(f"{column} = excluded.{column}" for column in columns)
    for number, theme in enumerate(themes, start=1):
        values = (
            theme.name,
            theme.description,
            json.dumps([str(table) for table in theme.related_tables], ensure_ascii=False),
            json.dumps(theme.biz_entities, ensure_ascii=False),
            json.dumps(theme.biz_metrics, ensure_ascii=False),
            f"{about.at:%Y-%m-%d %H:%M:%S}",
        )
        lines += [
            "",
            f"INSERT INTO metadata (id, {', '.join(columns)})",
            f"VALUES ({number}, {', '.join(map(_sql_text, values))})",
            f"ON CONFLICT (id) DO UPDATE SET {replaced};",
        ]
    return "\n".join(lines) + "\n"


def metadata_detail(
    themes: Sequence[Theme],
    about: About,
    tables: Sequence[Table],
    row_counts: Mapping[TableName, int],
    *,
    suggestions: Mapping[TableName, Suggestion] | None = None,
) -> str:
    """`metadata_detail.md`: a section a theme, its tables with what they mean and how many rows they have."""
    words = _WORDS[about.language]
    meanings = {
        table.name: table_comment(table, (suggestions or {}).get(table.name, Suggestion())).marked(about.language)
        for table in tables
    }
    lines = [words.title.format(database=escaped(about.database)), ""]
    if about.business_context.strip():
        lines.append(f"- {words.context}: {escaped(about.business_context)}")
    lines += [f"- {words.at}: {about.at:%Y-%m-%d %H:%M:%S}", f"- {words.tables}: {len(meanings)}", "", words.stored]
    for number, theme in enumerate(themes, start=1):
        lines += ["", f"## {number}. {escaped(theme.name)}", "", escaped(theme.description), "", f"{words.tables}:"]
        for table in theme.related_tables:
            count = row_counts.get(table)
            rows = f" ({words.rows.format(count=count)})" if count is not None else ""
            lines.append(f"- {escaped(str(table))}{rows} - {escaped(meanings.get(table, words_of(table.name)))}")
        lines += ["", f"{words.entities}: {words.comma.join(map(escaped, theme.biz_entities))}"]
        lines += ["", f"{words.metrics}: {words.comma.join(map(escaped, theme.biz_metrics))}"]
    return "\n".join(lines) + "\n"


def decision_prompt(themes: Sequence[Theme], about: About) -> str:
    """`db_query_decision_prompt.txt`: by what it lists a model decides whether a question is one for this database."""
    words = _WORDS[about.language]
    names = _listed([theme.name for theme in themes], PROMPT_LISTED, words)
    lines = [words.scope, words.holds.format(database=one_line(about.database), names=names)]
    if about.business_context.strip():
        lines.append(f"{words.context}: {one_line(about.business_context)}")
    for title, found in (
        (words.core_entities, [entity for theme in themes for entity in theme.biz_entities]),
        (words.key_metrics, [metric for theme in themes for metric in theme.biz_metrics]),
    ):
        distinct = list(dict.fromkeys(found))
        lines += [title, *(f"- {one}" for one in distinct[:PROMPT_LISTED])]
        if len(distinct) > PROMPT_LISTED:
            lines.append(f"- {words.more.format(count=len(distinct) - PROMPT_LISTED)}")
    return "\n".join(lines) + "\n"


@dataclass
class _Graph:
    """Tables, and which belong together; both in a fixed order."""

    neighbours: dict[TableName, list[TableName]]
    views: frozenset[TableName]

    @classmethod
    def of(cls, tables: Mapping[TableName, Table], joined: Iterable[tuple[TableName, TableName]]) -> _Graph:
        found: dict[TableName, set[TableName]] = {name: set() for name in tables}
        links = [
            *((table.name, key.target) for table in tables.values() for key in table.foreign_keys),
            *((table.name, source) for table in tables.values() for source in table.sources),
            *joined,
        ]
        for one, other in links:
            if one != other and one in found and other in found:
                found[one].add(other)
                found[other].add(one)
        places = {name: place for place, name in enumerate(tables)}
        neighbours = {name: sorted(others, key=places.__getitem__) for name, others in found.items()}
        return cls(neighbours, frozenset(name for name, table in tables.items() if table.kind != "table"))

    def by_degree(self, names: Iterable[TableName]) -> list[TableName]:
        """Those with the most neighbours first, and views last."""
        return sorted(names, key=lambda name: (name in self.views, -len(self.neighbours[name])))

    def from_outside(self, hub: TableName) -> list[TableName]:
        """Neighbours of a table, those with fewest other neighbours first, and views last."""
        return sorted(self.neighbours[hub], key=lambda name: (name in self.views, len(self.neighbours[name])))


def _grouped(graph: _Graph) -> list[list[TableName]]:
    """Tables of each theme, its hub first: what belongs together, larger parts first, then what belongs to nothing."""
    parts = sorted(_parts(graph), key=lambda part: -len(part))
    groups: list[list[TableName]] = []
    for part in parts:
        if 1 < len(part) <= THEME_TABLES:
            groups.append(graph.by_degree(part))
        elif len(part) > THEME_TABLES:
            groups += _around_hubs(graph, part)
    return groups + _by_first_word([part[0] for part in parts if len(part) == 1])


def _parts(graph: _Graph) -> Iterator[list[TableName]]:
    """The connected parts."""
    seen: set[TableName] = set()
    for start in graph.neighbours:
        if start in seen:
            continue
        seen.add(start)
        part, waiting = [], deque([start])
        while waiting:
            name = waiting.popleft()
            part.append(name)
            for other in graph.neighbours[name]:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        yield part


def _around_hubs(graph: _Graph, part: Iterable[TableName]) -> list[list[TableName]]:
    """A hub and neighbours that are in no theme yet, those with fewest other neighbours first.

    What finds none joins the last theme around a neighbour, or begins another one around it.
    """
    groups: list[list[TableName]] = []
    last_around: dict[TableName, list[TableName]] = {}
    seen: set[TableName] = set()
    for hub in graph.by_degree(part):
        if hub in seen:
            continue
        free = [name for name in graph.from_outside(hub) if name not in seen]
        if free:
            group = [hub, *free[: THEME_TABLES - 1]]
            groups.append(group)
            last_around[hub] = group
        else:
            around = next((one for one in graph.neighbours[hub] if len(last_around.get(one, ())) in _WITH_ROOM), None)
            group = last_around[around] if around is not None else [graph.by_degree(graph.neighbours[hub])[0]]
            if around is None:
                groups.append(group)
                last_around[group[0]] = group
            group.append(hub)
        seen.update(group)
    return groups


def _by_first_word(names: Sequence[TableName]) -> list[list[TableName]]:
    """Tables whose names begin alike, as many as a theme holds; then all others."""
    alike: dict[str, list[TableName]] = defaultdict(list)
    for name in names:
        alike[words_of(name.name).split(" ")[0]].append(name)
    others = [found[0] for found in alike.values() if len(found) == 1]
    groups = [found for found in alike.values() if len(found) > 1]
    return [
        group[start : start + THEME_TABLES]
        for group in [*groups, others]
        for start in range(0, len(group), THEME_TABLES)
    ]


def _title(comment: str, name: str) -> str:
    """What a thing is called in few words: what its comment begins with, where that is short, else its name."""
    clause = _CLAUSE_END.split(one_line(comment), maxsplit=1)[0].strip()
    for text in (clause, one_line(words_of(name))):
        if text and (len(text) <= NAME_CHARACTERS if _CJK.search(text) else len(text.split()) <= NAME_WORDS):
            return text[:WORDS_CHARACTERS]
    return _cut(one_line(words_of(name)))


def _cut(text: str) -> str:
    """At most as long as a name may be."""
    if _CJK.search(text):
        return text[:NAME_CHARACTERS].strip()
    return " ".join(text.split()[:NAME_WORDS])[:WORDS_CHARACTERS].strip() or "?"


def _theme_name(title: str, language: str) -> str:
    if language == "zh" and _CJK.search(title):
        return title if title.endswith("分析") else title[: NAME_CHARACTERS - 2] + "分析"
    return _capital(title)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _distinct(name: str, others: Sequence[str], taken: Iterable[str], words: _Words) -> str:
    """The name, or with the second table, or with the first number that makes it another one."""
    both = f"{name}{words.and_}{others[0]}" if others else name
    if name in taken and both not in taken and len(both) <= _characters(both):
        return both
    limit = _characters(name)
    found, number = name, 1
    while found in taken:
        number += 1
        ending = str(number) if _CJK.search(name) else f" {number}"
        found = name[: limit - len(ending)] + ending
    return found


def _characters(name: str) -> int:
    """How long a name may be: one with a Chinese word in it is a Chinese one."""
    return NAME_CHARACTERS if _CJK.search(name) else WORDS_CHARACTERS


def _listed(names: Sequence[str], limit: int, words: _Words) -> str:
    """`a, b and c`, or `a, b and 7 more`."""
    shown = list(names[:limit])
    if len(names) > limit:
        shown.append(words.more.format(count=len(names) - limit))
    return words.and_.join([words.comma.join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _only_links(table: Table) -> bool:
    """Whether a table does nothing but join others: every column of it refers to one."""
    referring = {column for key in table.foreign_keys for column in key.columns}
    return len(table.foreign_keys) > 1 and all(column.name in referring for column in table.columns)


def _metrics(
    tables: Iterable[Table],
    titles: Mapping[TableName, str],
    suggestions: Mapping[TableName, Suggestion],
    words: _Words,
) -> Iterable[str]:
    """What can be counted and summed up, the first of every table before the second of any."""
    rounds: dict[int, dict[str, None]] = defaultdict(dict)
    for table in tables:
        comments = column_comments(table, suggestions.get(table.name, Suggestion()))
        measures = islice((column for column in table.columns if _is_measure(table, column)), LISTED)
        found = [
            _measured(_title(comments[column.name].text, column.name), column, titles[table.name], words)
            for column in measures
        ]
        counted = [] if _only_links(table) else [words.count.format(name=words.plural(titles[table.name]))]
        for place, metric in enumerate([*found[:1], *counted, *found[1:]]):
            rounds[place][metric] = None
    return dict.fromkeys(metric for place in sorted(rounds) for metric in rounds[place])


def _is_measure(table: Table, column: Column) -> bool:
    """Whether the values of a column are amounts: numbers that are no key, no code, no date and nobody's."""
    keys = [table.primary_key.columns, *(key.columns for key in table.unique_keys)]
    keys += [key.columns for key in table.foreign_keys]
    if any(column.name in key for key in keys) or _NUMBER.match(column.type_sql) is None:
        return False
    words = words_of(column.name)
    return _NO_MEASURE.search(words) is None and not _is_personal(table, column)


def _measured(title: str, column: Column, table: str, words: _Words) -> str:
    if _SAID.search(title):
        return words.of_table.format(table=table, name=title)
    is_averaged = _AVERAGED.search(words_of(column.name)) or _AVERAGED.search(title)
    return (words.average if is_averaged else words.total).format(name=title)


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _is_personal(table: Table, column: Column) -> bool:
    """True if names and comments say so; this file is written without any row."""
    signs = ColumnSigns(table.name.name, column.name, column.type_sql, column.comment, table.comment)
    return judge_privacy(signs).is_masked
