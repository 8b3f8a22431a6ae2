"""What every screen shares: keys from the table, the pane that moves, hints that tell the truth.

An action `restore` is done by the screen's `do_restore`, else by the app's. `why_not(id)` says in
words why an action is not possible now; its key is then pale, and pressing it shows the words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from globofs.tui.face import Face
from globofs.tui.glyphs import Glyphs
from globofs.tui.keys import Action, key_of
from globofs.tui.screens.jump import Jump
from globofs.tui.widgets.chrome import Banner, Hint, HintBar, OneLine, Title, TitleBar
from globofs.tui.widgets.paint import Span
from globofs.tui.widgets.text_view import TextView
from globofs.tui.widgets.virtual_list import VirtualList

if TYPE_CHECKING:
    from globofs.snapshots import Snapshot
    from globofs.tui.bridge import Bridge

MID_COLUMNS = 110  # narrower: panes are stacked
#: while a filter is typed, letters are letters
TYPING = (Hint("Enter", "Keep the filter", ""), Hint("Esc", "Show everything again", "escape", 2))
AGES_NS = 5_000_000_000  # so often it is said anew how long ago things were
NARROW_COLUMNS = 78  # narrower: one pane at a time


class KeyedScreen(Screen[Any]):
    """A screen whose keys come from the table. `context` is its name there."""

    AUTO_FOCUS = ""
    jump: Jump | None = None
    is_ready = False  # its widgets are there and keys mean something
    refused: events.Key | None = None  # a key that was looked at already
    BINDINGS: ClassVar[list[BindingType]] = []
    context: ClassVar[str] = ""

    @property
    def globofs(self) -> Face:
        """The app."""
        return cast("Face", self.app)

    @property
    def bridge(self) -> Bridge:
        """The way to volume and engine."""
        return self.globofs.bridge

    @property
    def glyphs(self) -> Glyphs:
        """The symbols in force."""
        return self.globofs.glyphs

    def caption(self, text: str) -> Content:
        """A border's caption; names in it are data, never markup."""
        return Content(self.glyphs.said(text.strip()))

    def contexts(self) -> list[str]:
        """Where keys count now, the nearest first."""
        found = []
        pane = getattr(self.focused, "pane", "") if self.focused is not None else ""
        if pane:
            found.append(pane)
        if self.context:
            found.append(self.context)
        return [*found, "any"]

    def why_not(self, action: str) -> str:
        """Why an action cannot be done now; empty when it can."""
        return ""

    def not_yet(self, action: str) -> bool:
        """True when an action has to wait until what it is about has been read, and that has
        been asked for: it is tried again then."""
        return False

    def on_key(self, event: events.Key) -> None:
        """A key that an input had no use for."""
        if event is not self.refused and self.globofs.ahead.handle(self, event):
            event.stop()
            event.prevent_default()

    def take_key(self, event: events.Key) -> bool:
        """Look the key up; a text input gets everything but the way out. False when it means
        nothing here."""
        key = key_of(event.key, event.character)
        if self.jump:
            self._jump_to(self.jump.key(key))
            return True
        if isinstance(self.focused, Input):
            return self.input_key(event.key)
        action = self.globofs.keymap.resolve(key, self.contexts())
        if action is None:
            return self.other_key(key)
        self.globofs.perform(action.id)
        return True

    def input_key(self, key: str) -> bool:
        """A key pressed in an input of this screen; True when it was used."""
        if key == "escape":
            self.globofs.perform("escape")
            return True
        if key == "ctrl+c" and not getattr(self.focused, "selected_text", ""):
            self.globofs.perform("quit")
            return True
        return False

    def other_key(self, key: str) -> bool:
        """A key that the table does not know here; True when it was used."""
        return False

    def do_jump(self) -> None:
        """Letters on all rows that are seen."""
        seen = [pane for pane in self.query(VirtualList) if pane.size.height and pane.display]
        self.jump = Jump(pane for pane in seen if pane.region.area and pane.rows)
        if not self.jump:
            self.globofs.say("There is no row to jump to", timeout=3)

    def _jump_to(self, target: tuple[VirtualList, int] | None) -> None:
        if target is None:
            return
        pane, index = target
        self.set_focus(pane)
        pane.go_to(index)

    # --- moving ---------------------------------------------------------------------------

    def _moving(self) -> VirtualList | TextView | None:
        focused = self.focused
        return focused if isinstance(focused, (VirtualList, TextView)) else None

    def do_up(self) -> None:
        """One row up."""
        if (pane := self._moving()) is not None:
            pane.move(-1)

    def do_down(self) -> None:
        """One row down."""
        if (pane := self._moving()) is not None:
            pane.move(1)

    def do_page_up(self) -> None:
        """One page up."""
        if (pane := self._moving()) is not None:
            pane.page(-1)

    def do_page_down(self) -> None:
        """One page down."""
        if (pane := self._moving()) is not None:
            pane.page(1)

    def do_first(self) -> None:
        """To the first row."""
        if (pane := self._moving()) is not None:
            pane.edge(False)

    def do_last(self) -> None:
        """To the last row."""
        if (pane := self._moving()) is not None:
            pane.edge(True)

    def do_range_up(self) -> None:
        """The range grows upwards."""
        if isinstance(pane := self._moving(), VirtualList):
            pane.move(-1, extend=True)

    def do_range_down(self) -> None:
        """The range grows downwards."""
        if isinstance(pane := self._moving(), VirtualList):
            pane.move(1, extend=True)

    def on_one_line_pressed(self, message: OneLine.Pressed) -> None:
        """A hint or a mode was clicked."""
        message.stop()
        self.globofs.perform(message.action)


class Pane:
    """Mixin: a focusable pane with its context in the key table."""

    pane: str = ""


class ListPane(VirtualList, Pane):
    """A list in a border."""

    def __init__(self, source: Any, pane: str, *, id: str, header: bool = True) -> None:
        super().__init__(source, header=header, id=id, classes="pane")
        self.pane = pane


class TextPane(TextView, Pane):
    """A text in a border."""

    def __init__(self, pane: str, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self.pane = pane


class ModeScreen(KeyedScreen):
    """One of the five modes: title bar, banner, body, hint bar, panes that stack when narrow."""

    #: ids of the panes in the order Tab goes through them
    panes: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self.title_bar = TitleBar()
        self.banner = Banner()
        self.hint_bar = HintBar()
        self.zoomed = False
        self.vanished = False  # what is shown is the last state known, dimmed
        self.last_snapshot: Snapshot | None = None
        self._aged = 0  # when ages were last said

    def on_mount(self) -> None:
        """Adapt to the terminal, focus the first pane."""
        self.fit_to(self.app.size.width, self.app.size.height)
        if self.panes:
            self.query_one(f"#{self.panes[0]}").focus()
        for text in self.query(TextView):
            text.wrap, text.divider = self.globofs.habits.wrap, self.glyphs.line
        self.is_ready = True
        with self.bridge.by_key(self):
            self.ready()
            if self.globofs.snapshot is not None:
                self.take(self.globofs.snapshot)
        self.refresh_chrome()
        self.globofs.ahead.soon()

    def ready(self) -> None:
        """The widgets are there; begin."""

    def volume_opened(self) -> None:
        """The volume is open now; snapshots follow by themselves."""

    def verb_ended(self) -> None:
        """A verb that was begun here ended; the snapshot that tells of it may come later."""

    def remember_place(self) -> None:
        """Before the end: put into the habits what should be so again."""

    def on_screen_resume(self) -> None:
        """Shown again: catch up with what happened meanwhile."""
        if not self.is_ready:
            return
        self.fit_to(self.app.size.width, self.app.size.height)
        if self.globofs.snapshot is not None:
            self.take(self.globofs.snapshot)
        self.refresh_chrome()

    def on_resize(self, event: events.Resize) -> None:
        """Stack or unstack the panes."""
        self.fit_to(event.size.width, event.size.height)

    def fit_to(self, width: int, height: int) -> None:
        """Choose the arrangement."""
        self.set_class(width < MID_COLUMNS, "-mid")
        self.set_class(width < NARROW_COLUMNS or height < 16, "-narrow")
        self.set_class(self.glyphs.name == "ascii", "-ascii")
        self.fit_panes()

    def fit_panes(self) -> None:
        """Show the panes that have room; by default all, or the focused one when enlarged."""
        lone = self.lone
        self.set_class(lone, "-lone")
        ids = [pane for pane in self.panes if self.query(f"#{pane}")]
        focused = self.focused.id if self.focused is not None else None
        keep = focused if focused in ids else (ids[0] if ids else None)
        for pane in ids:
            self.query_one(f"#{pane}").set_class(lone and pane != keep, "-gone")
        for side in self.query(".left, .right"):  # one that shows nothing takes no room
            panes = [side, *side.query(".pane")] if side.has_class("pane") else side.query(".pane")
            side.set_class(all(pane.has_class("-gone") for pane in panes), "-gone")

    @property
    def lone(self) -> bool:
        """Whether one pane is shown at a time."""
        return self.zoomed or self.has_class("-narrow")

    def focus_pane(self, id: str) -> None:
        """Focus a pane, showing it first where only one is shown."""
        widget = self.query_one(f"#{id}")
        for shown in (widget, *widget.ancestors):
            shown.remove_class("-gone")
        self.set_focus(widget)  # at once: the next key may be on its way already
        self.call_after_refresh(self.fit_panes)

    def on_descendant_focus(self) -> None:
        """Another pane is focused: other keys count."""
        self.refresh_chrome()

    def take(self, snapshot: Snapshot) -> None:
        """A new snapshot, at most ten times a second, only while this mode is shown."""
        self.last_snapshot = snapshot
        if snapshot.at - self._aged > AGES_NS:
            self._aged = snapshot.at
            self.age()
        if bool(snapshot.error) != self.vanished:
            self.vanished = bool(snapshot.error)
            for pane in (*self.query(VirtualList), *self.query(TextView)):
                pane.dim = self.vanished
                pane.refresh()

    def age(self) -> None:
        """Time has passed: say anew how long ago things were."""

    def travel_words(self) -> tuple[Span, ...]:
        """What the banner says of what the screen shows, while that is not how it is now."""
        return ()

    def banner_parts(self) -> tuple[tuple[Span, ...], str]:
        """What the banner says, and its level: errors of the volume first."""
        snapshot = self.globofs.snapshot
        if snapshot is not None and snapshot.error:
            return ((f"{self.glyphs.warning} ", "strong"), (snapshot.error, "")), "error"
        if self.globofs.opening:
            return (("opening ", ""), (self.globofs.opening, "strong")), "info"
        said = self.travel_words()
        if not said and snapshot is not None and snapshot.status.elsewhere:
            key = self.globofs.keymap
            said = (
                (f"{self.glyphs.warning} May be there twice: ", "strong"),
                ("copied, moved or restored from a backup  ", ""),
                (key.key_for(key.actions["palette"]), "key"), (" Moved here", "muted"),
            )  # fmt: skip
        return said, "info"

    def refresh_chrome(self) -> None:
        """Title bar, banner and hints from the state."""
        if not self.is_mounted:
            return
        self.title_bar.show(self.globofs.title_for(self.context))
        parts, level = self.banner_parts()
        self.banner.show(parts, level)
        if isinstance(self.focused, Input):
            self.hint_bar.show(TYPING, 0, self.globofs.busy_words())
            return
        hints = []
        others = 0
        for action in self.globofs.keymap.valid(self.contexts()):
            if not self.offers(action):
                continue
            urgent = self.urgent(action)
            if not action.priority and not urgent:
                others += action.group != "Moving"
                continue
            hints.append(
                Hint(
                    self.globofs.keymap.key_for(action),
                    self.label_of(action),
                    action.id,
                    -1 if urgent else self.priority_of(action),
                    self.globofs.why_not(self, action.id),
                )
            )
        self.hint_bar.show(hints, others, self.globofs.busy_words())

    def offers(self, action: Action) -> bool:
        """Whether the action makes sense to name here."""
        return True

    def urgent(self, action: Action) -> bool:
        """Whether the hint comes before all others just now, whatever its priority."""
        return action.id == "escape" and self.zoomed

    def label_of(self, action: Action) -> str:
        """The hint's words; a screen may say what the key does just now."""
        return action.label

    def priority_of(self, action: Action) -> int:
        """The hint's place."""
        return action.priority

    # --- panes ----------------------------------------------------------------------------

    def _step_pane(self, by: int) -> None:
        ids = [pane for pane in self.panes if self.query(f"#{pane}") and self.pane_open(pane)]
        if not ids:
            return
        focused = self.focused.id if self.focused is not None else None
        at = ids.index(focused) if focused in ids else 0
        self.focus_pane(ids[(at + by) % len(ids)])

    def pane_open(self, id: str) -> bool:
        """Whether Tab goes to that pane."""
        return True

    def do_next_pane(self) -> None:
        """To the next pane."""
        self._step_pane(1)

    def do_previous_pane(self) -> None:
        """To the pane before."""
        self._step_pane(-1)

    def do_out(self) -> None:
        """One pane back."""
        focused = self.focused.id if self.focused is not None else ""
        if focused in self.panes and self.panes.index(focused) > 0:
            self._step_pane(-1)

    def do_into(self) -> None:
        """One pane on."""
        focused = self.focused.id if self.focused is not None else ""
        if focused in self.panes and self.panes.index(focused) < len(self.panes) - 1:
            self._step_pane(1)

    def do_wrap(self) -> None:
        """Long lines of every text go on below, or off the edge."""
        self.globofs.habits = replace(self.globofs.habits, wrap=not self.globofs.habits.wrap)
        for pane in self.query(TextView):
            pane.wrap = self.globofs.habits.wrap
            pane.show(pane.page_shown, keep=True)

    def do_grow(self) -> None:
        """The focused pane takes the screen."""
        self.zoomed = True
        self.fit_panes()

    def do_shrink(self) -> None:
        """All panes again."""
        self.zoomed = False
        self.fit_panes()

    def step_out(self) -> bool:
        """Esc: leave one state; False when there is none to leave."""
        if self.zoomed:
            self.do_shrink()
            return True
        return False


def mode_title(volume: str, mode: str, snapshot: Snapshot | None, glyphs: Glyphs) -> Title:
    """The title bar's content for a snapshot."""
    from globofs.tui.widgets.sync_rows import brief_spans, state_spans

    if snapshot is None:
        return Title(volume, mode)
    state, rates, spark = state_spans(snapshot, glyphs)
    return Title(
        volume,
        mode,
        snapshot.status.conflicts,
        snapshot.overall.moving,
        state,
        brief_spans(snapshot, glyphs),
        rates,
        spark,
        bool(snapshot.status.readonly),
    )
