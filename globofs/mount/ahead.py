"""Reading ahead from file to file: who reads the small files of a directory in the order of their
names, as `cat`, `grep -r`, `tar` and `cp` do, gets the next ones' contents in one go.

One question to the index and one pass over a staged file serve up to 64 files, where each alone
takes four questions and a file to open. Whoever reads to and fro costs nothing here.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from globofs.errors import GlobofsError
from globofs.store.versions import contents_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from globofs.store.views import Block
    from globofs.volume import Volume

SMALL_BYTES = 128 << 10
"""Larger files are read ahead by themselves, block by block."""
_STEPS = 4
"""Files read in order before anything is read ahead."""
_FIRST, _MOST = 8, 64
_MOST_BYTES = 2 << 20
_DIRECTORIES = 64
_END = b"\xff" * 256
"""Behind every name."""


@dataclass(slots=True)
class _Run:
    """How the files of one directory were read so far."""

    steps: int = 0
    window: int = _FIRST
    last: bytes = b""
    after: bytes = b""  # the files behind this one
    until: bytes = b""  # and up to this one were read ahead; b"": none
    files: int = 0  # how many that were
    used: int = 0  # and how many of them were read

    def holds(self, name: bytes) -> bool:
        """Whether `name` is among what was read ahead."""
        return self.after < name <= self.until

    @property
    def wasted(self) -> bool:
        """Whether most of what was read ahead was not wanted."""
        return self.used * 2 < self.files


class Siblings:
    """What is read ahead from file to file. Any thread may call it."""

    def __init__(self, volume: Volume, foresee: Callable[[dict[bytes, list[Block]]], None]) -> None:
        """`foresee` gets the content of versions (ids, each with its blocks) at hand."""
        self._volume = volume
        self._foresee = foresee
        self._lock = threading.Lock()
        self._runs: OrderedDict[bytes, _Run] = OrderedDict()
        self._latest = _Run()
        self._trusted = 0  # how far to read ahead at once where somebody begins to read

    def read(self, path: bytes) -> None:
        """The small file at `path` is about to be read."""
        directory, _, name = path.rpartition(b"/")
        with self._lock:
            run = self._runs.get(directory)
            if run is not None:
                self._runs.move_to_end(directory)
            if run is None or (name <= run.last and not run.holds(name)):
                run = self._begin(directory, run)
            if not self._due(run, name):
                return
            run.after = run.until = name  # whoever comes meanwhile does not fetch the same
            window, run.files, run.used = run.window, 0, 0
        # What is wrong with others is told to who reads them; an index may be replaced meanwhile.
        with suppress(OSError, GlobofsError, sqlite3.Error, KeyError):
            self._fetch(run, directory, name, window)

    def _fetch(self, run: _Run, directory: bytes, name: bytes, window: int) -> None:
        found = contents_after(self._volume.node.index, directory, name, SMALL_BYTES, window)
        sizes = accumulate(sum(block.size for block in item.blocks) for item in found)
        most = sum(1 for size in sizes if size <= _MOST_BYTES)
        with self._lock:
            run.files = most
            run.until = found[most - 1].name if most == window or most < len(found) else _END
            run.window = min(_MOST, window * 2)
        if most:
            self._foresee({item.id: item.blocks for item in found[:most]})

    def _begin(self, directory: bytes, before: _Run | None) -> _Run:
        """Reading begins, or begins again: who read well ahead before needs not show it again."""
        before = before or self._latest
        if before.files:
            self._trusted = 0 if before.wasted else before.window
        run = _Run(_STEPS, self._trusted) if self._trusted else _Run()
        self._latest = self._runs[directory] = run
        if len(self._runs) > _DIRECTORIES:
            self._runs.popitem(last=False)
        return run

    @staticmethod
    def _due(run: _Run, name: bytes) -> bool:
        """Note that `name` is read; whether what comes behind it is to be read ahead now."""
        run.last = name
        if run.holds(name):
            run.used += 1
            if name != run.until:
                return False
        elif run.wasted:
            run.steps, run.files = 0, 0
        run.steps += 1
        return run.steps > _STEPS
