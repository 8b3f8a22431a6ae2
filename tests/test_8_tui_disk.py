"""The UI thread touches no disk: not itself, and not by asking the volume where it should have
asked a worker to."""

from __future__ import annotations

import builtins
import io
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import helpers_tui as fake
from tests.test_8_tui_screens import Bench, bench

MODES = ("files", "sync", "peers", "conflicts", "log")
#: other programs take the terminal, or the app ends
NOT_PRESSED = frozenset({"quit", "editor", "open_copy", "merge", "redraw"})
CALLS = (
    "access", "chmod", "fsync", "link", "listdir", "listxattr", "lstat", "mkdir", "open", "readlink",
    "remove", "rename", "replace", "rmdir", "scandir", "stat", "statvfs", "symlink", "truncate",
    "unlink", "utime",
)  # fmt: skip


class Guard:
    """Remembers every call that a thread made to what it should leave alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._thread = threading.get_ident()
        self.touched: list[str] = []

    def watch(self, place: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(place, name)

        def checked(*args: Any, **how: Any) -> Any:
            if threading.get_ident() == self._thread:
                self._note(name)
            return real(*args, **how)

        self._patch.setattr(place, name, checked)

    def _note(self, name: str) -> None:
        frame, ours, depth = sys._getframe(2), "", 0
        while frame is not None:
            file = frame.f_code.co_filename
            if depth < 9 and "importlib" in file:
                return  # a module is imported when it is first needed
            if not ours and "/globofs/" in file:
                ours = f"{name} from {file}:{frame.f_lineno}"
            frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
        if ours:
            self.touched.append(ours)


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    """Watches the system, and the whole facade: on a real volume every method of it reads."""
    made = Guard(monkeypatch)
    made.watch(builtins, "open")
    made.watch(io, "open")
    made.watch(sqlite3, "connect")
    made.watch(subprocess, "Popen")
    for name in CALLS:
        made.watch(os, name)
    for facade in (fake.FakeVolume, fake.FakeView):
        for name, value in vars(facade).items():
            if callable(value) and not name.startswith("_"):
                made.watch(facade, name)
    yield made
    monkeypatch.undo()


async def calm(b: Bench) -> None:
    """Until every answer is there."""
    await b.pilot.pause(0.02)
    await b.until(
        lambda: not b.app.bridge.waits() and not b.app.bridge.acts and not len(b.app.ahead)
    )


async def back_to(b: Bench, mode: str) -> None:
    """Out of dialogs and jumps, and to a mode."""
    for _ in range(4):
        if len(b.app.screen_stack) == 1 and not b.screen.jump:
            break
        await b.pilot.press("escape")
        await calm(b)
    b.app.go_mode(mode)
    await b.until(lambda: b.app.current_mode == mode and b.screen.is_ready)


def test_the_guard_sees_what_it_should(guard: Guard) -> None:
    from globofs.tui import settings

    settings.load({"XDG_STATE_HOME": "/nowhere", "XDG_CONFIG_HOME": "/nowhere"})
    assert any(call.startswith("open from") for call in guard.touched)


@pytest.mark.parametrize("mode", MODES)
async def test_no_key_makes_the_ui_thread_touch_a_disk(mode: str, guard: Guard) -> None:
    async with bench() as b:
        pressed = set()
        await back_to(b, mode)
        guard.touched.clear()  # what the test's own set-up did
        for pane in b.screen.panes:
            await back_to(b, mode)
            b.screen.focus_pane(pane)
            await calm(b)
            for action in b.app.keymap.valid(b.screen.contexts()):
                if action.id in NOT_PRESSED | pressed or action.id.startswith("mode_"):
                    continue
                if "any" in action.contexts and mode != "files":
                    continue  # the same wherever one is
                pressed.add(action.id)
                await b.pilot.press(action.keys[0])
                await calm(b)
                if len(b.app.screen_stack) > 1:  # type into the dialog, and take what it offers
                    await b.pilot.press("a", "down")
                    await calm(b)
                await back_to(b, mode)
        assert len(pressed) > 10
        assert guard.touched == []
