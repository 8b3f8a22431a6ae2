"""What a command works with: its volume, its output, and whether it was told to stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from globofs.errors import Interrupted, NotAVolume, UsageError
from globofs.events import Event, Problem

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from globofs.cli.output import Output
    from globofs.engine.runfiles import Published
    from globofs.store.views import Version
    from globofs.volume import Volume

DONE, FAILED, MISSING = 0, 1, 3


class Context:
    """One run of one command."""

    def __init__(
        self,
        args: argparse.Namespace,
        out: Output,
        where: str | None,
        cancelled: Callable[[], bool],
        beat: Callable[[], None] | None = None,
    ) -> None:
        self.args = args
        self.out = out
        self.where = where
        self._stop = cancelled
        self._beat = beat
        self._volume: Volume | None = None
        self.readonly = False
        self.now = time.time_ns()

    # --- the volume ---------------------------------------------------------------------------

    @property
    def volume(self) -> Volume:
        """The volume of this command, opened at the first use."""
        if self._volume is None:
            from globofs.volume import ENVIRONMENT, Volume

            try:
                self._volume = Volume.open(self.where, readonly=self.readonly, emit=self.emit)
            except NotAVolume as error:
                if self.where is not None or not os.environ.get(ENVIRONMENT):
                    raise
                raise NotAVolume(f"{error.message} (${ENVIRONMENT} names it)") from None
        return self._volume

    def close(self) -> None:
        """Close what was opened; the next use opens it again."""
        volume, self._volume = self._volume, None
        if volume is not None:
            volume.close()

    def cancelled(self) -> bool:
        """Polled by verbs: whether Ctrl-C was pressed."""
        if self._beat is not None:
            self._beat()
        return self._stop()

    def emit(self, event: Event) -> None:
        """Told by verbs what happens; from any thread."""
        if self._beat is not None:
            self._beat()
        self.out.emit(event)

    @property
    def listening(self) -> dict[str, Any]:
        """`emit` and `cancelled`, as all verbs take them."""
        return {"emit": self.emit, "cancelled": self.cancelled}

    def leader(self) -> Published | None:
        """The process that syncs this node already, if there is one, and what it says it does."""
        return next((one for one in self.others() if one.leads), None)

    def others(self) -> list[Published]:
        """The processes of this machine that have this node open for long, and what they do."""
        from globofs.engine.runfiles import RunFiles

        node = self.volume.node
        run = RunFiles(node.run(), "cli", readonly=self.volume.readonly)
        return run.others(node.clock.now_ns())

    # --- words of the user --------------------------------------------------------------------

    def path(self, text: str) -> bytes:
        """A PATH: from the volume's root, or the real path of a file of an added folder."""
        from globofs.cli.paths import volume_path

        return volume_path(self.volume, text, self.out.say)

    def paths(self, texts: Iterable[str]) -> list[bytes]:
        """Several PATHs, in order."""
        return [self.path(text) for text in texts]

    def time(self, text: str | None) -> int | None:
        """A TIME; None stays None."""
        if text is None:
            return None
        from globofs.speech import parse_time

        return parse_time(text, self.now)

    def version(self, path: bytes, text: str) -> Version:
        """An ID of `path`. Raises NoSuchPath, NoSuchVersion, AmbiguousVersion."""
        from globofs.errors import NoSuchVersion

        try:
            return self.volume.parse_version(path, text)
        except NoSuchVersion:
            view = self.volume.view()
            if view.entry(path, deleted=True) is None:
                raise self.volume.no_such_path(path) from None
            raise

    def version_or_time(self, path: bytes, text: str | None) -> Version | int | None:
        """An `ID|TIME`: a version where it names one of `path`, else a moment."""
        if text is None:
            return None
        from globofs.errors import BadTime, NoSuchVersion

        if path:
            try:
                return self.version(path, text)
            except NoSuchVersion as missing:
                try:
                    return self.time(text)
                except BadTime:
                    raise missing from None
        return self.time(text)

    # --- the end ------------------------------------------------------------------------------

    def finish(self, problems: Sequence[Problem], *, missing: int = 0) -> int:
        """Name every problem that was not named yet; the status to end with."""
        self.out.problems(problems)
        if self.cancelled():
            raise Interrupted()
        if missing:
            return MISSING
        return FAILED if any(not problem.warning for problem in problems) else DONE


def yes_or_no(text: str | None, option: str) -> bool | None:
    """`yes` or `no`; None stays None. Raises `UsageError`."""
    if text is None:
        return None
    if text.lower() not in ("yes", "no"):
        raise UsageError(f"{option} wants yes or no, not {text!r}")
    return text.lower() == "yes"


def writable_target(text: str) -> str:
    """A place outside the volume, as an absolute path that keeps a final slash."""
    if not text:
        raise UsageError("--to wants a place to write to")
    made = os.path.abspath(text)
    return made + "/" if text.endswith("/") and made != "/" else made
