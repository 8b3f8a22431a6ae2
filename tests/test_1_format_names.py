"""Names and spellings: one path, one directory, one text; and back."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from globofs.errors import BadPath, FormatError
from globofs.format import names, text
from globofs.limits import TIME_MAX_NS
from tests.helpers_format import names_bytes, paths


@given(st.binary(max_size=100))
@example(b"100% of \xff\xfe \n")
def test_escape_round_trip(raw: bytes) -> None:
    spelled = text.escape(raw)
    assert text.unescape(spelled) == raw
    assert all("!" <= char <= "~" for char in spelled)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7F), max_size=12))
@example("%41")
@example("%e4")
@example("%")
@example("%2")
@example("a b")
@example("%zz")
def test_unescape_takes_only_the_one_spelling(spelled: str) -> None:
    try:
        raw = text.unescape(spelled)
    except FormatError:
        return
    assert text.escape(raw) == spelled


@given(st.integers(-TIME_MAX_NS, TIME_MAX_NS))
@example(0)
@example(-1)
def test_time_round_trip(ns: int) -> None:
    assert text.parse_time(text.format_time(ns), signed=True) == ns
    if ns < 0:
        with pytest.raises(FormatError):
            text.parse_time(text.format_time(ns))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "1",
        "1.5",
        "01.000000000",
        "1.0000000000",
        "-0.000000000",
        "٣.000000000",
        "1.00000000٣",
        " 1.000000000",
        "1.000000000\n",
        "9999999999.000000000",
    ],
)
def test_other_spellings_of_times_are_refused(bad: str) -> None:
    with pytest.raises(FormatError):
        text.parse_time(bad, signed=True)


@pytest.mark.parametrize("bad", ["", "00", "+1", "1_0", "-1", "11", "٣", "1 "])
def test_other_spellings_of_numbers_are_refused(bad: str) -> None:
    with pytest.raises(FormatError):
        text.parse_count(bad, 10)


@pytest.mark.parametrize(
    "bad", ["", "AB" * 32, "a" * 63, "a" * 65, "a" * 32 + " " + "a" * 31, "g" * 64]
)
def test_other_spellings_of_hashes_are_refused(bad: str) -> None:
    with pytest.raises(FormatError):
        text.parse_hex32(bad)


def test_header_lines_take_nothing_else() -> None:
    assert text.header_lines("a=1\nb=\nb==x") == [("a", "1"), ("b", ""), ("b", "=x")]
    assert text.header_lines("") == []
    for bad in ("a=1\n", "a", "=1", "A=1", "a=1\n\nb=2", "a=b c", "a=\x7f", "a=" + "x" * 20000):
        with pytest.raises(FormatError):
            text.header_lines(bad)


# --- paths ----------------------------------------------------------------------------------


@given(paths)
@example(b"a/versions/=/==/hashes")
@example(b"\xff\xfe/\n")
def test_every_path_has_a_directory_and_comes_back(path: bytes) -> None:
    assert names.check_path(path) == path
    directory = names.to_disk(path)
    assert names.from_disk(directory) == path
    for part in os.fsencode(directory).split(b"/"):
        assert part not in (b"versions", b"hashes", b"", b".", b"..")


@given(st.lists(names_bytes, min_size=1, max_size=3).map(b"/".join))
@example(b"=a")
@example(b"hashes")
def test_every_directory_is_of_one_path_or_none(disk: bytes) -> None:
    try:
        path = names.from_disk(os.fsdecode(disk))
    except BadPath:
        return
    assert os.fsencode(names.to_disk(path)) == disk


@given(paths, paths)
def test_two_paths_never_share_a_directory(one: bytes, other: bytes) -> None:
    assert (names.to_disk(one) == names.to_disk(other)) == (one == other)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"/",
        b"a//b",
        b"/a",
        b"a/",
        b".",
        b"..",
        b"a/..",
        b"../a",
        b"a/./b",
        b"a\x00b",
        b"a" * 256,
        b"=" + b"a" * 254,
        b"x/" + b"=" * 255,
        b"a/" * 2048 + b"a",
    ],
)
def test_unsafe_paths_are_refused(bad: bytes) -> None:
    with pytest.raises(BadPath):
        names.check_path(bad)


@pytest.mark.parametrize(
    "good", [b"a" * 255, b"=" * 254, b"..a", b"a..", b"...", b"a/" * 2047 + b"a"]
)
def test_odd_but_safe_paths_are_taken(good: bytes) -> None:
    assert names.from_disk(names.to_disk(names.check_path(good))) == good


@pytest.mark.parametrize("bad", ["versions", "a/hashes", "=a", "a/=versionsx", "..", "a//b", "/a"])
def test_directories_that_are_no_files_are_refused(bad: str) -> None:
    with pytest.raises(BadPath):
        names.from_disk(bad)


@pytest.mark.parametrize(
    ("given_", "path"),
    [
        ("", b""),
        ("/", b""),
        ("/a", b"a"),
        ("a/b/", b"a/b"),
        ("a/b//", b"a/b"),
        (b"/\xff", b"\xff"),
        ("ä\udcff", "ä".encode() + b"\xff"),
    ],
)
def test_paths_as_people_write_them(given_: str | bytes, path: bytes) -> None:
    assert names.parse_path(given_) == path


@pytest.mark.parametrize("bad", ["//", "//a", "a/../b", "./a", "a//b", "a\0"])
def test_what_people_must_not_write(bad: str) -> None:
    with pytest.raises(BadPath):
        names.parse_path(bad)


def test_ways_up() -> None:
    assert list(names.ancestors(b"a/b/c")) == [b"a/b", b"a"]
    assert list(names.ancestors(b"a")) == []
    assert names.parent(b"a/b") == b"a"
    assert names.parent(b"a") == b""
    assert names.name(b"a/b") == b"b"
    assert names.join(b"", b"x") == b"x"
    assert names.join(b"a", b"x") == b"a/x"
    assert names.is_below(b"a/b", b"a")
    assert names.is_below(b"a", b"")
    assert not names.is_below(b"ab", b"a")
