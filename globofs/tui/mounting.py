"""Mounting and unmounting from the UI: what is mounted, and what is open through it.

A mount is a process of its own that outlives the UI, so it is started and ended by the commands.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from globofs.errors import GlobofsError
from globofs.speech import command
from globofs.store import intent
from globofs.tui import words
from globofs.tui.face import Face
from globofs.tui.widgets.paint import Column, wrapped

if TYPE_CHECKING:
    from globofs.tui.screens.dialogs import Choice
    from globofs.volume import Volume

_SECONDS = 90
_AGAIN_SECONDS = 1.0
_OPEN_NAMED = 50
_REASON_COLUMNS = 48  # what a dialog shows on the narrowest screen
_COLUMNS = (Column("what", ""),)


class CommandFailed(GlobofsError):
    """{reason}"""


def living(volume: Volume) -> list[intent.Living]:
    """The mounts of this volume that serve now."""
    return intent.living(os.path.join(volume.node.directory, "state", "open"))


def open_words(mount: intent.Living) -> str:
    """How much is open through a mount, in words."""
    return f"{len(mount.open):,} open" if mount.open else "nothing is open"


def run_command(volume: Volume, *args: str) -> None:
    """A command of this program on this volume. CommandFailed with its last line."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "globofs", "-C", volume.directory, *args],
            check=False,
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
            return choices(volume, text.strip())

        self.push_screen(
            PickDialog(
                "Mounts",
                _COLUMNS,
                find,
                placeholder="a directory to mount on",
                slow=True,
                empty="not mounted; type a directory to see the volume there as ordinary files",
                foot="Enter mounts or unmounts · Esc leaves",
                again=_AGAIN_SECONDS,
            ),
            self._mount_chosen,
        )

    def _mount_chosen(self, chosen: tuple[str, str] | None) -> None:
        if chosen is None:
            return
        what, place = chosen
        volume = self.volume
        make = what == "make"
        what = "mount" if make else what
        going, gone = ("mounting", "Mounted on") if what == "mount" else ("unmounting", "Unmounted")
        background = what == "mount"
        line = command(what, place, background=background)

        def work(emit: Any, cancelled: Any) -> None:
            if make:
                os.makedirs(place, exist_ok=True)
            args = [what, place, *(["--background"] if background else [])]
            run_command(volume, *args)

        self.verb(
            what,
            going,
            work,
            lambda _: f"{gone} {words.safe(place)}",
            line=f"mkdir -p {shlex.quote(place)} && {line}" if make else line,
        )


def choices(volume: Volume, text: str) -> list[Choice]:
    """What can be done: mount on the directory typed, or why not; unmount what is mounted, with
    what is open through it. Touches disks."""
    from globofs.tui.screens.dialogs import Choice

    place = os.path.abspath(os.path.expanduser(text)) if text else ""
    mounts = [mount for mount in living(volume) if place in ("", mount.place)]
    if place and not mounts:
        return _to_mount(volume, place)
    found: list[Choice] = []
    for mount in mounts:
        label = (f"unmount {words.safe(mount.place)}", "strong")
        found.append(
            Choice(("umount", mount.place), ((label, (f"  {open_words(mount)}", "muted")),))
        )
        for path in mount.open[:_OPEN_NAMED]:
            found.append(_told(f"  {words.shown_path(path)}", "muted"))
        more = len(mount.open) - _OPEN_NAMED
        if more > 0:
            found.append(_told(f"  and {more:,} more", "muted"))
    return found


def _told(text: str, style: str) -> Choice:
    from globofs.tui.screens.dialogs import Choice

    return Choice(None, (((text, style),),))


def _to_mount(volume: Volume, place: str) -> list[Choice]:
    from globofs.mount.place import MountError, check_new, check_place
    from globofs.tui.screens.dialogs import Choice

    make = not os.path.lexists(place)
    try:
        (check_new if make else check_place)(volume, place)
    except MountError as error:
        lines = wrapped([(str(error.fields["reason"]), "warn")], _REASON_COLUMNS)
        told = [Choice(None, (((" ", ""), *line),)) for line in lines]
        return [_told(f"cannot mount on {words.safe(place)}:", "muted"), *told]
    what = "make and mount on" if make else "mount on"
    label = ((f"{what} {words.safe(place)}", "strong"),)
    return [Choice(("make" if make else "mount", place), (label,))]
