"""Which folder on disk goes with which directory of the volume, and what it last had in hand.

A source is named by both, after the trailing parts that they share are cut off: `/home/a/docs`
that is added as `docs`, and `/home/a/docs/letters` that is added as `docs/letters`, are one
source, `/home/a` with the volume's root.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from globofs.events import Emit, ignore
from globofs.format import names
from globofs.store.node import Node
from globofs.store.portions import chunks, marks
from globofs.store.state import Source, SourceEntry, parse_entry, signature, source_key

if TYPE_CHECKING:
    from globofs.sync.results import PlanItem

ID_HEX: Final = 64
_ADDING: Final = b"//adding"
"""No volume path: stands in a source's file while an add of it runs, with the last record's
number before it, so that what a killed one committed is known to have come from there."""


class SourceName(NamedTuple):
    """A source: a directory on disk, and the directory of the volume that it stands for."""

    disk: str
    path: bytes


def source_name(disk: str, path: bytes) -> SourceName:
    """The source by which `disk` (absolute) stands for `path`."""
    while path:
        above, name = os.path.split(disk)
        if os.fsencode(name) != names.name(path) or above == disk:
            break
        disk, path = above, names.parent(path)
    return SourceName(disk, path)


def came_from(node: Node, path: bytes) -> str | None:
    """Where on this machine `path` was added from (the latest place of several); None where it
    came from nowhere here. Nothing need be there any more."""
    if not path:
        return None
    sql = (
        "SELECT v.source, MAX(v.seq) FROM version v JOIN path p ON p.no = v.path"
        " WHERE v.origin = ? AND v.source <> '' AND (p.path = ? OR p.path > ? AND p.path < ?)"
        " GROUP BY v.source ORDER BY 2 DESC"
    )
    below = (path + b"/", path + b"0")
    known = [row[0] for row in node.index.rows(sql, (node.uuid, path, *below))]
    others = [key for key in node.state.source_keys() if key not in known]
    for key in [*known, *others]:
        source = node.state.source(key)
        folder = source.folder()
        if folder is None or not names.is_below(path, folder[1]):
            continue
        # Content that was in the volume already left no version that names this source.
        if key not in known and not _had(source, path):
            continue
        rest = path[len(folder[1]) :].strip(b"/")
        return os.path.join(folder[0], os.fsdecode(rest)) if rest else folder[0]
    return None


def _had(source: Source, path: bytes) -> bool:
    prefix = path + b"/"
    return any(one == path or one.startswith(prefix) for one in source.load())


def still_as_added(node: Node, path: bytes, disk: str) -> bool:
    """Whether what lies at `disk` is what was last added from there as `path`, by its looks."""
    entry = Memory(node, source_name(disk, path)).entry(path)
    if entry is None:
        return False
    info = os.lstat(disk)
    return (entry.size, entry.mtime) == (info.st_size, info.st_mtime_ns)


class Memory:
    """What one source had in hand, by volume path, while a verb works with it."""

    def __init__(self, node: Node, name: SourceName, *, emit: Emit = ignore) -> None:
        """Read what is remembered, and what an add that was killed did not get to remember.

        Only in the latter case is the node caught up first: what was killed may have committed
        what no index has heard of, and `emit` hears of that.
        """
        self.node = node
        self.name = name
        self.key = source_key(*name)
        self._source: Source = node.state.source(self.key)
        self.lines = self._source.load()
        self._changes: dict[bytes, str | None] = {}
        mark = self.lines.pop(_ADDING, None)
        self._began = mark is not None
        if mark is not None and mark.isdigit():
            node.catch_up(emit=emit)
            self._recover(int(mark))

    def _recover(self, after: int) -> None:
        sql = (
            "SELECT p.path, v.kind, v.id FROM version v JOIN path p ON p.no = v.path"
            " WHERE v.source = ? AND v.origin = ? AND v.seq > ? ORDER BY v.seq"
        )
        for path, kind, version in self.node.index.rows(sql, (self.key, self.node.uuid, after)):
            if kind == "deleted":
                self.lines.pop(path, None)
            else:
                self.lines[path] = _line(f"{kind} -1 0 0 0 0", version)
            self._changes[path] = self.lines.get(path)

    def entry(self, path: bytes) -> SourceEntry | None:
        """What is remembered of `path`; None where that is nothing, or is damaged."""
        line = self.lines.get(path)
        try:
            return None if line is None else parse_entry(line)
        except ValueError:
            return None

    def bases(self, paths: Sequence[bytes]) -> dict[bytes, bytes]:
        """The version that each path last had in this source, for those that had one.

        Where nothing is remembered, the journal knows which versions came from here.
        """
        entries = ((path, self.entry(path)) for path in paths)
        found = {path: entry.version for path, entry in entries if entry is not None}
        lost = [path for path in paths if path not in found]
        for chunk in chunks(lost):
            sql = (
                "SELECT p.path, v.id FROM version v JOIN path p ON p.no = v.path"
                f" WHERE p.path IN ({marks(chunk)}) AND v.source = ? AND v.origin = ?"
                " ORDER BY v.seq"
            )
            found.update(self.node.index.rows(sql, (*chunk, self.key, self.node.uuid)))
        return found

    def begin(self) -> None:
        """Versions from this source are about to be committed."""
        if not self._began:
            self._began = True
            self._source.name(*self.name)
            self._source.change({_ADDING: str(self.node.journal.last()[0])})

    def remember(
        self, path: bytes, kind: str, info: os.stat_result, version: bytes, racy_after: int
    ) -> None:
        """What was found at `path`, and the version it is.

        Anything changed after `racy_after` (ns) may change again without showing it, so it is
        remembered without a ctime, and read again next time.
        """
        sign = signature(kind, info)
        if kind == "file" and max(info.st_mtime_ns, info.st_ctime_ns) > racy_after:
            words = sign.split(" ")
            words[3] = "0"
            sign = " ".join(words)
        self._changes[path] = _line(sign, version)

    def restored(self, path: bytes, kind: str, size: int, mtime: int, version: bytes) -> None:
        """`version` was written to the source; its ctime is not known, so it is read again."""
        self._changes[path] = _line(f"{kind} {size} {mtime} 0 0 0", version)

    def forget(self, path: bytes) -> None:
        """`path` is no longer in the source."""
        self._changes[path] = None

    def save(self) -> None:
        """Write down what changed."""
        changes = {p: line for p, line in self._changes.items() if self.lines.get(p) != line}
        if self._began:
            changes[_ADDING] = None
        if not changes:
            return
        self._source.name(*self.name)
        self._source.change(changes)
        self._changes.clear()
        self._began = False


def _line(sign: str, version: bytes) -> str:
    return f"{sign} {version.hex()}"


def remember_restored(node: Node, items: Iterable[PlanItem]) -> None:
    """Files were written to a folder: what is edited there later was made from these versions."""
    memories: dict[SourceName, Memory] = {}
    known: dict[str, SourceName] = {}
    for item in items:
        version, target = item.version, item.target
        if version is None or target is None:
            continue
        path = item.path
        name = _beside(target, path, known)
        memory = memories.get(name)
        if memory is None:
            memory = memories[name] = Memory(node, name)
        memory.restored(path, version.kind, version.size, version.mtime, version.id)
    for memory in memories.values():
        memory.save()


def _beside(disk: str, path: bytes, known: dict[str, SourceName]) -> SourceName:
    """`source_name`, worked out once for all files that lie below a folder as in the volume."""
    below = "/" + os.fsdecode(path)
    if not disk.endswith(below):
        return source_name(disk, path)
    top = disk[: -len(below)]
    found = known.get(top)
    if found is None:
        found = known[top] = source_name(disk, path)
    return found
