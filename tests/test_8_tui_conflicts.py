"""Conflicts in the UI: three texts beside each other, several settled at once, and taken back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.tui.model import threeway
from tests import helpers_tui as fake
from tests.test_8_tui_screens import _utc, bench

__all__ = ["_utc"]

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=8)


@settings(max_examples=150, deadline=None)
@given(base=LINES, left=LINES, right=LINES)
def test_places_are_the_three_texts(base: list[str], left: list[str], right: list[str]) -> None:
    found = list(threeway.places(base, left, right))
    assert [line for place in found for line in place.base] == base
    assert [line for place in found for line in place.left] == left
    assert [line for place in found for line in place.right] == right
    merged, marked = threeway.merged(base, left, right, ("l", "b", "r"))
    if left in (base, right):
        assert (merged, marked) == (right, 0)
    if right == base:
        assert (merged, marked) == (left, 0)


def test_only_what_both_changed_is_marked() -> None:
    base = ["one\n", "two\n", "three\n", "four\n", "five"]
    left = ["ONE\n", "two\n", "three\n", "four\n", "5"]
    right = ["one\n", "two\n", "3\n", "four\n", "V"]
    merged, marked = threeway.merged(base, left, right, ("laptop", "common", "phone"))
    assert marked == 1
    assert "".join(merged) == (
        "ONE\ntwo\n3\nfour\n<<<<<<< laptop\n5\n||||||| common\nfive\n=======\nV\n>>>>>>> phone\n"
    )
    page = threeway.page(
        *("".join(text).encode() for text in (base, left, right)), ("laptop", "phone"), "t"
    )
    shown = ["".join(text for text, _ in line) for line in page.lines]
    assert "changed by laptop" in shown
    assert "changed by both, differently" in shown
    assert page.note == "1 place changed by both"


async def test_p_shows_what_each_side_made_of_the_common_version() -> None:
    async with bench() as b:
        await b.keys("4")
        await b.settle()
        assert b.screen.text.page_shown.title.startswith("From ")
        await b.keys("p")
        page = b.screen.text.page_shown
        assert page.title.startswith("1 laptop, 2 phone, from ")
        shown = ["".join(text for text, _ in line) for line in page.lines]
        assert any("map, 1:25000" in line for line in shown)
        assert any("stove" in line for line in shown)
        await b.keys("p")
        assert b.screen.text.page_shown.title.startswith("From ")


def two_conflicts() -> fake.FakeVolume:
    """`packing.txt` and `budget.csv`, each with a side of laptop and of phone."""
    volume = fake.full_volume()
    other = volume.operation("add", ("/sdcard/notes",), 15 * fake.SECOND, fake.PHONE)
    volume.put(other, "budget.csv", b"hut,150\n", rival=True)
    return volume


async def test_marked_conflicts_are_settled_by_one_operation_and_one_undo_brings_them_back() -> (
    None
):
    async with bench(volume=two_conflicts()) as b:
        await b.keys("4")
        await b.settle()
        assert b.screen.title_bar.title_shown.conflicts == 2
        await b.keys("asterisk", "enter")
        await b.until(lambda: b.volume.done)
        await b.settle()
        (done,) = b.volume.done
        assert done[:2] == ("resolve", (b"2026/alps/packing.txt", b"budget.csv"))
        assert set(done[2]) == {b"2026/alps/packing.txt", b"budget.csv"}
        assert b.screen.title_bar.title_shown.conflicts == 0
        assert any("No conflicts" in row for row in b.rows("conflicts"))
        await b.keys("z")
        await b.settle()
        assert b.screen.title_bar.title_shown.conflicts == 2
        assert len(b.screen.found) == 2


async def test_two_sides_of_one_node_are_told_apart_by_their_times() -> None:
    volume = fake.FakeVolume()
    for ago, text in ((3, "one\n"), (2, "two\n")):
        key = volume.operation("add", ("/home/anna/a",), ago * fake.HOUR)
        volume.put(key, "a", text.encode())
    key = volume.operation("add", ("/home/anna/a",), fake.HOUR)
    volume.put(key, "a", b"other\n", rival=True)
    async with bench(volume=volume) as b:
        await b.keys("4")
        await b.settle()
        assert b.screen.text.page_shown.title == "From laptop 09:06:40 to laptop 10:06:40"
