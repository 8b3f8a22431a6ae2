"""Mounting and unmounting from the UI: what is mounted, and what is open through it.

A mount is a process of its own that outlives the UI, so it is started and ended by the commands.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from globofs.errors import GlobofsError
from globofs.speech import command
from globofs.store import intent
from globofs.tui import words
from globofs.tui.face import Face
from globofs.tui.widgets.paint import Column

if TYPE_CHECKING:
    from globofs.tui.screens.dialogs import Choice
    from globofs.volume import Volume

_SECONDS = 90
_OPEN_NAMED = 3
_COLUMNS = (Column("what", "", 40), Column("open", ""))


class CommandFailed(GlobofsError):
    """{reason}"""


def living(volume: Volume) -> list[intent.Living]:
    """The mounts of this volume that serve now."""
    return intent.living(os.path.join(volume.node.directory, "state", "open"))


def open_words(mount: intent.Living) -> str:
    """What is open through a mount, in a few words."""
    if not mount.open:
        return "nothing is open"
    named = ", ".join(words.shown_path(path) for path in mount.open[:_OPEN_NAMED])
    more = len(mount.open) - _OPEN_NAMED
    return f"open: {named}" + (f" and {more:,} more" if more > 0 else "")


def run_command(volume: Volume, *args: str) -> None:
    """A command of this program on this volume. CommandFailed with its last line."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "globofs", "-C", volume.directory, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(reason=f"`{command(args[0])}` does not end") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{args[0]} failed"]
        raise CommandFailed(reason=lines[-1].removeprefix("globofs: "))


class Mounting(Face):
    """Mixin of the app."""

    def do_mounts(self) -> None:
        """What is mounted; Enter unmounts it, a directory typed is mounted on."""
        from globofs.tui.screens.dialogs import PickDialog

        volume = self.volume

        def find(text: str) -> Sequence[Choice]:
            return _choices(living(volume), text.strip())

        self.push_screen(
            PickDialog(
                "Mounts",
                _COLUMNS,
                find,
                placeholder="a directory to mount on",
                slow=True,
                empty="not mounted; type a directory to see the volume there as ordinary files",
                foot="Enter mounts or unmounts · Esc leaves",
            ),
            self._mount_chosen,
        )

    def _mount_chosen(self, chosen: tuple[str, str] | None) -> None:
        if chosen is None:
            return
        what, place = chosen
        volume = self.volume
        going, gone = ("mounting", "Mounted on") if what == "mount" else ("unmounting", "Unmounted")
        background = what == "mount"

        def work(emit: Any, cancelled: Any) -> None:
            args = [what, place, *(["--background"] if background else [])]
            run_command(volume, *args)

        self.verb(
            what,
            going,
            work,
            lambda _: f"{gone} {words.safe(place)}",
            line=command(what, place, background=background),
        )


def _choices(mounts: Sequence[intent.Living], text: str) -> list[Choice]:
    from globofs.tui.screens.dialogs import Choice

    found: list[Choice] = []
    if text:
        place = os.path.abspath(os.path.expanduser(text))
        why = "" if os.path.isdir(place) else "there is no such directory"
        label = f"mount on {words.safe(place)}"
        found.append(Choice(("mount", place), (((label, "strong"),), ((why, "warn"),))))
    for mount in mounts:
        label = f"unmount {words.safe(mount.place)}"
        cells = (((label, ""),), ((open_words(mount), "muted"),))
        found.append(Choice(("umount", mount.place), cells))
    return found
