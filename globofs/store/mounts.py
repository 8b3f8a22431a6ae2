"""What lies where, as the kernel's table of mounts tells: nothing that may hang is touched."""

from __future__ import annotations

import os
from typing import Final

from globofs import limits

_MOUNTS = "/proc/self/mountinfo"
_MOUNTS_BYTES = 16 * limits.MIB
_REMOTE: Final = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ceph",
        "afs",
        "9p",
        "virtiofs",
        "glusterfs",
        "lustre",
        "beegfs",
        "davfs",
        "ncpfs",
        "coda",
        "gfs",
        "gfs2",
        "ocfs2",
        "autofs",
    ]
)


def on_network(path: str) -> bool:
    """Whether `path` lies on a file system of another machine or of a FUSE process.

    Reads the table of mounts only. Symlinks on the way are followed as long as they lie on local
    disks, so nothing that may hang is touched.
    """
    return is_remote(file_system(path))


def file_system(path: str) -> str:
    """The type of the file system of `path`, as the kernel names it (`ext4`, `fuse.sshfs`)."""
    mounts = _mounts()
    kind = mounts.get("/", "")
    left = [part for part in os.path.abspath(path).split("/") if part]
    here, links = "", 0
    while left:
        part = left.pop(0)
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        here = f"{here}/{part}"
        if here in mounts:
            kind = mounts[here]
            if is_remote(kind):
                return kind  # whatever lies below is not asked
            continue
        try:
            target = os.readlink(here)
        except OSError:
            continue
        links += 1
        if links > 40:
            return kind
        left = [part for part in target.split("/") if part and part != "."] + left
        here = "" if target.startswith("/") else here.rpartition("/")[0]
        kind = _kind_at(mounts, here)
    return kind


def _kind_at(mounts: dict[str, str], path: str) -> str:
    while path:
        if path in mounts:
            return mounts[path]
        path = path.rpartition("/")[0]
    return mounts.get("/", "")


def _mounts() -> dict[str, str]:
    """Mount point to type; of several on one point the last, which covers the others."""
    try:
        with open(_MOUNTS, "rb") as table:
            raw = table.read(_MOUNTS_BYTES)
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if separator and len(fields) >= 5:
            found[_unescaped(fields[4])] = after.split(" ", 1)[0]
    return found


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def remote_mounts() -> frozenset[str]:
    """Where file systems of other machines or of FUSE processes are mounted."""
    return frozenset(place for place, kind in _mounts().items() if is_remote(kind))


def is_remote(kind: str) -> bool:
    """Whether that type is of another machine's file system, or of a FUSE process."""
    return kind in _REMOTE or kind == "fuse" or kind.startswith("fuse.")
