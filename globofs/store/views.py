"""What the index answers with: rows of the tree, versions, operations. Frozen, no I/O.

Node uuids are canonical strings; block and version ids are 32 raw bytes; times are nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from globofs.format.manifest import Block, Kind

__all__ = [
    "Block",
    "Entry",
    "Held",
    "Kind",
    "Operation",
    "OperationKey",
    "Version",
    "held_word",
]

Held = Literal["all", "part", "none"]


class OperationKey(NamedTuple):
    """An operation is named by its node and the sequence number of its first record."""

    node: str
    number: int


def held_word(blocks: int, missing: int) -> Held:
    """`all`, `part` or `none`: how much of some content is on this node."""
    if missing == 0:
        return "all"
    return "none" if missing >= blocks else "part"


class Version(NamedTuple):
    """One version of one path. A named tuple: a restore holds one of each file."""

    row: int  # the index's own number, only valid until the index is rebuilt
    id: bytes
    path: bytes
    time: int  # the version's name, as nanoseconds
    node: str
    kind: Kind
    size: int
    mode: int
    mtime: int
    target: bytes  # of a symlink
    parents: tuple[bytes, ...]
    from_path: bytes | None  # renamed from
    from_id: bytes | None
    blocks: int
    missing: int  # blocks not held here
    content: bytes  # equal for equal content: kind, mode, target, blocks
    operation: OperationKey
    head: bool = False
    shown: bool = False
    pruned: bool = False

    @property
    def held(self) -> Held:
        """How much of it is on this node."""
        return held_word(self.blocks, self.missing)


class Entry(NamedTuple):
    """One row of the tree, at present or at a moment.

    A directory's `size`, `blocks`, `missing`, `files`, `conflicts` are totals of the live things
    below it; `versions` counts its own versions for a file, those below for a directory.
    A named tuple because a directory may have 100,000 of them.
    """

    path: bytes
    kind: Kind
    size: int
    mode: int
    mtime: int
    time: int  # of the version shown; 0 for a directory that no version names
    node: str
    version: bytes  # id of the version shown, b"" for a directory that no version names
    row: int  # its row in the index, 0 where none
    versions: int
    blocks: int = 0
    missing: int = 0
    conflict: bool = False
    target: bytes = b""
    files: int = 0
    conflicts: int = 0
    missing_bytes: int = 0
    below: int = 0  # versions of things below it: not 0 for a deleted directory

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return self.path.rpartition(b"/")[2]

    @property
    def held(self) -> Held:
        """How much of its content is on this node."""
        return held_word(self.blocks, self.missing)


@dataclass(frozen=True, slots=True)
class Operation:
    """One command or action that wrote: a moment to step to, a row of the Log, one undo."""

    key: OperationKey
    verb: str
    args: tuple[str, ...]
    time: int  # of its first record
    last: int  # the largest version time in it: the moment "just after"
    versions: int
    bytes: int
    interrupted: bool
    open: bool = False  # still running, as far as known
    reverses: Operation | None = None  # what an `undo` or `redo` took back, where it is known
