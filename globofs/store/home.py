"""Whether a node's directory is where it was made, or a copy of that one.

`state/home` says of itself which file it is: whoever copies a volume, or restores it from a backup,
makes another file with the same words in it. That is no error and stops no work, but a node that
may be there twice must not speak for its other self: see FORMAT.md, section 5, Identity.

A file is known by its inode number and the id of its file system, where that is more than the
number of a device, which may be another tomorrow; elsewhere by the time at which it was made; where
that is not known either (FUSE, most of NFS), nothing is ever told.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from globofs import limits
from globofs.store import fsio

ELSEWHERE: Final = (
    "this node's directory was copied, moved to another disk, or restored from a backup: as long as"
    " it may be there twice, it agrees to no prune and makes no version of data that is not here."
    " If it is used nowhere else, say `globofs doctor --moved`, when a peer is there to be heard"
    " first. If both are used, one of them becomes a node of its own when it meets a peer that knows"
    " both: say it of the other then"
)
"""What it means that a node is not at home, and what to do."""

_UNKNOWN: Final = "unknown"


def _path(directory: str) -> str:
    return os.path.join(directory, "state", "home")


def settle(directory: str) -> None:
    """Note where the node is at home, if that was never noted. One look where it was."""
    if not os.path.lexists(_path(directory)):
        with suppress(OSError):  # a full disk: the next process notes it
            note(directory)


def note(directory: str) -> None:
    """From now on the node is at home where it is now. Raises OSError."""
    path = _path(directory)
    fsio.mkdirs(os.path.dirname(path))
    with fsio.Writer(os.path.join(os.path.dirname(path), fsio.temporary_name(".tmp-"))) as writer:
        writer.write(f"{facts(writer.path)}\n".encode("ascii"))
        writer.commit(path)


def is_here(directory: str) -> bool:
    """Whether the node's directory is where it was noted to be, as far as can be told."""
    path = _path(directory)
    try:
        noted = fsio.read_file(path, limits.KIB).decode("ascii").strip()
        now = facts(path)
    except (OSError, UnicodeDecodeError):
        return True
    return not noted or _UNKNOWN in (noted, now) or noted == now


def facts(path: str) -> str:
    """What a file is known by, and none of its copies is."""
    info = os.stat(path, follow_symlinks=False)
    system = os.statvfs(path).f_fsid
    if system not in (0, info.st_dev):
        return f"inode {info.st_ino} {system}"
    from globofs.store import libc  # slow to load, and seldom needed

    born = libc.birth_ns(path)
    return _UNKNOWN if born is None else f"born {born}"
