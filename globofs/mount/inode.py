"""A path of the live tree that differs, or is about to differ, from what is recorded."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from globofs.store.intent import Intent

if TYPE_CHECKING:
    from globofs.store.fsio import Buffer
    from globofs.store.scratch import Scratch
    from globofs.store.views import Entry, Kind


class Reader(Protocol):
    """Random access to the content of a version; missing blocks are pulled."""

    def pread(self, offset: int, size: int) -> Buffer:
        """Up to `size` bytes; fewer only at the end. Raises ContentMissing."""

    def close(self) -> None:
        """Let go of buffers."""


DIRECTORY_BYTES = 4096
"""What `stat` says of any directory."""
TYPES = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "symlink": stat.S_IFLNK}
"""The type in `st_mode` of each kind."""


class Attributes(NamedTuple):
    """What `stat` answers about a path. A named tuple because each request makes one."""

    kind: Kind
    mode: int
    size: int
    mtime: int
    ctime: int
    links: int = 1
    atime: int | None = None  # None: when it was modified
    uid: int | None = None  # None: whoever mounted
    gid: int | None = None


@dataclass(slots=True, eq=False)
class Inode:
    """One path's state that is open, or not yet recorded."""

    number: int
    path: bytes
    kind: Kind
    mode: int = 0
    mtime: int = 0
    ctime: int = 0
    size: int = 0
    target: bytes = b""
    base: bytes = b""  # id of the version that holds what is not in the scratch file
    replaces: bytes = b""  # id of the version that is recorded at its path
    from_path: bytes | None = None
    from_id: bytes | None = None
    scratch: Scratch | None = None
    reader: Reader | None = None
    handles: int = 0
    writers: int = 0
    dirty: bool = False  # differs from what is recorded
    always: bool = False  # to be recorded even if only times differ
    linked: bool = True  # still has its name
    serial: int = 0  # rises with every change
    synced: bool = False  # its writer called fsync: recorded even while it stays open
    due: float = 0.0  # when that is, by the monotonic clock
    used: float = 0.0  # when it was read last, by the monotonic clock
    behind: float = 0.0  # since when others' news are known; 0: there are none

    @property
    def rests(self) -> bool:
        """Whether it is a recorded file that nobody can write, and nobody wrote through here."""
        return not (self.dirty or self.writers or self.scratch) and self.kind == "file"

    def intent(self) -> Intent:
        """What would be recovered of it."""
        return Intent(
            number=self.number,
            kind=self.kind,
            path=self.path,
            mode=self.mode,
            mtime=self.mtime,
            target=self.target,
            base=self.base,
            replaces=self.replaces,
            from_path=self.from_path or b"",
            from_id=self.from_id or b"",
            scratch=self.scratch is not None,
        )

    def attributes(self) -> Attributes:
        """What `stat` answers."""
        size = self.scratch.size if self.scratch is not None else self.size
        if self.kind == "symlink":
            size = len(self.target)
        elif self.kind == "directory":
            size = DIRECTORY_BYTES
        links = 2 if self.kind == "directory" else int(self.linked)
        return Attributes(self.kind, self.mode, size, self.mtime, self.ctime, links)


@dataclass(slots=True, eq=False)
class Handle:
    """An open file: its inode, and what its opener may do."""

    inode: Inode
    readable: bool
    writable: bool
    append: bool

    @classmethod
    def of(cls, inode: Inode, flags: int) -> Handle:
        """A handle as `open(2)` with `flags` gives it; counts itself on the inode."""
        access = flags & os.O_ACCMODE
        handle = cls(
            inode,
            readable=access != os.O_WRONLY,
            writable=access != os.O_RDONLY,
            append=bool(flags & os.O_APPEND),
        )
        inode.handles += 1
        inode.writers += handle.writable
        return handle


def entry_attributes(entry: Entry) -> Attributes:
    """What `stat` answers about a recorded path."""
    kind: Kind = entry.kind
    mode = entry.mode or (0o755 if kind == "directory" else 0o644)
    if not entry.version:
        mode = 0o755
    size = len(entry.target) if kind == "symlink" else entry.size
    if kind == "directory":
        size = DIRECTORY_BYTES
    when = entry.mtime or entry.time
    return Attributes(
        kind,
        mode,
        size,
        when,
        entry.time or when,
        2 if kind == "directory" else 1,
    )
