"""Judging places of this machine as they are typed. Touches disks: only in bridge threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from globofs import errors
from globofs.tui import words
from globofs.tui.model.check import Check

if TYPE_CHECKING:
    from globofs.volume import Volume

ENTRIES_MAX = 10_000


def source(text: str, volume: str) -> Check:
    """Whether something can be added from there."""
    place = os.path.abspath(os.path.expanduser(text.strip())) if text.strip() else ""
    if not place:
        return Check(None, "a path, ~ is your home directory")
    if not os.path.lexists(place):
        return Check(False, f"there is nothing at {words.safe(place)}{_nearest(place)}")
    home = os.path.realpath(os.path.expanduser("~"))
    if text.strip().endswith("/") and os.path.realpath(place) == home:
        # What the prompt begins with: nobody means all of it by pressing Enter at once.
        return Check(None, "your home: type on, Tab completes; without the last / all of it")
    inside = os.path.join(os.path.realpath(volume), "")
    if os.path.join(os.path.realpath(place), "").startswith(inside):
        return Check(False, "that is inside the volume itself")
    if not os.path.isdir(place):
        return Check(True, f"a file of {words.size_words(os.path.getsize(place))}", place)
    count = 0
    try:
        with os.scandir(place) as entries:
            for _ in entries:
                count += 1
                if count >= ENTRIES_MAX:
                    break
    except OSError as error:
        return Check(False, errors.from_os_error(error).message)
    more = "more than " if count >= ENTRIES_MAX else ""
    return Check(True, f"a folder with {more}{words.plural(count, 'entry', 'entries')}", place)


def _nearest(place: str) -> str:
    above = os.path.dirname(place)
    if not os.path.isdir(above):
        return ""
    start = os.path.basename(place).lower()
    try:
        found = sorted(name for name in os.listdir(above) if name.lower().startswith(start))
    except OSError:
        return ""
    return f"; there is {', '.join(words.safe(name) for name in found[:4])}" if found else ""


def complete(text: str) -> str:
    """A path as far as what lies there leaves no choice; the text itself where it does."""
    place = os.path.expanduser(text)
    above, start = os.path.split(place)
    try:
        found = [name for name in os.listdir(above or ".") if name.startswith(start)]
    except OSError:
        return text
    found = [name for name in found if name.isprintable() and (start or name[:1] != ".")]
    first, last = min(found, default=""), max(found, default="")
    pairs = zip(first, last, strict=False)
    common = next((at for at, (a, b) in enumerate(pairs) if a != b), len(first))
    if not common:
        return text
    done = os.path.join(above, first[:common])
    return done + "/" if len(found) == 1 and os.path.isdir(done) else done


def origin(volume: Volume, path: bytes) -> str | None:
    """The directory of this machine in which `path` lay when it was added, if it did."""
    place = volume.came_from(path)
    return os.path.dirname(place) if place is not None else None


def target(text: str) -> Check:
    """Whether something can be written there."""
    if not text.strip():
        return Check(None, "a directory; it is made if it is missing")
    place = os.path.abspath(os.path.expanduser(text.strip()))
    if os.path.isdir(place):
        good = os.access(place, os.W_OK)
        return Check(
            good, "an existing directory" if good else "you may not write there", place + "/"
        )
    if os.path.lexists(place):
        return Check(True, "a file is there already: the plan will say so", place)
    above = os.path.dirname(place)
    while above != "/" and not os.path.isdir(above):
        above = os.path.dirname(above)
    if not os.access(above, os.W_OK):
        return Check(False, f"you may not write in {words.safe(above)}")
    return Check(True, "will be made", place + "/")


def peer(text: str, own_uuid: str) -> Check:
    """Whether another node's volume lies there; its name and uuid when it does."""
    if not text.strip():
        return Check(
            None, "the other node's volume directory, as reached from here (sshfs, NFS, disk)"
        )
    place = os.path.abspath(os.path.expanduser(text.strip()))
    if not os.path.isdir(place):
        return Check(False, f"no directory there{_nearest(place)}")
    from globofs.store.node import find_node_directory

    try:
        directory = find_node_directory(place)
        config = _config(directory)
    except errors.GlobofsError as error:
        return Check(False, error.message)
    except OSError as error:
        return Check(False, errors.from_os_error(error).message)
    if config.get("uuid") == own_uuid:
        return Check(False, "that is this node itself")
    name = config.get("name", os.path.basename(place))
    return Check(
        True, f"the volume of {words.safe(name)}, node {config.get('uuid', '')[:8]}", place
    )


def _config(directory: str) -> dict[str, str]:
    found: dict[str, str] = {}
    with open(os.path.join(directory, "config"), encoding="utf-8", errors="replace") as file:
        for line in file.read(64 * 1024).splitlines():
            key, equals, value = line.split(" #")[0].partition("=")
            if equals:
                found[key.strip()] = value.strip()
    return found
