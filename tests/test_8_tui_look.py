"""What is seen: differences in two columns, ages that go on, columns, bars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from globofs.snapshots import Move
from globofs.tui import words
from globofs.tui.glyphs import ASCII
from globofs.tui.model import places
from globofs.tui.screens import log, start
from globofs.tui.screens.help import rank
from tests import helpers_tui as fake
from tests.test_8_tui_screens import _utc, bench

__all__ = ["_utc"]


async def test_a_difference_has_two_columns_where_there_is_room() -> None:
    async with bench(size=(200, 60)) as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("d")
        detail = b.screen.detail
        rows = [detail.render_line(y).text for y in range(detail.size.height)]
        assert "nas, 2026-11-17" in rows[0]
        assert "laptop, 2026-11-18" in rows[0]
        assert any(row.count("Anna drives") == 2 for row in rows)
        assert any("7 + ## Huts" in row for row in rows)
        await b.pilot.resize_terminal(120, 40)
        await b.settle()
        rows = [detail.render_line(y).text for y in range(detail.size.height)]
        assert any(row.count("Anna drives") == 1 for row in rows)
        assert not any(row.count("Anna drives") == 2 for row in rows)


async def test_two_columns_wrap_together() -> None:
    async with bench(size=(200, 60)) as b:
        long = "one word after the other, " * 9
        key = b.volume.operation("add", ("/x",), 1)
        b.volume.put(key, "2026/alps/notes.md", f"{long}\nend\n".encode())
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("d", "W")
        detail = b.screen.detail
        rows = [detail.render_line(y).text for y in range(detail.size.height)]
        first = next(at for at, row in enumerate(rows) if "one word" in row)
        last = next(at for at, row in enumerate(rows) if row.rstrip().endswith("end"))
        assert last - first >= 4  # the long line took several rows, on its side alone


async def test_plain_symbols_are_plain_everywhere() -> None:
    walk = (
        "d", "[", "t", "escape", "R", "escape", "?", "escape", "c", "escape", "2", "w", "escape",
        "3", "4", "5", "z",
    )  # fmt: skip
    async with bench(glyphs=ASCII) as b:
        await b.go_to(b"2026/alps/notes.md")
        for key in walk:
            await b.keys(key)
            strips = b.app.screen._compositor.render_strips()
            drawn = {letter for strip in strips for letter in strip.text}
            odd = {letter for letter in drawn if not letter.isascii() and not letter.isalpha()}
            odd -= set("▁▂▃▄▅▆▇█")  # Textual's own, at the ends of scroll bars
            assert not odd, key


async def test_ages_go_on() -> None:
    async with bench() as b:
        await b.go_to(b"2026/alps/notes.md")
        assert any("2m ago" in row for row in b.rows("versions"))
        b.app.now = lambda: fake.NOW + 9 * 60 * fake.SECOND
        b.engine.later = 9 * 60 * fake.SECOND
        b.engine.changed()
        await b.until(lambda: any("11m ago" in row for row in b.rows("versions")))
        await b.keys("5")
        assert any("10m ago" in row for row in b.rows("operations"))


async def test_a_long_log_makes_the_rows_that_are_seen_and_names_older_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "PAGE", 100)
    volume = fake.full_volume()
    for ago in range(1, 300):
        node = fake.PHONE if ago > 200 else fake.LAPTOP
        volume.operation("resolve", ("/x",), (9999 + ago // 3) * fake.DAY, node)
    volume.ops.sort(key=lambda op: -op.last)
    async with bench(volume=volume) as b:
        await b.keys("5")
        rows = b.screen.rows
        for _ in range(5):  # older ones are read where the cursor comes near the last
            await b.keys("end")
        assert len(rows) == len(volume.operations(limit=1000)) > 290
        assert "phone" in b.rows("operations")[-1]
        made: list[object] = []
        real = rows._cells_of
        monkeypatch.setattr(rows, "_cells_of", lambda op: made.append(op) or real(op))
        b.screen.age()
        assert 0 < len(made) <= b.screen.op_list.size.height


async def test_directories_say_when_something_in_them_changed() -> None:
    async with bench(size=(200, 60)) as b:
        await b.keys("home")
        row = next(row for row in b.rows("tree") if "2026" in row)
        assert row.endswith("30s ago")
        await b.keys("comma", "m")
        rows = b.rows("tree")[1:5]
        names = ("odd", "2026", "budget.csv", "2025")
        assert all(name in row for name, row in zip(names, rows, strict=True))
        await b.pilot.resize_terminal(90, 30)
        await b.settle()
        assert "changed" in b.rows("tree")[0]  # the order is by it: it is among the last to go


async def test_a_directory_at_a_moment_against_now() -> None:
    async with bench() as b:
        await b.go_to(b"2026")
        await b.keys("tab", "end", "p")
        page = b.screen.detail.page_shown
        assert page.title.startswith("From just after")
        said = {"".join(text for text, _ in line).split("  ")[0] for line in page.lines}
        assert {"~ alps/notes.md", "+ alps/film.mkv", "- old plan.txt"} <= {
            line.replace("−", "-") for line in said
        }


async def test_a_folder_that_changed_is_taken_in_again_with_one_key() -> None:
    async with bench() as b:
        await b.go_to(b"2026/alps")
        b.volume.came_from = lambda path: f"/home/anna/Trips/{path.decode()}"
        await b.keys("A")
        assert b.volume.done[-1] == ("add", ("/home/anna/Trips/2026/alps/",), b"2026/alps")
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("A")
        assert b.volume.done[-1][1:] == (("/home/anna/Trips/2026/alps/notes.md",), b"2026/alps")
        b.volume.came_from = lambda path: None
        await b.keys("A")
        assert "came from no folder" in b.toasts()[-1]


async def test_tab_completes_a_path(tmp_path: Path) -> None:
    (tmp_path / "photos" / "alps").mkdir(parents=True)
    (tmp_path / "phone").mkdir()
    async with bench() as b:
        await b.keys("a")
        field = b.screen.query_one(Input)
        field.value = f"{tmp_path}/p"
        await b.keys("tab")
        assert field.value == f"{tmp_path}/pho"
        field.value += "t"
        await b.keys("tab")
        assert field.value == f"{tmp_path}/photos/"
        await b.keys("tab")
        assert field.value == f"{tmp_path}/photos/alps/"


async def test_home_itself_is_no_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert start.judge_new("~/").good is False
    assert start.judge_new("~/globofs").good


def test_enter_at_once_does_not_take_in_all_of_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, volume = tmp_path / "home", tmp_path / "volume"
    (home / "photos").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    assert places.source("~/", str(volume)).good is None
    assert places.source("~", str(volume)).good
    assert places.source("~/photos/", str(volume)).good


def test_a_command_is_found_by_its_words() -> None:
    assert rank("add", "add take a folder") == 0
    assert rank("rst", "restore bring this version back") is not None
    assert rank("add", "redraw draw the screen again") is None


async def test_a_deleted_file_is_found_and_gone_to() -> None:
    async with bench() as b:
        await b.keys("f", *"oldp", "enter")
        assert b.screen.selected.path == b"2026/old plan.txt"
        assert any("such files are shown" in toast for toast in b.toasts())
        assert any("old plan.txt" in row for row in b.rows("tree"))
        await b.keys("f", *"zzz")
        assert any("has these letters" in row for row in b.rows("pick-list"))


async def test_changed_since_says_what_became_of_each_and_compares_with_then() -> None:
    async with bench() as b:
        await b.keys("c", *"6h ago", "enter")
        rows = b.rows("tree")
        assert any("~ notes.md" in row for row in rows)
        assert any("− old plan.txt" in row for row in rows)
        assert any("+ link" in row for row in rows)
        banner = "".join(text for text, _ in b.screen.banner.parts)
        assert "4 new, 3 changed, 1 deleted" in banner
        await b.keys("home", "down", "down")
        assert b.screen.selected.path == b"2026/alps/notes.md"
        assert b.screen.detail.page_shown.title == "Diff since then"


async def test_a_filter_leaves_its_rows_to_the_arrows() -> None:
    async with bench() as b:
        await b.keys("2", "slash", *"img", "down")
        assert b.screen.moves.cursor == 1
        await b.keys("enter")
        assert b.screen.moves.has_focus
        assert b.screen.queue.filter == "img"
        await b.keys("escape")
        assert b.screen.queue.filter == ""
        assert len(b.screen.queue.moves) == len(fake.MOVES)


def test_what_an_operation_added_is_named_as_in_the_volume() -> None:
    op = fake.full_volume().ops[0]
    again = replace(op, args=("/home/a/Documents/", "--to", "Documents"), versions=1)
    assert words.operation(again) == "added Documents"
    deep = replace(op, args=("/home/a/notes.md", "--to", "Documents"), versions=1)
    assert words.operation(deep, below="Documents") == "added notes.md"
    told = replace(op, verb="config", args=("name=cabin", "cacheonly=no"), versions=0)
    assert words.operation(told) == "announced name=cabin, cacheonly=no"


async def test_one_pane_at_a_time_has_the_whole_screen() -> None:
    async with bench(size=(60, 20)) as b:
        for mode in "12345":
            await b.keys(mode)
            rest = 5 if mode == "2" else 2  # title and hints; in Sync the overall lines, too
            for _ in b.screen.panes:
                assert b.screen.focused.region.height == 20 - rest
                assert b.screen.focused.region.width == 60
                await b.keys("tab")


async def test_a_text_is_as_wide_as_its_pane_at_once() -> None:
    async with bench(size=(120, 30)) as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("tab", "tab", "+")
        detail = b.screen.detail
        for _ in range(2):
            detail._size = detail.size.with_width(detail.size.width - 20)  # the event comes later
            assert detail.render_line(0).cell_length == detail.size.width


async def test_a_peer_is_gone_to_from_sync() -> None:
    async with bench() as b:
        await b.keys("2", "tab", "down", "enter")
        assert b.screen.here().name == "phone"
        await b.keys("w")
        said = "".join(text for line in b.screen._lines for text, _ in line)
        assert "118 records of ours" in said
        assert "2 hours ago" in said


async def test_the_latest_done_comes_first_and_what_ended_says_so() -> None:
    async with bench() as b:
        done = [
            Move("9", b"drafts", "restore", "done"),
            Move("7", b"budget.csv", "pull", "done", "nas", 27, 27),
        ]
        b.engine.moves = tuple(done)
        b.engine.changed()
        await b.keys("2")
        await b.until(lambda: len(b.screen.queue.moves) == 2)
        assert [move.key for move in b.screen.queue.moves] == ["9", "7"]
        assert any("drafts" in row and "restored" in row for row in b.rows("moves"))


async def test_keys_that_move() -> None:
    async with bench(size=(120, 24)) as b:
        await b.go_to(b"2026/alps/route.py")
        tree, detail = b.screen.tree_list, b.screen.detail
        await b.keys("home", "pagedown")
        assert tree.cursor > 5
        await b.keys("pageup")
        assert tree.cursor == 0
        await b.keys("shift+down", "shift+down", "shift+up")
        assert len(tree.range_keys()) == 2
        await b.keys("escape", "tab")
        assert b.screen.versions.has_focus
        await b.keys("shift+tab")
        assert tree.has_focus
        await b.go_to(b"2026/alps/route.py")
        await b.keys("i", "J")
        assert detail.scroll_offset.y > 0
        await b.keys("K")
        assert detail.scroll_offset.y == 0
        await b.keys("slash", *"img", "enter", "n", "n")
        second = tree.current_key
        await b.keys("n", "N")
        assert tree.current_key == second


async def test_keys_that_turn_and_show() -> None:
    async with bench() as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys(".")
        assert b.screen.wish.hidden is False
        await b.keys("y", "p")
        assert b.app.clipboard == "2026/alps/notes.md"
        await b.keys("+")
        assert b.screen.zoomed
        await b.keys("_")
        assert not b.screen.zoomed
        for key, said in (("@", "Nothing was done here yet"), ("ctrl+g", "delay of the screen")):
            await b.keys(key)
            assert said in "".join(text for line in b.screen._lines for text, _ in line)
            await b.keys("escape")
        await b.keys("ctrl+t", *"light", "enter")
        assert b.app.theme == "globofs-light"
        await b.keys("e")
        assert "4 versions" in b.screen._label
        await b.keys("escape", "ctrl+l")
        assert b.screen.context == "files"
