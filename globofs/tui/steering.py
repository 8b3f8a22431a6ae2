"""Actions on what moves: pause, bump, retry, why; and copies of versions for other programs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from globofs.speech import command, version_number
from globofs.store.views import Version
from globofs.tui import words
from globofs.tui.face import Face
from globofs.tui.widgets.paint import Span

REASONS_MAX = 14
STEERED = {
    "bump": "goes before everything else",
    "pause": "is paused; P lets it go on",
    "resume": "goes on",
    "retry": "What failed is tried again, every peer is asked now",
}


class Steering(Face):
    """Mixin of the app."""

    def steer(self, how: str, what: str | bytes | None = None) -> None:
        """Bump, pause, resume or retry: through the engine, which tells the node's leader."""
        engine, volume = self.bridge.engine, self.volume

        def do() -> None:
            if how == "retry":
                if engine is not None:
                    engine.retry()
                    engine.poke()
                return
            if engine is not None:
                {"bump": engine.bump, "pause": engine.pause, "resume": engine.resume}[how](what)  # type: ignore[operator]
            elif how == "pause":
                volume.pause(what)
            elif how == "resume":
                volume.resume(what)

        name = (
            words.shown_path(what) if isinstance(what, bytes) else words.safe(what or "everything")
        )
        said = STEERED[how] if how == "retry" else f"{name} {STEERED[how]}"
        self.bridge.ask(
            "state",
            f"steer-{how}-{what!r}",
            do,
            lambda _: self.say(said, timeout=3),
            self.say_why,
        )
        if what is not None:
            self.commands.append((self.now(), command(how, what)))

    def tell_why(self, path: bytes) -> None:
        """Say why a path is not here, or has not reached a peer."""
        volume, engine = self.volume, self.bridge.engine

        def find() -> list[list[Span]]:
            reasons, entry = volume.why(path), volume.view().entry(path)
            if not reasons:
                return [[("All of it is here, and every peer knows of it.", "")]]
            lines: list[list[Span]] = []
            if entry is not None and not entry.missing:
                lines.append([("here      ", "good"), ("all of it", "")])
            for reason in reasons[:REASONS_MAX]:
                if reason.path != path:
                    lines.append([(words.shown_path(reason.path), "strong")])
                style = "bad" if reason.reason in ("failed", "nobody", "conflict") else "warn"
                lines.append(
                    [(f"{reason.reason:<10}", style), (words.safe(reason.detail), "muted")]
                )
            if engine is not None:
                lines += [[(words.safe(text), "accent")] for text in engine.why(path)]
            return lines

        def got(lines: list[list[Span]]) -> None:
            from globofs.tui.screens.dialogs import SayDialog

            self.push_screen(SayDialog(f"Why? {words.shown_path(path)}", lines))

        self.bridge.ask(
            "detail",
            "why",
            find,
            got,
            self.say_why,
            modal=True,
        )

    # --- copies for other programs --------------------------------------------------------

    def export(self, versions: Sequence[Version], place: str) -> None:
        """Write versions side by side, each named by its number; nothing is overwritten."""
        volume = self.volume

        def work(emit: Any, cancelled: Any) -> int:
            os.makedirs(place, exist_ok=True)
            count = 0
            for version in versions:
                stem, dot, end = os.path.basename(os.fsdecode(version.path)).partition(".")
                path = os.path.join(place, f"{stem} {version_number(version.time)}{dot}{end}")
                if os.path.lexists(path) or cancelled():
                    continue
                with open(path, "xb") as file:
                    for piece in volume.read(version, emit=emit, cancelled=cancelled):
                        file.write(piece)
                count += 1
            return count

        self.verb(
            "export",
            "exporting versions",
            work,
            lambda count: f"Wrote {words.plural(count, 'version')} to {words.safe(place)}",
        )
