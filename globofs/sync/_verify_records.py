"""Checking the journals, and whether the index says what they say."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from globofs.errors import FormatError, PeerError, plural
from globofs.events import Cancelled, Emit, Problem, Progress
from globofs.format.record import Found
from globofs.peerio.peer import Peer
from globofs.store.audit import Audit
from globofs.store.index import is_damage
from globofs.store.node import Node
from globofs.sync._spans import Spans
from globofs.sync._verify_blocks import Tell
from globofs.sync.receive import fetch_again

PAGE: Final = 1000
_KNOWN: Final = "SELECT seq, id FROM record WHERE origin = ? ORDER BY seq"
_CACHE: Final = "it is a cache, and can be built again"


@dataclass
class JournalReport:
    """Records looked at; those that are known and stand in no file, and how many came back."""

    checked: int = 0
    lost: dict[str, Spans] = field(default_factory=dict)
    came: int = 0
    whole: bool = False  # every journal was read to its end

    @property
    def count(self) -> int:
        """How many were lost, of all journals."""
        return self.came + sum(numbers.count() for numbers in self.lost.values())


def check_journals(
    node: Node, tell: Tell, emit: Emit, cancelled: Cancelled, audit: Audit | None = None
) -> JournalReport:
    """Read every journal, and compare it with the index; what is damaged in one file and whole in
    another is a warning."""
    report = JournalReport()
    for origin in node.journal.origins():
        for damage in node.journal.damage(origin):
            where = os.path.relpath(damage.path, node.directory)
            tell(b"", f"{where} at {damage.offset}: {damage.reason}", warning=True)
        here = Spans()
        after = 0
        for batch in _batches(node, origin):
            if cancelled():
                return report
            for found in batch:
                here.add(found.record.seq)
            report.checked += len(batch)
            emit(Progress("verify", "journals", files=report.checked))
            if audit is not None:
                audit.take(origin, batch, after)
            after = batch[-1].record.seq
        lost = _lost_records(node, origin, here, audit.strays(origin) if audit else set())
        if lost:
            report.lost[origin] = lost
            name = node.index.node_name(origin) or origin[:8]
            tell(
                b"",
                f"{plural(lost.count(), 'record')} of the journal of {name} (first {lost.first})"
                f" {'is' if lost.count() == 1 else 'are'} damaged; `globofs verify --repair` takes"
                " from a peer what it has of that",
            )
    report.whole = True
    return report


def _batches(node: Node, origin: str) -> Iterator[list[Found]]:
    """The records of a journal in portions; those of one number are not torn apart."""
    batch: list[Found] = []
    for found in node.journal.read_from(origin, 0):
        if len(batch) >= PAGE and found.record.seq != batch[-1].record.seq:
            yield batch
            batch = []
        batch.append(found)
    if batch:
        yield batch


def _lost_records(node: Node, origin: str, here: Spans, strays: set[bytes]) -> Spans:
    """The numbers that the index knows and no file has. Those that it has under a wrong number
    (`strays`: the ids of records that it lacks) are its own damage."""
    known = Spans()
    for seq, record in node.index.db.execute(_KNOWN, (origin,)):
        if record not in strays:
            known.add(seq)
    lost = known.minus(here)
    if lost:  # but for what came while we read
        for found in node.journal.read_from(origin, lost.first - 1):
            here.add(found.record.seq)
    return known.minus(here)


def refetch_records(
    node: Node, peers: Iterable[Peer], report: JournalReport, emit: Emit, cancelled: Cancelled
) -> None:
    """Get lost records again from whoever has them, byte for byte; `report` says what came. Only
    those are taken whose ids the index knows: before it is made anew."""
    before = report.came
    for origin, lost in [*report.lost.items()]:
        left = lost
        for peer in peers:
            if not left or cancelled():
                break
            with suppress(PeerError, FormatError):
                left = fetch_again(node, peer, origin, left, emit=emit, cancelled=cancelled)
        found = lost.count() - left.count()
        if found:
            report.came += found
            name = node.index.node_name(origin) or origin[:8]
            what = f"{plural(found, 'record')} of the journal of {name}"
            emit(Problem(b"", f"{what} repaired", warning=True))
        if left:
            report.lost[origin] = left
        else:
            del report.lost[origin]
    if report.came > before:
        node.catch_up(emit=emit)


# --- the index ----------------------------------------------------------------------------------


def check_index(node: Node, tell: Tell) -> int:
    """Whether the index is a sound database; the number of damaged places."""
    found = [str(row[0]) for row in node.index.rows("PRAGMA integrity_check(10)")]
    if found == ["ok"]:
        return 0
    tell(b"", f"index.sqlite is damaged: {found[0]}; {_CACHE}")
    return len(found)


def _unsaid(path: bytes, reason: str, *, warning: bool = False) -> None:
    """What was said already."""


def compare_index(
    node: Node, tell: Tell, emit: Emit, cancelled: Cancelled
) -> tuple[int, JournalReport]:
    """Read every journal, and compare the index with what they say: how many of its rows are
    wrong, and what the journals themselves are like."""
    node.catch_up()
    try:
        audit = Audit(node.index)
        report = check_journals(node, tell, emit, cancelled, audit)
        if report.whole:
            audit.end(report.lost, node.catch_up)
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        if not is_damage(error):
            raise
        # Whoever meets such a thing makes the index anew.
        tell(b"", f"index.sqlite is damaged: {error}; {_CACHE}")
        node.index.reset()
        node.catch_up()
        return 1, check_journals(node, _unsaid, emit, cancelled)
    found = audit.findings
    for wrong in found.shown:
        tell(wrong.path, f"index.sqlite is damaged: {wrong.what} is not as the journals say")
    if found.count > len(found.shown):
        tell(b"", f"index.sqlite is damaged: {found.count:,} of its rows in all; {_CACHE}")
    return found.count, report


def rebuild_index(node: Node, emit: Emit) -> None:
    """Forget the index and read everything anew."""
    node.index.reset()
    node.catch_up(emit=emit)
    node.finish(emit=emit)
