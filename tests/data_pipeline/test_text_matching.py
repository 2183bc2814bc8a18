"""A text is found however its writer spelled it, wherever a chunk ends; another text is not."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import random
import re
import sys
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InvalidInput
from data_pipeline.tasks.backup import text_matching
from data_pipeline.tasks.backup.text_matching import TextPattern

EXAMPLES = int(os.environ.get("TEXT_EXAMPLES", "150"))
"""What random texts have found is kept as explicit examples; a campaign looks for more."""


def holds(text: str, content: bytes, chunk_bytes: int = 1 << 20) -> bool:
    chunks = (content[start : start + chunk_bytes] for start in range(0, len(content), chunk_bytes))
    return TextPattern(text).is_in(chunks)


# ---- what was written is found --------------------------------------------------------------------------------------


def ascii_json(text: str) -> str:
    return json.dumps(text)


def readable_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def shouting_json(text: str) -> str:
    """As a writer with upper-case digits that escapes slashes and quotes too."""
    raised = re.sub(r"\\u([0-9a-f]{4})", lambda code: f"\\u{code[1].upper()}", json.dumps(text).replace("\\\\", "\0"))
    return raised.replace("/", "\\/").replace("'", "\\u0027").replace('\\"', "\\u0022").replace("\0", "\\\\")


def escaped_json(text: str) -> str:
    """As a writer that escapes each character, but a backslash and what is after it in the way of all others."""
    escaped = ""
    for start, char in enumerate(text):
        unit = char.encode("utf-16-be").hex()
        code = "".join(f"\\u{unit[half : half + 4]}" for half in range(0, len(unit), 4))
        escaped += json.dumps(char)[1:-1] if "\\" in text[max(start - 1, 0) : start + 1] else code
    return escaped


def comma_separated(text: str) -> str:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerow([text, "x"])
    return file.getvalue()


def sql(text: str) -> str:
    return "INSERT INTO t VALUES ('" + text.replace("'", "''") + "');"


def quoted_name(text: str) -> str:
    return 'COMMENT ON COLUMN "' + text.replace('"', '""') + '"'


def mysql(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def markdown(text: str) -> str:
    return f"- **{text}**"


WRITERS: list[Callable[[str], str]] = [
    ascii_json, readable_json, shouting_json, escaped_json, comma_separated, sql, quoted_name, mysql, markdown,
    lambda text: readable_json(sql(text)),
    lambda text: ascii_json(sql(sql(text))),
    lambda text: readable_json(readable_json(text)),
    lambda text: ascii_json(ascii_json(text)),
    lambda text: ascii_json(ascii_json(ascii_json(text))),
    lambda text: comma_separated(readable_json(text)),
    lambda text: readable_json(comma_separated(text)),
    lambda text: readable_json(mysql(text)),
]  # fmt: skip
CHANGES: list[Callable[[str], str]] = [
    str, str.upper, str.lower, str.swapcase, str.title, str.casefold,
    *(lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD")),
    lambda text: unicodedata.normalize("NFD", text.upper()),
    lambda text: unicodedata.normalize("NFC", text.swapcase()),
]  # fmt: skip
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "gb18030"]
LETTERS = "abeknorsStTfiluxyzAEKNU0149@.-_+,{}<&éÉüßẞñçőŐåÅÿŸệẬǘ\u0301\u0323\u0327жЖяЁвΣςΐᾳά李明王김철"
TEXTS = st.text(
    LETTERS + "がパ\ufb00\ufb03\ufb06\u017f\u212aİ😀𐐀" + "'\"\\/" + " \t\n\u00a0\u3000", min_size=2, max_size=14
)
BLANKS = st.text(" \t\r\n\u00a0\u2003\u3000", min_size=1, max_size=30)
PADDING = st.text("ax 's\"\\né李", max_size=40)


@settings(max_examples=EXAMPLES, deadline=None)
@example("CORP\\nina", markdown, str, " ", "utf-8", ("", ""), 1)
@example("x\\ñ", ascii_json, lambda text: unicodedata.normalize("NFD", text), " ", "utf-8", ("", ""), 1)
@example("x\\\ufb00", ascii_json, str, " ", "utf-8", ("", ""), 1)
@example("'0'00", escaped_json, str, " ", "utf-8", ("", ""), 1)
@example("N\\ 00", ascii_json, str, "\u00a0", "utf-8", ("", ""), 1)
@example("0 \\N", ascii_json, str, "\u00a0", "utf-8", ("", ""), 1)
@example("0 \\\u00f1", markdown, lambda text: unicodedata.normalize("NFD", text), " ", "utf-8", ("", ""), 1)
@example("0 \\\u00f1", ascii_json, lambda text: unicodedata.normalize("NFD", text), " ", "utf-16", ("", ""), 1)
@example("0 \\'", shouting_json, str, "\u00a0", "utf-8", ("", ""), 1)
@example("y\\ x", ascii_json, str, "\n", "utf-8", ("", ""), 3)
@example("\\é'\\'\"", lambda text: ascii_json(ascii_json(text)), str, "\n", "utf-8", ("", ""), 2)
@example("O'Brien", lambda text: ascii_json(sql(text)), str.upper, "\n", "utf-16", ("", ""), 5)
@given(
    text=TEXTS,
    write=st.sampled_from(WRITERS),
    change=st.sampled_from(CHANGES),
    blanks=BLANKS,
    encoding=st.sampled_from(ENCODINGS),
    around=st.tuples(PADDING, PADDING),
    chunk_bytes=st.integers(1, 300),
)
def test_text_that_was_written_is_found(
    text: str,
    write: Callable[[str], str],
    change: Callable[[str], str],
    blanks: str,
    encoding: str,
    around: tuple[str, str],
    chunk_bytes: int,
) -> None:
    """In each spelling, case, composition and encoding, in whichever chunks it is read."""
    try:
        pattern = TextPattern(text)
    except InvalidInput:
        assume(False)
    assume("\u0345" not in unicodedata.normalize("NFD", text) or not set(text) & set("\u0301\u0323\u0327"))
    assume(not re.search(r"\\[\ufb00\ufb03]", text))  # in upper case, it begins like an escaped form feed
    changed = re.sub(r"\s+", lambda _: blanks, change(text).strip())
    assume(text_matching._fold(re.sub(r"\s+", " ", changed)) == text_matching._fold(re.sub(r"\s+", " ", text.strip())))
    try:
        spelled = write(changed).encode(encoding)
    except UnicodeEncodeError:
        assume(False)
    before, after = (padding.encode(encoding.replace("-sig", ""), "ignore") for padding in around)
    content = before + spelled + after

    assert pattern.is_in([content])
    assert pattern.is_in(content[start : start + chunk_bytes] for start in range(0, len(content), chunk_bytes))


def test_text_is_found_at_each_place_of_a_border() -> None:
    """Also within a character of several bytes, a combining sequence, an escape and a run of whitespace."""
    spellings = [
        "Zoë\u2028O'Brien".encode(),
        unicodedata.normalize("NFD", "ZOË \t\r\n O''BRIEN").encode(),
        json.dumps(json.dumps("zoë\n\n  o''brien")).encode(),
        "Zoë O'Brien".encode("utf-16-be"),
    ]
    pattern = TextPattern("Zoë O'Brien")
    for spelling in spellings:
        content = b"." * 700 + spelling + b"." * 700
        for border in range(700, 701 + len(spelling)):
            assert pattern.is_in([content[:border], content[border:]]), (spelling, border)


def test_longest_run_of_whitespace_is_found_across_chunks() -> None:
    """256 characters of it, each with the longest escape."""
    content = b"Ann" + b"\\\\\\\\\\\\\\\\u2028" * 256 + b"Lee"

    for chunk_bytes in (1, 100, 4096):
        assert holds("Ann Lee", content, chunk_bytes)
    assert not holds("Ann Lee", b"Ann" + b" " * 257 + b"Lee")


def test_long_texts_are_found() -> None:
    """Up to the limit, whatever the characters."""
    for text in ("ab " * 333, "é" * 1000, "'\"" * 500, "\\'" * 500, "李明" * 500, "ß\\" * 500, "\u0301\u0323" * 500):
        pattern = TextPattern(text)
        for content in (json.dumps(text).encode(), text.encode()):
            assert pattern.is_in([b"... ", content[:1000], content[1000:], b" ..."])
        assert not pattern.is_in([text.strip()[:-1].encode()])


@pytest.mark.parametrize("raw", [b"Jos\xe9", "José".encode()])
def test_text_of_a_terminal_that_is_not_utf_8_stands_for_its_bytes(raw: bytes) -> None:
    """Python gives such bytes of a command line as lone surrogates."""
    text = raw.decode(errors="surrogateescape")

    assert holds(text, b"name: " + raw)


def test_file_of_no_encoding_is_searched() -> None:
    """Bytes that are valid nowhere stand around the text."""
    noise = bytes(range(256)) * 8

    assert holds("Jürgen", noise + "Jürgen".encode() + noise)
    assert holds("Jürgen", noise + b"J\xfcrgen" + noise, 7)
    assert not holds("Jürgen", noise + b"Jurgen" + noise)


# ---- what was not written is not found ------------------------------------------------------------------------------


def is_written(text: str, content: str) -> bool:
    """Whether consecutive characters of the content are folded to the text."""
    folded = text_matching._fold(re.sub(r"\s+", " ", text.strip()))
    return any(
        text_matching._fold(re.sub(r"\s+", " ", content[start:end])) == folded
        for start in range(len(content))
        for end in range(start + 1, len(content) + 1)
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text("abAsS\u017fßéÉe\u0301 \n\ufb06t", min_size=2, max_size=5), st.text("abAsSßéÉe\u0301 \nt", max_size=16))
def test_text_is_found_only_where_it_is_written(text: str, content: str) -> None:
    """In plain UTF-8, compared with the definition; it is found exactly there."""
    assume(len(unicodedata.normalize("NFC", text.strip())) > 1)

    assert holds(text, content.encode()) == is_written(text, content)
    assert holds(text, content.encode(), 3) == is_written(text, content)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("Zoë O'Brien", "Zoe O'Brien"),
        ("Zoë O'Brien", "ZoëO'Brien"),
        ("Zoë O'Brien", 'Zoë O"Brien'),
        ("Anna Schmidt", "Anna Schmitt, Anne Schmidt, AnnaSchmidt, Schmidt Anna"),
        ("+49 170 1234567", "+49 170 1234568"),
        ("anna@example.com", "anna@example,com anna@example.org"),
        ("李明", "李小明 明李 \\u674e \\u660e"),
        ("a/b", "a//b a\\b ab"),
        ("a\\b", "ab a/b"),
        ("it's", "it'''''s"),
        ("Tom & Ann", "Tom &amp; Ann"),
    ],
)
def test_similar_text_is_not_found(text: str, content: str) -> None:
    """All that is to be kept is kept."""
    assert not holds(text, content.encode())
    assert not holds(text, content.encode("utf-16"))
    assert not holds(text, json.dumps(content).encode().replace(b"\\\\u", b"\\u"))


def test_vectors_hold_no_short_text() -> None:
    """Base64 has each of them by chance; the text beside it is found, and so is the text at its border."""
    chance = random.Random(1)
    vectors = [base64.b64encode(chance.randbytes(1024)) for _ in range(300)]
    lines = b"".join(b'{"content": "x", "vector": "%s"}\n' % vector for vector in vectors)
    for text in ("Li", "Ann", "471"):
        assert re.search(text.encode(), lines, re.IGNORECASE)
        assert not holds(text, lines)
        assert not holds(text, lines[:100_000].rpartition(b"\n")[0], 97)
        assert holds(text, lines.replace(b'"x"', b'"%s"' % text.encode(), 1))
    assert holds("Li Wei", b"a" * 600 + b"Li Wei" + b"a" * 600)
    assert holds("Li", b"a" * 200 + b"Li" + b"a" * 200)
    assert holds("a" * 1000, b"a" * 1000)


# ---- what cannot be looked for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty or blank"),
        (" \t\n\u3000", "empty or blank"),
        ("x", "2 to 1,000"),
        (" x ", "2 to 1,000"),
        ("e\u0301", "2 to 1,000"),
        ("secret" * 167, "2 to 1,000"),
        ("x\\n", "besides escaped whitespace"),
        ("\\n\\t", "besides escaped whitespace"),
        ("secret \ud83d", "half of a surrogate pair"),
    ],
)
def test_text_that_cannot_be_looked_for_is_refused(text: str, reason: str) -> None:
    """The message does not repeat it."""
    with pytest.raises(InvalidInput, match=reason) as refused:
        TextPattern(text)

    assert "secret" not in str(refused.value) + repr(refused.value)
    assert refused.value.field == "text"


def test_pattern_does_not_show_its_text() -> None:
    """It may get into a log or a traceback."""
    assert "secret" not in repr(TextPattern("secret"))


# ---- how it is found ------------------------------------------------------------------------------------------------


def characters() -> Iterator[str]:
    return (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


def test_each_character_that_is_folded_is_known() -> None:
    """The ranges that are left out have none but Hangul syllables, and no character is folded to more than four."""
    known = {char for chars in text_matching._unfolded().values() for char in chars}
    folded = {char: text_matching._fold(char) for char in characters()}
    changed = {char for char, text in folded.items() if text != char and not "\uac00" <= char <= "\ud7a3"}

    assert known == changed
    assert max(map(len, folded.values())) == text_matching._LONGEST_FOLD


def test_each_character_is_found_in_each_of_its_spellings() -> None:
    """One in three of those with a case or a composition, and one syllable of Hangul in 97; between letters."""
    for number, char in enumerate(characters()):
        forms = {char, char.casefold(), unicodedata.normalize("NFD", char), unicodedata.normalize("NFC", char)}
        if len(forms) > 1 and number % (97 if "\uac00" <= char <= "\ud7a3" else 3) == 0:
            pattern = TextPattern(f"x{char}x")
            for form in forms:
                assert pattern.is_in([f"X{form}X".encode()]), (char, form)
                assert pattern.is_in([json.dumps(f"X{form}X").encode()]), (char, form)


def test_memory_does_not_grow_with_the_file() -> None:
    """A file of 64 MiB takes a few buffers of the size of a chunk."""
    pattern = TextPattern("Anna Schmidt")
    chunk = b"anna maria schmid " * 58_000
    tracemalloc.start()
    try:
        assert not pattern.is_in(bytes(chunk) + b"." for _ in range(64))
        assert tracemalloc.get_traced_memory()[1] < 8 * len(chunk)
    finally:
        tracemalloc.stop()


def test_dense_and_hostile_files_take_no_longer() -> None:
    """Each hit costs a little; nothing is tried again and again."""
    hostile = [
        (b"\\" * 300_000, "\\'\\'\\'\\'\\'x"),
        (b"\\'" * 150_000, "\\'" * 200 + "x"),
        (b"'" * 300_000, "'\"'\"'\"'x"),
        (b"\\n " * 100_000, "a \\n \\n b"),
        (b"ann " * 75_000, "ann lee"),
        (b"s" * 300_000, "s" * 100 + "t"),
        (os.urandom(300_000), "é' ß"),
        (b"\\u65e5" * 50_000, "日本"),
        (b"\\u65e5\\u672d " * 25_000, "日本"),
    ]
    for content, text in hostile:
        assert not holds(text, content)
