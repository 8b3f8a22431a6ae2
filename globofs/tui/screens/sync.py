"""Mode 2, Sync: one overall line, a row for each peer, the queue of moves."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical

from globofs.snapshots import Move, PeerStatus, Snapshot
from globofs.tui import words
from globofs.tui.model.queue import Queue
from globofs.tui.screens.base import ListPane
from globofs.tui.screens.dialogs import ChoiceDialog
from globofs.tui.screens.lists import Filtering, FilterRow
from globofs.tui.widgets.chrome import Lines
from globofs.tui.widgets.paint import Span
from globofs.tui.widgets.rates import Rates
from globofs.tui.widgets.sync_rows import (
    DONE_COLUMNS,
    MOVE_COLUMNS,
    PEER_COLUMNS,
    done_cells,
    in_step,
    move_cells,
    overall_lines,
    peer_cells,
)
from globofs.tui.widgets.virtual_list import Rows, VirtualList

BESIDE_COLUMNS, BESIDE_ROWS = 160, 28  # from here on the rates stand beside the peers
BELOW_ROWS = 36  # of a terminal in which there is room for them below
RATES_ROWS = 10


class SyncScreen(Filtering):
    """The mode; everything in it moves while it happens."""

    context: ClassVar[str] = "sync"
    panes: ClassVar[tuple[str, ...]] = ("moves", "sync-peers")
    filters: ClassVar[str] = "moves"

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.peer_rows = Rows(PEER_COLUMNS)
        self.move_rows = Rows(MOVE_COLUMNS)
        self.peers: tuple[PeerStatus, ...] = ()

    def compose(self) -> ComposeResult:
        """Overall, peers, queue."""
        yield self.title_bar
        yield self.banner
        with Vertical(classes="stack"):
            yield Lines(self._overall, id="overall")
            with Container(id="sync-top"):
                yield ListPane(self.peer_rows, "sync.peers", id="sync-peers")
                yield Rates(self.glyphs, id="rates")
            yield ListPane(self.move_rows, "sync.moves", id="moves")
            yield FilterRow("part of a path; Enter keeps it, Esc ends it")
        yield self.hint_bar

    @property
    def peer_list(self) -> ListPane:
        """The peers."""
        return self.query_one("#sync-peers", ListPane)

    @property
    def rates(self) -> Rates:
        """What went in the last minute."""
        return self.query_one("#rates", Rates)

    @property
    def moves(self) -> ListPane:
        """The queue."""
        return self.query_one("#moves", ListPane)

    def ready(self) -> None:
        """Say what is waited for until the first snapshot."""
        self.peer_list.entitle(self.caption("Peers"))
        self.rates.border_title = self.caption("The last minute")
        self.peer_list.words = ("asking the engine",)
        self.moves.words = ("asking the engine",)
        self.moves.stick = True

    def _overall(self, width: int) -> list[list[Span]]:
        snapshot = self.last_snapshot
        if snapshot is None:
            return [[("asking the engine", "muted")]]
        return overall_lines(snapshot, width, self.glyphs)

    def take(self, snapshot: Snapshot) -> None:
        """Draw the new state; rows keep their places."""
        super().take(snapshot)
        if not self.is_mounted or not self.query("#moves"):
            return
        now = snapshot.at
        self.peers = snapshot.status.peers
        self.peer_rows.replace(
            [peer.name for peer in self.peers],
            [peer_cells(peer, now, self.glyphs) for peer in self.peers],
        )
        self.peer_list.words = ("No peers yet", "3, then a adds one")
        self.rates.show(self.peers)
        self._fit_top()
        self.peer_list.reload()
        self._draw_moves(snapshot)
        self.query_one("#overall").refresh()

    def fit_to(self, width: int, height: int) -> None:
        """The rates stand beside the peers, below them, or not at all."""
        self.set_class(width >= BESIDE_COLUMNS and height >= BESIDE_ROWS, "-beside")
        self.set_class(width < BESIDE_COLUMNS and height >= BELOW_ROWS, "-below")
        super().fit_to(width, height)

    def fit_panes(self) -> None:
        """As everywhere; the peers share their place with the rates."""
        super().fit_panes()
        if self.query("#sync-top"):
            self.query_one("#sync-top").set_class(self.peer_list.has_class("-gone"), "-gone")
            self._fit_top()

    def _fit_top(self) -> None:
        """As high as the peers need it, or as the rates beside them do."""
        rows = max(4, min(len(self.peers), 8) + 3)
        if self.has_class("-beside"):
            rows = max(rows, RATES_ROWS)
        self.query_one("#sync-top").styles.height = "1fr" if self.lone else "auto"
        self.peer_list.styles.height = "1fr" if self.lone else rows
        self.peer_list.styles.max_height = "100%" if self.lone else self.size.height * 2 // 5

    def _draw_moves(self, snapshot: Snapshot) -> None:
        self.queue.update(snapshot.moves)
        moves = self.queue.moves
        order = [peer for peer, _ in snapshot.overall.sources]
        cells = [move_cells(move, self.glyphs, order) for move in moves]
        over_all = all(move.state == "done" for move in moves)
        self.move_rows.columns = DONE_COLUMNS if over_all else MOVE_COLUMNS
        self.move_rows.replace(
            [move.key for move in moves], [*map(done_cells, cells)] if over_all else cells
        )
        self.moves.words = self._empty_words(snapshot)
        self.moves.dim = bool(snapshot.error)
        self.moves.marks &= {move.key for move in moves}
        self.moves.reload()
        over = snapshot.overall
        counts = (
            f" Moving {over.moving:,} · Queued {over.queued:,} · Failed {over.failed:,} · "
            f"Done {over.finished:,} "
        )
        self.moves.entitle(self.caption(counts))
        self._foot()

    def _foot(self) -> None:
        peer = self.peer_here()
        reason = words.safe(peer.reason) if peer is not None and self.peer_list.has_focus else ""
        self.peer_list.entitle(below=self.caption(reason))
        foot = []
        here = self.move_here()
        if here is not None and here.state in ("failed", "paused") and here.reason:
            foot.append(words.safe(here.reason))
        if self.queue.faults_only:
            foot.append("only faults")
        if self.queue.filter:
            foot.append(f"filter: {self.queue.filter}")
        if self.queue.sort != "priority":
            foot.append(f"by {self.queue.sort}")
        self.moves.entitle(below=self.caption(" · ".join(foot)))

    def _empty_words(self, snapshot: Snapshot) -> tuple[str, ...]:
        peers = snapshot.status.peers
        if self.queue.faults_only:
            return ("Nothing failed", "! shows everything")
        if self.queue.filter:
            return ("Nothing on its way is called so", "Esc shows everything")
        if not peers:
            return ("Nothing to move", "3, then a adds a peer")
        good = sum(in_step(peer) for peer in peers)
        if good == len(peers):
            return ("The queue is empty", "what moves between the nodes stands here while it does")
        return ("The queue is empty", "what an absent peer lacks goes on by itself when it is back")

    def on_virtual_list_moved(self, message: VirtualList.Moved) -> None:
        """The foot says the whole reason of the row under the cursor."""
        if self.last_snapshot is not None:
            self._foot()

    # --- actions --------------------------------------------------------------------------

    def move_here(self) -> Move | None:
        """The move under the cursor."""
        cursor = self.moves.cursor
        return self.queue.moves[cursor] if cursor < len(self.queue.moves) else None

    def peer_here(self) -> PeerStatus | None:
        """The peer under the cursor."""
        cursor = self.peer_list.cursor
        return self.peers[cursor] if cursor < len(self.peers) else None

    def why_not(self, action: str) -> str:
        """Actions on a row need one."""
        at_peers = self.peer_list.has_focus
        if action in ("bump", "show_file", "mark") and self.move_here() is None:
            return "nothing is on its way"
        if action in ("pause", "why"):
            row = self.peer_here() if at_peers else self.move_here()
            return "" if row is not None else "there is no row to act on"
        return ""

    def chosen(self) -> list[Move]:
        """Marked moves, else the one under the cursor."""
        if self.moves.marks:
            return [move for move in self.queue.moves if move.key in self.moves.marks]
        move = self.move_here()
        return [move] if move is not None else []

    def do_pause(self) -> None:
        """Pause or resume a peer or the path of a move."""
        if self.peer_list.has_focus:
            peer = self.peer_here()
            if peer is not None:
                self.globofs.steer("resume" if peer.state == "paused" else "pause", peer.name)
            return
        for move in self.chosen():
            self.globofs.steer("resume" if move.state == "paused" else "pause", move.path)

    def do_bump(self) -> None:
        """To the top."""
        for move in self.chosen():
            self.globofs.steer("bump", move.path)

    def do_retry(self) -> None:
        """Try everything now."""
        self.globofs.steer("retry")

    def do_faults(self) -> None:
        """Only what failed."""
        self.queue.faults_only = not self.queue.faults_only
        self._again()

    def _again(self) -> None:
        if self.last_snapshot is not None:
            self._draw_moves(self.last_snapshot)
        self.refresh_chrome()

    def do_show_file(self) -> None:
        """The file in Files."""
        move = self.move_here()
        if move is not None:
            self.globofs.show_in_files(move.path)

    def do_show_peer(self) -> None:
        """The peer in Peers."""
        peer = self.peer_here()
        if peer is not None:
            self.globofs.show_peer(peer.name)
        else:
            self.globofs.go_mode("peers")

    def do_why(self) -> None:
        """Why a move stands where it stands, or what a peer's state means."""
        if self.peer_list.has_focus:
            peer = self.peer_here()
            if peer is not None:
                from globofs.tui.screens.peers import explain

                explain(self.globofs, peer, self.globofs.now())
            return
        move = self.move_here()
        if move is not None:
            self.globofs.tell_why(move.path)

    def do_mark(self) -> None:
        """Mark a move."""
        key = self.moves.current_key
        if key is not None:
            self.moves.marks ^= {key}
            self.moves.move(1)
            self.moves.refresh()

    def do_range(self) -> None:
        """A range of moves."""
        moves = self.moves
        if moves.range_from is None:
            moves.range_from = moves.cursor
        else:
            moves.marks |= set(moves.range_keys())
            moves.range_from = None
        moves.refresh()

    def do_sort(self) -> None:
        """Order within each state."""
        rows = [
            ("p", "by priority: in the order in which they will go", "priority"),
            ("s", "by size, largest first", "size"),
            ("g", "by progress", "progress"),
            ("n", "by path", "name"),
        ]

        def chosen(name: str | None) -> None:
            if name:
                self.queue.sort = name
                self._again()

        self.app.push_screen(ChoiceDialog("Order of the queue", rows), chosen)

    def filtered(self, text: str) -> None:
        """Only paths with a text."""
        self.queue.filter = text
        self._again()

    def step_out(self) -> bool:
        """Filter, faults, marks."""
        if self.queue.filter or self.queue.faults_only:
            self.queue.faults_only = False
            self.filter_box.value = ""
            self._again()
        elif self.moves.marks or self.moves.range_from is not None:
            self.moves.marks.clear()
            self.moves.range_from = None
            self.moves.refresh()
        else:
            return super().step_out()
        return True


SCREEN = SyncScreen
