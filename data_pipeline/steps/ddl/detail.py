"""Write a page about a table: its purpose, its fields with examples, relations in both directions, its profile.

    ## public.customer (people who buy)
    people who buy
    Fields:
    - status (varchar(10)) - state of the account [examples: open, closed]

Notes:
    - id: primary key
    Profile (rows: 5000):
    | field | null | distinct | least | greatest |

Pure. Masked values of a profile do not reach the page.

"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from data_pipeline.database.schema import Table
from data_pipeline.semantics.personal_words import PersonalKind
from data_pipeline.semantics.profile import ColumnProfile, TableProfile
from data_pipeline.semantics.wording import Comment, Suggestion, column_comments, escaped, listed_value, table_comment
from data_pipeline.steps.ddl.ddl import Surroundings

SHOWN_LABELS: Final = 50
"""Maximum number of values of an enumerated type on a page."""

_KINDS_IN_CHINESE: Final[dict[PersonalKind, str]] = {
    "name": "姓名", "email": "邮箱", "phone": "电话", "address": "地址", "account": "账号", "ip": "IP 地址",
    "birth_date": "出生日期", "national_id": "证件号", "plate": "车牌", "card": "卡号", "bank_account": "银行账号",
    "secret": "密码或密钥", "health": "健康信息", "location": "位置", "other": "其他个人信息",
}  # fmt: skip


@dataclass(frozen=True)
class _Words:
    """The phrases of one language."""

    title: str
    fields: str
    notes: str
    examples: str
    separator: str
    primary: str
    unique: str
    refers: str
    referred: str
    not_null: str
    enum: str
    personal: str
    masked: str
    profile: str
    sampled: str
    head: str
    view: str
    materialized: str
    virtual: str


_WORDS: Final = {
    "en": _Words(
        title="## {name} ({meaning})",
        fields="Fields:",
        notes="Notes:",
        examples=" [examples: {values}]",
        separator=", ",
        primary="{columns}: primary key",
        unique="{columns}: unique",
        refers="{columns} refers to {target} ({target_columns})",
        referred="{source} ({columns}) refers to {target_columns} here",
        not_null="{column}: never null",
        enum="{column} is one of: {values}",
        personal="{column}: personal data ({kind})",
        masked="; its values are masked",
        profile="Profile (rows: {rows}):",
        sampled="Profile (rows: about {rows}, of which {looked_at} were looked at):",
        head="| field | null | distinct | least | greatest |",
        view="it is a view",
        materialized="it is a materialized view",
        virtual="it is a virtual table",
    ),
    "zh": _Words(
        title="## {name}（{meaning}）",
        fields="字段列表：",
        notes="字段补充说明：",
        examples=" [示例: {values}]",
        separator="、",
        primary="{columns} 为主键",
        unique="{columns} 唯一",
        refers="{columns} 引用 {target} ({target_columns})",
        referred="被 {source} ({columns}) 引用",
        not_null="{column} 非空",
        enum="{column} 为枚举字段，包含取值：{values}",
        personal="{column} 含个人信息（{kind}）",
        masked="，取值已脱敏",
        profile="数据概况（共 {rows} 行）：",
        sampled="数据概况（约 {rows} 行，查看了其中 {looked_at} 行）：",
        head="| 字段 | 空值 | 不同值 | 最小值 | 最大值 |",
        view="这是视图",
        materialized="这是物化视图",
        virtual="这是虚拟表",
    ),
}


def detail_of(
    table: Table,
    around: Surroundings,
    language: str,
    *,
    suggestion: Suggestion | None = None,
    profile: TableProfile | None = None,
) -> str:
    """Return the `_detail.md` page."""
    words = _WORDS[language]
    suggestion = suggestion or Suggestion()
    meaning = table_comment(table, suggestion)
    profiled = {column.name: column for column in profile.columns} if profile else {}
    lines = [
        words.title.format(name=escaped(str(table.name)), meaning=escaped(meaning.text)),
        escaped(meaning.marked(language)),
        words.fields,
    ]
    lines += _fields(table, column_comments(table, suggestion), profiled, words, language)
    notes = [*_keys(table, around, words), *_values(table, profiled, words, language)]
    if notes:
        lines += [words.notes, *(f"- {note}" for note in notes)]
    if profile is not None:
        lines += _profile(profile, words)
    return "\n".join(lines) + "\n"


def _fields(
    table: Table,
    comments: Mapping[str, Comment],
    profiled: Mapping[str, ColumnProfile],
    words: _Words,
    language: str,
) -> Iterable[str]:
    for column in table.columns:
        found = profiled.get(column.name)
        samples = found.samples if found is not None and not found.is_masked else ()
        examples = words.examples.format(values=", ".join(map(_listed, samples))) if samples else ""
        meaning = escaped(comments[column.name].marked(language))
        yield f"- {escaped(column.name)} ({escaped(column.type_sql or 'any')}) - {meaning}{examples}"


def _listed(value: str) -> str:
    return escaped(listed_value(value))


def _keys(table: Table, around: Surroundings, words: _Words) -> Iterable[str]:
    def listed(names: Sequence[str]) -> str:
        return ", ".join(map(escaped, names))

    if table.kind != "table":
        kinds = {"view": words.view, "materialized view": words.materialized, "virtual table": words.virtual}
        yield kinds[table.kind]
    if table.primary_key.columns:
        yield words.primary.format(columns=listed(table.primary_key.columns))
    for unique in table.unique_keys:
        yield words.unique.format(columns=listed(unique.columns))
    for key in table.foreign_keys:
        yield words.refers.format(
            columns=listed(key.columns), target=escaped(str(key.target)), target_columns=listed(key.target_columns)
        )
    for name, key in around.referring:
        yield words.referred.format(
            source=escaped(str(name)), columns=listed(key.columns), target_columns=listed(key.target_columns)
        )
    for column in table.columns:
        if not column.is_nullable and column.name not in table.primary_key.columns:
            yield words.not_null.format(column=escaped(column.name))


def _values(table: Table, profiled: Mapping[str, ColumnProfile], words: _Words, language: str) -> Iterable[str]:
    for column in table.columns:
        found = profiled.get(column.name)
        values = column.labels[:SHOWN_LABELS] or (found.enum_values if found else ())
        if values:
            more = ("…",) if len(column.labels) > SHOWN_LABELS else ()
            shown = words.separator.join([*map(_listed, values), *more])
            yield words.enum.format(column=escaped(column.name), values=shown)
        if found is not None and found.personal is not None:
            kind = found.personal.kind
            named = _KINDS_IN_CHINESE[kind] if language == "zh" else kind.replace("_", " ")
            yield words.personal.format(column=escaped(column.name), kind=named) + (
                words.masked if found.is_masked else ""
            )


def _profile(profile: TableProfile, words: _Words) -> Iterable[str]:
    sentence = words.sampled if profile.is_sampled else words.profile
    yield sentence.format(rows=profile.row_count, looked_at=profile.looked_at)
    yield ""
    yield words.head
    yield "| --- | --- | --- | --- | --- |"
    for column in profile.columns:
        nulls = f"{100 * column.null_count / profile.looked_at:.1f} %" if profile.looked_at else ""
        is_shown = not column.is_masked
        least, greatest = (escaped(end) if end and is_shown else "" for end in (column.minimum, column.maximum))
        yield f"| {escaped(column.name)} | {nulls} | {column.distinct_count} | {least} | {greatest} |"
