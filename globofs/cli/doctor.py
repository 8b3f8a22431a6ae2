"""`doctor`: what works where this node and its peers lie, what does not, and what to do about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from globofs.cli.context import DONE, FAILED, Context
from globofs.cli.output import path_fields, plain
from globofs.cli.peers import tell_bad_entries
from globofs.errors import GlobofsError, Interrupted, PeerError, PeerStuck, UsageError, printable
from globofs.speech import (
    lag_words,
    rate_words,
    safe,
    size_words,
    span_words,
    state_words,
    step_words,
)

if TYPE_CHECKING:
    from globofs.peerio.probe import ProbeReport

LITTLE_BYTES: Final = 1 << 30  # free space that deserves a word
SLOW_SECONDS: Final = 0.05  # for a small file: a sync of thousands is felt
EVENTS_WITHIN_SECONDS: Final = 2.0
_MOST_COLUMNS: Final = 3  # places beside each other

_WORDS: Final = {
    "append": "appending",
    "exclusive_create": "exclusive creation",
    "rename": "renaming",
    "rename_over": "renaming over a file",
    "symlink": "symlinks",
    "symlink_upward": "symlinks with ..",
    "hard_link": "hard links",
    "lock": "locks",
    "case_sensitive": "upper and lower case differ",
    "bytes_names": "names that are not UTF-8",
    "fsync": "fsync",
}
"""The findings of a probe that are answered yes or no, in the order they are shown."""

_HERE: Final = {
    "append": "changes cannot be recorded here; keep the volume elsewhere",
    "exclusive_create": "two programs could write one file; keep the volume elsewhere",
    "rename": "blocks cannot be put in place; keep the volume elsewhere",
    "rename_over": "other nodes would not see what changes here; keep the volume elsewhere",
    "symlink": "`links=no` in the config saves trying; everything else works",
    "lock": "the volume can be read here, not written",
    "fsync": "what was reported as safe may be lost when the power fails",
}
"""What it means, and what to do, where the node's own directory lacks something it needs."""

_THERE: Final = {
    "append": "changes cannot be pushed there; that node has to read them from here instead",
}
"""The same for a peer, of which far less is asked."""


@dataclass(frozen=True, slots=True)
class Place:
    """A directory to look at. `here`: it is to hold a node of this machine; `away` says why it
    cannot be looked at now."""

    name: str
    path: str
    here: bool
    away: str = ""

    @property
    def needs(self) -> dict[str, str]:
        """What must work there, and what it means where it does not."""
        return _HERE if self.here else _THERE

    @property
    def unasked(self) -> set[str]:
        """Of which no problem is told as such: it is told as a lack, or nobody needs it there."""
        told = {_WORDS[need] for need in self.needs}
        return told | ({"hard links"} if self.here else set(_WORDS.values()))


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at a place. `no_events` says why changes there are not announced; None where
    that could not be tried."""

    place: Place
    report: ProbeReport
    free: int | None
    no_events: str | None

    @property
    def lacks(self) -> list[str]:
        """What is needed there and does not work."""
        return [need for need in self.place.needs if getattr(self.report, need) is False]

    @property
    def fails(self) -> bool:
        """Whether a node can do its work there. A peer may be read only."""
        return bool(self.lacks) or (self.place.here and not self.report.writable)


def doctor(context: Context) -> int:
    """What works here and what does not, for the node and each peer, or for one directory.
    1 when something GloboFS needs does not work; a peer that is away is no failure."""
    status = DONE
    documents: list[dict[str, Any]] = []
    found: list[Finding] = []
    if context.args.moved:
        if context.args.directory is not None:
            raise UsageError("--moved is said of a volume, not of a directory to look at")
        context.volume.moved(force=context.args.force, **context.listening)
        context.out.say("globofs: noted: this volume is used here and nowhere else")
    elif context.args.force:
        raise UsageError("--force goes with --moved")
    for place in _places(context):
        if context.cancelled():
            raise Interrupted()
        try:
            finding = _look(place)
        except GlobofsError as error:
            documents.append(_unreached(place, error.message))
            context.out.say(f"globofs: {safe(place.name)}: {safe(error.message)}")
            status = FAILED if place.here else status
            continue
        found.append(finding)
        documents.append(_fields(finding))
        status = FAILED if finding.fails else status
    if context.out.as_json:
        context.out.document(documents)
        return status
    for first in range(0, len(found), _MOST_COLUMNS):
        _show(context, found[first : first + _MOST_COLUMNS])
    told = [(finding.place.name, sentence) for finding in found for sentence in advice(finding)]
    for name, sentence in told:
        context.out.line(f"{context.out.paint(safe(name), 'warn')}: {sentence}")
    if not told and found:
        context.out.line("everything that is needed works")
    if context.args.directory is None:
        for other in context.others():
            if other.lag is not None:
                context.out.line(f"{safe(other.who)}: its screen is late by {lag_words(other.lag)}")
        tell_bad_entries(context)
        for warning in context.volume.node.warnings:
            context.out.say(f"globofs: {safe(warning)}")
    return status


def _places(context: Context) -> list[Place]:
    if context.args.directory is not None:
        place = os.path.abspath(context.args.directory)
        if not os.path.isdir(place):
            raise UsageError(f"{printable(context.args.directory)}: not a directory")
        return [Place("directory", place, True)]
    peers = []
    for peer in context.volume.peer_probe(cancelled=context.cancelled):
        reached = peer.state in ("online", "readonly")
        peers.append(Place(peer.name, peer.path, False, "" if reached else state_words(peer)))
    return [Place("this node", context.volume.node.directory, True), *peers]


# --- looking ----------------------------------------------------------------------------------


def _look(place: Place) -> Finding:
    """Try everything in `place`; what is made there is taken away again. A place that hangs is
    given up on. Raises GlobofsError."""
    if place.away:
        raise PeerError(place.away)
    from globofs.peerio.pool import PeerPool
    from globofs.peerio.probe import probe

    pool = PeerPool(1, name="doctor")
    try:
        report = pool.call(probe, place.path)
        silent = pool.call(_silent, place.path) if report.writable else None
        return Finding(place, report, pool.call(_free, place.path), silent)
    except PeerStuck:
        raise PeerStuck(peer=place.path, reason="its file system is silent") from None
    finally:
        pool.close()


def _free(place: str) -> int | None:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def _silent(place: str) -> str | None:
    """Why changes in `place` are not announced; "" where they are, None where that is not known."""
    from globofs.engine.watch import Watcher
    from globofs.peerio.probe import room

    # In a directory of its own: a watch goes deep, and a volume may hold a million directories.
    with room(place) as made:
        watcher = Watcher([made], lambda _: None, probe_directory=made, poll_seconds=0)
        watcher.start()
        known = watcher.wait_known(EVENTS_WITHIN_SECONDS)
        watcher.stop()
        watcher.join(EVENTS_WITHIN_SECONDS)
    return watcher.silent if known else None


# --- telling ----------------------------------------------------------------------------------


def _unreached(place: Place, error: str) -> dict[str, Any]:
    return {
        "name": place.name,
        **path_fields(os.fsencode(place.path)),
        "error": error,
        "advice": [],
    }


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.place.name,
        **plain(finding.report),
        **path_fields(os.fsencode(finding.report.path)),
        "events": None if finding.no_events is None else not finding.no_events,
        "free_bytes": finding.free,
        "lacks": finding.lacks,
        "advice": list(advice(finding)),
    }


def _show(context: Context, found: list[Finding]) -> None:
    """A column for each place, a row for each question."""
    columns = [dict(_answers(finding)) for finding in found]
    rows = [("", *(safe(finding.place.name) for finding in found))]
    for question in dict.fromkeys(key for column in columns for key in column):
        rows.append((question, *(column.get(question, "") for column in columns)))
    context.out.table(rows)
    context.out.line()


def _answers(finding: Finding) -> Iterator[tuple[str, str]]:
    report = finding.report
    kind = report.file_system or "unknown"
    yield "file system", safe(f"{kind}, network" if report.network else kind)
    yield "writing", "yes" if report.writable else "no"
    if not report.writable:
        return
    for field, words in _WORDS.items():
        yield words, {True: "yes", False: "no", None: "?"}[getattr(report, field)]
    yield "letters with accents", report.names or "?"
    if report.mtime_step_ns is not None:
        yield "step of file times", step_words(report.mtime_step_ns)
    yield "changes are announced", {None: "?", "": "yes"}.get(finding.no_events, "not all")
    if report.clock_ahead_seconds is not None:
        yield "clock", _clock_words(report.clock_ahead_seconds)
    if finding.free is not None:
        yield "free space", size_words(finding.free)
    if report.latency_seconds is not None:
        yield "a small file, synced", f"{report.latency_seconds * 1000:.1f} ms"
    if report.write_rate is not None and report.read_rate is not None:
        yield "writing, synced", rate_words(report.write_rate)
        yield "reading", rate_words(report.read_rate)


def _clock_words(ahead: float) -> str:
    if not ahead:
        return "as ours"
    return f"{span_words(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"


def advice(finding: Finding) -> Iterator[str]:
    """What follows from a finding, in sentences, most urgent first."""
    report, needs = finding.report, finding.place.needs
    for lack in finding.lacks:
        yield f"{_WORDS[lack]} does not work: {needs[lack]}"
    for problem in report.problems:
        if problem.partition(":")[0].replace('"', "") not in finding.place.unasked:
            yield safe(problem)
    if not report.writable and not finding.place.here:
        yield "what lies there can be read; nothing done here is told to it"
    if report.case_sensitive is False:
        yield "names that differ in case only become one file there: `restore --to` keeps one"
    if finding.no_events:
        yield f"changes are noticed by looking (poll= in the config): {safe(finding.no_events)}"
    if finding.free is not None and finding.free < LITTLE_BYTES:
        yield "little space is left; `globofs prune` or `globofs evict` make some"
    if report.latency_seconds is not None and report.latency_seconds > SLOW_SECONDS:
        yield "each small file is slow there: many of them take long, whatever GloboFS does"
