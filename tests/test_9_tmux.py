"""The UI at a real terminal: the demo's story key by key, and what is left when it is over."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from globofs.volume import Volume
from tests.helpers_tmux import Terminal, needs_tmux, terminal

pytestmark = needs_tmux


@pytest.fixture
def place() -> Iterator[Path]:
    """Short, for a socket's name may have no more than a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="tmux-") as made:
        yield Path(made)


@pytest.fixture
def volume(place: Path) -> Path:
    """A volume with a file in two versions, and a directory that was deleted."""
    source = place / "letters"
    source.mkdir()
    with Volume.init(str(place / "v"), name="here") as made:
        for text in ("first\n", "second\n"):
            (source / "hello.txt").write_text(text)
            made.add([str(source)])
        (place / "old").mkdir()
        (place / "old" / "tale.txt").write_text("once\n")
        made.add([str(place / "old")])
        made.rm([b"old"])
    return place / "v"


def _story(at: Terminal, wide: bool) -> None:
    """Browse, a timeline, a difference, time travel, restore and undo, sync, a conflict, out."""
    at.run("demo")
    at.until("documents")
    at.keys("f")
    at.until("Find in the whole volume")
    at.type("notesmd")
    at.until("documents/notes.md")
    at.keys("Enter")
    at.until("24 versions", without="Find in the whole volume")
    at.keys("Tab", "Down", "Down", "d")
    at.until(lambda screen: "@@" in screen and " lines" in screen)
    if not wide:  # the difference has taken the place of everything else
        at.until("Esc Back")
        at.keys("Escape")
    at.keys("t")  # it may come together with the Esc, as a key held with Alt does
    at.until("Time travel")
    at.type("20 days ago")
    at.keys("Enter")
    at.until("AS OF", without="Time travel")
    at.keys("T", "G", "r")  # typed ahead: the oldest version comes back
    at.until("undoes", without="AS OF")
    at.until("25 versions")
    at.keys("z")
    at.until("Undone")
    at.keys("2")
    at.until(lambda screen: "Moving" in screen and "film/" in screen)
    at.keys("4")
    at.until("documents/budget.csv")
    at.keys("a")
    at.until("No conflict", without="Conflicts 1")
    at.keys("1")
    at.until("documents")
    _leave(at, "q")


def _leave(at: Terminal, key: str) -> None:
    """Press until it is over: while something moves, the first time only says so."""
    at.keys(key)
    at.until(lambda screen: "ready$" in screen[-200:] or "Again to quit" in screen)
    if "Again to quit" in at.screen():
        at.keys(key)
    at.at_shell()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_story_of_the_demo(place: Path, width: int, height: int) -> None:
    with terminal(place, width, height) as at:
        _story(at, wide=width > 110)


@pytest.mark.parametrize(
    ("term", "key"), [("xterm", "q"), ("screen-256color", "C-c"), ("xterm-256color", "C-c")]
)
def test_leaving_gives_the_terminal_back_as_it_was(
    place: Path, volume: Path, term: str, key: str
) -> None:
    with terminal(place) as at:
        at.run("-C", volume, "ui", TERM=term)
        at.until("letters")
        assert at.fact("alternate_on") == "1"
        assert at.fact("mouse_any_flag") == "1"
        at.keys(key)
        assert "Traceback" not in at.at_shell()


def test_a_kill_gives_the_terminal_back_too(place: Path, volume: Path) -> None:
    with terminal(place) as at:
        at.run("-C", volume, "ui")
        at.until("letters")
        at.until("no peers")
        os.kill(_child_of(int(at.fact("pane_pid"))), signal.SIGTERM)
        assert "Traceback" not in at.at_shell()


def test_the_demo_leaves_nothing_behind_when_the_terminal_closes(place: Path) -> None:
    with terminal(place) as at:
        at.run("demo")
        at.until("documents")
        at.until("up to date")
        directory = at.screen_of_start().split(" in ")[-1].split(" ...")[0].strip()
        assert os.path.isdir(directory)
    end = time.monotonic() + 15
    while os.path.exists(directory) and time.monotonic() < end:
        time.sleep(0.1)
    assert not os.path.exists(directory)


def _child_of(pid: int) -> int:
    """The only process that a shell runs."""
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # others come and go meanwhile
            if entry.name.isdigit() and f"PPid:\t{pid}\n" in (entry / "status").read_text():
                return int(entry.name)
    raise AssertionError("nothing runs")


def test_it_follows_the_size_of_the_terminal(place: Path, volume: Path) -> None:
    with terminal(place, 120, 40) as at:
        at.run("-C", volume, "ui")
        at.until("letters")
        at.keys("Right")
        at.until("hello.txt")
        at.keys("Down")
        at.until("2 versions")
        for width, height in ((60, 20), (40, 12), (200, 60), (80, 24)):
            at.resize(width, height)
            screen = at.until(lambda text, h=height: text.count("\n") == h and "hello.txt" in text)
            assert max(map(len, screen.splitlines())) <= width
        at.keys("q")
        at.at_shell()


def test_without_colour_everything_is_still_said(place: Path, volume: Path) -> None:
    with terminal(place) as at:
        at.run("-C", volume, "ui", NO_COLOR="1")
        at.until("letters")
        shades = set()
        for piece in at.screen(styles=True).split("\x1b[")[1:]:
            shades |= {
                tuple(part.split(";")[2:5]) for part in [piece.split("m")[0]] if ";2;" in part
            }
        assert all(len(set(shade)) == 1 for shade in shades if len(shade) == 3), "only greys"
        at.keys("D")
        at.until("deleted")
        at.keys("q")
        at.at_shell()


def test_reading_only_says_so_and_writes_nothing(place: Path, volume: Path) -> None:
    before = sorted(str(path) for path in volume.rglob("updates/*"))
    with terminal(place) as at:
        at.run("-C", volume, "ui", "--readonly")
        at.until("letters")
        at.until(lambda screen: "read" in screen and "only" in screen)
        at.keys("Delete")
        at.until("pened read only")
        at.keys("q")
        at.at_shell()
    assert sorted(str(path) for path in volume.rglob("updates/*")) == before


def test_a_deleted_folder_comes_back(place: Path, volume: Path) -> None:
    with terminal(place) as at:
        at.run("-C", volume, "ui")
        at.until("letters", without="old")
        at.keys("D")
        at.until("old")
        at.keys("G", "r")
        at.until("undoes")
        at.keys("q")
        at.at_shell()
    with Volume.open(str(volume)) as made:
        entry = made.view().entry(b"old/tale.txt")
        assert entry is not None
        assert entry.kind == "file"
