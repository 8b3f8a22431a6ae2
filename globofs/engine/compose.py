"""Putting a snapshot together from what the engine's parts know. Pure: no lock, no disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from globofs.engine.meters import PeerMeters
from globofs.engine.rounds import NOT_ASKED, RoundState
from globofs.engine.runfiles import Published
from globofs.engine.work import PeerFacts
from globofs.events import PeerState
from globofs.snapshots import Activity, Move, Overall, PeerStatus, Sources

MOVES_OF_OTHERS: Final = 200


def peer_status(
    facts: PeerFacts,
    state: tuple[RoundState, PeerState, str] | None,
    meters: PeerMeters,
    *,
    now_ns: int,
    now: float,
) -> PeerStatus:
    """A peer as the faces show it, from its entry, its round loop and its meters."""
    rate_in, rate_out = meters.incoming.rate, meters.outgoing.rate
    common = PeerStatus(
        name=facts.name,
        uuid=facts.uuid,
        path=facts.path,
        send=facts.send,
        reason=NOT_ASKED,
        rate_in=rate_in,
        rate_out=rate_out,
        bytes_in=facts.bytes_in,
        bytes_out=facts.bytes_out,
        latency_seconds=facts.latency_seconds,
        history_in=meters.incoming.history,
        history_out=meters.outgoing.history,
    )
    if state is None:
        return common
    rounds, word, reason = state
    seen = rounds.seen
    if word == "stuck" and (rate_in > 0 or rate_out > 0):
        # The round waits behind what is read from it, as over a slow link: it does answer.
        word, reason = "online", ""
    away = word not in ("online", "readonly", "paused") and rounds.busy_since is None
    activity: Activity = "idle"
    if rate_in > 0 or (rounds.busy_since is not None and seen.incoming):
        activity = "pulling"
    elif rate_out > 0 or (word == "online" and seen.outgoing):
        activity = "pushing"
    return replace(
        common,
        state=word,
        reason=reason,
        activity=activity if word in ("online", "readonly") else "idle",
        outgoing=seen.outgoing,
        incoming=seen.incoming,
        last_seen=rounds.last_online,
        retry_at=now_ns + int(max(0.0, rounds.next_at - now) * 1e9) if away else None,
    )


def merge_moves(own: tuple[Move, ...], others: list[Published]) -> tuple[Move, ...]:
    """Our rows and those of the node's other processes, which are named on theirs."""
    rows = list(own)
    for other in others:
        rows.extend(
            replace(move, key=f"{other.pid}/{move.key}", by=move.by or other.who)
            for move in other.moves[:MOVES_OF_OTHERS]
        )
    if not others:
        return own
    order = {"moving": 0, "failed": 1, "paused": 2, "queued": 3, "done": 4}
    rows.sort(key=lambda move: order[move.state])  # stable: each process's own order stays
    return tuple(rows)


def merge_overall(own: Overall, others: list[Published]) -> Overall:
    """One line for all processes of the node: counts add up, and so do rates."""
    total = own
    for other in others:
        line = other.overall
        if not (line.moving or line.queued or line.failed or line.finished or line.done):
            continue
        etas = [eta for eta in (total.eta_seconds, line.eta_seconds) if eta is not None]
        total = Overall(
            done=total.done + line.done,
            total=total.total + line.total,
            had=total.had + line.had,
            rate=total.rate + line.rate,
            eta_seconds=(max(e[0] for e in etas), max(e[1] for e in etas)) if etas else None,
            growing=total.growing or line.growing,
            moving=total.moving + line.moving,
            queued=total.queued + line.queued,
            failed=total.failed + line.failed,
            finished=total.finished + line.finished,
            sources=_together(total.sources, line.sources),
        )
    return total


def _together(one: Sources, other: Sources) -> Sources:
    """What each peer gave, to two processes."""
    given = dict(one)
    for peer, count in other:
        given[peer] = given.get(peer, 0) + count
    return tuple(given.items())
