"""Mode 3, Peers: the other nodes, what each state means and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from globofs import speech
from globofs.snapshots import Move, PeerStatus, Snapshot
from globofs.tui import words
from globofs.tui.face import Face
from globofs.tui.model import places
from globofs.tui.model.check import Check
from globofs.tui.model.text import Line, Page
from globofs.tui.screens.base import ListPane, ModeScreen, TextPane
from globofs.tui.screens.dialogs import CHECK_SECONDS, Modal, SayDialog, completed, meant_anew
from globofs.tui.screens.pace import Debounce
from globofs.tui.widgets.bars import sparkline
from globofs.tui.widgets.chrome import Lines
from globofs.tui.widgets.paint import Span, fit, lay_out, wrapped
from globofs.tui.widgets.rates import rate_lines
from globofs.tui.widgets.sync_rows import (
    MOVE_COLUMNS,
    PEER_COLUMNS,
    STATE_STYLE,
    WIDE_PEER_COLUMNS,
    WIDE_PEERS,
    answer,
    in_step,
    move_cells,
    peer_cells,
    wide_peer_cells,
)
from globofs.tui.widgets.virtual_list import Rows, VirtualList

MEANINGS = {
    "online": "Its directory is readable, and it is the right volume.",
    "readonly": "We can read its directory but not write there: it gets our changes only if it reads ours.",
    "offline": "Its directory cannot be reached. Nothing is lost: what it lacks waits and goes on by itself.",
    "stuck": "Its file system does not answer. It is left alone until it does; nothing else waits for it.",
    "paused": "Paused by you. P lets it go on.",
    "wrong": "Another volume, or none, lies at its path. Nothing is read or written there.",
}
FEWEST_MOVES = 3  # for which there has to be room
MOST_ROWS = 9  # of what went both ways, drawn below the facts
TO_DO = {
    "offline": "Mount it or bring the machine up. F5 tries now; in Peers, e changes the path.",
    "stuck": "See whether the mount is alive; unmounting it by force frees it.",
    "readonly": "Mount it writable, or add this node as a peer over there.",
    "wrong": "In Peers, e changes the path.",
}


class PeersScreen(ModeScreen):
    """The mode."""

    context: ClassVar[str] = "peers"
    panes: ClassVar[tuple[str, ...]] = ("peers", "peer-detail")

    def __init__(self) -> None:
        super().__init__()
        self.rows = Rows(PEER_COLUMNS)
        self.peers: tuple[PeerStatus, ...] = ()

    def compose(self) -> ComposeResult:
        """List over details."""
        yield self.title_bar
        yield self.banner
        with Container(classes="stack"):
            yield ListPane(self.rows, "peers", id="peers")
            yield TextPane("peers", id="peer-detail")
        yield self.hint_bar

    @property
    def peer_list(self) -> ListPane:
        """The peers."""
        return self.query_one("#peers", ListPane)

    def ready(self) -> None:
        """Until the first snapshot."""
        self.peer_list.words = ("asking the engine",)
        self.peer_list.border_title = self.caption(" Peers ")

    def take(self, snapshot: Snapshot) -> None:
        """Draw the new state."""
        super().take(snapshot)
        if not self.is_mounted or not self.query("#peers"):
            return
        self.peers = snapshot.status.peers
        wide = self.size.width >= WIDE_PEERS
        self.rows.columns = WIDE_PEER_COLUMNS if wide else PEER_COLUMNS
        cells = wide_peer_cells if wide else peer_cells
        self.rows.replace(
            [peer.name for peer in self.peers],
            [cells(peer, snapshot.at, self.glyphs) for peer in self.peers],
        )
        self.peer_list.words = (
            "No peers yet",
            "A peer is another node of this volume: its volume directory, reached through",
            "a disk, sshfs or NFS. Adding it here is enough to receive what it has.",
            "a adds one",
        )
        good = sum(in_step(peer) for peer in self.peers)
        self.peer_list.border_title = self.caption(
            f" {words.plural(len(self.peers), 'peer')}, {good} up to date "
        )
        rows = max(7, min(len(self.peers), 12) + 3)
        self.peer_list.styles.height = "1fr" if self.lone else rows
        self.peer_list.reload()
        self._details(keep=True)

    def on_virtual_list_moved(self, message: VirtualList.Moved) -> None:
        """Another peer."""
        self._details(keep=False)

    def here(self) -> PeerStatus | None:
        """The peer under the cursor."""
        return (
            self.peers[self.peer_list.cursor] if self.peer_list.cursor < len(self.peers) else None
        )

    def _details(self, *, keep: bool) -> None:
        pane = self.query_one("#peer-detail", TextPane)
        peer = self.here()
        if peer is None or self.last_snapshot is None:
            pane.border_title = self.caption(" What a peer is ")
            pane.show(Page(words=("A peer is another node of this volume", "a adds one")))
            return
        pane.border_title = self.caption(f" {words.safe(peer.name)} ")
        width, height = pane.size
        lines = details(peer, self.last_snapshot.at, self.glyphs, width, height)
        lines += moves_with(peer, self.last_snapshot.moves, self.glyphs, width, height - len(lines))
        pane.show(Page(lines=tuple(lines)), keep=keep)

    def why_not(self, action: str) -> str:
        """Actions on a peer need one."""
        if action in ("peer_edit", "peer_remove", "pause", "why") and self.here() is None:
            return "there is no peer yet; a adds one"
        return ""

    # --- actions --------------------------------------------------------------------------

    def do_pause(self) -> None:
        """Pause or resume."""
        peer = self.here()
        if peer is not None:
            self.globofs.steer("resume" if peer.state == "paused" else "pause", peer.name)

    def do_retry(self) -> None:
        """Ask now."""
        self.globofs.steer("retry")

    def do_why(self) -> None:
        """What the state means."""
        peer = self.here()
        if peer is not None:
            explain(self.globofs, peer, self.globofs.now())

    def do_copy(self) -> None:
        """The path to the clipboard."""
        peer = self.here()
        if peer is not None:
            self.app.copy_to_clipboard(peer.path)
            self.globofs.say(f"Copied {words.safe(peer.path)}", timeout=3)

    def do_peer_add(self) -> None:
        """Ask for name and path."""
        self.app.push_screen(PeerDialog(None), self._answered)

    def do_peer_edit(self) -> None:
        """Change path or direction."""
        peer = self.here()
        if peer is not None:
            self.app.push_screen(PeerDialog(peer), self._answered)

    def _answered(self, found: tuple[str, str, bool, bool] | None) -> None:
        if found is None:
            return
        name, path, send, new = found
        volume, engine = self.globofs.volume, self.bridge.engine

        def work(emit: Any, cancelled: Any) -> PeerStatus:
            if new:
                status = volume.peer_add(name, path, send, emit=emit)
            else:
                status = volume.peer_set(name, path=path, send=send)
            if engine is not None:
                engine.poke(name)
            return status

        line = speech.command(
            "peer add" if new else "peer set",
            name,
            *([path] if new else ()),
            path=None if new else path,
        )
        said = f"{words.safe(name)} is a peer now" if new else f"{words.safe(name)} changed"
        self.globofs.verb("peer", "asking the peer", work, lambda _: said, line=line)

    def do_peer_remove(self) -> None:
        """Forget the peer, after a question."""
        from globofs.tui.screens.dialogs import ChoiceDialog

        peer = self.here()
        if peer is None:
            return
        volume, name, node = self.globofs.volume, peer.name, peer.uuid
        forget = speech.command("peer remove", name)
        retire = speech.command("peer retire", node)

        def chosen(how: str | None) -> None:
            gone = how == "gone"
            if not how:
                return

            def work(emit: Any, cancelled: Any) -> None:
                if gone:
                    volume.peer_retire(node, emit=emit)
                volume.peer_remove(name)

            left = "nothing waits for it" if gone else "nothing that came from it is lost"
            self.globofs.verb(
                "peer",
                "removing the peer",
                work,
                lambda _: f"{words.safe(name)} is no longer a peer; {left}",
                line=f"{retire} && {forget}" if gone else forget,
            )

        rows = [
            ("n", "no, keep it", ""),
            ("y", "forget it here; what came from it stays", "forget"),
            ("g", "it is gone for good: no deletion waits for it", "gone"),
        ]
        self.app.push_screen(ChoiceDialog(f"Remove {words.safe(name)}?", rows), chosen)


def details(peer: PeerStatus, now: int, glyphs: Any, width: int, height: int) -> list[Line]:
    """Everything about a peer, and what to do."""
    rows: list[tuple[str, str, str]] = [
        ("state", f"{peer.state}  {words.safe(peer.reason)}".strip(), STATE_STYLE[peer.state]),
        ("that means", MEANINGS[peer.state], ""),
    ]
    if peer.state in TO_DO:
        rows.append(("what to do", TO_DO[peer.state], "accent"))
    rows += [
        ("doing", peer.activity, ""),
        ("directory", words.safe(peer.path), ""),
        ("node", peer.uuid, "muted"),
        ("answers in", answer(peer), ""),
        *standing(peer, now),
        (
            "blocks",
            "we also write them there (send=yes)" if peer.send else "it pulls what it wants",
            "",
        ),
        ("received", _traffic(peer.bytes_in, peer.rate_in), ""),
        ("sent", _traffic(peer.bytes_out, peer.rate_out), ""),
    ]
    lines = _named(rows)
    room = min(MOST_ROWS, height - len(lines) - 1)
    drawn = rate_lines(peer.history_in, peer.history_out, max(10, width - 2), room, glyphs)
    if drawn and len(drawn) <= room:
        return [*lines, (), *map(tuple, drawn)]
    for name, history, style in (
        ("in", peer.history_in, "good"),
        ("out", peer.history_out, "primary"),
    ):
        if any(history):
            curve = sparkline(history, max(10, min(60, width - 16)), glyphs).lstrip()
            lines.append(((f"{name + ', 1 min':<12}", "muted"), (curve, style)))
    return lines


def moves_with(
    peer: PeerStatus, moves: Sequence[Move], glyphs: Any, width: int, rows: int
) -> list[Line]:
    """What is on its way from a peer or to it, or was lately, in at most `rows` lines."""
    own = [move for move in moves if peer.name in move.peer.split(", ")]
    if not own or rows < FEWEST_MOVES + 2:
        return []
    places = lay_out(MOVE_COLUMNS, width - 2)
    lines: list[Line] = [(), (("on its way, or just here", "muted"),)]
    for move in own[: rows - 2]:
        cells = move_cells(move, glyphs)
        spans: list[Span] = []
        for index, room in places:
            column = MOVE_COLUMNS[index]
            gap = [("  ", "")] if spans else []
            spans += gap + fit(cells[index], room, column.align, glyphs.more, column.middle)
        lines.append(tuple(spans))
    return lines


def standing(peer: PeerStatus, now: int) -> list[tuple[str, str, str]]:
    """How far a peer is behind, and since when: name, value, style of each fact."""
    met = peer.state in ("online", "readonly")
    nothing = "nothing" if met else "not known while it is away"
    seen = words.since(peer.last_seen, now) if peer.last_seen else "not since this was started"
    if peer.last_seen is not None and not met:
        seen = f"{speech.long_age(peer.last_seen, now)}  ({words.exact_time(peer.last_seen)})"
    lacks, lack = peer.outgoing, peer.incoming
    then = ""
    if peer.state == "online" and peer.activity == "idle":
        then = "; they lie there, and are taken in when globofs runs there"
    return [
        ("last seen", seen, ""),
        ("next try", _until(peer.retry_at, now), ""),
        (
            "it lacks",
            f"{words.plural(lacks, 'record')} of ours{then}" if lacks else nothing,
            "warn" if lacks else "",
        ),
        (
            "we lack",
            f"{words.plural(lack, 'record')} of its" if lack else nothing,
            "warn" if lack else "",
        ),
    ]


def _named(rows: Sequence[tuple[str, str, str]]) -> list[Line]:
    return [((f"{name:<12}", "muted"), (value, style)) for name, value, style in rows if value]


def _traffic(count: int, rate: float) -> str:
    if not count:
        return ""
    return words.size_words(count) + (f", now {words.rate(rate)}" if rate >= 1 else "")


def _until(at: int | None, now: int) -> str:
    return f"in {max(0, (at - now) // words.SECOND)} s" if at is not None else ""


def explain(app: Face, peer: PeerStatus, now: int) -> None:
    """Say what a peer's state means, how far it is behind, and what to do."""
    lines: list[Sequence[Span]] = [
        [(speech.state_words(peer), STATE_STYLE[peer.state])],
        [],
        [(MEANINGS[peer.state], "")],
    ]
    if peer.state in TO_DO:
        lines.append([(TO_DO[peer.state], "accent")])
    lines += [[], *_named(standing(peer, now))]
    app.push_screen(SayDialog(f"Why? {words.safe(peer.name)}", lines))


class PeerDialog(Modal):
    """Name, path and direction of a peer; the path is looked at while it is typed."""

    def __init__(self, peer: PeerStatus | None) -> None:
        super().__init__()
        self._peer = peer
        self._send = peer.send if peer is not None else False
        self._verdict = Check(None, "")
        self._judged: str | None = None

    def compose(self) -> ComposeResult:
        """Two inputs, a switch, the verdict."""
        peer = self._peer
        with Vertical(classes="dialog") as box:
            box.border_title = self.caption(
                f" {'Add a peer' if peer is None else 'Edit ' + words.safe(peer.name)} "
            )
            box.border_subtitle = self.caption(
                " Tab next, completes · F2 switches send · Enter does it · Esc leaves "
            )
            yield Lines(lambda width: [[("Name", "muted")]], id="peer-l1")
            yield Input(
                value=peer.name if peer else "",
                id="peer-name",
                placeholder="what to call it here",
                disabled=peer is not None,
            )
            yield Lines(
                lambda width: [[("Its volume directory, as reached from here", "muted")]],
                id="peer-l2",
            )
            yield Input(
                value=peer.path if peer else "",
                id="peer-path",
                placeholder="/mnt/server/srv/volume",
            )
            yield Lines(self._rest, id="peer-rest")

    def on_mount(self) -> None:
        """Judge what is there."""
        super().on_mount()
        for id in ("peer-l1", "peer-l2"):
            self.query_one(f"#{id}").styles.height = 1
        self._soon = Debounce(self, CHECK_SECONDS, self._judge)
        self.query_one("#peer-path" if self._peer is not None else "#peer-name", Input).focus()
        self._judge()

    def _rest(self, width: int) -> list[list[Span]]:
        glyphs = self.glyphs
        verdict = self._verdict
        style = "bad" if verdict.good is False else "good" if verdict.good else "muted"
        mark = (
            glyphs.done
            if verdict.good
            else glyphs.failed
            if verdict.good is False
            else glyphs.queued
        )
        send: list[Span] = [
            ("[x] " if self._send else "[ ] ", "accent"),
            ("also write our blocks there", ""),
            ("  for a machine that cannot reach back", "muted"),
        ]
        said: list[Span] = [(f"{mark} ", style), (verdict.words, style)]
        return [[], *wrapped(said, width), [], *wrapped(send, width), []]

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look again, soon."""
        if event.input.id == "peer-path" and meant_anew(event.input):
            return
        self._judged = None
        self._soon()

    def _judge(self) -> None:
        path = self.query_one("#peer-path", Input).value
        uuid = self.globofs.volume.uuid
        self._verdict = Check(None, "looking there" if path.strip() else "a path")
        self.bridge.ask(
            "far",
            "peer-path",
            lambda: places.peer(path, uuid),
            lambda verdict: self._got(path, verdict),
            lambda error: self._got(path, Check(False, error.message)),
        )

    def _got(self, path: str, verdict: Check) -> None:
        self._verdict, self._judged = verdict, path
        self._fit_rest()

    def _fit_rest(self) -> None:
        """As high as what is said there needs it."""
        rest = self.query_one("#peer-rest")
        rest.styles.height = max(5, len(self._rest(rest.size.width or 50)))
        rest.refresh()

    def input_key(self, key: str) -> bool:
        """Tab between inputs, the switch, Enter."""
        name, path = self.query_one("#peer-name", Input), self.query_one("#peer-path", Input)
        if key == "tab" and path.has_focus:
            completed(self, path, places.complete)
        elif key in ("tab", "shift+tab", "up", "down"):
            (path if name.has_focus or name.disabled else name).focus()
        elif key in ("ctrl+s", "f2"):
            self._send = not self._send
            self.query_one("#peer-rest").refresh()
        elif key == "enter":
            self._enter()
        else:
            return super().input_key(key)
        return True

    def _enter(self) -> None:
        name = self.query_one("#peer-name", Input).value.strip()
        if not name:
            self.query_one("#peer-name", Input).focus()
            return
        if self._verdict.good or (self._peer is not None and self._judged is not None):
            path = self._verdict.value or self.query_one("#peer-path", Input).value
            self.dismiss((name, path, self._send, self._peer is None))
            return
        undone = "added" if self._peer is None else "changed"
        self.globofs.say(f"Not {undone}: {self._verdict.words}", "warning", 4)


SCREEN = PeersScreen
__all__ = ["SCREEN", "PeerDialog", "PeersScreen", "details", "explain"]
