"""What a `verify` that was stopped had found sound, for the one that goes on: `run/verify` (FORMAT.md, section 1).

A line for each directory of `hashes/` that was read to its end without damage: how much it was, and
a print of what `lstat` said of every file in it before it was read. Only as long as it says the
same does the line count; so nothing that was touched since counts as checked, and no line need be
durable, or even true: one that was torn or made up matches nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from time import time_ns
from typing import Final, NamedTuple

from globofs.errors import FormatError
from globofs.format.text import format_time, parse_time
from globofs.limits import MIB, RACY_NS, SECOND_NS
from globofs.store import fsio
from globofs.store.block_files import BlockFiles
from globofs.store.clock import boot_id
from globofs.store.node import Node

AGE_NS: Final = 7 * 24 * 3600 * SECOND_NS
"""A check that began longer ago is not gone on with: what it found is too old to be counted."""
FLUSH_SECONDS: Final = 1.0
_FILE_BYTES: Final = 64 * MIB
_HEAD: Final = "globofs-verify 1 "
_PRINT_DIGITS: Final = 16


class Look(NamedTuple):
    """What `lstat` says of the block files of one directory."""

    blocks: int
    bytes: int
    print: str
    settled: bool  # so long ago that a later change must show in it


class Sound(NamedTuple):
    """A directory that was found sound: its print, and the boot under which it was read."""

    print: str
    boot: str


def look(blocks: BlockFiles, held: Sequence[tuple[bytes, str]]) -> Look:
    """Take the print of some block files. One that is gone is left out."""
    size = newest = count = 0
    digest = sha256()
    for block, suffix in held:
        path = blocks.path_of(block, suffix)
        with suppress(OSError):
            info = os.lstat(path)
            size += info.st_size
            count += 1
            newest = max(newest, info.st_ctime_ns)
            facts = f"{info.st_mode} {info.st_size} {info.st_mtime_ns} {info.st_ctime_ns}\n"
            digest.update(block + f"{suffix} {facts}".encode())
    settled = newest + RACY_NS < time_ns()
    return Look(count, size, digest.hexdigest()[:_PRINT_DIGITS], settled)


class Notes:
    """The file `run/verify` of a node."""

    def __init__(self, node: Node) -> None:
        """Nothing is read yet."""
        self._node = node
        self.path = os.path.join(node.run(), "verify")
        self.begun = node.clock.now_ns()
        """When the check began that these notes are of."""
        self.known: dict[str, Sound] = {}
        """By the four digits of the directory."""
        self.outdated = False
        """Whether there were notes that are too old."""
        self._lines: list[str] = []
        self._flushed = node.clock.monotonic()
        self._writing = not node.readonly
        self._begun_file = False

    def load(self) -> None:
        """Take in what a stopped check left."""
        now = self.begun
        try:
            text = fsio.read_file(self.path, _FILE_BYTES).decode("ascii", "replace")
            lines = text[: text.rfind("\n") + 1].split("\n")
            begun = parse_time(lines[0].removeprefix(_HEAD))
        except (OSError, FormatError):
            return
        if not lines[0].startswith(_HEAD):
            return
        if not 0 <= now - begun <= AGE_NS:
            self.outdated = True
            return
        self.begun, self._begun_file = begun, True
        for line in lines[1:]:
            with suppress(TypeError):  # a torn line
                name, *facts = line.split(" ")
                self.known[name] = Sound(*facts)

    def print_of(self, name: str, held: Sequence[tuple[bytes, str]]) -> str:
        """How a directory looks if it is still what was found sound; "" where nothing counts. What
        was read under another boot was perhaps never on the disk: the index must know that it is.
        """
        sound = self.known.get(name)
        if sound is None:
            return ""
        if sound.boot != boot_id():
            ids = {block for block, _ in held}
            if len(self._node.index.synced(ids)) < len(ids):
                return ""
        return sound.print

    def add(self, name: str, found: Look) -> None:
        """A directory is sound."""
        if self._writing and found.settled and found.blocks:
            self._lines.append(f"{name} {found.print} {boot_id()}\n")
            if self._node.clock.monotonic() - self._flushed >= FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Write what was noted. Where that fails, nothing is noted from then on."""
        lines, self._lines = self._lines, []
        self._flushed = self._node.clock.monotonic()
        if not lines or not self._writing:
            return
        try:
            if not self._begun_file:
                fsio.mkdirs(os.path.dirname(self.path))
                fsio.write_atomic(self.path, f"{_HEAD}{format_time(self.begun)}\n".encode())
                self._begun_file = True
            # A line that was torn is ended first.
            fsio.append(self.path, ("\n" + "".join(lines)).encode(), durable=False)
        except OSError:
            self._writing = False

    def forget(self) -> None:
        """The check has ended, or begins anew."""
        self.known.clear()
        self._lines.clear()
        self._begun_file = False
        if not self._node.readonly:
            fsio.remove(self.path)
