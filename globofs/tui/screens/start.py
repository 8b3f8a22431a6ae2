"""The start screen: no volume yet (or it could not be opened). Recent, create, join, demo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from globofs.tui import words
from globofs.tui.keys import Action
from globofs.tui.model.check import Check
from globofs.tui.screens.base import ListPane, ModeScreen
from globofs.tui.screens.dialogs import AskDialog
from globofs.tui.widgets.chrome import Lines
from globofs.tui.widgets.paint import Column, Span, cut_middle
from globofs.tui.widgets.virtual_list import Rows, VirtualList

if TYPE_CHECKING:
    from globofs.engine.engine import Engine
    from globofs.events import Emit
    from globofs.volume import Volume

LOGO: Sequence[str] = (
    "      ╭───────╮",
    "    ╭─┼───┼───┼─╮      G l o b o F S",
    "    │ │   ●───┼─┼──○",
    "    ├─┼───┼───┼─┤      one tree of files, many nodes,",
    "  ○─┼─┼───●   │ │      every version kept",
    "    ╰─┼───┼───┼─╯",
    "      ╰───────╯",
)
RECENT_MAX = 8
LOW_ROWS = 14  # beside the choices: title, logo, note, border, hints
OWN_PLACE = "~/globofs"  # proposed for a new node
COLUMNS = (
    Column("key", "", 3),
    Column("what", "", 30),
    Column("note", "", 0, "left", 1, 14),
)


class StartScreen(ModeScreen):
    """The mode without a volume."""

    context: ClassVar[str] = "start"
    panes: ClassVar[tuple[str, ...]] = ("start-list",)

    def __init__(self) -> None:
        super().__init__()
        self.rows = Rows(COLUMNS)
        self.choices: list[tuple[str, str]] = []
        self.gone: frozenset[str] = frozenset()  # recent volumes that are not where they were

    def compose(self) -> ComposeResult:
        """Logo, choices, what went wrong."""
        yield self.title_bar
        yield self.banner
        with Vertical(id="start"), Vertical(id="start-box"):
            yield Lines(self._logo, id="start-logo")
            yield Lines(self._note, id="start-note")
            yield ListPane(self.rows, "start", id="start-list", header=False)
        yield self.hint_bar

    def ready(self) -> None:
        """Fill the list; say of recent volumes which are not there, once that is known."""
        self.query_one("#start-list", ListPane).remove_class("pane")
        self.query_one("#start-list", ListPane).border_title = self.caption(" Begin ")
        self._fill()
        recent = self.globofs.habits.recent[:RECENT_MAX]
        self.bridge.ask("far", "recent", lambda: absent(recent), self._got_gone, lambda _: None)

    def _got_gone(self, gone: frozenset[str]) -> None:
        self.gone = gone
        self._fill()

    def fit_to(self, width: int, height: int) -> None:
        """Where there is little room, the choices have it."""
        super().fit_to(width, height)
        self.set_class(height < len(self.choices) + LOW_ROWS, "-low")

    def on_screen_resume(self) -> None:
        """Another error may stand here now."""
        super().on_screen_resume()
        if self.is_mounted and self.query("#start-list"):
            self._fill()

    def _fill(self) -> None:
        recent = self.globofs.habits.recent[:RECENT_MAX]
        self.choices = [("open", place) for place in recent]
        self.choices += [("create", ""), ("join", ""), ("other", ""), ("demo", ""), ("quit", "")]
        texts = {
            "create": ("n", "Make a new volume", "an empty directory"),
            "join": ("j", "Join another machine's volume", "sshfs, NFS, a disk"),
            "other": ("o", "Open a volume somewhere else", "type its path"),
            "demo": ("x", "Look around in a demo", "three live nodes"),
            "quit": ("q", "Quit", ""),
        }
        cells: list[tuple[Any, ...]] = []
        for number, (kind, place) in enumerate(self.choices, 1):
            if kind == "open":
                key, what, note = str(number), cut_middle(words.safe(place), 30), "opened before"
                note = "not there now" if place in self.gone else note
            else:
                key, what, note = texts[kind]
            cells.append((((key, "key"),), what, ((note, "muted"),)))
        self.rows.replace(list(self.choices), cells)
        pane = self.query_one("#start-list", ListPane)
        pane.styles.height = len(self.choices) + 2
        pane.reload()
        self.query_one("#start-note").refresh()
        self.fit_to(self.app.size.width, self.app.size.height)

    def _logo(self, width: int) -> list[list[Span]]:
        if self.glyphs.name == "ascii":
            return [
                [],
                [("  GloboFS", "strong")],
                [("  one tree of files, many nodes, every version kept", "muted")],
            ]
        lines: list[list[Span]] = []
        for line in LOGO:
            art, words_of_it = line[:23], line[23:]
            spans: list[Span] = []
            for letter in art:
                spans.append((letter, "accent" if letter in "●○" else "primary"))
            spans.append((words_of_it, "strong" if "G l o b o" in words_of_it else "muted"))
            lines.append(spans)
        return lines

    def _note(self, width: int) -> list[list[Span]]:
        text = self.globofs.error_words
        if not text:
            return [[], [("There is no volume here yet.", "muted")]]
        mark = self.glyphs.warning
        lines: list[list[Span]] = [[]]
        rest = text
        while rest and len(lines) < 3:
            piece = (
                rest
                if len(rest) <= width - 3
                else rest[: width - 3].rpartition(" ")[0] or rest[: width - 3]
            )
            lines.append([(f"{mark} " if len(lines) == 1 else "  ", "bad"), (piece, "bad")])
            rest = rest[len(piece) :].strip()
        return lines

    # --- choosing -------------------------------------------------------------------------

    def other_key(self, key: str) -> bool:
        """Digits open recent volumes, letters the rest."""
        if self.globofs.screen is not self:
            return False
        letters = {"n": "create", "j": "join", "o": "other", "x": "demo", "q": "quit"}
        if (
            key.isdigit()
            and 0 < int(key) <= len(self.choices)
            and self.choices[int(key) - 1][0] == "open"
        ):
            self._do(*self.choices[int(key) - 1])
        elif key in letters:
            self._do(letters[key], "")
        else:
            return False
        return True

    def offers(self, action: Action) -> bool:
        """Modes and undo need a volume."""
        return action.id in ("choose", "palette", "help", "theme", "quit", "redraw")

    def take_key(self, event: events.Key) -> bool:
        """Digits are rows here, not modes."""
        return self.other_key(event.character or "") or super().take_key(event)

    def do_choose(self) -> None:
        """What the row says."""
        pane = self.query_one("#start-list", VirtualList)
        self._do(*self.choices[pane.cursor])

    def on_virtual_list_opened(self, message: VirtualList.Opened) -> None:
        """A double click does it."""
        self.do_choose()

    def _do(self, kind: str, place: str) -> None:
        from globofs.tui.app import volume_opener

        app = self.globofs
        if kind == "quit":
            app.do_quit()
        elif kind == "open":
            self._open(volume_opener(place, app.readonly))
        elif kind == "demo":
            self._open(demo_opener)
        elif kind == "other":
            self._ask(
                "Open a volume",
                "Its directory",
                judge_volume,
                lambda p: volume_opener(p, app.readonly),
            )
        elif kind == "create":
            self._ask(
                "Make a new volume",
                "A directory that is empty, or not there yet",
                judge_new,
                creator,
                OWN_PLACE,
            )
        elif kind == "join":
            self._ask(
                "Join another machine's volume",
                "Its volume directory, as reached from here (sshfs, NFS, a disk)",
                judge_volume,
                self._join,
            )

    def _ask(self, title: str, label: str, check: Any, opener: Any, place: str = "~/") -> None:
        def answered(place: str | None) -> None:
            made = opener(place) if place else None
            if made is not None:
                self._open(made)

        dialog = AskDialog(
            title, label, check, value=os.path.expanduser(place), slow=True, complete=complete,
            example=place == OWN_PLACE,
        )  # fmt: skip
        self.app.push_screen(dialog, answered)

    def _join(self, theirs: str) -> None:
        """The second question of joining: where this node should live."""
        self.app.call_after_refresh(
            self._ask,
            "Join: your own node",
            "A new directory for this machine's node",
            judge_new,
            lambda mine: joiner(mine, theirs),
            OWN_PLACE,
        )

    def _open(self, opener: Any) -> None:
        self.globofs.error_words = ""
        self.globofs.open_volume(opener)
        self.refresh_chrome()


# --- in bridge threads ------------------------------------------------------------------------


def complete(text: str) -> str:
    """A path, as far as it can be told from its beginning."""
    from globofs.tui.model import places

    return places.complete(text)


def absent(places: Sequence[str]) -> frozenset[str]:
    """Which of these directories are not there."""
    return frozenset(place for place in places if not os.path.isdir(place))


def judge_volume(text: str) -> Check:
    """Whether a volume lies there."""
    from globofs.tui.model import places

    return places.peer(text, "")


def judge_new(text: str) -> Check:
    """Whether a volume can be made there."""
    if not text.strip():
        return Check(None, "a path")
    place = os.path.abspath(os.path.expanduser(text.strip()))
    if not os.path.lexists(place):
        return Check(True, "will be made", place)
    if not os.path.isdir(place):
        return Check(False, "that is a file")
    if os.path.realpath(place) == os.path.realpath(os.path.expanduser("~")):
        return Check(False, f"your home; a volume is a directory of its own, as {OWN_PLACE}")
    if os.listdir(place):
        return Check(False, "not empty; a volume is a directory of its own, files go in with a")
    return Check(True, "an empty directory", place)


def creator(place: str) -> Any:
    """Makes a volume, then opens it."""

    def opener(emit: Emit) -> tuple[Volume, Engine | None]:
        from globofs.tui.app import volume_opener
        from globofs.volume import Volume

        Volume.init(place).close()
        return volume_opener(place, False)(emit)

    return opener


def joiner(mine: str, theirs: str) -> Any:
    """Makes a node and adds the other as its peer, then opens it."""

    def opener(emit: Emit) -> tuple[Volume, Engine | None]:
        from globofs.tui.app import volume_opener
        from globofs.volume import Volume

        with Volume.init(mine) as volume:
            name = os.path.basename(theirs.rstrip("/")) or "peer"
            volume.peer_add(name, theirs, emit=emit)
        return volume_opener(mine, False)(emit)

    return opener


def demo_opener(emit: Emit) -> tuple[Volume, Engine | None]:
    """Builds the demo's nodes in a temporary directory, lets the others live, opens the first.
    All of it goes when the program ends."""
    import atexit

    from globofs.demo.build import build
    from globofs.demo.live import Company
    from globofs.demo.stage import Stage
    from globofs.events import Note
    from globofs.tui.app import volume_opener

    emit(Note("the demo: making a laptop, a nas and a cabin"))
    stage = Stage()
    atexit.register(stage.__exit__, None, None, None)
    for site in build(stage).values():
        site.close()
    company = Company(stage.directory)
    stage.at_end(company.stop)
    opened = volume_opener(os.path.join(stage.directory, "laptop"), False)(emit)
    company.start()
    return opened


SCREEN = StartScreen
