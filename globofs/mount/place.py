"""Where a volume may be mounted: what would be hidden, or swallow itself, is refused."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from globofs.errors import GlobofsError, NoVolume, os_reason
from globofs.store.node import find_volume

if TYPE_CHECKING:
    from globofs.volume import Volume


class MountError(GlobofsError):
    """{path}: cannot be mounted on: {reason}"""

    errno = errno.EBUSY


def check_place(volume: Volume, mountpoint: str) -> str:
    """The real path of `mountpoint`, if the volume may be mounted there; MountError if not.

    It must exist, be no mount of a volume and lie in none of this one, neither lie in a volume
    nor hide this one or a peer. A peer's directory may hang, so that is told by its path alone;
    the others are told by what they are, so that no symlink and no bind mount hides it.
    """
    try:
        os.stat(mountpoint)
        os.statvfs(mountpoint)  # of a mount that just died the kernel still knows the attributes
    except FileNotFoundError:
        raise MountError(path=mountpoint, reason="there is no such directory; make it") from None
    except OSError as error:
        raise MountError(path=mountpoint, reason=os_reason(error)) from None
    place = os.path.realpath(mountpoint)
    reason = "it is not a directory" if not os.path.isdir(place) else _reason(volume, place)
    if reason:
        raise MountError(path=mountpoint, reason=reason)
    return place


def check_new(volume: Volume, path: str) -> None:
    """MountError if `path`, where nothing is yet, would lie where nothing may be mounted."""
    above = next(up for up in _upwards(os.path.abspath(path)) if os.path.lexists(up))
    reason = "" if os.path.isdir(above) else f"{above} is not a directory"
    reason = reason or _inside(volume, os.path.realpath(above))
    if reason:
        raise MountError(path=path, reason=reason)


def _inside(volume: Volume, place: str) -> str:
    """Why nothing that lies in `place` may be mounted on; "" if nothing speaks against."""
    mounts = globofs_mounts()
    if any(mounts.get(above) == f"globofs:{volume.directory}" for above in _upwards(place)):
        return "it lies in a mount of this volume"
    if _lies_in(place, os.path.realpath(volume.directory)):
        return f"it lies in the volume {volume.directory}"
    try:
        return f"it lies in the volume {find_volume(place)}"
    except NoVolume:
        return ""


def _reason(volume: Volume, place: str) -> str:
    """Why `volume` must not be mounted on the directory `place`; "" if nothing speaks against."""
    mounts = globofs_mounts()
    if place in mounts:
        return f"{mounts[place]} is mounted there already"
    reason = _inside(volume, place)
    if reason:
        return reason
    if _lies_in(os.path.realpath(volume.directory), place):
        return f"it contains the volume {volume.directory}, which would be hidden"
    for peer in volume.node.peer_entries([]):
        if os.path.abspath(peer.config.path).startswith(os.path.join(place, "")):
            return f"it contains the volume {peer.config.path} of a peer, which would be hidden"
    return ""


def _upwards(path: str) -> list[str]:
    """A path and all above it."""
    found = [path]
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        found.append(path)
    return found


def _lies_in(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies in it, by whatever name either is reached."""
    facts = os.stat(directory)
    return any(os.path.samestat(facts, os.stat(above)) for above in _upwards(path))


def globofs_mounts() -> dict[str, str]:
    """Mount points of volumes, as the kernel lists them, and what is mounted there."""
    found: dict[str, str] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            words, _, rest = line.partition(" - ")
            kind, source = rest.split(" ")[:2]
            if kind == "fuse.globofs":
                found[_unquote(words.split(" ")[4])] = _unquote(source)
    return found


def _unquote(text: str) -> str:
    return (
        text.encode("utf-8", "surrogateescape")
        .decode("unicode_escape")
        .encode("latin-1")
        .decode("utf-8", "surrogateescape")
        if "\\" in text
        else text
    )
