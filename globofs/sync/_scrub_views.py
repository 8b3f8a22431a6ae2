"""Checking what is not blocks: the manifests and links in `root/`, the journals, the index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from globofs.errors import FormatError, PeerError, from_os_error
from globofs.events import Cancelled, Emit, Problem
from globofs.format.manifest import manifest_id
from globofs.format.names import to_disk
from globofs.format.text import format_time
from globofs.limits import MANIFEST_BYTES
from globofs.peerio.peer import Peer
from globofs.store import fsio
from globofs.store.node import Node
from globofs.store.tree import build_tree
from globofs.store.versions import blocks_of
from globofs.sync._spans import Spans
from globofs.sync.receive import fetch_again

PAGE: Final = 1000


class Tell(Protocol):
    """Notes a problem."""

    def __call__(self, path: bytes, reason: str, *, warning: bool = False) -> None: ...


@dataclass
class TreeReport:
    """Manifests and links looked at, and the files in `root/` that are not what they should be."""

    checked: int = 0
    bad: list[str] = field(default_factory=list)


@dataclass
class JournalReport:
    """Records looked at, and how many of those that are known stand in no file any more."""

    checked: int = 0
    lost: dict[str, Spans] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many are lost, of all journals."""
        return sum(numbers.count() for numbers in self.lost.values())


# --- root/ ------------------------------------------------------------------------------------


def check_tree(
    node: Node, choose: Callable[[], bool], tell: Tell, cancelled: Cancelled
) -> TreeReport:
    """Compare `root/` with the versions that should stand there."""
    report = TreeReport()
    odd: list[_Row] = []
    for row in _rows(node):
        if cancelled():
            break
        if not row.pruned and choose():
            report.checked += 1
            if any(_wrong(node, row)):
                odd.append(row)
    if odd and not node.readonly:
        node.finish()  # another client committed them just now, and has not built them yet
    for row in odd:
        for path, reason in _wrong(node, row):
            report.bad.append(path)
            tell(row.path, reason)
    return report


def _wrong(node: Node, row: _Row) -> Iterator[tuple[str, str]]:
    """The files of a version in `root/` that are not as they should be, each with a sentence."""
    directory = f"{node.root()}/{to_disk(row.path)}"
    name = f"{directory}/versions/{format_time(row.time)}"
    twin = f"{name}-{row.version.hex()[:8]}"
    if row.version not in (_id_of(name), _id_of(twin)):
        which = twin if os.path.lexists(twin) else name
        yield which, f"its manifest {format_time(row.time)} in root/ is damaged or missing"
    if row.shown == row.row:
        latest = f"{directory}/versions/latest"
        if _id_of(latest) != row.version:
            yield latest, "its `latest` in root/ is damaged or missing"
        if node.config.links:
            yield from _wrong_links(node, directory, row.row)


class _Row(NamedTuple):
    row: int
    version: bytes
    path: bytes
    time: int
    shown: int
    pruned: int


def _rows(node: Node) -> Iterator[_Row]:
    last = 0
    sql = (
        "SELECT v.row, v.id, p.path, v.time, p.shown, v.pruned FROM version v"
        " JOIN path p ON p.no = v.path WHERE v.pending = 0 AND v.row > ? ORDER BY v.row LIMIT ?"
    )
    while rows := node.index.rows(sql, (last, PAGE)):
        yield from map(_Row._make, rows)
        last = rows[-1][0]


def _id_of(path: str) -> bytes:
    try:
        return manifest_id(fsio.read_file(path, MANIFEST_BYTES))
    except OSError:
        return b""


def _wrong_links(node: Node, directory: str, row: int) -> Iterator[tuple[str, str]]:
    """Links to blocks that are here must lead to them."""
    for block, held in blocks_of(node.index, row):
        found = node.blocks.find(block.id) if held else None
        if found is None:
            continue
        name = block.id.hex()
        link = f"{directory}/hashes/{name[:2]}/{name[2:4]}/{name[4:]}{found[1]}"
        with suppress(OSError):
            os.readlink(link)
            if not os.path.samefile(link, found[0]):
                yield link, f"its link to block {name[:16]} leads elsewhere"


def rebuild_tree(node: Node, report: TreeReport, emit: Emit) -> int:
    """Delete what is wrong in `root/` and build it again; how many were mended."""
    for path in report.bad:
        try:
            fsio.remove(path)
        except OSError as error:
            raise from_os_error(error, path) from error
    build_tree(node, everything=True, emit=emit)
    return sum(os.path.lexists(path) for path in report.bad)


# --- journals -----------------------------------------------------------------------------------


def check_journals(node: Node, tell: Tell, cancelled: Cancelled) -> JournalReport:
    """Read every journal; what is damaged in one file and whole in another is a warning."""
    report = JournalReport()
    for origin in node.journal.origins():
        if cancelled():
            break
        for damage in node.journal.damage(origin):
            where = os.path.relpath(damage.path, node.directory)
            tell(b"", f"{where} at {damage.offset}: {damage.reason}", warning=True)
        here = Spans()
        for found in node.journal.read_from(origin, 0):
            here.add(found.record.seq)
            report.checked += 1
        lost = Spans([(seq, seq) for (seq,) in node.index.rows(_KNOWN, (origin,))]).minus(here)
        if lost:
            report.lost[origin] = lost
            name = node.index.node_name(origin) or origin[:8]
            tell(
                b"",
                f"{lost.count()} records of the journal of {name} (first {lost.first}) are damaged;"
                " `globofs verify --repair` takes them from a peer that has them",
            )
    return report


def refetch_records(
    node: Node, peers: Iterable[Peer], report: JournalReport, emit: Emit, cancelled: Cancelled
) -> int:
    """Get lost records again from whoever has them, byte for byte; how many came."""
    came = 0
    for origin, lost in report.lost.items():
        left = lost
        for peer in peers:
            if not left or cancelled():
                break
            with suppress(PeerError, FormatError):
                left = fetch_again(node, peer, origin, left, emit=emit, cancelled=cancelled)
        found = lost.count() - left.count()
        if found:
            came += found
            name = node.index.node_name(origin) or origin[:8]
            emit(Problem(b"", f"{found} records of the journal of {name} repaired", warning=True))
    if came:
        node.catch_up(emit=emit)
    return came


_KNOWN: Final = "SELECT DISTINCT seq FROM record WHERE origin = ?"


# --- the index ----------------------------------------------------------------------------------


def check_index(node: Node, tell: Tell) -> int:
    """Whether the index is a sound database; the number of damaged places."""
    found = [str(row[0]) for row in node.index.rows("PRAGMA integrity_check(10)")]
    if found == ["ok"]:
        return 0
    tell(b"", f"index.sqlite is damaged: {found[0]}; it is a cache, and can be built again")
    return len(found)


def rebuild_index(node: Node, emit: Emit) -> None:
    """Forget the index and read everything anew."""
    node.index.reset()
    node.catch_up(emit=emit)
    node.finish(emit=emit)
