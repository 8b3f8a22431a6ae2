"""Actions that work in every mode: modes, undo, palette, help, theme, verbs with their toasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from globofs import errors
from globofs.events import Emit, Problem
from globofs.speech import command
from globofs.tui import keys, words
from globofs.tui.mounting import Mounting
from globofs.tui.widgets.paint import Column, Span

if TYPE_CHECKING:
    from textual.screen import Screen

    from globofs.store.views import OperationKey
    from globofs.sync.results import EditResult
    from globofs.tui.app import GlobofsApp
    from globofs.tui.screens.dialogs import Choice

Work = Callable[[Emit, Callable[[], bool]], Any]
COMMANDS_KEPT = 200
PROBLEMS_NAMED = 3


class Everywhere(Mounting):
    """Mixin of the app."""

    def _me(self) -> GlobofsApp:
        return self  # type: ignore[return-value]

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
        app = self._me()
        if line:
            app.commands.append((app.now(), line))
            del app.commands[:-COMMANDS_KEPT]

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
                app.say(text, "error" if bad else "warning" if problems else "information")
            if after is not None:
                after(result)
            for screen in app._screens_of_modes():
                if screen.is_ready:
                    screen.verb_ended()
            app._chrome()

        def failed(error: errors.GlobofsError) -> None:
            app.say(error.message, "error", 8)
            app._chrome()

        app.bridge.act(kind, saying, work, finished, failed)
        app._chrome()

    def do_undo(self) -> None:
        """Undo this node's last operation."""
        self.undo_operation(None)

    def undo_operation(self, key: OperationKey | None) -> None:
        """Undo one operation."""
        volume = self._me().volume
        self.verb(
            "undo",
            "undoing",
            lambda emit, cancelled: volume.undo(key, emit=emit, cancelled=cancelled),
            lambda result: self._undone(result, "Undone", "Z redoes"),
            line=command("undo"),
        )

    def do_redo(self) -> None:
        """Take the undo back."""
        volume = self._me().volume
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
        count = words.plural(len(result.paths) or result.versions, "file")
        return f"{what}: {count}{left} · {then}"

    # --- modes ----------------------------------------------------------------------------

    def go_mode(self, mode: str) -> None:
        """Show a mode."""
        app = self._me()
        if app.current_mode != mode and (app.is_open or app.opening):
            app.switch_mode(mode)

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
        app = self._me()
        self.go_mode("files")

        def show() -> None:
            screen: Any = app.screen
            if hasattr(screen, "reveal"):
                screen.reveal(path, at)

        app.ahead.after_refresh(show)

    def show_peer(self, name: str) -> None:
        """Go to a peer in Peers."""
        screen: Any = self._me().screen
        if hasattr(screen, "peer_list"):
            screen.peer_list.go_to_key(name)

    def do_escape(self) -> None:
        """One step out of whatever state there is."""
        from globofs.tui.screens.base import ModeScreen

        app = self._me()
        screen = app.screen
        if isinstance(screen, ModeScreen) and screen.step_out():
            return
        for act in app.bridge.acts.values():
            if time.monotonic() - act.began > 1 and not act.cancelled:
                act.cancelled = True
                app.say(f"Cancelling: {act.words}. What is done stays done.")
                return

    def do_cancel(self) -> None:
        """Cancel every verb that runs."""
        app = self._me()
        acts = list(app.bridge.acts.values())
        for act in acts:
            act.cancelled = True
        what = ", ".join(act.words for act in acts)
        app.say(f"Cancelling: {what}. What is done stays done." if acts else "Nothing runs")

    def do_redraw(self) -> None:
        """Draw everything again."""
        self._me().refresh(repaint=True, layout=True)

    # --- lists of commands ----------------------------------------------------------------

    def do_palette(self) -> None:
        """Find a command by typing."""
        self._commands()

    def do_help(self) -> None:
        """All keys and symbols."""
        from globofs.tui.screens.help import HelpDialog

        app = self._me()
        screen: Any = app.screen
        contexts = screen.contexts()
        app.push_screen(HelpDialog(contexts, app.keymap), self._chosen)

    def _commands(self) -> None:
        from globofs.tui.screens.dialogs import PickDialog
        from globofs.tui.screens.help import COLUMNS, command_choices

        app = self._me()
        screen: Any = app.screen
        found = command_choices(app, screen, screen.contexts())
        found += self._extra_commands()

        def find(text: str) -> list[Choice]:
            from globofs.tui.screens.help import best

            return best(found, text)

        app.push_screen(
            PickDialog("Commands", COLUMNS, find, placeholder="what to do"), self._chosen
        )

    def _extra_commands(self) -> list[Choice]:
        from globofs.tui.screens.dialogs import Choice

        rows = (
            ("verify", "Verify", "Read every block and manifest here and check it"),
            ("mirror", "Mirror", "Bring the content of everything here"),
            ("evict", "Evict", "Let go of what others safely hold"),
            ("glyphs", "Symbols", "Unicode, plain ASCII, or a patched font's"),
            ("preset", "Key preset", "default, vim with Ctrl-D and Ctrl-U, or arrows"),
        )
        return [
            Choice(id, (((label, "strong"),), "", ((help, "muted"),)), f"{label} {help}".lower())
            for id, label, help in rows
        ]

    def _chosen(self, action: str | None) -> None:
        if action:
            self._me().perform(action)

    def do_theme(self) -> None:
        """Choose a theme."""
        from globofs.tui.screens.dialogs import Choice, PickDialog

        app = self._me()
        own = [name for name in app.available_themes if name.startswith("globofs")]
        others = sorted(name for name in app.available_themes if name not in own)
        notes = {
            "globofs": "dark", "globofs-light": "light", "globofs-cb": "blue and orange only",
            "globofs-contrast": "strong contrast",
        }  # fmt: skip
        rows = [
            Choice(name, (name, ((notes.get(name, ""), "muted"),)), name) for name in own + others
        ]

        def chosen(name: str | None) -> None:
            if name:
                app.theme = name
                app.habits = replace(app.habits, theme=name)

        columns = (Column("theme", "", 24), Column("note", ""))
        app.push_screen(
            PickDialog(
                "Theme", columns, lambda text: [r for r in rows if text.lower() in r.search]
            ),
            chosen,
        )

    def do_preset(self) -> None:
        """Choose a preset of keys."""
        from globofs.tui.screens.dialogs import ChoiceDialog

        app = self._me()

        def chosen(name: str | None) -> None:
            if name:
                app.keymap = keys.Keymap(keys.preset(name))
                app.habits = replace(app.habits, preset=name)
                app.say(f"Keys: {name}")

        rows = [
            ("d", "default", "default"),
            ("v", "vim: also Ctrl-D, Ctrl-U", "vim"),
            ("a", "arrows: no letter moves the cursor", "arrows"),
        ]
        app.push_screen(ChoiceDialog("Keys", rows), chosen)

    def do_glyphs(self) -> None:
        """Choose a set of symbols; counts from the next start."""
        from globofs.tui.screens.dialogs import ChoiceDialog

        app = self._me()

        def chosen(name: str | None) -> None:
            if name:
                app.habits = replace(app.habits, glyphs=name)
                app.say("Symbols change at the next start")

        rows = [
            ("u", "unicode", "unicode"),
            ("a", "plain ASCII", "ascii"),
            ("n", "nerd font", "nerd"),
        ]
        app.push_screen(ChoiceDialog("Symbols", rows), chosen)

    # --- caring ---------------------------------------------------------------------------

    def do_verify(self) -> None:
        """Read and check everything here."""
        volume = self._me().volume
        self.verb(
            "verify",
            "verifying",
            lambda emit, cancelled: volume.verify(repair=True, emit=emit, cancelled=cancelled),
            lambda r: (
                f"Verified {r.checked:,} blocks: "
                + (f"{r.damaged:,} damaged, {r.repaired:,} repaired" if r.damaged else "no damage")
            ),
            line=command("verify", repair=True),
        )

    def do_mirror(self) -> None:
        """Bring everything here."""
        volume = self._me().volume
        self.verb(
            "mirror",
            "mirroring",
            lambda emit, cancelled: volume.mirror(emit=emit, cancelled=cancelled),
            lambda r: f"Mirrored {words.plural(r.blocks, 'block')}, {words.size_words(r.bytes)}",
            line=command("mirror"),
        )

    def do_evict(self) -> None:
        """Let go of what others hold."""
        volume = self._me().volume
        self.verb(
            "evict",
            "evicting",
            lambda emit, cancelled: volume.evict(emit=emit, cancelled=cancelled),
            lambda r: f"Let go of {words.plural(r.blocks, 'block')}, {words.size_words(r.bytes)}",
            line=command("evict"),
        )

    # --- telling --------------------------------------------------------------------------

    def do_commands_log(self) -> None:
        """What was done here, as commands."""
        from globofs.tui.screens.dialogs import SayDialog

        app = self._me()
        lines: list[list[Span]] = [
            [(words.exact_time(at), "muted"), ("  ", ""), (line, "")]
            for at, line in app.commands[-16:]
        ]
        empty: list[list[Span]] = [[("Nothing was done here yet.", "muted")]]
        app.push_screen(SayDialog("Done here, as commands", lines or empty))

    def do_doctor(self) -> None:
        """How quickly the screen answers."""
        from globofs.tui.screens.dialogs import SayDialog

        app = self._me()
        lags = sorted(app.lags) or [0.0]

        def at(share: float) -> str:
            return f"{lags[min(len(lags) - 1, int(share * len(lags)))] * 1000:.0f} ms"

        rows = (
            (
                "delay of the screen",
                f"{at(0.5)} usual, {at(0.95)} at worst but 5 %, {at(1)} at most",
            ),
            ("slowest answer of a worker", f"{app.bridge.slowest * 1000:.0f} ms"),
            ("waiting for", ", ".join(app.bridge.waits()) or "nothing"),
            ("theme, symbols", f"{app.theme}, {app.glyphs.name}"),
            ("terminal", f"{app.size.width} × {app.size.height}"),
            ("changes noticed by", app.snapshot.notification if app.snapshot else "nothing yet"),
        )
        lines: list[list[Span]] = [[(f"{name:<28}", "muted"), (value, "")] for name, value in rows]
        app.push_screen(SayDialog("How quick it is", lines))

    def current(self) -> Screen[Any]:
        """The screen on top."""
        return self._me().screen
