"""Whether a path can have a directory of its own in `root/` on the disk that this lies on.

Some disks do not tell names apart that differ by case, or in how an accent is written. There the
path that was laid out first has the directory, and the others none: two would mix their versions.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from globofs.errors import BadPath, printable
from globofs.events import Problem
from globofs.format.names import from_disk
from globofs.store.index import Index

_LISTINGS: Final = 64


class TreeNames:
    """The names below one `root/`. May be used from any thread."""

    def __init__(self, root: str, index: Index) -> None:
        """One look tells whether the disk minds the case of ASCII letters."""
        self._root = root
        self._index = index
        above, name = os.path.split(root)
        self._folds = os.path.lexists(os.path.join(above, name.swapcase()))
        self._listed: OrderedDict[str, set[str]] = OrderedDict()
        self._guard = threading.Lock()

    def taken(self, relative: str) -> str:
        """The name on the disk of another path, or of a `versions` or `hashes` of ours, that it
        takes for a part of `relative` (below `root/`); "" where that has a place of its own."""
        if self._folds:
            relative += "/versions"
        elif relative.isascii():
            return ""
        with self._guard:
            above = ""
            for name in relative.split("/"):
                if name not in self._names(self._root + above):
                    twin = self._twin(above, name)
                    if twin is not None:
                        return twin
                above = f"{above}/{name}"
        return ""

    def _twin(self, above: str, name: str) -> str | None:
        """What the disk takes for `name`, which was not listed; None where there is nothing, or
        what it made of the name itself (some write accents in their own way)."""
        directory = self._root + above
        if not os.path.lexists(f"{directory}/{name}"):
            return None
        self._listed.pop(directory, None)
        names = self._names(directory)
        if name not in names:
            for one in names:
                if folded(one) == folded(name) and self._is_other(f"{above}/{one}"[1:]):
                    return one
        return None

    def _is_other(self, relative: str) -> bool:
        try:
            path = from_disk(relative)
        except BadPath:
            return True
        return self._index.one("SELECT 1 FROM path WHERE path = ?", (path,)) is not None

    def _names(self, directory: str) -> set[str]:
        names = self._listed.get(directory)
        if names is None:
            try:
                names = set(os.listdir(directory))
            except (FileNotFoundError, NotADirectoryError):
                names = set()
            self._listed[directory] = names
            if len(self._listed) > _LISTINGS:
                self._listed.popitem(last=False)
        else:
            self._listed.move_to_end(directory)
        return names


def folded(name: str) -> str:
    """What is left of a name where neither case nor the way of writing accents counts."""
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


class LeftOut:
    """The paths that have no place in `root/`, and why: a sentence for each kind of reason."""

    def __init__(self) -> None:
        """None so far."""
        self._found: dict[int, tuple[bytes, str, set[bytes]]] = {}

    def taken(self, path: bytes, twin: str) -> None:
        """The disk does not tell a name in `path` from `twin`."""
        self._add(0, path, f"this disk does not tell its name from {printable(twin)}")

    def refused(self, path: bytes, error: OSError) -> None:
        """The disk cannot hold a name in `path`."""
        self._add(error.errno or -1, path, f"this disk refuses its name ({error.strerror})")

    def _add(self, kind: int, path: bytes, reason: str) -> None:
        self._found.setdefault(kind, (path, reason, set()))[2].add(path)

    def sentences(self) -> Iterator[Problem]:
        """What to say of them, about the first of each kind."""
        for path, reason, paths in self._found.values():
            others = len(paths) - 1
            more = f", as {'is' if others == 1 else 'are'} {others:,} other" if others else ""
            more += "s" if others > 1 else ""
            yield Problem(
                path, f"is not shown in root/{more}: {reason}; all versions are safe", True
            )
