"""Keys that come faster than answers, and what the hints say meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from textual import events
from textual.widgets import Input

from globofs.tui import ahead as keys_ahead
from globofs.tui.screens.base import ModeScreen
from globofs.tui.screens.dialogs import PickDialog
from globofs.tui.widgets.chrome import HintBar
from globofs.tui.widgets.virtual_list import VirtualList
from tests.test_8_tui_screens import Bench, bench

NAMES = {"slash": "/", "comma": ",", "space": " ", "colon": ":"}


async def burst(b: Bench, *keys: str) -> None:
    """Press without waiting for anything in between, as a fast hand or a paste does."""
    for key in keys:
        character = NAMES.get(key, key if len(key) == 1 else None)
        b.app.post_message(events.Key(key, character))
    await b.until(lambda: not len(b.app.ahead))
    await b.settle()


def slow(b: Bench, seconds: float = 0.03) -> None:
    """From now on every answer takes a while."""
    ask = b.app.bridge.ask

    def later(lane: Any, key: str, find: Callable[[], Any], *more: Any, **how: Any) -> None:
        def found() -> Any:
            time.sleep(seconds)
            return find()

        ask(lane, key, found, *more, **how)

    b.app.bridge.ask = later  # type: ignore[method-assign]


def followed(screen: Any) -> bool:
    """Whether what stands beside the row under the cursor is of that row."""
    if getattr(screen, "context", "") == "log":
        op = screen.here()
        return op is None or op.key == screen._files_of
    if getattr(screen, "context", "") != "files" or screen.selected is None:
        return True
    shown = (screen.time_source.timeline.path, screen.time_source.at)
    return shown == (screen.selected.path, screen.wish.at)


def seen(b: Bench) -> dict[str, Any]:
    """What the keys led to."""
    screen = b.screen
    lists = screen.query(VirtualList)
    found: dict[str, Any] = {
        "screen": type(screen).__name__,
        "mode": b.app.current_mode,
        "focus": screen.focused.id if screen.focused is not None else "",
        "cursors": {pane.id: pane.current_key for pane in lists},
        "texts": [box.value for box in screen.query(Input)],
        "done": b.volume.done,
        "at": b.app.at,
    }
    if isinstance(screen, ModeScreen) and screen.context == "files":
        found["wish"] = screen.wish  # type: ignore[attr-defined]
    return found


NOTES = b"2026/alps/notes.md"
#: what is pressed first, each key waited for; then what is typed in one go
SEQUENCES = {
    "back to now, the oldest version, restore it": (["tab", "left_bracket"], ["T", "G", "r"]),
    "a directory opened, the row in it": (["home"], ["down", "right", "down", "right", "down"]),
    "find a file": ([], ["f", *"notes", "enter"]),
    "find, then its versions": ([], ["f", *"route", "enter", "tab", "G"]),
    "travel by typing a time": ([], ["t", *"2", "space", *"days", "space", *"ago", "enter", "G"]),
    "a filter kept, its last row": ([], ["slash", *"no", "enter", "G"]),
    "another order, the last row": ([], ["comma", "s", "G"]),
    "the log's last operation, its moment": ([], ["5", "G", "enter"]),
    "the log's files, one of them": ([], ["5", "down", "down", "tab", "G", "enter"]),
    "deleted ones, the last, restored": ([], ["D", "G", "r"]),
    "a command by its name": ([], ["colon", *"conflicts", "enter"]),
    "a conflict, both kept": ([], ["4", "a"]),
    "a directory restored after its plan": (["home", "left_bracket"], ["down", "r", "r"]),
    "a dialog left again": ([], ["f", *"no", "escape", "down"]),
}


@pytest.mark.parametrize("name", SEQUENCES)
async def test_keys_typed_ahead_do_what_they_do_when_waited_for(name: str) -> None:
    first, keys = SEQUENCES[name]
    ends = []
    for ahead in (False, True):
        async with bench() as b:
            await b.go_to(NOTES)
            await b.keys(*first)
            if ahead:
                slow(b)
                await burst(b, *keys)
            else:
                await b.keys(*keys)
            screen = b.screen
            await b.until(lambda screen=screen: followed(screen))
            ends.append(seen(b))
    assert ends[1] == ends[0]


async def test_while_rows_are_read_modes_and_esc_answer_and_the_rest_waits() -> None:
    async with bench() as b:
        await b.keys("home")
        b.volume.delay = threading.Event()
        b.screen.builder.forget()
        await b.pilot.press("down", "enter", "down")  # the tree's lane hangs in the volume
        assert b.screen.tree_list.cursor == 1
        assert len(b.app.ahead) == 1
        await b.until(lambda: "1 key held, Esc lets go" in b.app.busy_words())
        await b.pilot.press("2")
        await b.until(lambda: b.app.current_mode == "sync")
        assert not len(b.app.ahead)
        await b.pilot.press("1")
        await b.until(lambda: b.app.current_mode == "files")
        await b.pilot.press("down")
        await b.until(lambda: b.screen.tree_list.cursor == 2)  # it acts on what is shown
        b.volume.delay.set()
        await b.settle()


async def test_a_pane_is_focused_before_the_next_key() -> None:
    async with bench() as b:
        await burst(b, "tab", "down")
        assert b.screen.focused.id == "versions"
        assert b.screen.tree_list.cursor == 0


async def test_what_is_about_a_version_waits_for_the_row_gone_to() -> None:
    async with bench() as b:
        await b.keys("D")
        rows = b.screen.tree_source.rows.rows
        at = next(i for i, row in enumerate(rows) if row.entry.kind != "directory")
        await burst(b, "home", *["down"] * at, "d")
        assert b.screen.selected.path == rows[at].entry.path
        assert b.screen.time_source.timeline.path == rows[at].entry.path
        assert not len(b.app.ahead)


async def test_while_a_filter_is_typed_no_hint_names_a_letter() -> None:
    async with bench() as b:
        await b.keys("slash")
        bar = b.screen.query_one(HintBar)
        assert [hint.key for hint in bar.hints] == ["Enter", "Esc"]
        await b.keys("escape")
        assert any(hint.key == "f" for hint in bar.hints)


async def test_a_screen_that_never_tells_does_not_hold_up_quitting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as b:
        monkeypatch.setattr(keys_ahead, "LAND_SECONDS", 0.0)
        b.app.ahead._expect()
        b.app.post_message(events.Key("2", "2"))
        await b.until(lambda: b.app.screen.context == "sync")


async def test_a_key_right_behind_esc_is_no_key_held_with_alt() -> None:
    async with bench(size=(80, 24)) as b:
        await b.go_to(b"2026/alps/notes.md")
        await b.keys("d")
        files = b.screen
        assert files.focused is files.detail
        b.app.post_message(events.Key("alt+t", "t"))
        await b.until(lambda: isinstance(b.app.screen, PickDialog))
        assert not files.detail_open


async def test_a_key_right_behind_esc_goes_to_what_is_below_the_dialog() -> None:
    async with bench() as b:
        files = b.screen
        await b.keys("f")
        b.app.post_message(events.Key("alt+D", "D"))
        await b.until(lambda: files.wish.deleted)
        assert b.app.screen is files
