"""`sync`, `mirror`, `pin`, `unpin`, `evict`, `copies`, `status`, `why`: what moves, and where."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from globofs.cli.context import DONE, FAILED, Context
from globofs.cli.output import path_fields, problem_fields
from globofs.cli.peers import peer_fields
from globofs.errors import Interrupted, printable
from globofs.speech import (
    age_words,
    plural,
    safe,
    shown_path,
    size_words,
    state_words,
    status_words,
)

if TYPE_CHECKING:
    from globofs.events import Event, PeerSeen, PeerStatus, Status


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
    result = context.volume.sync(**context.listening)
    status = context.finish(result.problems)
    return max(status, _report_sync(context, result.peers, plain(result)))


def _report_sync(context: Context, peers: tuple[PeerSeen, ...], counts: dict[str, Any]) -> int:
    if context.out.as_json:
        counts["peers"] = [seen_fields(peer) for peer in peers]
        context.out.document(counts)
    else:
        for peer in peers:
            context.out.say(f"globofs: {safe(peer.peer)}: {seen_words(peer)}")
        sent, received = counts.get("sent", 0), counts.get("received", 0)
        total = f"{plural(int(sent), 'record')} sent, {int(received):,} received"
        context.out.say(f"globofs: {total}" if peers else "globofs: no peers, nothing to do")
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
    from globofs.events import PeerStatus

    status = PeerStatus(
        seen.peer, "", "", seen.state, seen.reason, outgoing=seen.outgoing, incoming=seen.incoming
    )
    return state_words(status)


def _live(context: Context) -> int:
    """Stay, narrate what changes, end with Ctrl-C."""
    from globofs.engine import Engine

    engine = Engine(context.volume)
    live = _Live(context)
    engine.subscribe(live.hear)
    engine.start()
    context.out.say("globofs: syncing live; Ctrl-C ends it")
    try:
        while not context.cancelled():
            live.look(engine.snapshot())
            context.volume.node.clock.sleep(0.1)
    finally:
        engine.close(1.0)
    raise Interrupted()


class _Live:
    """Narrates an engine: a line when a peer's state or what is left with it changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told: dict[str, tuple[Any, ...]] = {}
        self._notification = ""

    def hear(self, event: Event) -> None:
        """Called from the engine's threads."""
        from globofs.events import Changed, Note, Problem

        out = self._context.out
        if isinstance(event, Changed):
            count = plural(event.records, "record")
            if out.as_json:
                paths = [path_fields(path)["path"] for path in event.paths]
                line = {"event": "changed", "records": event.records, "origin": event.origin}
                out.event({**line, "paths": paths})
            else:
                name = safe(self._context.volume.node_name(event.origin))
                out.say(f"globofs: {count} from {name}")
        elif isinstance(event, Problem):
            if out.as_json:
                out.event({"event": "problem", **problem_fields([event])[0]})
            out.problem(event)
        elif isinstance(event, Note):
            if out.as_json:
                out.event({"event": "note", "text": event.text, "peer": event.peer})
            out.emit(event)

    def look(self, snapshot: Any) -> None:
        """Ten times a second, in the main thread."""
        out = self._context.out
        for peer in snapshot.status.peers:
            settled = peer.activity == "idle"
            mark = (peer.state, peer.reason, settled and peer.outgoing, settled and peer.incoming)
            if self._told.get(peer.name) == mark or (peer.state == "online" and not settled):
                continue
            self._told[peer.name] = mark
            if out.as_json:
                out.event({"event": "peer", **peer_fields(peer)})
            else:
                out.say(f"globofs: {safe(peer.name)}: {state_words(peer)}")
        self._draw(snapshot)

    def _draw(self, snapshot: Any) -> None:
        from globofs.events import Progress

        overall = snapshot.overall
        if overall.moving or overall.queued:
            self._context.out.progress(
                Progress(
                    "sync",
                    "moving",
                    bytes=overall.done,
                    bytes_total=overall.total,
                    growing=overall.growing,
                )
            )
        else:
            self._context.out.clear()


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
    result = context.volume.evict(context.path(args.path), dry_run=args.dry_run, **context.listening)
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
    seen = "never seen" if peer.last_seen is None else f"seen {age_words(peer.last_seen, context.now)}"
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


