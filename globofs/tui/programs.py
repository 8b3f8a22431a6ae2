"""Versions in other programs: temporary copies, the system's opener, $EDITOR and $PAGER.

Copies are written and looked at in workers. Only a program that takes the terminal itself is
waited for here: while it runs there is no screen of ours that could stand still, and snapshots
are not taken, so that none pile up.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from globofs.errors import GlobofsError
from globofs.tui import words
from globofs.tui.face import Face

if TYPE_CHECKING:
    from globofs.store.views import Version
    from globofs.volume import Volume

OPENER_SECONDS: Final = 3.0  # an opener that fails does so at once


class NoProgram(GlobofsError):
    """{reason}"""


def copy_out(volume: Volume, version: Version, emit: Any, cancelled: Any) -> str:
    """A read-only copy of a version in a new temporary directory, under its own name."""
    name = os.path.basename(os.fsdecode(version.path)) or "file"
    path = os.path.join(tempfile.mkdtemp(prefix="globofs-"), name)
    with open(path, "wb") as file:
        for piece in volume.read(version, emit=emit, cancelled=cancelled):
            file.write(piece)
    os.chmod(path, 0o400)
    return path


def tidy(path: str) -> None:
    """Remove a copy and the directory made for it."""
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def stamp(path: str) -> tuple[int, int]:
    """What changes when a program writes the file: size and time; zeros when it is gone."""
    try:
        info = os.stat(path)
    except OSError:
        return 0, 0
    return info.st_size, info.st_mtime_ns


def opener(environ: Mapping[str, str]) -> list[str]:
    """The system's program for opening files: $GLOBOFS_OPEN, else the platform's. Raises
    NoProgram, naming what is not there."""
    own = shlex.split(environ.get("GLOBOFS_OPEN", ""))
    line = own or ["open" if sys.platform == "darwin" else "xdg-open"]
    if shutil.which(line[0], path=environ.get("PATH")) is None:
        whose = "$GLOBOFS_OPEN names it" if own else "and $GLOBOFS_OPEN is not set"
        raise NoProgram(reason=f"{line[0]} is not installed, {whose}; E opens it in $EDITOR")
    return line


def pager(environ: Mapping[str, str]) -> list[str]:
    """What shows a copy in the terminal: $VISUAL, $EDITOR, $PAGER, less."""
    for name in ("VISUAL", "EDITOR", "PAGER"):
        line = shlex.split(environ.get(name, ""))
        if line:
            return line
    return ["less"]


def launch(line: list[str], path: str) -> None:
    """Start a program that has a window of its own. Raises NoProgram when it fails at once."""
    process = subprocess.Popen(
        [*line, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = process.wait(OPENER_SECONDS)
    except subprocess.TimeoutExpired:
        return
    if status:
        raise NoProgram(
            reason=f"{line[0]} could not open it (exit {status}); E opens it in $EDITOR"
        )


def in_terminal(app: Face, line: list[str], then: Callable[[int], None]) -> None:
    """Give the terminal to a program; `then(its exit status)` once the UI is back."""
    app.bridge.resting = True
    try:
        with app.suspend():
            status = subprocess.run(line, check=False).returncode
    except Exception as error:
        app.say(f"{line[0]}: {words.safe(str(error))}", "error")
        return
    finally:
        app.bridge.resting = False
    then(status)


def show_copy(app: Face, version: Version) -> None:
    """Fetch a version into a temporary file and show it in $EDITOR or $PAGER."""
    volume = app.volume

    def work(emit: Any, cancelled: Any) -> tuple[str, list[str], tuple[int, int]]:
        path = copy_out(volume, version, emit, cancelled)
        return path, pager(os.environ), stamp(path)

    def run(found: tuple[str, list[str], tuple[int, int]]) -> None:
        path, line, before = found

        def look() -> bool:
            changed = stamp(path) != before
            if not changed:
                tidy(path)
            return changed

        def said(changed: bool) -> None:
            if changed:
                app.say(
                    f"A copy was changed, which the volume does not take: {path}", "warning", 12
                )

        in_terminal(app, [*line, path], lambda _: None)
        app.bridge.ask("state", f"tidy-{path}", look, said, app.say_why)

    app.verb("cat", "fetching a copy", work, lambda _: "", after=run)


def open_copy(app: Face, version: Version) -> None:
    """Fetch a version into a temporary file and open it with the system's program."""
    volume = app.volume

    def work(emit: Any, cancelled: Any) -> str:
        line = opener(os.environ)
        path = copy_out(volume, version, emit, cancelled)
        app.copies.append(path)
        launch(line, path)
        return line[0]

    name = words.shown_path(version.path)
    app.verb("cat", "fetching a copy", work, lambda program: f"{program} opens a copy of {name}")
