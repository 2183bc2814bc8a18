"""What tables and columns are called in questions: a glossary's term, a comment that is a noun, the identifier's words.

Opens nothing. One word per thing: whoever asks for a noun twice in a question gets the same one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from data_pipeline.semantics.facts import ColumnFacts, Facts, Link, TableFacts
from data_pipeline.semantics.names import (
    common_prefix,
    is_thing,
    singular,
    spelled,
    split_words,
    table_words,
    words_named,
)
from data_pipeline.semantics.parts import At
from data_pipeline.steps.qa.plans.plan import Selection, Source
from data_pipeline.tasks.parameters import Language
from data_pipeline.tasks.table_list import TableName

_CJK: Final = re.compile(r"[\u3400-\u9fff]")
_HEAD: Final = re.compile(r"[,;:(.!?，；：（。、|\n]")
_TAIL: Final = re.compile(r"(信息表|数据表|记录表|明细表|表)$")
_NO_NOUN_BEGINS: Final = frozenset(
    {"as", "for", "in", "with", "by", "to", "from", "on", "at", "if", "when", "empty", "no", "not", "who", "what",
     "where", "one", "whether", "this", "all", "each", "of", "which", "how", "is", "are", "see", "contains", "stores",
     "personal", "used", "true", "null", "a", "an"}
)  # fmt: skip
_NO_NOUN_HOLDS: Final = frozenset(
    {"who", "which", "that", "while", "when", "if", "is", "are", "was", "has", "have", "it", "they", "without", "with",
     "at", "on", "as", "by", "from", "for", "to", "and", "or", "per"}
)  # fmt: skip
_UNITS: Final = {
    "milliseconds": "length in milliseconds", "ms": "length in milliseconds", "seconds": "duration in seconds",
    "minutes": "duration in minutes", "hours": "duration in hours", "bytes": "size in bytes", "kb": "size in kB",
    "mb": "size in MB", "km": "distance in km", "kg": "weight in kg",
}  # fmt: skip
_UNIT_ENDS: Final = frozenset(
    {"km", "kg", "cm", "mm", "ms", "usd", "eur", "cny", "gb", "mb", "kb", "minutes", "hours", "seconds", "days"}
)
_ID_ENDS: Final = frozenset({"id", "key", "code", "no", "number", "uuid", "fk", "ref"})
_NOT_COUNTED: Final = frozenset(
    {"sales", "costs", "earnings", "expenses", "fees", "wages", "taxes", "savings", "gross", "metres", "meters",
     "means", "miles", "litres", "liters", "tons", "tonnes", "degrees", "grams", "kilograms", "dollars", "euros",
     "percents", "ms", "details", "status", "gps"}
)  # fmt: skip
_HAPPENINGS: Final = {
    "hired": "hire", "left": "leaving", "opened": "opening", "closed": "closing", "joined": "joining", "sold": "sale",
    "founded": "founding", "created": "creation", "updated": "update", "modified": "modification", "paid": "payment",
    "discontinued": "discontinuation", "born": "birth", "bought": "purchase", "shipped": "shipping",
    "delivered": "delivery", "published": "publication", "released": "release", "registered": "registration",
    "rented": "rental", "started": "start", "ended": "end", "issued": "issue", "deleted": "deletion",
    "cancelled": "cancellation", "approved": "approval", "submitted": "submission", "returned": "return",
    "booked": "booking", "built": "construction", "sent": "sending", "received": "receipt", "visited": "visit",
    "measured": "measurement", "recorded": "recording", "ordered": "order", "counted": "counting", "lent": "lending",
    "borrowed": "borrowing", "lost": "loss",
}  # fmt: skip
_LINK: Final = ("link",)
_ROLES: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("reports", "to"): ("manager",), ("created", "by"): ("creator",), ("supervised", "by"): ("supervisor",),
    ("assigned", "to"): ("assignee",), ("updated", "by"): ("last", "editor"), ("sold", "by"): ("seller",),
}  # fmt: skip


class Terms(Protocol):
    """What a glossary says: the term and its synonyms, nothing where it is silent."""

    def of_table(self, table: TableName) -> Sequence[str]:
        """The words for a table's rows, one of them."""

    def of_column(self, table: TableName, column: str) -> Sequence[str]:
        """The words for a column."""


class NoTerms:
    """No glossary."""

    def of_table(self, table: TableName) -> Sequence[str]:  # noqa: ARG002
        return ()

    def of_column(self, table: TableName, column: str) -> Sequence[str]:  # noqa: ARG002
        return ()


@dataclass(frozen=True)
class Comments:
    """What a language model says of tables and columns that have no comment of their own."""

    tables: Mapping[TableName, str] = field(default_factory=dict)
    columns: Mapping[tuple[TableName, str], str] = field(default_factory=dict)


class Nouns:
    """The nouns of one schema in one language."""

    def __init__(
        self, facts: Facts, language: Language, terms: Terms | None = None, comments: Comments | None = None
    ) -> None:
        self.facts = facts
        self.language = language
        self._terms = terms or NoTerms()
        self._comments = comments or Comments()
        self._prefix = common_prefix([table.name.name for table in facts.tables])
        self._tables: dict[TableName, tuple[str, ...]] = {}
        self._columns: dict[tuple[TableName, str], str] = {}

    def thing(self, table: TableName, chance: Random) -> tuple[str, ...]:
        """The words for one row of a table."""
        synonyms = self._terms.of_table(table)
        if synonyms:
            return tuple(chance.choice(synonyms).split())
        if table not in self._tables:
            self._tables[table] = self._thing(self.facts.by_name[table])
        return self._tables[table]

    def connected(self, table: TableName) -> tuple[TableName, TableName] | None:
        """What the rows of a table connect that has no words of its own."""
        ends = self.facts.ends_of(table)
        if ends is None or self._terms.of_table(table) or self._thing(self.facts.by_name[table]) != _LINK:
            return None
        return ends[0].parent, ends[1].parent

    def title(self, table: TableName) -> str | None:
        """A table whose name is no noun for one row, as a title: `"Sales by Category"`; None for all others."""
        if self._terms.of_table(table):
            return None
        return None if is_thing(table.name) else '"' + re.sub(r"[_\s]+", " ", table.name) + '"'

    def column(self, column: ColumnFacts, chance: Random) -> str:
        """The words for a column, where it is clear which table is meant."""
        synonyms = self._terms.of_column(column.table, column.name)
        if synonyms:
            return chance.choice(synonyms)
        key = (column.table, column.name)
        if key not in self._columns:
            self._columns[key] = self._column(column)
        return self._columns[key]

    def is_named_by_people(self, table: TableName, column: str) -> bool:
        """Whether a glossary or a comment in the language of the task names a column, and not its identifier."""
        facts = self.facts.by_name[table].by_name[column]
        if self._terms.of_column(table, column):
            return True
        return self.language == "zh" and _CJK.search(self._column(facts)) is not None

    def names_thing(self, column: ColumnFacts) -> bool:
        """Whether a column of a view holds the name of what another table is about: `category_name` of a category."""
        facts = self.facts.by_name[column.table]
        words = words_named(column.name)
        return (
            facts.is_view
            and not self.is_named_by_people(column.table, column.name)
            and bool(words)
            and any(words == self._thing(other) for other in self.facts.tables if not other.is_view)
        )

    def role(self, link: Link, chance: Random) -> tuple[str, ...]:
        """What the parent of a link is to its child: `cashier_id` -> cashier, `artist_id` -> artist."""
        thing = self.thing(link.parent, chance)
        if self._terms.of_table(link.parent) and not link.is_to_itself:
            return thing
        words = split_words(link.child_columns[0]) if len(link.child_columns) == 1 else ()
        known = _ROLES.get(words[:-1] if words[-1:] == ("id",) else words)
        if known:
            return known
        if self.language == "zh" and _CJK.search("".join(thing)):
            return self._role_in_chinese(link, thing)
        if len(words) > 1 and words[-1] in _ID_ENDS:
            words = words[:-1]
            if words == ("parent",):
                return ("parent", *thing)
            own = singular(table_words(link.parent.name, self._prefix))
            if words == own or (len(words) < len(own) and own[-len(words) :] == words):
                return thing
            return tuple(spelled(words).split())
        if len(words) == 2 and words[1] == "by" and words[0].endswith("ed"):
            return (f"{words[0][:-1]}r",)  # invited by -> inviter
        if words[-1:] in (("by",), ("to",), ("of",), ("via",)):
            return ("related", *thing) if link.is_to_itself else thing
        siblings = [other for other in self.facts.up(link.child) if other.parent == link.parent]
        if len(siblings) > 1 or link.is_to_itself:
            return tuple(spelled(words).split()) if words else thing
        return thing

    def _role_in_chinese(self, link: Link, thing: tuple[str, ...]) -> tuple[str, ...]:
        column = self.facts.by_name[link.child].by_name.get(link.child_columns[0])
        text = self._comment(column) if column is not None else None
        if text is None:
            return ("上级", *thing) if link.is_to_itself else thing
        return (re.sub(r"(编号|编码|标识|序号|主键|外键|代码|ID|id|Id|号)+$", "", text) or "".join(thing),)

    def _thing(self, table: TableFacts) -> tuple[str, ...]:
        if table.naming is not None:
            return singular(tuple(spelled(words_named(table.naming.name)).split()))
        if not is_thing(table.name.name):
            return ("记录",) if self.language == "zh" else ("record",)
        comment = table.comment or self._comments.tables.get(table.name)
        if comment is not None:
            noun = _noun_in(comment, self.language, most_words=2)
            if noun is not None:
                return (_TAIL.sub("", noun),) if self.language == "zh" else singular(noun.split())
        ends = self.facts.ends_of(table.name)
        if ends is not None:
            return self._connection(*(self._thing(self.facts.by_name[link.parent]) for link in ends))
        return singular(tuple(spelled(table_words(table.name.name, self._prefix)).split()))

    def _connection(self, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
        """A row that says no more than that two others belong together."""
        if self.language == "zh":
            return (f"{' '.join(first)}与{' '.join(second)}的关联",)
        return _LINK

    def _column(self, column: ColumnFacts) -> str:
        comment = self._comment(column)
        if comment is not None:
            return comment
        words = split_words(column.name)
        facts = self.facts.by_name[column.table]
        own = singular(table_words(column.table.name, self._prefix)) if facts.naming is None else self._thing(facts)
        is_label = column.name == (facts.label if facts.naming is None else facts.naming.name)
        is_own = is_label or (column.name,) == facts.key
        if is_own and len(words) > len(own) and singular(words[: len(own)]) == own:
            words = words[len(own) :]
        if column.role == "moment" and len(words) > 1 and words[-1] in ("on", "at", "since", "from", "until"):
            return _noun_of_moment(words)
        if column.role == "measure" and _is_plural(words):
            return f"number of {spelled(words)}"
        if len(words) == 1 and words[0] in _UNITS:
            return _UNITS[words[0]]
        if len(words) > 1 and words[-1] in _UNIT_ENDS:
            return f"{spelled(words[:-1])} in {spelled(words[-1:])}"
        if len(words) > 1 and words[0] in ("is", "has") and column.role != "flag":
            words = words[1:]
        return spelled(words)

    def _comment(self, column: ColumnFacts) -> str | None:
        """A column's comment, where it is a short noun in the language of the task."""
        comment = column.comment or self._comments.columns.get((column.table, column.name))
        if comment is None or (self.language == "en" and column.role in ("moment", "flag", "key", "reference")):
            return None
        return _noun_in(comment, self.language, most_words=4)


def _noun_of_moment(words: Sequence[str]) -> str:
    """`hired_on` -> hire date, `sold_at` -> sale time, `rented_since` -> start of being rented."""
    *before, last = words
    stem = " ".join(before)
    kind = "time" if last == "at" else "date"
    known = _HAPPENINGS.get(before[-1]) if len(before) == 1 else None
    if last in ("since", "from"):
        return f"{known or stem} start"
    if last == "until":
        return f"{known or stem} end"
    return f"{known or spelled(before)} {kind}"


def _is_plural(words: Sequence[str]) -> bool:
    """Whether a number's name is that of what was counted: `vehicles`, `units_in_stock`."""
    head = words[0] if len(words) > 1 and words[1] in ("in", "on", "per", "of", "at") else words[-1]
    return head not in _NOT_COUNTED and singular((head,)) != (head,) and head not in _UNITS and head not in _UNIT_ENDS


def source_of(at: At, selection: Selection) -> Source:
    """The source of a column."""
    return next(source for source in selection.sources if source.alias == at.source)


def _noun_in(comment: str, language: Language, *, most_words: int) -> str | None:
    head = _HEAD.split(comment.strip(), maxsplit=1)[0].strip()
    if language == "zh":
        return head if _CJK.search(head) and 1 < len(head) <= 12 else None
    words = head.split()
    if words and words[0].lower() == "the":
        words = words[1:]
    lower = [word.lower() for word in words]
    is_noun = (
        0 < len(words) <= most_words
        and all(re.fullmatch(r"[A-Za-z][A-Za-z'-]*", word) for word in words)
        and lower[0] not in _NO_NOUN_BEGINS
        and not set(lower) & _NO_NOUN_HOLDS
    )
    if not is_noun or (most_words == 2 and "of" in lower):
        return None
    return " ".join(word if word.isupper() else word.lower() for word in words)
