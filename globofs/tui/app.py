"""The application: modes, wiring, what works everywhere. `run` is what the command calls."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen

from globofs import errors
from globofs.events import Emit
from globofs.snapshots import Snapshot
from globofs.tui import glyphs as glyph_sets
from globofs.tui import keys, priority, programs, settings, themes, words
from globofs.tui.ahead import WAIT_SAID_SECONDS, TypedAhead
from globofs.tui.bridge import Answer, Bridge
from globofs.tui.everywhere import Everywhere
from globofs.tui.face import Opener
from globofs.tui.screens.base import KeyedScreen, ModeScreen, mode_title
from globofs.tui.steering import Steering
from globofs.tui.widgets.chrome import Title

if TYPE_CHECKING:
    from globofs.engine.engine import Engine
    from globofs.volume import Volume


class Arrived(Message):
    """An answer of the bridge."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class SnapshotTaken(Message):
    """A snapshot; a newer one replaces one that still waits."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """Only the newest counts."""
        return isinstance(message, SnapshotTaken)


def _mode(name: str) -> Callable[[], Screen[Any]]:
    """The screen of a mode, imported when it is first shown."""

    def make() -> Screen[Any]:
        import importlib

        module = importlib.import_module(f"globofs.tui.screens.{name}")
        made: Screen[Any] = module.SCREEN()
        return made

    return make


class GlobofsApp(Everywhere, Steering):
    """GloboFS in the terminal. `opener` opens volume and engine in a worker; None shows the
    start screen."""

    TITLE = "GloboFS"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []
    MODES: ClassVar[dict[str, Any]] = {
        name: _mode(name) for name in ("files", "sync", "peers", "conflicts", "log", "start")
    }

    def __init__(
        self,
        opener: Opener | None,
        *,
        habits: settings.Settings | None = None,
        keymap: keys.Keymap | None = None,
        glyphs: glyph_sets.Glyphs | None = None,
        now: Callable[[], int] = time.time_ns,
        readonly: bool = False,
        complaints: tuple[str, ...] = (),
        on_start: Callable[[], None] | None = None,
        remember: Callable[[settings.Settings], None] | None = None,
    ) -> None:
        self.habits = habits or settings.Settings()
        self.glyphs = glyphs or glyph_sets.choose(self.habits.glyphs)
        super().__init__()
        self.keymap = keymap or keys.Keymap(keys.preset(self.habits.preset))
        self.now = now
        self.readonly = readonly
        self.opener = opener
        self.opening = "" if opener is None else "the volume"
        self.at: int | None = None
        self.error_words = ""
        self.commands: list[tuple[int, str]] = []
        self.copies: list[str] = []  # temporary ones, removed at the end
        self.conflicts: int | None = None  # counted since the last snapshot of another tree
        self.lags: list[float] = []
        self.complaints = complaints
        self._on_start = on_start
        self._remember = remember
        self._interrupts = 0.0
        self._was_busy = False
        self.bridge = Bridge(self._arrive, now)
        self.ahead = TypedAhead(self, super().on_event)
        for theme in themes.OWN:
            self.register_theme(theme)
        known = self.habits.theme in self.available_themes
        # Before the style sheet is read: another theme later would have it read twice.
        self.set_reactive(GlobofsApp.theme, self.habits.theme if known else "globofs")
        self.stylesheet.set_variables(self.get_css_variables())

    # --- beginning ------------------------------------------------------------------------

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables under themes that do not know them."""
        return themes.variables(self.current_theme)

    def on_mount(self) -> None:
        """Paint first, then open."""
        self.switch_mode("files" if self.opener is not None else "start")
        self.call_after_refresh(self._started)
        self._beat = time.monotonic()
        self._beats = 0
        self.set_interval(0.1, self._heartbeat)

    def _started(self) -> None:
        if self.opener is not None:
            self.open_volume(self.opener)
        for words_of_it in self.complaints:
            self.say(words_of_it, "warning", 12)
        if self._on_start is not None:
            self._on_start()
        if not self.is_headless:
            self._heed_signals()

    def _heed_signals(self) -> None:
        """A closed terminal, or a kill, ends it as `q` does: the terminal is given back, and the
        demo's directory does not stay behind."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.add_signal_handler(number, self.exit, 128 + number)

    async def on_event(self, event: events.Event) -> None:
        """Keys go their way in order, the rest as Textual has it."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self.ahead.press(event)
        else:
            await super().on_event(event)

    async def _heartbeat(self) -> None:
        now = time.monotonic()
        self.lags.append(max(0.0, now - self._beat - 0.1))
        del self.lags[:-600]
        self._beat = now
        self._beats += 1
        if self.bridge.engine is not None and not self._beats % LAG_BEATS:
            self.bridge.engine.lag = self.lag  # for `doctor`, which is another process
        stack = self._screen_stacks.get(self.current_mode)
        screen = stack[-1] if stack else None
        busy = bool(self.bridge.acts or self.opening or self.bridge.waits())
        if isinstance(screen, ModeScreen) and (busy or self._was_busy):
            screen.refresh_chrome()
        self._was_busy = busy
        await self.ahead.drain()

    def open_volume(self, opener: Opener) -> None:
        """Open volume and engine in a worker; the shell is there meanwhile."""
        self.opener = opener
        self.opening = "the volume"
        self.bridge.open(opener, self._opening, self._opened, self._not_opened)

    def _opening(self, phase: str) -> None:
        self.opening = phase
        self._chrome()

    def _opened(self) -> None:
        self.opening = ""
        from globofs.demo.stage import is_temporary

        volume = self.bridge.volume
        assert volume is not None
        self.readonly = self.readonly or volume.readonly
        if not is_temporary(volume.directory):
            self.habits = settings.with_recent(self.habits, volume.directory)
        if self.current_mode == "start":
            self.switch_mode("files")
        for screen in list(self._screens_of_modes()):
            if screen.is_ready:
                with self.bridge.by_key(screen):
                    screen.volume_opened()
        self._chrome()

    def _not_opened(self, error: errors.GlobofsError) -> None:
        self.opening = ""
        self.error_words = error.message
        self.switch_mode("start")

    # --- what arrives from other threads --------------------------------------------------

    def _arrive(self, thing: Answer | Snapshot) -> None:
        """Called on worker threads; only posts."""
        if isinstance(thing, Snapshot):
            self.post_message(SnapshotTaken(thing))
        else:
            self.post_message(Arrived(thing))

    async def on_arrived(self, message: Arrived) -> None:
        """An answer: give it to whoever asked, unless the screens are gone already."""
        if self._exit:
            return
        message.answer.deliver()
        await self.ahead.drain()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """The newest state: the mode that is shown takes it in."""
        if self._exit:
            return
        known = self.snapshot
        if known is not None and known.tree_serial != message.snapshot.tree_serial:
            self.conflicts = None
        self.snapshot = message.snapshot
        self.bridge.remember(message.snapshot)
        for screen in self._screen_stacks.get(self.current_mode, ()):
            if isinstance(screen, ModeScreen) and screen.is_ready:
                screen.take(message.snapshot)
                screen.refresh_chrome()

    def title_for(self, mode: str) -> Title:
        """The title bar's content."""
        snapshot = self.snapshot
        name = ""
        if self.is_open:
            place = os.path.basename(self.volume.directory.rstrip("/")) or self.volume.directory
            name = words.safe(self.volume.name)
            if place != self.volume.name:
                name = f"{words.safe(place)}@{name}"
        elif self.opening:
            name = "GloboFS"
        title = mode_title(name, mode, snapshot, self.glyphs)
        if self.conflicts is not None:
            title = replace(title, conflicts=self.conflicts)
        return replace(title, readonly=True) if self.readonly and name else title

    def busy_words(self) -> str:
        """What is being done just now, for the hint bar."""
        for act in self.bridge.acts.values():
            waited = time.monotonic() - act.began
            if waited < 0.1:
                continue
            turn = int(time.monotonic() * 8) % len(self.glyphs.spinner)
            text = f"{self.glyphs.spinner[turn]} {act.words}"
            step = act.progress
            if step is not None:
                done = words.percent(step.bytes, step.bytes_total)
                files = f"{step.files:,}" + (f"/{step.files_total:,}" if step.files_total else "")
                text += f" {done}" if done else f" {files}" if step.files else ""
                if waited > 2 and step.phase:
                    text += f" · {step.phase}"
            return text + (" · Esc cancels" if waited > 10 else "")
        for key, since in self.bridge.waits().items():
            waited = time.monotonic() - since
            if key in WAITS and waited > WAIT_SAID_SECONDS:
                turn = int(time.monotonic() * 8) % len(self.glyphs.spinner)
                held = len(self.ahead)
                keys_held = f" · {words.plural(held, 'key')} held, Esc lets go" if held else ""
                return f"{self.glyphs.spinner[turn]} {WAITS[key]}, {waited:.0f} s{keys_held}"
        return ""

    # --- doing ----------------------------------------------------------------------------

    def why_not(self, screen: Screen[Any], action: str) -> str:
        """Why an action is not possible now."""
        if not self.is_open and action not in NEEDS_NOTHING and not action.startswith("mode_"):
            return f"{self.opening} is still being opened" if self.opening else "no volume is open"
        if self.readonly and action in WRITES:
            return "opened read only"
        return screen.why_not(action) if isinstance(screen, KeyedScreen) else ""

    def perform(self, action: str) -> None:
        """Do an action of the key table: the screen's way, else the app's."""
        screen = self.screen
        if isinstance(screen, KeyedScreen) and screen.not_yet(action):
            self.ahead.again(action)
            return
        reason = self.why_not(screen, action)
        if reason:
            self.say(reason[0].upper() + reason[1:], "warning", 3)
            return
        method = getattr(screen, f"do_{action}", None) or getattr(self, f"do_{action}", None)
        if method is not None:
            method()

    def action_help_quit(self) -> None:
        """Ctrl-C where no screen took it."""
        self.do_quit()

    def do_quit(self) -> None:
        """Quit; what moves goes on at the next start. Twice within two seconds: at once."""
        for screen in self._screens_of_modes():
            screen.remember_place()
        if self._remember is not None:
            remember, habits = self._remember, self.habits
            self.bridge.ask(
                "state", "habits", lambda: remember(habits), lambda _: None, self.say_why
            )
        now = time.monotonic()
        cut_short = self._cut_short()
        if cut_short and now - self._interrupts > 2:
            self._interrupts = now
            self.say(
                f"{cut_short} still moving; it goes on from there later. Again to quit.",
                "warning",
                2,
            )
            return
        self.exit(0)

    def _cut_short(self) -> str:
        """What the end of this process would interrupt, in words. What another process moves goes
        on without it; and of the commands given here it is known at once when they are over, while
        their rows stay in the queue until the next snapshot."""
        moves = self.snapshot.moves if self.snapshot is not None else ()
        ours = sum(
            move.state == "moving" and not move.by and move.direction in ("pull", "push")
            for move in moves
        )
        if ours:
            return words.plural(ours, "file")
        return "a command" if self.bridge.acts else ""


LAG_BEATS = 10  # beats between two figures of how late they come
WAITS = {
    "tree": "reading the tree", "timeline": "reading the history", "detail": "reading the content",
    "plan": "making the plan", "conflicts": "looking for conflicts", "log": "reading the log",
    "compare": "comparing", "moments": "reading the moments", "why": "finding out why",
    "pick": "finding", "operation": "reading the operation",
}  # fmt: skip
WRITES = frozenset(
    {
        "restore", "add", "add_again", "rename", "delete", "undo", "redo", "pin", "fetch", "pause", "bump", "retry",
        "peer_add", "peer_edit", "peer_remove", "take", "keep_both", "merge", "revert", "evict", "prune", "moved",
    }
)  # fmt: skip
NEEDS_NOTHING = frozenset(
    {
        "quit", "help", "palette", "theme", "redraw", "escape", "choose", "up", "down", "first", "last",
        "page_up", "page_down", "doctor", "next_pane", "previous_pane", "grow", "shrink",
    }
)  # fmt: skip


def volume_opener(where: str | None, readonly: bool) -> Opener:
    """Opens the real volume, and an engine over it; read only, that follows what others do."""

    def opener(emit: Emit) -> tuple[Volume, Engine | None]:
        from globofs.engine.engine import Engine
        from globofs.volume import Volume

        volume = Volume.open(where, readonly=readonly, emit=emit)
        try:
            engine = Engine(volume, label="ui", follow=readonly)
            engine.start()
        except BaseException:
            volume.close()
            raise
        return volume, engine

    return opener


def find_place(where: str | None) -> str | None:
    """The volume meant, or None where there is none: then the start screen is shown."""
    from globofs.store.node import find_volume
    from globofs.volume import ENVIRONMENT

    if where is not None or os.environ.get(ENVIRONMENT):
        return where or os.environ[ENVIRONMENT]
    try:
        return find_volume(os.getcwd())
    except (errors.GlobofsError, OSError):
        return None


def run(
    where: str | None = None,
    readonly: bool = False,
    on_start: Callable[[], None] | None = None,
) -> int:
    """Show the UI until it is left; the exit status. Without a volume: the start screen."""
    habits = settings.load()
    keymap, complaints = keys.load(preset_name=habits.preset)
    place = find_place(where)
    app = GlobofsApp(
        None if place is None else volume_opener(place, readonly),
        habits=habits,
        keymap=keymap,
        readonly=readonly,
        complaints=tuple(complaints),
        on_start=on_start,
        remember=settings.save,
    )
    with (
        priority.spare_the_collector(),
        asyncio.Runner(loop_factory=priority.event_loop) as runner,
    ):
        status = runner.run(app.run_async())
    settings.save(app.habits)
    for path in app.copies:
        programs.tidy(path)
    if not app.bridge.close():
        print("globofs: a peer's file system does not answer; left without it", file=sys.stderr)
    return status or 0
