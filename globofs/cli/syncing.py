"""`sync` and `watch`: what stays in step, once or live."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from globofs import limits
from globofs.cli.context import DONE, FAILED, Context
from globofs.cli.output import plain, problem_fields
from globofs.cli.peers import peer_fields
from globofs.errors import Interrupted, Locked, UsageError
from globofs.events import Note, Problem, Progress
from globofs.snapshots import PeerStatus
from globofs.speech import (
    parse_span,
    plural,
    safe,
    state_words,
    where_words,
)

if TYPE_CHECKING:
    from globofs.engine.runfiles import Published
    from globofs.events import Event, PeerSeen
    from globofs.snapshots import Snapshot

REST_SECONDS: Final = 1.0  # a peer whose figures stay so long is told of, though it lags behind
LOOK_SECONDS: Final = 0.1
LOCK_SAYS_SECONDS: Final = limits.LOCK_SAY_AFTER_SECONDS + 0.5  # it is told once who is waited for
LOCK_LOOK_SECONDS: Final = 1.5
LEADER_ROUND_NS: Final = 300_000_000  # what it publishes later than that knows of the request
ENGINE_CLOSE_SECONDS: Final = 0.7  # within the second after which Ctrl-C interrupts


# --- sync -------------------------------------------------------------------------------------


def sync(context: Context) -> int:
    """Push, receive and relay, once or live."""
    if context.args.watch:
        return _live(context)
    leader = context.leader()
    return _own_sync(context) if leader is None else _sync_by(context, leader)


def _own_sync(context: Context) -> int:
    """Sync in this process; or have the one do it that leads and had told nobody yet."""
    end = context.volume.node.clock.monotonic() + limits.PEER_COMMAND_SECONDS
    wait = LOCK_SAYS_SECONDS
    while True:
        try:
            result = context.volume.sync(deadline=wait, **context.listening)
            break
        except Locked:
            leader = context.leader()
            if leader is not None:
                return _sync_by(context, leader)
            if context.volume.node.clock.monotonic() >= end or context.cancelled():
                raise
            wait = LOCK_LOOK_SECONDS
    out = context.out
    if not out.as_json:
        # How a peer is, its own line says below.
        away = {seen.reason for seen in result.peers if seen.state not in ("online", "readonly")}
        out.problems(p for p in result.problems if not any(map(p.reason.endswith, away)))
    status = _report_sync(context, result.peers, plain(result))
    if context.cancelled():
        raise Interrupted()
    failed = any(not problem.warning for problem in result.problems)
    return FAILED if failed else status


def _sync_by(context: Context, leader: Published) -> int:
    """Ask the process that syncs this node for a round now, and wait until it had one."""
    from globofs.engine.runfiles import Request, ask
    from globofs.events import PeerSeen

    context.out.say(f"globofs: {safe(leader.who)} syncs this node; asked it to")
    node = context.volume.node
    ask(node.run(), Request("poke"))
    asked = node.clock.now_ns()
    end = node.clock.monotonic() + limits.PEER_COMMAND_SECONDS
    figures, since = _figures(leader), node.clock.monotonic()
    while not context.cancelled() and node.clock.monotonic() < end:
        node.clock.sleep(LOOK_SECONDS)
        told = context.leader()
        if told is None:
            return sync(context)  # it ended: ours now
        leader = told
        if _figures(leader) != figures:
            figures, since = _figures(leader), node.clock.monotonic()
        # Whose clients sleep acknowledges nothing: what rests is waited for no longer.
        rests = node.clock.monotonic() - since >= REST_SECONDS
        busy = any(peer.activity != "idle" for peer in leader.peers)
        if leader.at - asked > LEADER_ROUND_NS and (rests or not busy):
            break
    if context.cancelled():
        raise Interrupted()
    seen = tuple(
        PeerSeen(one.name, one.state, one.reason, one.outgoing, one.incoming, one.last_seen)
        for one in leader.peers
    )
    return _report_sync(context, seen, {"by": leader.who, "problems": []})


def _figures(leader: Published) -> tuple[tuple[str, str, int, int, int], ...]:
    """How its peers stand, to see whether anything moves."""
    return tuple(
        (one.name, one.state, one.outgoing, one.incoming, one.bytes_in + one.bytes_out)
        for one in leader.peers
    )


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
            asleep = [one.peer for one in peers if _sleeps(one)]
            if asleep:
                words = f"what {where_words(asleep)} did not acknowledge lies there"
                context.out.say(f"globofs: {words}, and is taken in when globofs runs there")
    return sync_status(peers)


def _sleeps(peer: PeerSeen) -> bool:
    """Whether a peer was told everything, and nothing runs there that takes it in."""
    return peer.state == "online" and not peer.reason and peer.outgoing > 0


def sync_status(peers: tuple[PeerSeen, ...]) -> int:
    """An offline peer costs nothing; a stuck, wrong or failing one does, and so does reaching
    nobody.
    Paused ones are left out on purpose."""
    asked = [peer for peer in peers if peer.state != "paused"]
    failing = any(peer.state == "online" and peer.reason for peer in asked)
    if failing or any(peer.state in ("stuck", "wrong") for peer in asked):
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
    from globofs.engine.engine import Engine

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
        from globofs.engine.engine import NOBODY
        from globofs.engine.rounds import NOT_ASKED

        self._context = context
        self._not_asked = NOT_ASKED
        self._told: dict[str, tuple[Any, ...]] = {}
        self._seen: dict[str, tuple[tuple[Any, ...], float]] = {}
        self._noted: Note | None = None
        self._tree = -1
        self._leader = NOBODY
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
        for note in snapshot.news(self._noted):
            text = f"{note.peer}: {note.text}" if note.peer else note.text
            line = {"event": "note", "text": note.text, "peer": note.peer, "warning": note.warning}
            self._event(line, text)
        self._noted = snapshot.notes[-1] if snapshot.notes else self._noted
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

    def _peer(self, peer: PeerStatus) -> None:
        """A line when it came to rest in another way than before, not for every record."""
        if peer.state == "offline" and peer.reason == self._not_asked:
            return
        mark = (peer.state, peer.reason, peer.outgoing, peer.incoming)
        now = time.monotonic()
        if self._seen.get(peer.name, ((), 0.0))[0] != mark:
            self._seen[peer.name] = (mark, now)
        rests = peer.activity == "idle" or now - self._seen[peer.name][1] >= REST_SECONDS
        settled = rests or peer.state != "online"
        if not settled or self._told.get(peer.name) == mark:
            return
        self._told[peer.name] = mark
        text = f"{safe(peer.name)}: {state_words(replace(peer, activity='idle'))}"
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
