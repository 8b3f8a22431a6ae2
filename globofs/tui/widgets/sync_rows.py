"""Rows of the Sync and Peers modes, and the title bar's summary of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from globofs import speech
from globofs.snapshots import NOTIFIED
from globofs.tui import words
from globofs.tui.glyphs import Glyphs
from globofs.tui.widgets.bars import GIVERS, parts, sparkline, stacked
from globofs.tui.widgets.paint import Cell, Column, Span, spans_width
from globofs.tui.widgets.rates import summed

if TYPE_CHECKING:
    from globofs.snapshots import Move, Overall, PeerStatus, Snapshot

STATE_STYLE: Final = {
    "online": "good", "readonly": "primary", "offline": "muted", "stuck": "warn",
    "paused": "warn", "wrong": "bad",
}  # fmt: skip
MOVE_STYLE: Final = {
    "moving": "accent", "queued": "muted", "failed": "bad", "paused": "warn", "done": "good",
}  # fmt: skip
DIRECTIONS: Final = {
    "pull": "from", "push": "to", "add": "adding", "restore": "restoring", "verify": "verifying",
}  # fmt: skip
ENDED: Final = {"add": "added", "restore": "restored", "verify": "verified"}
BAR: Final = 18

PEER_COLUMNS: Final = (
    Column("peer", "peer", 16),
    Column("state", "state", 9),
    Column("behind", "it lacks", 8, "right", 3),
    Column("lack", "we lack", 8, "right", 3),
    Column("seen", "last seen", 9, "right", 2),
    Column("now", "now", 0, "left", 1, 14),
)
#: where a row has the room for all that is known in few words
WIDE_PEERS: Final = 150
WIDE_PEER_COLUMNS: Final = (
    *PEER_COLUMNS[:5],
    Column("received", "received", 9, "right"),
    Column("sent", "sent", 9, "right"),
    Column("answers", "answers in", 10, "right"),
    Column("now", "now", 0, "left", 0, 54),
    Column("place", "directory", 0, "left", 0, 24, middle=True),
)
MOVE_COLUMNS: Final = (
    Column("state", "", 1),
    Column("path", "file", 0, minimum=22, middle=True, share=3),
    Column("bar", "", BAR, "left", 4),
    Column("percent", "", 5, "right", 2),
    Column("bytes", "bytes", 19, "right", 5),
    Column("what", "", 0, "left", 1, 22, share=2),
)
#: while nothing is on its way, names have the room of the bars
DONE_COLUMNS: Final = (*MOVE_COLUMNS[:2], Column("bytes", "size", 9, "right", 5), MOVE_COLUMNS[-1])


def peer_glyph(peer: PeerStatus, glyphs: Glyphs) -> str:
    """The symbol of a peer's state."""
    return {
        "online": glyphs.online,
        "readonly": glyphs.readonly,
        "offline": glyphs.offline,
        "stuck": glyphs.stuck,
        "paused": glyphs.paused,
        "wrong": glyphs.wrong,
    }[peer.state]


def in_step(peer: PeerStatus) -> bool:
    """Whether journals are acknowledged both ways."""
    return peer.state in ("online", "readonly") and not peer.outgoing and not peer.incoming


def peer_cells(peer: PeerStatus, now: int, glyphs: Glyphs) -> tuple[Cell, ...]:
    """One peer as a row."""
    style = STATE_STYLE[peer.state]
    word = peer.state if peer.activity == "idle" or peer.state != "online" else peer.activity
    return (
        ((f"{peer_glyph(peer, glyphs)} ", style), (words.safe(peer.name), "strong")),
        ((word, style),),
        _records(peer.outgoing),
        _records(peer.incoming),
        ((words.since(now if _moves(peer) else peer.last_seen, now), "muted"),),
        _doing(peer, glyphs),
    )


def answer(peer: PeerStatus) -> str:
    """How soon it answers: `4.0 ms`, `12.0 s`; at most 8 cells."""
    late = peer.latency_seconds
    if not late:
        return ""
    return f"{late * 1000:.1f} ms" if late < 1 else f"{late:.1f} s"


def wide_peer_cells(peer: PeerStatus, now: int, glyphs: Glyphs) -> tuple[Cell, ...]:
    """One peer as a row of `WIDE_PEER_COLUMNS`."""
    *known, doing = peer_cells(peer, now, glyphs)
    return (
        *known,
        ((words.size_words(peer.bytes_in) if peer.bytes_in else "", "muted"),),
        ((words.size_words(peer.bytes_out) if peer.bytes_out else "", "muted"),),
        ((answer(peer), "muted"),),
        doing,
        ((words.safe(peer.path), "muted"),),
    )


def _moves(peer: PeerStatus) -> bool:
    """Whether bytes come from it or go there just now: then it is seen, whatever the last round."""
    return peer.rate_in >= 1 or peer.rate_out >= 1


def _doing(peer: PeerStatus, glyphs: Glyphs) -> Cell:
    """Rates and their curve while something moves, else why not."""
    if not _moves(peer):
        if peer.reason:
            # The path has a place of its own in Peers; here it would push out what is wrong.
            reason = peer.reason
            if peer.path:
                reason = reason.removeprefix(f"{peer.path} is ").replace(peer.path, "its directory")
            return ((words.safe(reason), "muted"),)
        return (
            (("up to date", "good"),) if in_step(peer) else (("waiting for its answer", "muted"),)
        )
    spans: list[Span] = []
    if peer.rate_in >= 1:
        spans.append((f"{glyphs.down} {words.rate(peer.rate_in):<12}", "good"))
    if peer.rate_out >= 1:
        spans.append((f"{glyphs.up} {words.rate(peer.rate_out):<12}", "primary"))
    both = [a + b for a, b in zip(peer.history_in, peer.history_out, strict=False)]
    if any(both):
        spans.append((" " + sparkline(both, 24, glyphs), "accent"))
    return tuple(spans)


def _records(number: int) -> Cell:
    return ((f"{number:,}", "warn" if number else "faint"),) if number else (("–", "faint"),)


#: rows of commands that have named no path yet
JOBS: Final[dict[str, str]] = {
    "add": "taking in what was added", "restore": "a restore, undo or redo",
    "verify": "checking what is here", "pull": "fetching", "push": "sending",
}  # fmt: skip


def move_cells(move: Move, glyphs: Glyphs, order: Sequence[str] = ()) -> tuple[Cell, ...]:
    """One row of the queue; `order` of peers is that of the overall bar."""
    style = MOVE_STYLE[move.state]
    glyph = {
        "moving": glyphs.down if move.direction == "pull" else glyphs.up,
        "queued": glyphs.queued,
        "failed": glyphs.failed,
        "paused": glyphs.paused,
        "done": glyphs.done,
    }[move.state]
    live = move.state == "moving"
    path = (
        words.shown_path(move.path)
        if move.path
        else words.safe(move.reason) or JOBS[move.direction]
    )
    bar: Cell = ""
    if move.total and move.state != "done":
        bar = tuple(stacked(BAR, move.had, move.done, move.total, glyphs, move.sources, order))
    whole = move.had + move.total
    if move.state == "done":
        amount = words.size_words(whole) if whole else ""
    elif move.done:
        amount = f"{words.size_words(move.had + move.done)} / {words.size_words(whole)}"
    else:
        amount = words.size_words(whole) if whole else ""
    return (
        ((glyph, style),),
        (
            (
                path,
                "" if live else "muted" if move.state in ("queued", "done") else "",
            ),
        ),
        bar,
        ((words.percent(move.had + move.done, whole) if move.state != "done" else "", style),),
        ((amount, "muted"),),
        (
            (f"{words.rate(move.rate):<11} " if move.rate >= 1 else "", "good"),
            (_what(move), style if move.state in ("failed", "paused") else "muted"),
        ),
    )


def done_cells(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """What `DONE_COLUMNS` show of a row."""
    return (*cells[:2], *cells[-2:])


def _what(move: Move) -> str:
    if move.state == "failed":
        return words.safe(move.reason) or "failed"
    if move.state == "paused":
        return words.safe(move.reason) or "paused"
    text = DIRECTIONS[move.direction]
    if move.state == "done":
        text = ENDED.get(move.direction, text)
    if move.peer:
        text = f"{text} {words.safe(move.peer)}" if move.direction in ("pull", "push") else text
    elif move.direction in ("pull", "push"):
        text = {"queued": "queued", "done": "arrived"}.get(move.state, "moving")
    if move.state == "queued" and move.direction == "pull":
        text = f"queued, {text}" if move.peer else "queued"
    if move.by:
        text += f" · by {words.safe(move.by)}"
    return text


def brief_spans(snapshot: Snapshot, glyphs: Glyphs) -> tuple[Span, ...]:
    """The state in a few cells: `◐ 64 %`, `● 2/3`."""
    over, peers = snapshot.overall, snapshot.status.peers
    state = state_spans(snapshot, glyphs)[0]
    if snapshot.error or not peers:
        return state[:1]
    good = f"{sum(in_step(peer) for peer in peers)}/{len(peers)}"
    busy = over.moving or over.queued
    text = words.percent(over.had + over.done, over.had + over.total) if busy else good
    return (state[0], (text, state[0][1]))


def state_spans(
    snapshot: Snapshot, glyphs: Glyphs
) -> tuple[tuple[Span, ...], tuple[Span, ...], tuple[Span, ...]]:
    """State, rates and sparkline for the title bar."""
    peers = snapshot.status.peers
    good = sum(in_step(peer) for peer in peers)
    there = sum(peer.state in ("online", "readonly") for peer in peers)
    over = snapshot.overall
    if snapshot.error:
        state: tuple[Span, ...] = ((f"{glyphs.warning} ", "bad"), ("not reachable", "bad"))
    elif not peers:
        state = ((f"{glyphs.offline} ", "muted"), ("no peers", "muted"))
    elif over.moving or over.queued:
        known = over.done < over.total  # a read that nobody queued has no end yet
        done = words.percent(over.had + over.done, over.had + over.total) if known else ""
        state = ((f"{glyphs.part} ", "accent"), (f"syncing {done}".rstrip(), "accent"))
        if over.failed:
            state += ((f" {glyphs.failed} {over.failed:,}", "bad"),)
    elif over.failed:
        state = ((f"{glyphs.failed} ", "bad"), (f"{over.failed:,} failed", "bad"))
    elif good == len(peers):
        state = ((f"{glyphs.online} ", "good"), (f"up to date {good}/{len(peers)}", "good"))
    elif there:
        state = ((f"{glyphs.part} ", "warn"), (f"up to date {good}/{len(peers)}", "warn"))
    else:
        states = {peer.state for peer in peers}
        word = f"all peers {states.pop()}" if len(states) == 1 else "no peer in reach"
        state = ((f"{glyphs.offline} ", "muted"), (word, "muted"))
    down = sum(peer.rate_in for peer in peers)
    up = sum(peer.rate_out for peer in peers)
    rates: list[Span] = []
    if down >= 1:
        rates.append((f"{glyphs.down} {words.rate(down)}", "good"))
    if up >= 1:
        rates.append((("  " if rates else "") + f"{glyphs.up} {words.rate(up)}", "primary"))
    total = summed([peer.history_in for peer in peers] + [peer.history_out for peer in peers])
    latest = total[-10:]
    spark = ((sparkline(latest, len(latest), glyphs), "accent"),) if any(latest) else ()
    return state, tuple(rates), spark


def overall_lines(snapshot: Snapshot, width: int, glyphs: Glyphs) -> list[list[Span]]:
    """The overall bar, its numbers, and the legend: three lines."""
    over = snapshot.overall
    peers = snapshot.status.peers
    histories = summed([p.history_in for p in peers] + [p.history_out for p in peers])
    spark = sparkline(histories, 20, glyphs) if any(histories) and width >= 70 else ""
    whole = over.had + over.total
    busy = over.moving or over.queued
    if not whole or not (busy or over.failed):
        return _idle_lines(snapshot, glyphs)
    head = f"{words.percent(over.had + over.done, whole):>5} "
    room = max(8, width - len(head) - len(spark) - 3)
    bar = stacked(room, over.had, over.done, over.total, glyphs, over.sources)
    first: list[Span] = [*bar, (f" {head}", "strong"), (f" {spark}", "accent")]
    numbers: list[Span] = [
        (f"{words.size_words(over.had + over.done)} of {words.size_words(whole)}", "strong"),
    ]
    if over.rate >= 1:
        numbers.append((f"   {words.rate(over.rate)}", "good"))
    numbers.append((f"   ETA {words.eta(over.eta_seconds)}", ""))
    if over.growing:
        numbers.append(("   total still growing" if width >= 70 else "   growing", "warn"))
    return [first, numbers, [*_legend(over, width, glyphs), *_also(snapshot)]]


def _legend(over: Overall, width: int, glyphs: Glyphs) -> list[Span]:
    """What the stretches of the bar mean, and how much each is, as far as there is room."""
    names = [words.safe(peer) for peer, _ in over.sources]
    if len(names) > len(GIVERS):
        names[len(GIVERS) - 1 :] = ["others"]
    meant = dict(zip(GIVERS, names, strict=False))
    found = parts(over.had, over.done, over.total, over.sources, glyphs)
    found.append((max(0, over.total - over.done), (glyphs.bar_rest, "rest")))
    for amounts, full in ((True, True), (False, True), (False, False)):
        said = {"had": "was here", "sent": "sent", "rest": "to come"}
        said |= {style: f"from {name}" if full else name for style, name in meant.items()}
        spans: list[Span] = []
        for count, (glyph, style) in found:
            amount = f" {words.size_words(count)}" if amounts else ""
            text = f" {said.get(style, 'done')}{amount}"
            spans += [("   " if spans else "", ""), (glyph * 2, style), (text, "muted")]
        if spans_width(spans) <= width:
            break
    return spans


def _also(snapshot: Snapshot) -> list[Span]:
    """Who syncs this node when it is another process, and the latest thing worth a sentence."""
    spans: list[Span] = []
    if snapshot.leader:
        spans.append((f"   {words.safe(snapshot.leader)} syncs this node", "muted"))
    if snapshot.notes:
        note = snapshot.notes[-1]
        spans.append((f"   {words.safe(note.text)}", "warn" if note.warning else "faint"))
    return spans


def _idle_lines(snapshot: Snapshot, glyphs: Glyphs) -> list[list[Span]]:
    peers = snapshot.status.peers
    good = [peer for peer in peers if in_step(peer)]
    if not peers:
        first: list[Span] = [
            (f"{glyphs.offline} ", "muted"),
            ("No peers yet. ", "strong"),
            ("3", "key"),
            (", then ", "muted"),
            ("a", "key"),
            (" adds one.", "muted"),
        ]
    elif len(good) == len(peers):
        first = [
            (f"{glyphs.done} ", "good"),
            ("Nothing to move. ", "strong"),
            (f"{words.plural(len(peers), 'peer')} up to date.", "muted"),
        ]
    else:
        first = [
            (f"{glyphs.part} ", "warn"),
            ("Nothing to move now. ", "strong"),
            (f"{len(good)} of {words.plural(len(peers), 'peer')} up to date.", "muted"),
        ]
    status = snapshot.status
    second: list[Span] = [(speech.status_words(status), "muted")]
    third: list[Span] = []
    if snapshot.notification:
        announced = snapshot.notification == NOTIFIED
        how = "noticed at once" if announced else f"found by {words.safe(snapshot.notification)}"
        third.append((f"What others write here is {how}", "faint"))
    return [first, second, third + _also(snapshot)]
