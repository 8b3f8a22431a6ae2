"""Actions that work in every mode: modes, undo, palette, help, theme, verbs with their toasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from globofs import errors
from globofs.events import Problem
from globofs.speech import command, lag_words
from globofs.tui import keys, words
from globofs.tui.caring import Caring
from globofs.tui.face import Work
from globofs.tui.mounting import Mounting
from globofs.tui.screens.base import ModeScreen
from globofs.tui.widgets.paint import Column, Span

if TYPE_CHECKING:
    from globofs.store.views import OperationKey
    from globofs.sync.results import EditResult
    from globofs.tui.screens.dialogs import Choice

COMMANDS_KEPT = 200
PROBLEMS_NAMED = 3


class Everywhere(Mounting, Caring):
    """Mixin of the app."""

    def _screens_of_modes(self) -> list[ModeScreen]:
        """All that were shown so far."""
        stacks = self._screen_stacks.values()
        return [one for stack in stacks for one in stack if isinstance(one, ModeScreen)]

    def _chrome(self) -> None:
        """Title bars, banners and hints of the mode shown, from the state."""
        for screen in self._screen_stacks.get(self.current_mode, ()):
            if isinstance(screen, ModeScreen):
                screen.refresh_chrome()

    # --- verbs ----------------------------------------------------------------------------

    def verb(
        self,
        kind: str,
        saying: str,
        work: Work,
        done: Callable[[Any], str],
        *,
        line: str = "",
        after: Callable[[Any], None] | None = None,
    ) -> None:
        """Start a verb in a worker. `saying` is shown while it runs, `done(result)` makes the one
        toast; `line` is the equivalent command for the log of commands."""
        if line:
            self.commands.append((self.now(), line))
            del self.commands[:-COMMANDS_KEPT]

        def finished(result: Any) -> None:
            text = done(result)
            problems: Sequence[Problem] = getattr(result, "problems", ())
            bad = [problem for problem in problems if not problem.warning]
            for problem in problems[:PROBLEMS_NAMED]:
                where = words.shown_path(problem.path)
                text += f"\n{where}: {words.safe(problem.reason)}"
            if len(problems) > PROBLEMS_NAMED:
                text += f"\nand {len(problems) - PROBLEMS_NAMED} more"
            if text:
                self.say(text, "error" if bad else "warning" if problems else "information")
            if after is not None:
                after(result)
            for screen in self._screens_of_modes():
                if screen.is_ready:
                    screen.verb_ended()
            self._chrome()

        def failed(error: errors.GlobofsError) -> None:
            self.say(error.message, "error", 8)
            self._chrome()

        self.bridge.act(kind, saying, work, finished, failed)
        self._chrome()

    def do_undo(self) -> None:
        """Undo this node's last operation."""
        self.undo_operation(None)

    def undo_operation(self, key: OperationKey | None) -> None:
        """Undo one operation."""
        volume = self.volume
        self.verb(
            "undo",
            "undoing",
            lambda emit, cancelled: volume.undo(key, emit=emit, cancelled=cancelled),
            lambda result: self._undone(result, "Undone", "Z redoes"),
            line=command("undo"),
        )

    def do_redo(self) -> None:
        """Take the undo back."""
        volume = self.volume
        self.verb(
            "redo",
            "redoing",
            lambda emit, cancelled: volume.redo(emit=emit, cancelled=cancelled),
            lambda result: self._undone(result, "Done again", "z undoes"),
            line=command("redo"),
        )

    @staticmethod
    def _undone(result: EditResult, what: str, then: str) -> str:
        left = (
            f", {words.plural(len(result.skipped), 'path')} changed since left alone"
            if result.skipped
            else ""
        )
        count = words.plural(len(result.paths) or result.versions, "item")  # directories too
        return f"{what}: {count}{left} · {then}"

    # --- modes ----------------------------------------------------------------------------

    def go_mode(self, mode: str) -> None:
        """Show a mode."""
        if self.current_mode != mode and (self.is_open or self.opening):
            self.switch_mode(mode)

    def do_mode_files(self) -> None:
        """Files."""
        self.go_mode("files")

    def do_mode_sync(self) -> None:
        """Sync."""
        self.go_mode("sync")

    def do_mode_peers(self) -> None:
        """Peers."""
        self.go_mode("peers")

    def do_mode_conflicts(self) -> None:
        """Conflicts."""
        self.go_mode("conflicts")

    def do_mode_log(self) -> None:
        """Log."""
        self.go_mode("log")

    def show_in_files(self, path: bytes, at: int | None = None) -> None:
        """Go to a path in Files, at a moment where one is given."""
        self.go_mode("files")

        def show() -> None:
            screen: Any = self.screen
            if hasattr(screen, "reveal"):
                screen.reveal(path, at)

        self.ahead.after_refresh(show)

    def show_peer(self, name: str) -> None:
        """Go to a peer in Peers."""
        self.go_mode("peers")

        def show() -> None:
            screen: Any = self.screen
            if hasattr(screen, "peer_list"):
                screen.peer_list.go_to_key(name)

        self.ahead.after_refresh(show)

    def do_escape(self) -> None:
        """One step out of whatever state there is."""
        screen = self.screen
        if isinstance(screen, ModeScreen) and screen.step_out():
            return
        for act in self.bridge.acts.values():
            if time.monotonic() - act.began > 1 and not act.cancelled:
                act.cancelled = True
                self.say(f"Cancelling: {act.words}. What is done stays done.")
                return

    def do_cancel(self) -> None:
        """Cancel every verb that runs."""
        acts = list(self.bridge.acts.values())
        for act in acts:
            act.cancelled = True
        what = ", ".join(act.words for act in acts)
        self.say(f"Cancelling: {what}. What is done stays done." if acts else "Nothing runs")

    def do_redraw(self) -> None:
        """Draw everything again."""
        self.refresh(repaint=True, layout=True)

    # --- lists of commands ----------------------------------------------------------------

    def do_palette(self) -> None:
        """Find a command by typing."""
        self._commands()

    def do_help(self) -> None:
        """All keys and symbols."""
        from globofs.tui.screens.help import HelpDialog

        screen: Any = self.screen
        contexts = screen.contexts()
        self.push_screen(HelpDialog(contexts, self.keymap), self._chosen)

    def _commands(self) -> None:
        from globofs.tui.screens.dialogs import PickDialog
        from globofs.tui.screens.help import COLUMNS, command_choices

        screen: Any = self.screen
        found = command_choices(self, screen, screen.contexts())
        found += self._extra_commands()

        def find(text: str) -> list[Choice]:
            from globofs.tui.screens.help import best

            return best(found, text)

        self.push_screen(
            PickDialog("Commands", COLUMNS, find, placeholder="what to do"), self._chosen
        )

    def _extra_commands(self) -> list[Choice]:
        from globofs.tui.screens.dialogs import Choice

        rows = (
            ("verify", "Verify", "Read every block and manifest here and check it"),
            ("mirror", "Mirror", "Bring the content of everything here"),
            ("evict", "Evict", "Let go of what others safely hold"),
            (
                "prune",
                "Prune",
                "Let old versions go by a policy; says first how many that would be",
            ),
            ("moved", "Moved here", "Say that this volume was moved or restored here, not copied"),
            ("glyphs", "Symbols", "Unicode, plain ASCII, or a patched font's"),
            ("preset", "Key preset", "default, vim with Ctrl-D and Ctrl-U, or arrows"),
        )
        return [
            Choice(id, (((label, "strong"),), "", ((help, "muted"),)), f"{label} {help}".lower())
            for id, label, help in rows
        ]

    def _chosen(self, action: str | None) -> None:
        if action:
            self.perform(action)

    def do_theme(self) -> None:
        """Choose a theme."""
        from globofs.tui.screens.dialogs import Choice, PickDialog

        own = [name for name in self.available_themes if name.startswith("globofs")]
        others = sorted(name for name in self.available_themes if name not in own)
        notes = {
            "globofs": "dark", "globofs-light": "light", "globofs-cb": "blue and orange only",
            "globofs-contrast": "strong contrast",
        }  # fmt: skip
        rows = [
            Choice(name, (name, ((notes.get(name, ""), "muted"),)), name) for name in own + others
        ]

        def chosen(name: str | None) -> None:
            if name:
                self.theme = name
                self.habits = replace(self.habits, theme=name)

        columns = (Column("theme", "", 24), Column("note", ""))
        self.push_screen(
            PickDialog(
                "Theme", columns, lambda text: [r for r in rows if text.lower() in r.search]
            ),
            chosen,
        )

    def do_preset(self) -> None:
        """Choose a preset of keys."""
        from globofs.tui.screens.dialogs import ChoiceDialog

        def chosen(name: str | None) -> None:
            if name:
                self.keymap = keys.Keymap(keys.preset(name))
                self.habits = replace(self.habits, preset=name)
                self.say(f"Keys: {name}")

        rows = [
            ("d", "default", "default"),
            ("v", "vim: also Ctrl-D, Ctrl-U", "vim"),
            ("a", "arrows: no letter moves the cursor", "arrows"),
        ]
        self.push_screen(ChoiceDialog("Keys", rows), chosen)

    def do_glyphs(self) -> None:
        """Choose a set of symbols; counts from the next start."""
        from globofs.tui.screens.dialogs import ChoiceDialog

        def chosen(name: str | None) -> None:
            if name:
                self.habits = replace(self.habits, glyphs=name)
                self.say("Symbols change at the next start")

        rows = [
            ("u", "unicode", "unicode"),
            ("a", "plain ASCII", "ascii"),
            ("n", "nerd font", "nerd"),
        ]
        self.push_screen(ChoiceDialog("Symbols", rows), chosen)

    # --- telling --------------------------------------------------------------------------

    def do_commands_log(self) -> None:
        """What was done here, as commands."""
        from globofs.tui.screens.dialogs import SayDialog

        lines: list[list[Span]] = [
            [(words.exact_time(at), "muted"), ("  ", ""), (line, "")]
            for at, line in self.commands[-16:]
        ]
        empty: list[list[Span]] = [[("Nothing was done here yet.", "muted")]]
        self.push_screen(SayDialog("Done here, as commands", lines or empty))

    def do_doctor(self) -> None:
        """How quickly the screen answers."""
        from globofs.tui.screens.dialogs import SayDialog

        rows = (
            ("delay of the screen", lag_words(self.lag)),
            ("slowest answer of a worker", f"{self.bridge.slowest * 1000:.0f} ms"),
            ("waiting for", ", ".join(self.bridge.waits()) or "nothing"),
            ("theme, symbols", f"{self.theme}, {self.glyphs.name}"),
            ("terminal", f"{self.size.width} × {self.size.height}"),
            ("changes noticed by", self.snapshot.notification if self.snapshot else "nothing yet"),
        )
        lines: list[list[Span]] = [[(f"{name:<28}", "muted"), (value, "")] for name, value in rows]
        self.push_screen(SayDialog("How quick it is", lines))
