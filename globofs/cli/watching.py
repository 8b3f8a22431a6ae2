"""`watch`: keep adding what changes in a folder, deletions included."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from globofs.cli.context import Context
from globofs.cli.files import add_fields, add_words
from globofs.errors import GlobofsError, Interrupted, MassChange, UsageError
from globofs.events import Progress
from globofs.speech import parse_span, safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from globofs.engine.watch import Watcher
    from globofs.events import Event

POLL_SECONDS = 5.0
SETTLE_SECONDS = 0.3  # a burst of changes is one operation; no longer than MOST for a busy folder
SETTLE_MOST_SECONDS = 5.0
LOOK_ANYWAY_SECONDS = 300.0  # a notification can get lost: look at everything this often
RETRY_SECONDS = 30.0


class _Alarm:
    """Set by the watcher's thread, waited for in the main thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def changed(self, _paths: Iterable[str] = ()) -> None:
        """Something changed. Called from the watcher's thread; never blocks."""
        self._event.set()

    def wait(self, context: Context, seconds: float) -> bool:
        """Wait for a change, at most so long; False when time ran out or Ctrl-C came."""
        clock = context.volume.node.clock
        end = clock.monotonic() + seconds
        while not context.cancelled():
            if self._event.wait(0.1):
                self._settle(context)
                return True
            if clock.monotonic() >= end:
                return False
        return False

    def _settle(self, context: Context) -> None:
        clock = context.volume.node.clock
        end = clock.monotonic() + SETTLE_MOST_SECONDS
        while self._event.is_set() and clock.monotonic() < end and not context.cancelled():
            self._event.clear()
            self._event.wait(SETTLE_SECONDS)
        self._event.clear()


def watch(context: Context) -> int:
    """Add the folder, then add again whenever something changed, until Ctrl-C."""
    args = context.args
    folder = os.path.abspath(args.folder)
    if not os.path.isdir(folder):
        raise UsageError(f"{safe(args.folder)}: not a directory")
    poll = parse_span(args.poll) if args.poll else 0
    if args.poll and poll < 1:
        raise UsageError("--poll wants at least 1s")
    alarm = _Alarm()
    watcher = _watcher(context, folder, alarm, poll)
    watcher.start()
    try:
        _Loop(context, folder, alarm, watcher, float(poll or POLL_SECONDS)).run()
    finally:
        watcher.stop()
    raise Interrupted()


def _watcher(context: Context, folder: str, alarm: _Alarm, poll: int) -> Watcher:
    """Notification on the folder; whether any arrives at all is tried in our own run directory,
    for nothing is ever written into the user's."""
    from globofs.engine.watch import Watcher, blind_to_others

    node = context.volume.node
    reason = f"asked for with --poll {context.args.poll}" if poll else blind_to_others(folder)
    volume = os.path.join(os.path.abspath(context.volume.directory), "")

    def ignored(path: str) -> bool:
        return path.startswith(volume)

    return Watcher(
        [folder, node.run()],
        alarm.changed,
        probe_directory=node.run(),
        poll_seconds=float(poll or POLL_SECONDS),
        ignored=ignored,
        polling_only=reason,
    )


class _Loop:
    """Adds, waits, adds again."""

    def __init__(
        self, context: Context, folder: str, alarm: _Alarm, watcher: Watcher, poll: float
    ) -> None:
        self._context = context
        self._folder = folder
        self._alarm = alarm
        self._watcher = watcher
        self._poll = poll
        self._trouble = ""
        self._words = ""
        self._yes = bool(context.args.yes)

    def run(self) -> None:
        context = self._context
        self._watcher.wait_known(3.0)
        first = True
        while not context.cancelled():
            worked = self._add(first)
            first = first and not worked
            self._tell_how()
            if not worked:
                self._alarm.wait(context, min(RETRY_SECONDS, self._poll))
            elif self._watcher.notified:
                self._alarm.wait(context, LOOK_ANYWAY_SECONDS)
            else:
                self._alarm.wait(context, self._poll)

    def _tell_how(self) -> None:
        words = self._watcher.words
        if words == self._words:
            return
        self._words = words
        self._context.out.say(f"globofs: watching {safe(self._folder)} by {safe(words)}")
        if self._context.out.as_json:
            self._context.out.event({"event": "watching", "folder": safe(self._folder), "by": words})

    def _emit(self, event: Event) -> None:
        if not isinstance(event, Progress):  # a scan every few seconds is no news
            self._context.emit(event)

    def _add(self, first: bool) -> bool:
        """One operation with what changed; False when it could not be done, which is said once
        and tried again."""
        from globofs.format.names import parse_path

        context = self._context
        args = context.args
        try:
            result = context.volume.add(
                [args.folder],
                to=parse_path(args.to),
                delete=True,
                exclude=args.exclude,
                yes=self._yes,
                emit=context.emit if first else self._emit,
                cancelled=context.cancelled,
            )
        except MassChange as error:
            self._tell_trouble(f"{error.message} (end this and start it with --yes)")
            return False
        except GlobofsError as error:
            if context.cancelled():
                return True
            self._tell_trouble(error.message)
            return False
        self._trouble = ""
        context.out.problems(result.problems)
        if result.versions or first:
            if context.out.as_json:
                context.out.event({"event": "add", **add_fields(result)})
            else:
                context.out.say(f"globofs: {add_words(result)}")
        return True

    def _tell_trouble(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._context.out.say(f"globofs: {safe(text)}; waiting, and trying again")
            if self._context.out.as_json:
                self._context.out.event({"event": "waiting", "reason": text})
