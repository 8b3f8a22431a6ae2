"""Acknowledgements: exact, sorted, and nothing at all when torn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globofs.errors import FormatError
from globofs.format.applied import Position, decode, encode
from globofs.limits import APPLIED_BYTES, GAPS_MAX
from tests.helpers_format import OTHER, UUID, ids, uuids

ZEROS = "0" * 64


@st.composite
def positions(draw: st.DrawFn) -> Position:
    steps = draw(st.lists(st.tuples(st.integers(2, 50), st.integers(0, 9)), max_size=5))
    gaps: list[tuple[int, int]] = []
    at = -1
    for skip, length in steps:
        gaps.append((at + skip, at + skip + length))
        at = gaps[-1][1]
    received = max(at, 0) + draw(st.integers(1, 1000))
    return Position(received, draw(ids), tuple(gaps), draw(st.integers(0, received)))


@given(st.dictionaries(uuids, positions(), max_size=4), st.data())
def test_round_trip_and_torn(applied: dict[str, Position], data: st.DataObject) -> None:
    text = encode(applied)
    assert decode(text) == applied
    assert encode(decode(text)) == text
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(FormatError):
        decode(text[:cut])


def test_the_text_is_sorted_and_says_none() -> None:
    text = encode({OTHER: Position(), UUID: Position(3, bytes(32), ((1, 1),), 2)})
    assert text.decode() == (
        f"globofs-applied 1\n{UUID} 3 {ZEROS} 2 1-1\n{OTHER} 0 {ZEROS} 0 -\nend 2\n"
    )
    assert Position(9, bytes(32), ((4, 5),), 0).gapless == 3
    assert Position(9).gapless == 9


def test_too_many_gaps_are_joined_at_the_end() -> None:
    gaps = tuple([(2 * n, 2 * n) for n in range(1, GAPS_MAX + 500)])
    kept = decode(encode({UUID: Position(10_000, bytes(32), gaps, 0)}))[UUID].gaps
    assert len(kept) == GAPS_MAX
    assert kept[:-1] == gaps[: GAPS_MAX - 1]
    assert kept[-1] == (gaps[GAPS_MAX - 1][0], gaps[-1][1])


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"{UUID} 3 {ZEROS} 2",
        f"{UUID} 3 {ZEROS} 2 - -",
        f"{UUID}  3 {ZEROS} 2 -",
        f"{UUID.upper()} 3 {ZEROS} 2 -",
        f"{UUID} 03 {ZEROS} 2 -",
        f"{UUID} 3 {ZEROS[1:]} 2 -",
        f"{UUID} 3 {ZEROS} 4 -",
        f"{UUID} 3 {ZEROS} 2 ",
        f"{UUID} 3 {ZEROS} 2 1",
        f"{UUID} 3 {ZEROS} 2 0-1",
        f"{UUID} 3 {ZEROS} 2 2-1",
        f"{UUID} 3 {ZEROS} 2 1-3",
        f"{UUID} 9 {ZEROS} 2 1-2,3-4",
        f"{UUID} 9 {ZEROS} 2 4-5,1-2",
        f"{UUID} 9999999999999999 {ZEROS} 2 -",
    ],
)
def test_broken_rules_are_refused(line: str) -> None:
    with pytest.raises(FormatError):
        decode(f"globofs-applied 1\n{line}\nend 1\n".encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"end 0\n",
        b"globofs-applied 2\nend 0\n",
        b"globofs-applied 1\nend 1\n",
        b"globofs-applied 1\nend 0\n\n",
        b"globofs-applied 1\nend 0",
        b"globofs-applied 1\n\xff\nend 1\n",
        bytes(200),
        f"globofs-applied 1\n{UUID} 0 {ZEROS} 0 -\n{UUID} 0 {ZEROS} 0 -\nend 2\n".encode(),
        b"x" * (APPLIED_BYTES + 1),
    ],
)
def test_other_files_are_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"^somewhere: "):
        decode(text, where="somewhere")
