"""What is seen: differences in two columns, ages that go on, columns, bars."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from globofs.tui.glyphs import ASCII
from globofs.tui.screens import start
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
        "d", "[", "T", "t", "escape", "R", "escape", "?", "escape", ":", "escape", "c", "escape",
        "2", "w", "escape", "3", "a", "escape", "4", "5", "1", "z",
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


def test_a_command_is_found_by_its_words() -> None:
    assert rank("add", "add take a folder") == 0
    assert rank("rst", "restore bring this version back") is not None
    assert rank("add", "redraw draw the screen again") is None
