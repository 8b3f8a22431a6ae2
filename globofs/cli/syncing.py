"""`sync`, `watch`, `mirror`, `pin`, `unpin`, `evict`, `copies`, `status`, `why`: what moves, and where."""

from __future__ import annotations

import time
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from globofs import limits
from globofs.cli.context import DONE, FAILED, Context
from globofs.cli.output import path_fields, problem_fields
from globofs.cli.peers import peer_fields
from globofs.errors import Interrupted, UsageError, printable
from globofs.events import Note, PeerStatus, Problem, Progress
from globofs.speech import (
    age_words,
    parse_span,
    plural,
    safe,
    shown_path,
    size_words,
    state_words,
    status_words,
)

if TYPE_CHECKING:
    from globofs.engine.runfiles import Published
    from globofs.events import Event, PeerSeen, Snapshot, Status

LOOK_SECONDS: Final = 0.1
LEADER_ROUND_NS: Final = 300_000_000  # what it publishes later than that knows of the request
ENGINE_CLOSE_SECONDS: Final = 0.7  # within the second after which Ctrl-C interrupts


def plain(result: object) -> dict[str, Any]:
    """The counts and sentences of a result for JSON; `problems` as everywhere."""
    made: dict[str, Any] = {}
    if not is_dataclass(result):
        raise TypeError("not a result")
    for field in fields(result):
        value = getattr(result, field.name)
        if field.name == "problems":
            made["problems"] = problem_fields(value)
        elif isinstance(value, bytes):
            made.update(path_fields(value, field.name))
        elif isinstance(value, (bool, int, float, str)) or value is None:
            made[field.name] = value
        elif isinstance(value, tuple) and all(isinstance(one, (str, int)) for one in value):
            made[field.name] = list(value)
    return made


# --- sync -------------------------------------------------------------------------------------


def sync(context: Context) -> int:
    """Push, receive and relay, once or live."""
    if context.args.watch:
        return _live(context)
    leader = _leader(context)
    if leader is not None:
        return _sync_by(context, leader)
    result = context.volume.sync(**context.listening)
    status = context.finish(result.problems)
    return max(status, _report_sync(context, result.peers, plain(result)))


def _leader(context: Context) -> Published | None:
    """The process that syncs this node already, if there is one."""
    from globofs.engine.runfiles import RunFiles

    run = RunFiles(context.volume.node.run(), "sync", readonly=context.volume.readonly)
    now = context.volume.node.clock.now_ns()
    return next((other for other in run.others(now) if other.leads), None)


def _sync_by(context: Context, leader: Published) -> int:
    """Ask the process that syncs this node for a round now, and wait until it had one."""
    from globofs.engine.runfiles import Request, ask
    from globofs.events import PeerSeen

    context.out.say(f"globofs: {safe(leader.who)} syncs this node; asked it to")
    node = context.volume.node
    ask(node.run(), Request("poke"))
    asked = node.clock.now_ns()
    end = node.clock.monotonic() + limits.PEER_COMMAND_SECONDS
    while not context.cancelled() and node.clock.monotonic() < end:
        node.clock.sleep(LOOK_SECONDS)
        told = _leader(context)
        if told is None:
            return sync(context)  # it ended: ours now
        leader = told
        busy = any(peer.activity != "idle" for peer in leader.peers)
        if leader.at - asked > LEADER_ROUND_NS and not busy:
            break
    if context.cancelled():
        raise Interrupted()
    seen = tuple(
        PeerSeen(one.name, one.state, one.reason, one.outgoing, one.incoming, one.last_seen)
        for one in leader.peers
    )
    return _report_sync(context, seen, {"by": leader.who, "problems": []})


def _report_sync(context: Context, peers: tuple[PeerSeen, ...], counts: dict[str, Any]) -> int:
    if context.out.as_json:
        counts["peers"] = [seen_fields(peer) for peer in peers]
        context.out.document(counts)
    else:
        for peer in peers:
            context.out.say(f"globofs: {safe(peer.peer)}: {seen_words(peer)}")
        if not peers:
            context.out.say("globofs: no peers, nothing to do")
        elif "sent" in counts:
            sent, received = plural(counts["sent"], "record"), counts["received"]
            context.out.say(f"globofs: {sent} sent, {received:,} received")
    return sync_status(peers)


def sync_status(peers: tuple[PeerSeen, ...]) -> int:
    """An offline peer costs nothing; a stuck or wrong one does, and so does reaching nobody.
    Paused ones are left out on purpose."""
    asked = [peer for peer in peers if peer.state != "paused"]
    if any(peer.state in ("stuck", "wrong") for peer in asked):
        return FAILED
    reached = any(peer.state in ("online", "readonly") for peer in asked)
    return DONE if reached or not asked else FAILED


def seen_fields(seen: PeerSeen) -> dict[str, Any]:
    """What a round with a peer found, for JSON."""
    return {
        "name": seen.peer,
        "state": seen.state,
        "outgoing": seen.outgoing,
        "incoming": seen.incoming,
        "error": seen.reason or None,
    }


def seen_words(seen: PeerSeen) -> str:
    """The same in words."""
    status = PeerStatus(
        seen.peer, "", "", seen.state, seen.reason, outgoing=seen.outgoing, incoming=seen.incoming
    )
    return state_words(status)


def _live(context: Context) -> int:
    """Stay, narrate what changes, end with Ctrl-C."""
    from globofs.engine import Engine

    engine = Engine(context.volume, label="sync")
    live = _Live(context)
    context.out.say("globofs: syncing live; Ctrl-C ends it")
    engine.start()
    try:
        while not context.cancelled():
            live.look(engine.snapshot())
            time.sleep(LOOK_SECONDS)
    finally:
        engine.close(ENGINE_CLOSE_SECONDS)
    raise Interrupted()


class _Live:
    """Narrates an engine's snapshots: a line when a peer's state or what is left with it
    changes, and what the engine notes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told: dict[str, tuple[Any, ...]] = {}
        self._noted: Note | None = None
        self._tree = -1
        self._leader = ""
        self._error = ""

    def look(self, snapshot: Snapshot) -> None:
        """Ten times a second, in the main thread."""
        if snapshot.leader != self._leader:
            self._leader = snapshot.leader
            who = self._leader or "this process"
            self._event({"event": "leader", "who": who}, f"{who} syncs this node")
        if snapshot.error != self._error:
            self._error = snapshot.error
            self._event({"event": "error", "error": self._error}, self._error or "it goes on")
        for note in self._news(snapshot.notes):
            text = f"{note.peer}: {note.text}" if note.peer else note.text
            line = {"event": "note", "text": note.text, "peer": note.peer, "warning": note.warning}
            self._event(line, text)
        for peer in snapshot.status.peers:
            self._peer(peer)
        if self._tree not in (-1, snapshot.tree_serial) and self._context.out.as_json:
            self._context.out.event({"event": "changed", "files": snapshot.status.files})
        self._tree = snapshot.tree_serial
        self._draw(snapshot)

    def _event(self, line: dict[str, Any], text: str) -> None:
        if self._context.out.as_json:
            self._context.out.event(line)
        else:
            self._context.out.say(f"globofs: {safe(text)}")

    def _news(self, notes: tuple[Note, ...]) -> tuple[Note, ...]:
        """The notes behind the last one told; all, where that has gone out of sight."""
        last, self._noted = self._noted, notes[-1] if notes else self._noted
        for place in range(len(notes) - 1, -1, -1):
            if notes[place] is last:
                return notes[place + 1 :]
        return notes

    def _peer(self, peer: PeerStatus) -> None:
        """A line when it came to rest in another way than before, not for every record."""
        settled = peer.activity == "idle" or peer.state != "online"
        mark = (peer.state, peer.reason, peer.outgoing, peer.incoming)
        if not settled or self._told.get(peer.name) == mark:
            return
        self._told[peer.name] = mark
        text = f"{safe(peer.name)}: {state_words(peer)}"
        self._event({"event": "peer", **peer_fields(peer)}, text)

    def _draw(self, snapshot: Snapshot) -> None:
        overall = snapshot.overall
        if not (overall.moving or overall.queued):
            self._context.out.clear()
            return
        self._context.out.progress(
            Progress(
                "sync",
                "moving",
                bytes=overall.done,
                bytes_total=overall.total,
                growing=overall.growing,
            )
        )


# --- watch ------------------------------------------------------------------------------------


def watch(context: Context) -> int:
    """Add the folder, then add again whenever something changed, until Ctrl-C."""
    from globofs.engine.folder import FolderWatch
    from globofs.format.names import parse_path

    args = context.args
    poll = parse_span(args.poll) if args.poll else 0
    if args.poll and poll < 1:
        raise UsageError("--poll wants at least 1s")
    watching = FolderWatch(
        context.volume,
        args.folder,
        volume_directory=context.volume.directory,
        run_directory=context.volume.node.run(),
        to=parse_path(args.to),
        exclude=tuple(args.exclude),
        poll_seconds=float(poll or limits.POLL_DEFAULT_SECONDS),
        force_polling=bool(poll),
        emit=_WatchTeller(context).emit,
    )
    watching.run(context.cancelled)
    if context.out.as_json:
        context.out.event({"event": "end", **plain(watching.totals)})
    raise Interrupted()


class _WatchTeller:
    """Narrates a watch: notes and problems; a scan every few seconds is no news."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def emit(self, event: Event) -> None:
        """From any thread."""
        if isinstance(event, Progress):
            return
        out = self._context.out
        if out.as_json and isinstance(event, Note):
            out.event({"event": "note", "text": event.text, "warning": event.warning})
        elif out.as_json and isinstance(event, Problem):
            out.event({"event": "problem", **problem_fields([event])[0]})
        else:
            self._context.emit(event)


# --- blocks -----------------------------------------------------------------------------------


def mirror(context: Context) -> int:
    """Pull every block, or write them to a peer."""
    args = context.args
    result = context.volume.mirror(
        context.path(args.path), to=args.to, all_versions=args.all_versions, **context.listening
    )
    counts = plain(result)
    if context.out.as_json:
        context.out.document(counts)
    else:
        context.out.problems(result.problems)
        moved = "written there" if args.to else "pulled"
        size = size_words(result.bytes)
        already = f"{result.already:,} were there already"
        context.out.say(f"globofs: {plural(result.blocks, 'block')}, {size} {moved}; {already}")
    return context.finish(result.problems, missing=_missing(result))


def _missing(result: object) -> int:
    value = getattr(result, "missing", 0)
    return len(value) if isinstance(value, tuple) else int(value)


def pin(context: Context) -> int:
    """Keep it here from now on, and fetch it now as far as peers are reachable."""
    path = context.path(context.args.path)
    result = context.volume.pin(path, **context.listening)
    fetched = None
    if result.missing_blocks and not context.cancelled():
        fetched = context.volume.mirror(path, **context.listening)
    problems = result.problems + (fetched.problems if fetched else ())
    if context.out.as_json:
        counts = {**plain(result), "pins": [path_fields(one)["path"] for one in result.pins]}
        counts["fetched_blocks"] = fetched.blocks if fetched else 0
        counts["fetched_bytes"] = fetched.bytes if fetched else 0
        counts["problems"] = problem_fields(problems)
        context.out.document(counts)
    else:
        context.out.problems(problems)
        got = f"; {size_words(fetched.bytes)} fetched" if fetched else "; all of it is here"
        context.out.say(f"globofs: {shown_path(path)} is pinned{got}")
    return context.finish(problems, missing=_missing(fetched) if fetched else 0)


def unpin(context: Context) -> int:
    """Take a pin back."""
    result = context.volume.unpin(context.path(context.args.path), **context.listening)
    if context.out.as_json:
        pins = [path_fields(one)["path"] for one in result.pins]
        context.out.document({**plain(result), "pins": pins})
    else:
        context.out.say(f"globofs: {shown_path(result.path)} is not pinned any more")
    return context.finish(result.problems)


def evict(context: Context) -> int:
    """Let go what others safely hold."""
    args = context.args
    result = context.volume.evict(
        context.path(args.path), dry_run=args.dry_run, **context.listening
    )
    if context.out.as_json:
        counts = plain(result)
        counts["kept"] = [{"reason": reason, "blocks": blocks} for reason, blocks in result.kept]
        context.out.document(counts)
    else:
        context.out.problems(result.problems)
        done = "would be let go" if args.dry_run else "let go"
        count, size = plural(result.blocks, "block"), size_words(result.bytes)
        context.out.say(f"globofs: {count}, {size} {done}")
        for reason, blocks in result.kept:
            context.out.say(f"globofs: {plural(blocks, 'block')} kept: {safe(reason)}")
        if result.waiting:
            again = plural(result.waiting, "block")
            context.out.say(f"globofs: {again} must be seen at a keeper a second time, in a minute")
    return context.finish(result.problems)


def copies(context: Context) -> int:
    """Who holds the content of a path."""
    found = context.volume.copies(context.path(context.args.path), **context.listening)
    if context.out.as_json:
        context.out.rows(plain(one) for one in found)
        return context.finish(())
    context.out.table(
        [
            (
                safe(one.name),
                f"{one.blocks:,}/{one.total:,} blocks",
                one.state,
                "keeper" if one.keeper else "cache only",
                safe(one.reason),
            )
            for one in found
        ]
    )
    return context.finish(())


# --- status, why ------------------------------------------------------------------------------


def status_fields(status: Status) -> dict[str, Any]:
    """The volume for JSON."""
    made = {
        field.name: getattr(status, field.name) for field in fields(status) if field.name != "peers"
    }
    made["volume"] = printable(status.volume)
    made["peers"] = [peer_fields(peer) for peer in status.peers]
    return made


def status(context: Context) -> int:
    """Peers, queues, conflicts, missing blocks. A peer that is away is no failure."""
    found = context.volume.status(probe=True, **context.listening)
    if context.out.as_json:
        context.out.document(status_fields(found))
        return context.finish(())
    line = context.out.line
    line(f"{safe(found.volume)}: node {safe(found.name)} ({found.uuid})")
    line(status_words(found))
    if found.readonly:
        line(f"read only: {safe(found.readonly)}")
    if found.wanted_blocks:
        wanted = plural(found.wanted_blocks, "block")
        line(f"{wanted} wanted and on the way, {size_words(found.wanted_bytes)}")
    context.out.table([_peer_row(context, peer) for peer in found.peers])
    if not found.peers:
        line("no peers")
    return context.finish(())


def _peer_row(context: Context, peer: PeerStatus) -> tuple[str, ...]:
    seen = (
        "never seen" if peer.last_seen is None else f"seen {age_words(peer.last_seen, context.now)}"
    )
    return (safe(peer.name), state_words(peer), seen, safe(peer.path))


def why(context: Context) -> int:
    """Why something is not here, or not there."""
    path = context.path(context.args.path)
    found = context.volume.why(path, **context.listening)
    if context.out.as_json:
        context.out.rows(
            {**path_fields(one.path), "reason": one.reason, "detail": one.detail} for one in found
        )
        return DONE
    for one in found:
        context.out.line(f"{shown_path(one.path)}: {one.reason}: {safe(one.detail)}")
    if not found:
        context.out.say(f"globofs: all of {shown_path(path)} is here, and every peer knows of it")
    return DONE
