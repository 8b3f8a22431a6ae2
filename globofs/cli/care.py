"""`verify`, `prune`, `doctor`: looking after what is stored, and after where it is stored."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from globofs.cli.context import DONE, FAILED, Context
from globofs.cli.output import operation_id, plain
from globofs.errors import GlobofsError, Interrupted, PeerStuck, UsageError, printable
from globofs.speech import parse_span, plural, rate_words, safe, size_words

if TYPE_CHECKING:
    from globofs.peerio.probe import ProbeReport


LITTLE_BYTES = 1 << 30  # free space that deserves a word


def parse_share(text: str | None) -> float | None:
    """`5%` or `0.05`: a share between 0 and 1. Raises `UsageError`."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{printable(text)}: not a share; try 5%")
    return share


def verify(context: Context) -> int:
    """Read and check; 1 while damage remains. Blocks that are merely not held are no damage."""
    args = context.args
    result = context.volume.verify(
        repair=args.repair, sample=parse_share(args.sample), **context.listening
    )
    if context.out.as_json:
        context.out.document(plain(result))
    else:
        context.out.problems(result.problems)
        read = f"{result.checked:,} blocks and manifests read, {size_words(result.bytes)}"
        found = f"{result.damaged:,} damaged, {result.repaired:,} of them repaired"
        here = f"{result.missing:,} not here" if result.missing else "none missing"
        context.out.say(f"globofs: {read}; {found}; {here}")
    if result.interrupted or context.cancelled():
        raise Interrupted()
    return FAILED if result.remaining else DONE


def prune(context: Context) -> int:
    """Let old versions go by a policy, then collect what nothing uses."""
    from globofs.sync.results import Policy

    args = context.args
    counts = {
        f"keep_{word}": getattr(args, f"keep_{word}")
        for word in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    }
    for option, count in counts.items():
        if count < 0:
            raise UsageError(f"--{option.replace('_', '-')} wants a number that is not negative")
    within = 0 if args.keep_within is None else parse_span(args.keep_within)
    if not within and not any(counts.values()):
        raise UsageError("say what to keep: --keep-last, --keep-daily, ..., or --keep-within")
    paths = context.paths(args.path)
    for path in paths:
        if path and not context.volume.history_below(path, limit=1):
            raise context.volume.no_such_path(path)
    policy = Policy(**counts, keep_within_seconds=float(within), paths=tuple(paths))
    result = context.volume.prune(policy, args.dry_run, **context.listening)
    if context.out.as_json:
        made = plain(result)
        made["operation"] = operation_id(result.operation)
        context.out.document(made)
    else:
        context.out.problems(result.problems)
        verb = "would be pruned" if args.dry_run else "pruned"
        kept = f"{result.kept:,} kept"
        context.out.say(f"globofs: {plural(result.versions, 'version')} {verb}, {kept}")
        unused = f"{plural(result.blocks, 'block')}, {size_words(result.bytes)}"
        aside = "would be set aside" if args.dry_run else "set aside"
        context.out.say(f"globofs: {unused} without a version, {aside}")
        if result.deleted_blocks:
            gone = f"{plural(result.deleted_blocks, 'block')}, {size_words(result.deleted_bytes)}"
            context.out.say(f"globofs: {gone} deleted")
        for sentence in result.waiting:
            context.out.say(f"globofs: deletion waits: {safe(sentence)}")
    return context.finish(result.problems)


# --- doctor -----------------------------------------------------------------------------------

_NEEDED_HERE = ("append", "exclusive_create", "rename", "rename_over", "symlink", "lock", "fsync")
_NEEDED_THERE = ("append",)
_WORDS = {
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


def doctor(context: Context) -> int:
    """What works here and what does not, for the node and each peer, or for one directory.
    1 when something GloboFS needs does not work; a peer that is away is no failure."""
    status = DONE
    documents: list[dict[str, Any]] = []
    for name, place, needs in _places(context):
        if context.cancelled():
            raise Interrupted()
        try:
            report, free = _probe(place)
        except GlobofsError as error:
            documents.append({"name": name, "path": printable(place), "error": error.message})
            context.out.say(f"globofs: {safe(name)}: {safe(error.message)}")
            status = FAILED if needs is _NEEDED_HERE else status
            continue
        lacks = [need for need in needs if getattr(report, need) is False]
        fails = bool(lacks) or (needs is _NEEDED_HERE and not report.writable)
        status = FAILED if fails else status
        documents.append({**plain(report), "name": name, "lacks": lacks, "free_bytes": free})
        if not context.out.as_json:
            _show_report(context, name, report, lacks, free)
    if not context.out.as_json and context.args.directory is None:
        for warning in context.volume.node.warnings:
            context.out.say(f"globofs: {safe(warning)}")
    if context.out.as_json:
        context.out.document(documents)
    return status


def _places(context: Context) -> list[tuple[str, str, tuple[str, ...]]]:
    """What to look at: a name, a directory, and what must work there."""
    if context.args.directory is not None:
        place = os.path.abspath(context.args.directory)
        if not os.path.isdir(place):
            raise UsageError(f"{printable(context.args.directory)}: not a directory")
        return [("directory", place, _NEEDED_HERE)]
    node = context.volume.node
    found: list[tuple[str, str, tuple[str, ...]]] = [("this node", node.directory, _NEEDED_HERE)]
    for peer in context.volume.peers:
        found.append((peer.name, peer.path, _NEEDED_THERE))
    return found


def _free(place: str) -> int | None:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def _probe(place: str) -> tuple[ProbeReport, int | None]:
    """Try everything in a temporary directory in `place`, which is taken away again; and the bytes
    that are free. A place that hangs is given up on. Raises GlobofsError."""
    from globofs.peerio.pool import PeerPool
    from globofs.peerio.probe import probe

    pool = PeerPool(1, name="doctor")
    try:
        return pool.call(probe, place), pool.call(_free, place)
    except PeerStuck:
        raise PeerStuck(peer=place, reason="its file system is silent") from None
    finally:
        pool.close()


def _clock_words(ahead: float) -> str:
    if not ahead:
        return "as ours"
    return f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"


def _show_report(
    context: Context, name: str, report: ProbeReport, lacks: list[str], free: int | None
) -> None:
    kind = f"{report.file_system or 'unknown file system'}{', network' if report.network else ''}"
    context.out.line(f"{safe(name)}: {safe(report.path)} ({safe(kind)})")
    rows = [("writing", "yes" if report.writable else "no")]
    for field, words in _WORDS.items():
        rows.append((words, {True: "yes", False: "no", None: "?"}[getattr(report, field)]))
    if report.names is not None:
        rows.append(("letters with accents", report.names))
    if report.mtime_step_ns is not None:
        rows.append(("step of file times", f"{report.mtime_step_ns / 1e9:g} s"))
    if report.clock_ahead_seconds is not None:
        rows.append(("clock", _clock_words(report.clock_ahead_seconds)))
    if free is not None:
        rows.append(("free space", size_words(free)))
    if report.latency_seconds is not None:
        rows.append(("a small file, synced", f"{report.latency_seconds * 1000:.1f} ms"))
    if report.write_rate is not None and report.read_rate is not None:
        rows.append(("writing, synced", rate_words(report.write_rate)))
        rows.append(("reading", rate_words(report.read_rate)))
    context.out.table([(f"  {words}", answer) for words, answer in rows])
    for problem in report.problems:
        context.out.line(f"  note: {safe(problem)}")
    if free is not None and free < LITTLE_BYTES:
        context.out.line("  note: little space is left; `globofs prune` or `evict` make some")
    for need in lacks:
        context.out.say(
            f"globofs: {safe(name)}: GloboFS needs {_WORDS[need]}, and it does not work"
        )
