"""Pure rules: table lists, names of files and tasks, sealed JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.config.database_urls import masked
from data_pipeline.errors import InvalidInput
from data_pipeline.steps.ddl.file_names import file_stems
from data_pipeline.tasks.sealed import seal, unsealed
from data_pipeline.tasks.table_list import (
    TableName,
    decode_table_list,
    format_table_list,
    parse_table_list,
    parse_table_name,
)
from data_pipeline.tasks.task_directory import check_task_id, is_backup_name, record_name, time_in_name

PATIENT = settings(deadline=None, database=None)  # slow machines; trees that may not be written

# ---- table lists ----------------------------------------------------------------------------------------------------


def test_names_stand_on_lines_or_between_commas() -> None:
    """Comments and blanks are skipped, doubles removed in order."""
    text = '# header\n\nbss_company, sales.orders,,\n  -- note\n\tbss_company\n"Order Details","a,b"."c""d"\n服务区\n'

    assert [str(name) for name in parse_table_list(text)] == [
        "bss_company", "sales.orders", '"Order Details"', '"a,b"."c""d"', "服务区",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "a;b",
        "a b",
        "1a",
        "a.b.c",
        "a.",
        ".a",
        "a(b)",
        "a*",
        '"',
        '"a',
        'a"b',
        '""',
        "a'b",
        "a--b",
        "x where 1=1",
        "a\0",
    ],
)
def test_name_that_is_none_is_refused(name: str) -> None:
    """S5: nothing that could become SQL; an odd name must be quoted."""
    with pytest.raises(InvalidInput):
        parse_table_name(name)


def test_every_bad_name_is_told_with_its_line() -> None:
    """Not only the first ten lines are looked at: a person mends the file in one go."""
    text = "\n".join([*(f"t{number}" for number in range(30)), "bad;", "good", "worse!"])
    with pytest.raises(InvalidInput) as refused:
        parse_table_list(text)

    assert [problem.partition(":")[0] for problem in refused.value.problems] == ["line 31", "line 33"]


def test_hundreds_of_bad_names_are_cut_short() -> None:
    """A binary file makes no book."""
    with pytest.raises(InvalidInput) as refused:
        parse_table_list("a;\n" * 500)

    assert refused.value.problems[-1] == "and 480 more"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", ",,,"])
def test_list_without_names_is_refused(text: str) -> None:
    """There would be nothing to do."""
    with pytest.raises(InvalidInput, match="no name of a table"):
        parse_table_list(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_list_is_read_in_the_encodings_of_its_writers(encoding: str) -> None:
    """UTF-8 with and without a mark, GBK."""
    assert decode_table_list("服务区\n".encode(encoding)) == "服务区\n"


@PATIENT
@given(st.lists(st.builds(TableName, st.none() | st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=5))
def test_written_list_is_read_again(names: list[TableName]) -> None:
    """Whatever people call their tables, but for control characters."""
    printable = [name for name in names if not any(ord(c) < 32 or c in "\x7f\x85\u2028\u2029" for c in str(name))]
    if printable:
        assert parse_table_list(format_table_list(printable)) == tuple(dict.fromkeys(printable))


# ---- names ----------------------------------------------------------------------------------------------------------


def test_tables_that_would_share_a_name_get_distinct_ones() -> None:
    """D11: a.b_c, a_b.c and public.a_b_c; and names that differ by case alone."""
    tables = [TableName("a", "b_c"), TableName("a_b", "c"), TableName("public", "a_b_c"), TableName("public", "T"),
              TableName(None, "t"), TableName("public", "free")]  # fmt: skip
    stems = file_stems(tables)

    assert stems[TableName("public", "free")] == "free"
    assert len({stem.lower() for stem in stems.values()}) == len(tables)
    assert file_stems(reversed(tables)) == stems


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "con", "AUX", "metadata", ".hidden", "x" * 300, "服" * 100, "a\nb", "?"]
)
def test_name_that_cannot_stand_gets_one_that_can(name: str) -> None:
    """On every platform, within 255 bytes, never outside the directory, never a fixed name."""
    (stem,) = file_stems([TableName("public", name)]).values()

    assert len(f"{stem}_detail.md".encode()) <= 255
    assert not set(stem) & set('/\\:*?"<>|\n')
    assert not stem.startswith(".")
    assert stem.lower() not in ("con", "aux", "metadata")


@pytest.mark.parametrize(
    "task_id", ["", ".", "..", "a/b", "a\\b", "a b", "a\n", "a\0", "x" * 65, "CON", "nul", "\u0430", "%2e%2e"]
)
def test_id_that_could_lead_elsewhere_is_refused(task_id: str) -> None:
    """S1: letters, digits and underscores of ASCII; no device of Windows."""
    with pytest.raises(InvalidInput):
        check_task_id(task_id)


@pytest.mark.parametrize("task_id", ["task_20250121_094400", "task_20250121_094400_1", "manual_20250121_094400", "A"])
def test_id_of_the_older_system_is_accepted(task_id: str) -> None:
    """And ours."""
    assert check_task_id(task_id) == task_id


def test_backup_names_are_told_from_others() -> None:
    """Time and suffix, exactly."""
    assert [name for name in ("file_bak_20250121_094400", "file_bak_20250121_094400_12", "file_bak_20250121_0944",
                              "xfile_bak_20250121_094400", "file_bak_20250121_094400_", "file_bak_20250121_094400\n")
            if is_backup_name(name)] == ["file_bak_20250121_094400", "file_bak_20250121_094400_12"]  # fmt: skip
    assert time_in_name("file_bak_20250121_094400_12")[1] == 12
    assert time_in_name("file_bak_20251399_094400") == (None, 0)
    assert time_in_name("other") == (None, 0)
    assert record_name({"backup_info.json", "backup_info_1.json"}) == "backup_info_2.json"


# ---- seals and secrets ----------------------------------------------------------------------------------------------


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)


@PATIENT
@given(st.dictionaries(st.text(st.characters(codec="utf-8")).filter(lambda key: key != "seal"), JSON), st.data())
def test_sealed_object_comes_back_until_a_byte_is_changed(content: dict[str, object], data: st.DataObject) -> None:
    """Any change shows, also one that leaves the JSON equal."""
    raw = seal(content)
    assert unsealed(raw) == content
    position = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:position] + bytes([raw[position] ^ data.draw(st.integers(1, 255))]) + raw[position + 1 :]

    assert unsealed(changed) is None
    assert unsealed(raw + b" ") is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"null", b'{"seal": 1}', b"\xff", b"[" * 100_000])
def test_what_was_never_sealed_is_not_ours(raw: bytes) -> None:
    """Never raises: it is a file somebody else wrote."""
    assert unsealed(raw) is None


def test_seal_shows_text_as_people_read_it() -> None:
    """Chinese stays Chinese."""
    assert "服务区" in seal({"name": "服务区"}).decode()
    assert json.loads(seal({"name": "服务区"}))["name"] == "服务区"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u:s3%40cret@h/d?password=s3cret&sslkey=s3cret", "postgresql://u:***@h/d"),
        ("sqlite:///a b/c.sqlite", "sqlite:///a b/c.sqlite"),
        ("s3cret", "***"),
        ("postgresql://u:s3cret@h:port/d", "***"),
    ],
)
def test_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """Neither the password nor a query."""
    assert masked(url).replace("%20", " ") == shown
