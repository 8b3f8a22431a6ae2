"""Pictures of the screens, compared: clock, zone, nodes and animation stand still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

from globofs.tui import glyphs
from globofs.tui.app import GlobofsApp
from globofs.tui.settings import Settings
from tests import helpers_tui as fake

OPENED = ("down", "enter", "down", "enter")
NOTES = ("down", "down", "down", "down", "down")
PICTURES: dict[str, tuple[tuple[int, int], tuple[str, ...], str, str]] = {
    "files-60": ((60, 20), (*OPENED, *NOTES), "globofs", "unicode"),
    "files-80": ((80, 24), (*OPENED, *NOTES), "globofs", "unicode"),
    "files-120": ((120, 40), (*OPENED, *NOTES, "tab", "down"), "globofs", "unicode"),
    "files-200": ((200, 60), (*OPENED, *NOTES), "globofs", "unicode"),
    "files-light": ((120, 40), (*OPENED, *NOTES), "globofs-light", "unicode"),
    "files-contrast": ((80, 24), (*OPENED, *NOTES), "globofs-contrast", "unicode"),
    "files-ascii": ((80, 24), (*OPENED, *NOTES), "globofs", "ascii"),
    "diff-80": ((80, 24), (*OPENED, *NOTES, "d"), "globofs", "unicode"),
    "picture-120": ((120, 40), (*OPENED, *NOTES, "down", "down", "down"), "globofs", "unicode"),
    "travel-120": ((120, 40), (*OPENED, *NOTES, "[", "["), "globofs", "unicode"),
    "plan-120": ((120, 40), ("down", "tab", "down", "down", "down", "r"), "globofs", "unicode"),
    "sync-80": ((80, 24), ("2",), "globofs", "unicode"),
    "sync-120": ((120, 40), ("2",), "globofs", "unicode"),
    "sync-200": ((200, 60), ("2",), "globofs", "unicode"),
    "sync-ascii": ((120, 40), ("2",), "globofs", "ascii"),
    "dir-120": ((120, 40), ("down", "enter", "down", "tab", "down"), "globofs", "unicode"),
    "sync-cb": ((120, 40), ("2",), "globofs-cb", "unicode"),
    "sync-60": ((60, 20), ("2", "tab"), "globofs-light", "unicode"),
    "peers-200": ((200, 60), ("3", "down"), "globofs", "unicode"),
    "conflicts-60": ((60, 20), ("4", "enter", "tab"), "globofs", "unicode"),
    "log-60": ((60, 20), ("5", "down"), "globofs", "ascii"),
    "peers-80": ((80, 24), ("3", "down"), "globofs", "unicode"),
    "conflicts-120": ((120, 40), ("4", "enter", "down"), "globofs", "unicode"),
    "log-120": ((120, 40), ("5", "down"), "globofs", "unicode"),
    "help-80": ((80, 24), ("question_mark",), "globofs", "unicode"),
}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    yield
    time.tzset()


async def settle(pilot: Pilot[Any]) -> None:
    app: Any = pilot.app
    quiet = 0
    for _ in range(300):
        await pilot.pause(0.03)
        busy = bool(app.bridge.waits() or app.bridge.acts or app.snapshot is None)
        quiet = 0 if busy else quiet + 1
        if quiet >= 3:
            return


def paper(theme: str, symbols: str) -> GlobofsApp:
    volume = fake.full_volume()
    engine = fake.busy_engine(volume)
    return GlobofsApp(
        lambda emit: (volume, engine),  # type: ignore[arg-type,return-value]
        now=lambda: fake.NOW,
        habits=Settings(theme=theme),
        glyphs=glyphs.SETS[symbols],
    )


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_picture(name: str, snap_compare: Any) -> None:
    size, keys, theme, symbols = PICTURES[name]

    async def play(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    assert snap_compare(paper(theme, symbols), terminal_size=size, run_before=play)


def test_picture_of_the_start(snap_compare: Any) -> None:
    app = GlobofsApp(None, habits=Settings(recent=("/home/anna/Trips", "/srv/photos")))

    async def judged(pilot: Pilot[Any]) -> None:
        for _ in range(300):
            await pilot.pause(0.02)
            if getattr(app.screen, "gone", None):
                return

    assert snap_compare(app, terminal_size=(80, 24), run_before=judged)


def test_picture_without_colour(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(paper("globofs", "unicode"), terminal_size=(80, 24), run_before=settle)


def test_picture_of_an_empty_volume(snap_compare: Any) -> None:
    volume = fake.FakeVolume()
    engine = fake.FakeEngine(volume)
    app = GlobofsApp(lambda emit: (volume, engine), now=lambda: fake.NOW)  # type: ignore[arg-type,return-value]
    assert snap_compare(app, terminal_size=(80, 24), run_before=settle)
