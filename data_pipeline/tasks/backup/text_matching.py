r"""Recognize a text in the bytes of a file, however the writer of the file spelled it. Pure: opens no file.

A text such as `Zoë O'Brien` occurs in a file in any of these spellings, and in any mixture of them:

- upper and lower case (Unicode case folding: `STRASSE` finds `Straße`), accents composed or not (`ë` as one character
  or as `e` with a combining diaeresis; also in orders and compositions that no normal form has, where it is not a
  Greek iota subscript that is beside other marks);
- any whitespace for each run of whitespace in the text (spaces, line breaks, up to 256 of them), plain or escaped;
- escaped as in JSON, also JSON within JSON: `\u00eb` for any character and in any case, surrogate pairs, `\"`, `\/`,
  `\\`, `\n`;
- doubled quotes as in SQL and CSV (`O''Brien`, `""`), also within JSON (`\"\"`) and doubled twice;
- encoded as UTF-8, Windows-1252 and Latin-1, GB18030, or UTF-16 of either byte order, wherever the text or another
  spelling of it can be encoded so. A file need not be valid in any encoding.

When in doubt, it is found. A backslash with one of `nrtfv` counts as whitespace in the text as well as in the file, so
`CORP\nina` also finds `corp ina`. Backslashes beside quotes, slashes and whitespace are ignored. A text that ends with
a letter also finds the letter with an accent after it, if the file has the accent as a separate character. Words have
no borders: `Ann` finds `Hanna`.

Only one thing that has the right characters is not found: a text within at least 512 characters of base64 without any
other sign among them, as the vectors of a backup are written. Otherwise each backup of vectors would hold each short
text by chance. Not recognized are HTML entities, percent-encoding, base64, and anything compressed or encrypted.

How it works: the text becomes regular expressions over bytes for each encoding, in which each character matches all of
its spellings. Characters that cannot be distinguished by their place alone are grouped, as the `ss` that may be a `ß`.
A search of a whole file with them would take long. So they are tried only around the core of the text, a few of its
characters that have few spellings, which are found as literals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, permutations, product
from math import prod
from operator import itemgetter
from typing import Final, NamedTuple
from unicodedata import combining, normalize

from data_pipeline.errors import InvalidInput

SHORTEST_TEXT: Final = 2
LONGEST_TEXT: Final = 1_000

_ENCODINGS: Final = (("utf-8",), ("cp1252", "latin-1"), ("gb18030",), ("utf-16-le",), ("utf-16-be",))
"""Each entry becomes one expression; characters of the second may stand in either encoding."""

_ESCAPES: Final = 8
"""Maximum number of backslashes of an escaped character: JSON within JSON within JSON needs 7 for a quote."""

_DOUBLINGS: Final = 4
"""Maximum number of quotes that spell one quote: a literal within a literal of SQL needs 4."""

_BACKSLASHES: Final = 8
"""Maximum number of backslashes that spell one backslash: JSON within JSON within JSON needs 8."""

_BLANKS: Final = 256
"""The longest run of whitespace that a run of whitespace in the text matches."""

_PATHS: Final = 64
"""The most ways to compose a group of characters that are spelled out; beyond it, neither order nor number is exact."""

_LITERALS: Final = 16
"""Maximum number of literals to search for before the expression is used."""

_RARE: Final = 3
"""A literal of this many bytes is rare enough: fewer literals are better than longer ones."""

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_BASE64_RUN: Final = 512

_WHITESPACE: Final = [char for char in map(chr, range(0x10000)) if char.isspace()]
_MARKS: Final = list(map(chr, range(0x300, 0x370)))
_ONE_BLANK: Final = r"(?:\\*\s|\\+(?:[nrtfv]|u(?:" + "|".join(f"{ord(char):04x}" for char in _WHITESPACE) + ")))"
_UNITS: Final = re.compile(
    rf"(?P<blank>{_ONE_BLANK}+(?:\\+(?![\\'\"/]))?)|(?P<signs>(?:['\"/]|(?!{_ONE_BLANK})\\+)+)|(?P<word>[^\s\\'\"/]+)",
    re.IGNORECASE,
)
"""A text as a sequence of whitespace, of signs that writers escape or double, and of all else."""


class TextPattern:
    """A text to search for. Its `repr` does not contain the text. Raises InvalidInput, without the text in the message.

    The text must have 2 to 1,000 characters; whitespace around it is ignored.
    """

    def __init__(self, text: str) -> None:
        composed = normalize("NFC", text.strip())
        if not composed:
            raise InvalidInput("text", "must not be empty or blank")
        if len(composed) < SHORTEST_TEXT or len(text) > LONGEST_TEXT:
            raise InvalidInput(
                "text", f"must have {SHORTEST_TEXT} to {LONGEST_TEXT:,} characters besides whitespace around it"
            )
        units = _units_of(composed)
        if sum(len(unit.text) for unit in units) < SHORTEST_TEXT:
            raise InvalidInput("text", f"must have {SHORTEST_TEXT} characters besides escaped whitespace such as \\n")
        self._seekers = _seekers_of(units)
        if not self._seekers:
            raise InvalidInput("text", "contains half of a surrogate pair, which no encoding can write")
        self._reach = max(expression.longest for seeker in self._seekers for expression in seeker.expressions)

    def is_in(self, chunks: Iterable[bytes]) -> bool:
        """Return True if the text occurs in the concatenation of chunks, of which it keeps only the last in memory.

        Stops at the first occurrence.
        """
        raw, begin = b"", 0
        for chunk in chunks:
            raw += chunk
            end = max(len(raw) - _BASE64_RUN, 0)  # so that the bytes after a match are known
            if self._ends_within(raw, begin, end):
                return True
            kept = raw[-(self._reach + 2 * _BASE64_RUN) :]
            raw, begin = kept, end - len(raw) + len(kept)
        return self._ends_within(raw, begin, len(raw))

    def _ends_within(self, raw: bytes, begin: int, end: int) -> bool:
        """Return True if a match ends after `begin`, and not after `end`."""
        buffer = _Buffer(raw, raw.lower(), raw.isascii(), b"\0" in raw)
        first = max(begin - self._reach, 0)
        return any(seeker.finds(buffer, first, begin, end) for seeker in self._seekers)


class _Buffer(NamedTuple):
    """Bytes to search, the same in lower case, and two facts that spare a search for most literals."""

    raw: bytes
    lowered: bytes
    is_ascii: bool
    has_null: bool


class _Seeker:
    """A search for places where the core of an expression may be, and the expressions with this core.

    `seek` returns the first such place from a start on, or -1. That is where the core begins, or, with a `slack`, where
    an escaped character of it does.
    """

    def __init__(self, seek: Callable[[_Buffer, int], int]) -> None:
        self._seek = seek
        self._slack = 0
        self.expressions: list[_Expression] = []

    def add(self, expression: _Expression, slack: int) -> None:
        """Add an expression. Its core begins at most `slack` bytes before the place."""
        self.expressions.append(expression)
        self._slack = max(self._slack, slack)

    def finds(self, buffer: _Buffer, start: int, begin: int, end: int) -> bool:
        """Return True if an expression matches from a place after `start` on to one after `begin`, not after `end`."""
        hit = self._seek(buffer, start)
        while 0 <= hit < end:
            following = hit + 1
            # A core after a backslash of the text begins after the backslash of its escape: 1 or 2 bytes later.
            first, last = max(hit - self._slack, 0), hit + min(self._slack, 2)
            for expression in self.expressions:
                for match_start, stop in expression.matches(buffer.raw, first, last, end):
                    if stop > begin:
                        base64_end = _end_of_base64(buffer.raw, match_start, stop)
                        if base64_end is None:
                            return True
                        following = max(following, base64_end)
            hit = self._seek(buffer, following)
        return False


class _Expression:
    """A text in one encoding: an expression for its core, and one for each unit before and after the core.

    A single expression would have to be compiled with a copy of whitespace, in all its spellings, for each run of it.
    No unit need try another match when a later one fails, because it ends where the bytes cannot be read in another
    way. The expressions of the units before the core match the reversed bytes.
    """

    def __init__(self, before: Sequence[_Part], core: _Part, after: Sequence[_Part]) -> None:
        self._before = [re.compile(part.backward) for part in reversed(before)]
        self._before_longest = sum(part.longest for part in before)
        self._core = re.compile(core.forward)
        self._core_longest = core.longest
        self._after = [re.compile(part.forward) for part in after]
        self.longest = self._before_longest + core.longest + sum(part.longest for part in after)

    def matches(self, raw: bytes, first: int, last: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the matches before `end` of which the core begins between two places."""
        core_end = min(last + self._core_longest, end)
        core = self._core.match(raw, last, core_end) if first == last else self._core.search(raw, first, core_end)
        while core is not None and core.start() <= last:
            stop = _match_all(self._after, raw, core.end(), end)
            if stop is not None:
                before = raw[max(core.start() - self._before_longest, 0) : core.start()][::-1]
                length = _match_all(self._before, before, 0, len(before))
                if length is not None:
                    yield core.start() - length, stop
            core = self._core.search(raw, core.start() + 1, core_end) if core.start() < last else None


def _match_all(patterns: Iterable[re.Pattern[bytes]], raw: bytes, position: int, end: int) -> int | None:
    """Return where the last of consecutive matches ends; None if one fails."""
    for pattern in patterns:
        match = pattern.match(raw, position, end)
        if match is None:
            return None
        position = match.end()
    return position


def _end_of_base64(raw: bytes, start: int, stop: int) -> int | None:
    """Return up to where a match is surrounded by base64; None if it is not."""
    if raw[start:stop].strip(_BASE64):
        return None
    before = raw[max(start - _BASE64_RUN, 0) : start]
    after = raw[stop : stop + _BASE64_RUN]
    left, right = len(before) - len(before.rstrip(_BASE64)), len(after) - len(after.lstrip(_BASE64))
    return stop + right if left + right >= _BASE64_RUN else None


# ---- from a text to its characters ----------------------------------------------------------------------------------


class _Edge(NamedTuple):
    """Characters of which each may be folded to the same `length` characters."""

    length: int
    chars: tuple[str, ...]


class _Piece(NamedTuple):
    """Folded characters that are spelled together, and the sequences of edges that spell them.

    With `is_loose` there is one sequence: all edges, of which any number from `fewest` on may follow in any order.
    """

    text: str
    paths: tuple[tuple[_Edge, ...], ...]
    is_loose: bool = False
    fewest: int = 1

    def strings(self) -> set[str]:
        """Return all spellings without escapes; nothing if there are too many."""
        if self.is_loose or sum(prod(len(edge.chars) for edge in path) for path in self.paths) > 4 * _LITERALS:
            return set()
        return {"".join(chars) for path in self.paths for chars in product(*(edge.chars for edge in path))}

    def chars(self) -> set[str]:
        """Return all characters of all spellings."""
        return {char for path in self.paths for edge in path for char in edge.chars}


class _Word(NamedTuple):
    """Characters of which each is written as it is, or as an escape."""

    pieces: tuple[_Piece, ...]

    @property
    def text(self) -> str:
        """The folded characters."""
        return "".join(piece.text for piece in self.pieces)


class _Signs(NamedTuple):
    """A run of quotes, slashes and backslashes, which are escaped or doubled."""

    text: str


class _Blank(NamedTuple):
    """A run of whitespace, with the backslashes beside it."""

    text: str


_Unit = _Word | _Signs | _Blank


def _fold(text: str) -> str:
    """Return the form in which texts are the same that differ in case or composition (Unicode, definition D145)."""
    return normalize("NFD", normalize("NFD", text).casefold())


def _units_of(composed: str) -> list[_Unit]:
    """Return the parts of a text in NFC, without whitespace around it."""
    units: list[_Unit] = []
    # Before it is folded: the NFD of `\ñ` begins with `\n`.
    for match in _UNITS.finditer(composed):
        if match.lastgroup == "word":
            units.append(_Word(tuple(_pieces_of(_fold(match[0])))))
        else:
            units.append(_Signs(match[0]) if match.lastgroup == "signs" else _Blank(match[0]))
    while units and isinstance(units[0], _Blank):
        units.pop(0)
    while units and isinstance(units[-1], _Blank):
        units.pop()
    return units


@lru_cache(maxsize=1)
def _unfolded() -> dict[str, tuple[str, ...]]:
    """Return the characters that are folded to another text, by that text.

    Skip the ranges of ideographs, which have no case, and of Hangul syllables, which compose by a rule.
    """
    found: dict[str, list[str]] = {}
    for first, last in ((0x41, 0x33FF), (0xA000, 0xABFF), (0xF900, 0x1FFFF), (0x2F800, 0x2FA1F)):
        for char in map(chr, range(first, last + 1)):
            if (folded := _fold(char)) != char:
                found.setdefault(folded, []).append(char)
    return {folded: tuple(chars) for folded, chars in found.items()}


_LONGEST_FOLD: Final = 4
"""The most characters that one character is folded to; a test counts them."""


def _edges_at(text: str, start: int) -> list[_Edge]:
    """Return the characters that may be folded to the text from `start` on."""
    edges = []
    for length in range(1, min(_LONGEST_FOLD, len(text) - start) + 1):
        part = text[start : start + length]
        chars = [*([part] if length == 1 else []), *_unfolded().get(part, ())]
        composed = normalize("NFC", part)
        if len(composed) == 1 and composed not in chars:
            chars.append(composed)
        if chars:
            edges.append(_Edge(length, tuple(chars)))
    return edges


def _pieces_of(text: str) -> Iterator[_Piece]:
    """Split folded characters wherever no character, however composed, can be folded to parts of both sides."""
    start = end = 0
    for position in range(len(text)):
        if position >= end and position > start and not combining(text[position]):
            yield _piece(text[start:position])
            start = position
        end = max(end, *(position + edge.length for edge in _edges_at(text, position)))
    if text:
        yield _piece(text[start:])


def _piece(text: str) -> _Piece:
    if len(text) > _LONGEST_FOLD and len({combining(char) for char in text} - {0}) > 1:
        return _loose_piece(text)  # it has too many orders
    paths: list[tuple[_Edge, ...]] = []
    for order in _orders(text):
        for path in _paths(order):
            if path not in paths:
                paths.append(path)
            if len(paths) > _PATHS:
                return _loose_piece(text)
    return _Piece(text, tuple(paths))


def _loose_piece(text: str) -> _Piece:
    edges = {edge for start in range(len(text)) for edge in _edges_at(text, start)}
    edges |= {_Edge(len(part), chars) for part, chars in _unfolded().items() if set(part) <= set(text)}
    longest = max(edge.length for edge in edges)
    return _Piece(text, (tuple(sorted(edges)),), is_loose=True, fewest=-(-len(text) // longest))


def _orders(text: str) -> set[str]:
    """Return the text with its combining characters in each order that means the same."""
    if len({combining(char) for char in text} - {0}) < 2:
        return {text}
    return {order for order in map("".join, permutations(text)) if normalize("NFD", order) == text}


def _paths(text: str) -> Iterator[tuple[_Edge, ...]]:
    """Yield each sequence of edges that spells a text."""
    unfinished: list[tuple[int, tuple[_Edge, ...]]] = [(0, ())]
    while unfinished:
        position, path = unfinished.pop()
        if position == len(text):
            yield path
        unfinished += [(position + edge.length, (*path, edge)) for edge in _edges_at(text, position)]


# ---- from characters to bytes ---------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A part of an expression, the same for reversed bytes, and the most bytes that it matches."""

    forward: bytes
    backward: bytes
    longest: int


class _Place(NamedTuple):
    """The least and the largest number of backslashes that belong to an escape itself."""

    least: int
    most: int


_ONE: Final = _Place(1, 1)
_ANY: Final = _Place(1, _ESCAPES)
_AFTER_BACKSLASH: Final = _Place(0, 0)
"""The sign before it has matched all backslashes already."""


class _Encoding:
    """The spellings of characters in one encoding, as parts of an expression."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._blanks: dict[tuple[int, bool], _Part] = {}

    def encoded(self, text: str) -> set[bytes]:
        """Return the bytes of a text in each encoding that can encode it."""
        found = set()
        for name in self._names:
            try:  # bytes of a command line that are not UTF-8 come as lone surrogates, and stand for themselves
                found.add(text.encode(name, "surrogateescape" if name == "utf-8" else "strict"))
            except UnicodeEncodeError:
                continue
        return found

    def literals(self, piece: _Piece) -> set[bytes]:
        """Return the bytes, in lower case, of each spelling without escapes; nothing if there are too many."""
        return {raw.lower() for string in piece.strings() for raw in self.encoded(string)}

    def can_write(self, piece: _Piece) -> bool:
        """Return True if a spelling of the piece consists of characters that can be encoded."""
        return any(all(any(map(self.encoded, edge.chars)) for edge in path) for path in piece.paths)

    def backslashes(self, least: int, most: int) -> _Part:
        """Match a number of backslashes."""
        return _repeated(_literal(self._ascii("\\")), least, most)

    def escape_of(self, chars: Iterable[str], place: _Place) -> _Part:
        r"""Match `\u00eb` for one of the characters, or two of them for a character beyond the 16-bit ones."""
        codes = []
        for char in chars:
            first, *second = re.findall("....", char.encode("utf-16-be", "surrogatepass").hex())
            low = [self.backslashes(*_ANY), self._code(second[0])] if second else []
            codes.append(_joined([self._code(first), *low]))
        return _joined([self.backslashes(*place), _any_of(codes)])

    def any_char(self, chars: Collection[str], place: _Place) -> _Part:
        """Match one of the characters, as it is or escaped.

        Escapes first: read backward, the digit at the end of an escaped digit is that digit.
        """
        plain = sorted({raw for char in chars for raw in self.encoded(char)})
        return _any_of([self.escape_of(chars, place), *map(_literal, plain)])

    def unit(self, unit: _Unit, before: _Unit | None, after: _Unit | None) -> _Part:
        """Match a unit of the text."""
        is_after_backslash = before is not None and before.text.endswith("\\")
        place = _AFTER_BACKSLASH if is_after_backslash else _ANY
        match unit:
            case _Word():
                return self.pieces(unit.pieces, place)
            case _Signs():
                return self.signs(unit.text)
        return self.blank(unit.text, is_before_mark=after is not None and combining(after.text[0]) > 0)

    def pieces(self, pieces: Sequence[_Piece], place: _Place) -> _Part:
        """Match consecutive pieces, each in all of its spellings."""
        parts = []
        for piece in pieces:
            if piece.is_loose:
                later = self.any_char(piece.chars(), _ANY)
                rest = _repeated(later, piece.fewest - 1, len(piece.text) - 1)
                parts.append(_joined([self.any_char(piece.chars(), place), rest]))
            else:
                parts.append(_any_of([
                    _joined(self.any_char(edge.chars, _ANY if number else place) for number, edge in enumerate(path))
                    for path in piece.paths
                ]))  # fmt: skip
            place = _ANY
        return _joined(parts)

    def signs(self, signs: str) -> _Part:
        r"""Match a run of signs. Backslashes beside another sign are ignored: they may be missing, or more.

        Otherwise only trying could distinguish `'\'` from a quote that is doubled and escaped. At the end of the run,
        all backslashes are matched, also those of an escape that follows.
        """
        end = len(signs) - len(signs.rstrip("\\"))
        if end == len(signs):
            return self.backslashes(end, end * _BACKSLASHES + _ESCAPES)
        parts = []
        for char, group in groupby(re.findall(r"(\\*)([^\\])", signs), key=itemgetter(1)):
            backslashes = [len(before) for before, _ in group]
            prefix = self.backslashes(0, max(backslashes) * _BACKSLASHES + _ESCAPES)
            plain = _joined([prefix, _literal(self._ascii(char))])
            count = len(backslashes)
            most = count if char == "/" else count * _DOUBLINGS
            parts.append(_repeated(_any_of([plain, _joined([prefix, self.escape_of(char, _ONE)])]), count, most))
        return _joined([*parts, self.backslashes(0, end * _BACKSLASHES + _ESCAPES if end else 0)])

    def blank(self, blank: str, *, is_before_mark: bool) -> _Part:
        """Match a run of whitespace, and at its end the backslashes that the text has there."""
        most = max(map(len, re.findall(r"\\+", blank)), default=0) * _BACKSLASHES + _ESCAPES
        if (most, is_before_mark) not in self._blanks:
            letters = _any_of([_literal(self._ascii(letter)) for letter in "nrtfvNRTFV"])
            if not is_before_mark:  # then it would be a backslash and the first half of a letter such as `ñ`
                no_mark = b"(?!%s)" % self.any_char(_MARKS, _ANY).forward
                letters = letters._replace(forward=letters.forward + no_mark)
            plain = _any_of([_literal(raw) for char in _WHITESPACE for raw in sorted(self.encoded(char))])
            escapes = _joined([self.backslashes(1, most), letters]), self.escape_of(_WHITESPACE, _Place(1, most))
            one = _any_of([_joined([self.backslashes(0, most), plain]), *escapes])
            self._blanks[most, is_before_mark] = _repeated(one, 1, _BLANKS)
        rest = self.backslashes(0, most if blank.endswith("\\") else 0)
        return _joined([self._blanks[most, is_before_mark], rest])

    def _ascii(self, text: str) -> bytes:
        (raw,) = self.encoded(text)
        return raw

    def _code(self, digits: str) -> _Part:
        """Match `u` and hexadecimal digits, these in any case."""
        digit_parts = _joined(_literal(self._ascii(digit)) for digit in digits)
        if not digits.isdecimal():
            digit_parts = digit_parts._replace(
                forward=b"(?i:%s)" % digit_parts.forward, backward=b"(?i:%s)" % digit_parts.backward
            )
        return _joined([_literal(self._ascii("u")), digit_parts])


def _literal(raw: bytes) -> _Part:
    return _Part(re.escape(raw), re.escape(raw[::-1]), len(raw))


def _joined(parts: Iterable[_Part]) -> _Part:
    listed = list(parts)
    forward, backward = (part.forward for part in listed), (part.backward for part in reversed(listed))
    return _Part(b"".join(forward), b"".join(backward), sum(part.longest for part in listed))


def _any_of(parts: Sequence[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    forward, backward = (part.forward for part in parts), (part.backward for part in parts)
    longest = max(part.longest for part in parts)
    return _Part(b"(?:%s)" % b"|".join(forward), b"(?:%s)" % b"|".join(backward), longest)


def _repeated(part: _Part, least: int, most: int) -> _Part:
    if most == 0:
        return _Part(b"", b"", 0)
    if least == most == 1:
        return part
    times = b"{%d,%d}" % (least, most)
    return _Part(b"(?:%s)%s" % (part.forward, times), b"(?:%s)%s" % (part.backward, times), part.longest * most)


# ---- what to look for first -----------------------------------------------------------------------------------------


def _seekers_of(units: Sequence[_Unit]) -> list[_Seeker]:
    """Return the expressions of all encodings that can write the text, by what each match of them contains."""
    units, place = _split_at_core(units)
    core = units[place]
    seekers: dict[tuple[str, bytes], _Seeker] = {}

    def add(kind: str, key: bytes, seek: Callable[[_Buffer, int], int], slack: int = 0) -> None:
        seekers.setdefault((kind, key), _Seeker(seek)).add(expression, slack)

    for names in _ENCODINGS:
        encoding = _Encoding(names)
        if not all(encoding.can_write(piece) for unit in units if isinstance(unit, _Word) for piece in unit.pieces):
            continue
        parts = list(map(encoding.unit, units, [None, *units], [*units[1:], None]))
        expression = _Expression(parts[:place], parts[place], parts[place + 1 :])
        literals = _literals(core.pieces, encoding) if isinstance(core, _Word) else None
        if literals is None:
            add("expression", parts[place].forward, _raw_seek(parts[place].forward))
            continue
        for literal in literals:
            add("literal", literal, _literal_seek(literal))
        assert isinstance(core, _Word)
        escapes = encoding.escape_of(sorted({char for piece in core.pieces for char in piece.chars()}), _ONE).forward
        add("escape", escapes, _lowered_seek(escapes), parts[place].longest)
    return list(seekers.values())


def _literal_seek(literal: bytes) -> Callable[[_Buffer, int], int]:
    is_ascii, has_null = literal.isascii(), 0 in literal

    def seek(buffer: _Buffer, start: int) -> int:
        if (buffer.is_ascii and not is_ascii) or (has_null and not buffer.has_null):
            return -1
        return buffer.lowered.find(literal, start)

    return seek


def _lowered_seek(expression: bytes) -> Callable[[_Buffer, int], int]:
    search = re.compile(expression).search
    return lambda buffer, start: match.start() if (match := search(buffer.lowered, start)) else -1


def _raw_seek(expression: bytes) -> Callable[[_Buffer, int], int]:
    search = re.compile(expression).search
    return lambda buffer, start: match.start() if (match := search(buffer.raw, start)) else -1


def _literals(pieces: Sequence[_Piece], encoding: _Encoding) -> set[bytes] | None:
    """Return the bytes, in lower case, of which each spelling without escapes is one; None if there are too many."""
    choices = [encoding.literals(piece) for piece in pieces]
    if prod(map(len, choices)) > _LITERALS or not all(choices):
        return None
    return {b"".join(parts) for parts in product(*choices)}


def _split_at_core(units: Sequence[_Unit]) -> tuple[list[_Unit], int]:
    """Return the units with the core as a separate unit, and its place.

    The core are consecutive pieces that have the best literals in UTF-8: rare, and few. Without such pieces, it is the
    first unit.
    """
    encoding = _Encoding(_ENCODINGS[0])
    best, best_score = (0, 0, 0), (0, 0, 0, 0)
    for place, unit in enumerate(units):
        literals = [encoding.literals(piece) for piece in unit.pieces] if isinstance(unit, _Word) else []
        for start in range(len(literals)):
            count, shortest = 1, 0
            for end, choices in enumerate(literals[start : start + _LITERALS], start + 1):
                count *= len(choices)
                if not 0 < count <= _LITERALS:
                    break
                shortest += min(map(len, choices))
                # A single ideograph is two bytes of UTF-16, and these may be two letters of any English word.
                score = (min(end - start, 2), min(shortest, _RARE), -count, shortest)
                if score > best_score:
                    best, best_score = (place, start, end), score
    place, start, end = best
    word = units[place]
    if not isinstance(word, _Word) or end == 0:
        return list(units), 0
    words = [_Word(pieces) for pieces in (word.pieces[:start], word.pieces[start:end], word.pieces[end:])]
    split = [part for part in words if part.pieces]
    return [*units[:place], *split, *units[place + 1 :]], place + (start > 0)
