"""Describe a theme in a prompt: its tables and terms, and no others. Pure.

The same schema, rows and glossary give the same text, because recorded answers are found by it. It has no personal
column, neither by name nor by value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from data_pipeline.database.schema import ForeignKey, Table
from data_pipeline.semantics.facts import Facts, TableFacts
from data_pipeline.semantics.glossary import Glossary, Term
from data_pipeline.semantics.metadata_writing import Theme
from data_pipeline.semantics.parts import Value
from data_pipeline.semantics.profile import ColumnProfile, TableProfile
from data_pipeline.semantics.wording import one_line
from data_pipeline.steps.model_answers import COLUMNS_AT_ONCE, EXAMPLES, described

EXAMPLE_CHARACTERS: Final = 60
"""Maximum length of an example: a query would compare with a value that was cut."""

TERMS_AT_MOST: Final = 60


@dataclass(frozen=True)
class ThemePrompts:
    """Describes themes of these tables."""

    tables: Sequence[Table]
    facts: Facts
    glossary: Glossary

    def has_rows(self, theme: Theme) -> bool:
        """True if a table of the theme has rows."""
        return bool(self._of(theme))

    def described(self, theme: Theme) -> str:
        """Return the tables of a theme that have rows: columns, examples, and foreign keys."""
        of_theme = self._of(theme)
        names = {facts.name for _, facts in of_theme}
        texts = []
        for table, facts in of_theme:
            shown = [column.name for column in facts.columns if column.role != "personal"][:COLUMNS_AT_ONCE]
            links = [link for link in self.facts.up(table.name) if link.parent in names]
            keys = tuple(
                ForeignKey(None, link.child_columns, link.parent, link.parent_columns)
                for link in links
                if {*link.child_columns} <= {*shown}
            )
            texts.append(described(replace(table, foreign_keys=keys), self._examples(facts), shown))
        return "\n\n".join(texts)

    def terms(self, theme: Theme) -> str:
        """Return the terms of the glossary for the tables of a theme, their columns and measures."""
        lines = [line for _, facts in self._of(theme) for line in self._terms_of(facts)]
        return "\n".join(lines[:TERMS_AT_MOST]) or "by the names and comments above"

    def _of(self, theme: Theme) -> list[tuple[Table, TableFacts]]:
        by_name = {table.name: table for table in self.tables}
        found = [(by_name[name], self.facts.by_name[name]) for name in theme.related_tables]
        return [
            (table, facts) for table, facts in found
            if facts.row_count and any(column.is_usable for column in facts.columns)
        ]  # fmt: skip

    def _examples(self, facts: TableFacts) -> TableProfile:
        columns = []
        for column in facts.columns:
            values = [_written(value) for value, _ in column.values if _is_example(value)]
            is_masked = column.role == "personal"
            shown = () if is_masked else tuple(values[:EXAMPLES])
            columns.append(ColumnProfile(column.name, 0, 0, None, None, shown, (), None, is_masked))
        return TableProfile(facts.row_count, 0, is_sampled=False, columns=tuple(columns))

    def _terms_of(self, facts: TableFacts) -> Iterator[str]:
        term = self.glossary.of_table(facts.name)
        if term is not None:
            yield f"{_called(term)}: {facts.name}"
        for column in facts.columns:
            term = self.glossary.of_column(facts.name, column.name) if column.is_usable else None
            if term is not None:
                yield f"{_called(term)}: {facts.name}.{column.name}"
        for measure in facts.terms:
            yield f"{one_line(measure.term or '')}: {one_line(measure.expression or '')}"


def _is_example(value: Value) -> bool:
    return len(value.text) <= EXAMPLE_CHARACTERS and value.text == one_line(value.text)


def _written(value: Value) -> str:
    """Return a value as a literal of a query."""
    return value.text if value.kind in ("number", "boolean") else "'" + value.text.replace("'", "''") + "'"


def _called(term: Term) -> str:
    return ", ".join(map(one_line, (term.text, *term.synonyms)))
