"""What is drawn again when something changes, and who computes first while an engine works."""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.pilot import Pilot

from globofs.snapshots import Lag
from globofs.tui import priority, themes
from globofs.tui.model.text import Page
from globofs.tui.widgets.paint import Column
from globofs.tui.widgets.text_view import TextView
from globofs.tui.widgets.virtual_list import Rows, VirtualList
from tests.test_8_tui_screens import bench

COUNT = 1_000_000


class Counting(VirtualList):
    """A list that remembers which lines the screen asked for."""

    def __init__(self, source: Rows) -> None:
        super().__init__(source, id="list")
        self.asked: list[int] = []

    def render_line(self, y: int) -> Any:
        self.asked.append(y)
        return super().render_line(y)


class CountingText(TextView):
    """A text that remembers the same."""

    asked: list[int]

    def render_line(self, y: int) -> Any:
        self.asked.append(y)
        return super().render_line(y)


class Million(Rows):
    """Rows made when they are looked at."""

    def __init__(self) -> None:
        super().__init__((Column("name", "name"),))
        self.changed: dict[int, str] = {}
        self.made = 0

    def __len__(self) -> int:
        return COUNT

    def key(self, index: int) -> int:
        return index

    def find(self, key: Any) -> int | None:
        return int(key)

    def cells(self, index: int) -> tuple[str, ...]:
        self.made += 1
        return (self.changed.get(index, f"row {index}"),)

    def base(self, index: int) -> str:
        return ""


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.rows = Million()
        self.list = Counting(self.rows)
        self.text = CountingText(id="text")
        self.text.asked = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variables(self.current_theme)

    def compose(self) -> ComposeResult:
        yield self.list
        yield self.text

    def on_mount(self) -> None:
        for pane in (self.list, self.text):
            pane.styles.height = 12
            pane.styles.border = ("round", "white")


async def painted(pilot: Pilot[None]) -> None:
    """Wait until all that should be drawn again has been."""
    screen = pilot.app.screen
    for _ in range(500):
        await pilot.pause(0.02)
        due = any(pane._repaint_required for pane in screen.walk_children())
        if not due and not screen._dirty_widgets and not screen._layout_required:
            return
    raise AssertionError("the screen never came to rest")


@asynccontextmanager
async def host() -> AsyncIterator[tuple[Host, Pilot[None]]]:
    app = Host()
    async with app.run_test(size=(40, 24)) as pilot:
        app.list.focus()
        app.list.go_to(4)
        await painted(pilot)
        app.list.asked.clear()
        app.text.asked.clear()
        yield app, pilot


async def test_a_move_draws_the_row_left_and_the_row_gone_to() -> None:
    async with host() as (app, pilot):
        app.list.move(1)
        await painted(pilot)
        assert sorted(app.list.asked) == [5, 6]  # below the header


async def test_a_row_that_changed_is_drawn_alone_and_the_rest_of_a_million_not_made() -> None:
    async with host() as (app, pilot):
        app.rows.changed[2] = "another name"
        app.rows.serial += 1
        before = app.rows.made
        app.list.reload()
        await painted(pilot)
        assert app.list.asked == [3]
        assert app.rows.made - before <= 2 * app.list.size.height
        assert "another name" in app.list.line(3).text


async def test_far_away_rows_are_reached_by_making_a_screenful() -> None:
    async with host() as (app, pilot):
        before = app.rows.made
        app.list.edge(True)
        await painted(pilot)
        assert app.list.cursor == COUNT - 1
        assert app.rows.made - before <= 3 * app.list.size.height


async def test_other_captions_draw_the_border_and_the_same_ones_nothing() -> None:
    async with host() as (app, pilot):
        app.list.entitle(Content("one"), Content("below"))
        await painted(pilot)
        assert app.list.border_title == "one"
        assert app.list.border_subtitle == "below"
        assert app.list.asked == []
        asked: list[Any] = []
        app.list._set_dirty = lambda *regions: asked.append(regions)  # type: ignore[method-assign]
        app.list.entitle(Content("one"))
        assert asked == []


async def test_of_a_text_only_the_lines_that_differ_are_drawn() -> None:
    async with host() as (app, pilot):
        lines = [((f"line {n}", ""),) for n in range(8)]
        app.text.show(Page(lines=lines))
        await painted(pilot)
        app.text.asked.clear()
        lines[3] = (("LINE 3", ""),)
        app.text.show(Page(lines=list(lines)))
        await painted(pilot)
        assert app.text.asked == [3]


def test_turns_are_short_while_the_screen_waits_and_long_while_it_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[tuple[float | None, float]] = []

    def look(self: Any, timeout: float | None = None) -> list[Any]:
        waited.append((timeout, sys.getswitchinterval()))
        return []

    monkeypatch.setattr(selectors.DefaultSelector, "select", look)
    before = sys.getswitchinterval()
    selector = priority.ScreenFirst()
    try:
        selector.select(0.5)
        assert waited == [(0.5, pytest.approx(priority.WAITING_SECONDS))]
        assert sys.getswitchinterval() == pytest.approx(priority.COMPUTING_SECONDS)
        monkeypatch.setattr(priority.time, "monotonic", lambda: selector._looked)
        selector.select(0)
        assert len(waited) == 1  # callbacks are ready: on with them
        monkeypatch.setattr(
            priority.time, "monotonic", lambda: selector._looked + 2 * priority.LOOK_SECONDS
        )
        selector.select(0)
        assert len(waited) == 2  # but not for ever
    finally:
        selector.close()
    assert sys.getswitchinterval() == pytest.approx(before)


def test_its_event_loop_hears_other_threads() -> None:
    async def ask() -> int:
        return await asyncio.to_thread(lambda: 42)

    with asyncio.Runner(loop_factory=priority.event_loop) as runner:
        assert runner.run(ask()) == 42


def test_what_is_there_at_the_start_is_not_collected_again_until_the_end() -> None:
    before = gc.get_threshold()
    with priority.spare_the_collector():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == priority.COLLECT_AFTER
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


@pytest.mark.parametrize(
    ("said", "limit"),
    [({}, 120), ({"TEXTUAL_FPS": "15"}, 15), ({"SSH_CONNECTION": "10.0.0.1 22 10.0.0.2 22"}, 60)],
    ids=["here", "told", "far"],
)
def test_a_key_need_not_wait_for_60_paints_a_second(said: dict[str, str], limit: int) -> None:
    """Textual reads its limit once, so in a new process; programs started there hear nothing."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TEXTUAL_FPS", "SSH_CONNECTION")
    }
    code = "import globofs.tui, os; from textual.constants import MAX_FPS as limit; "
    code += "print(limit, os.environ.get('TEXTUAL_FPS'))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env | said, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(limit), str(said.get("TEXTUAL_FPS"))], done.stderr


async def test_doctor_is_told_how_late_the_beats_come() -> None:
    async with bench() as b:
        await b.until(lambda: isinstance(getattr(b.engine, "lag", None), Lag))
        b.app.lags[:] = [0.001] * 95 + [0.2] * 5
        assert b.app.lag.usual == 0.001
        assert b.app.lag.most == 0.2
        await b.keys("ctrl+g")
        shown = b.screen.query_one("#say-lines").render_lines(Region(0, 0, 80, 1))
        assert "ms usual" in shown[0].text
