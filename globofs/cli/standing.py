"""`status`, `why`: how things stand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from globofs.cli.context import DONE, Context
from globofs.cli.output import path_fields, paths_fields
from globofs.cli.peers import peer_fields, shown_state, tell_bad_entries
from globofs.snapshots import Overall
from globofs.speech import (
    age_words,
    plural,
    rate_words,
    safe,
    shown_path,
    size_words,
    status_words,
)

if TYPE_CHECKING:
    from globofs.engine.runfiles import Published
    from globofs.snapshots import PeerStatus, Status
    from globofs.store.state import Pauses


def status_fields(status: Status, leader: Published | None = None) -> dict[str, Any]:
    """The volume for JSON; `queue` is that of the process that syncs this node."""
    made = {
        field.name: getattr(status, field.name) for field in fields(status) if field.name != "peers"
    }
    made.update(path_fields(os.fsencode(status.volume), "volume"))
    made["peers"] = [peer_fields(peer) for peer in status.peers]
    made["synced_by"] = leader.who if leader else None
    overall = leader.overall if leader else Overall()
    made["queue"] = {
        "moving": overall.moving,
        "queued": overall.queued,
        "failed": overall.failed,
        "bytes": overall.done,
        "bytes_total": overall.total,
        "rate": round(overall.rate),
    }
    return made


def status(context: Context) -> int:
    """Peers, queues, conflicts, missing blocks. A peer that is away is no failure."""
    leader = context.leader()
    found = context.volume.status(probe=leader is None, **context.listening)
    if leader is not None:
        found = replace(found, peers=leader.peers)
    if context.out.as_json:
        document = status_fields(found, leader)
        document["paused"] = _paused_fields(context.volume.pauses())
        bad = [entry.message for entry in context.volume.peers.problems]
        document["warnings"] = [*found.warnings, *bad]
        context.out.document(document)
        return context.finish(())
    line = context.out.line
    line(f"{safe(found.volume)}: node {safe(found.name)} ({found.uuid})")
    line(status_words(found))
    if found.readonly:
        line(f"read only: {safe(found.readonly)}")
    if found.wanted_blocks:
        wanted = plural(found.wanted_blocks, "block")
        line(f"{wanted} wanted and not here yet, {size_words(found.wanted_bytes)}")
    for what in _paused_words(context.volume.pauses()):
        line(f"{what} paused; `globofs resume` lets it go on")
    if leader is not None:
        line(f"kept in sync by {safe(leader.who)}{_queue_words(leader.overall)}")
    context.out.table([_peer_row(context, peer) for peer in found.peers])
    if not found.peers:
        line("no peers; `globofs peer add NAME PATH` makes one")
    for warning in found.warnings:
        context.out.say(f"globofs: {safe(warning)}")
    tell_bad_entries(context)
    return context.finish(())


def _paused_fields(pauses: Pauses) -> dict[str, Any]:
    return {
        "everything": pauses.everything,
        "peers": sorted(pauses.peers),
        **paths_fields(sorted(pauses.paths)),
    }


def _paused_words(pauses: Pauses) -> Iterator[str]:
    """What a user paused, but for the peers, whose rows say it."""
    if pauses.everything:
        yield "everything is"
    for path in sorted(pauses.paths):
        yield f"{shown_path(path)} is"


def _queue_words(overall: Overall) -> str:
    parts = [
        f"{count:,} {word}"
        for count, word in (
            (overall.moving, "moving"),
            (overall.queued, "queued"),
            (overall.failed, "failed"),
        )
        if count
    ]
    if not parts:
        return ", nothing is moving"
    done = f"{size_words(overall.done)} of {size_words(overall.total)}"
    return f": {', '.join(parts)}; {done}, {rate_words(overall.rate)}"


def _peer_row(context: Context, peer: PeerStatus) -> tuple[str, ...]:
    seen = "never seen"
    if peer.last_seen is not None:  # it may have been asked after this command began
        seen = f"seen {age_words(min(peer.last_seen, context.now), context.now)}"
    return (safe(peer.name), shown_state(context, peer), seen, safe(peer.path))


def why(context: Context) -> int:
    """Why something is not here, or not there."""
    path = context.path(context.args.path)
    leader = context.leader()
    found = context.volume.why(
        path,
        peers=leader.peers if leader else None,
        moves=leader.moves if leader else (),
        **context.listening,
    )
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
