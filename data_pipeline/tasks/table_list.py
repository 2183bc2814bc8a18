"""Parse `table_list.txt`: names separated by commas or lines; `#` and `--` begin a comment line.

    list  := line*            line := comment | blank | name ("," name)*
    name  := [part "."] part  part := letter-or-underscore, then letters, digits, _ and $ | '"' anything '"'

A quote within quotes is doubled. Letters are those of Unicode. Opens no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from data_pipeline.errors import InvalidInput

TABLE_LIMIT: Final = 10_000
PROBLEM_LIMIT: Final = 20
"""Maximum number of problems in one error: enough to correct a file in one go."""

_BARE = r"[^\W\d][\w$]*"
_PART = rf'(?:{_BARE}|"(?:[^"\x00-\x1f]|"")+")'
_NAME: Final = re.compile(rf"(?:({_PART})\.)?({_PART})")
_ITEM: Final = re.compile(r'(?:"(?:[^"]|"")*"|[^",])*')


class TableName(NamedTuple):
    """A table or view. `schema` is None if the list does not name one."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        parts = [self.name] if self.schema is None else [self.schema, self.name]
        return ".".join(part if re.fullmatch(_BARE, part) else '"' + part.replace('"', '""') + '"' for part in parts)


def parse_table_name(text: str) -> TableName:
    """Parse a name. Raises InvalidInput."""
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            "table name", f'{text.strip()!a} must be `table` or `schema.table` (quote special names: "order details")'
        )
    schema, name = match.groups()
    return TableName(None if schema is None else _unquoted(schema), _unquoted(name))


def parse_table_list(text: str) -> tuple[TableName, ...]:
    """Return all names in order, without duplicates. Raises InvalidInput with the line of each problem."""
    names: dict[TableName, None] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith(("#", "--")):
            continue
        for item in _items(line):
            try:
                names[parse_table_name(item)] = None
            except InvalidInput as error:
                problems.append(f"line {number}: {error.problems[0]}")
    if not names and not problems:
        problems.append("contains no name of a table")
    if len(names) > TABLE_LIMIT:
        problems.append(f"contains {len(names)} tables; must be at most {TABLE_LIMIT}")
    if problems:
        more = [f"and {len(problems) - PROBLEM_LIMIT} more"] if len(problems) > PROBLEM_LIMIT else []
        raise InvalidInput("table list", *problems[:PROBLEM_LIMIT], *more)
    return tuple(names)


def decode_table_list(content: bytes) -> str:
    """Decode a table list. Raises InvalidInput."""
    return decode_text(content, "table list")


def decode_text(content: bytes, field: str) -> str:
    """Decode a file of a user: UTF-8 with or without a byte order mark, else GBK. Raises InvalidInput for `field`."""
    for encoding in ("utf-8-sig", "gbk"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text
    raise InvalidInput(field, "must be text in UTF-8 or GBK")


def format_table_list(names: Iterable[TableName]) -> str:
    """Return one name per line, as `parse_table_list` reads it."""
    return "".join(f"{name}\n" for name in names)


def _items(line: str) -> list[str]:
    """Split a line at its commas, except within quotes; leave out blank items."""
    items, position = [], 0
    while position <= len(line):
        match = _ITEM.match(line, position)
        end = match.end() if match else position
        if end < len(line) and line[end] != ",":
            end = len(line)  # an unmatched quote: the rest of the line is one invalid name
        items.append(line[position:end])
        position = end + 1
    return [item for item in items if item.strip()]


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
