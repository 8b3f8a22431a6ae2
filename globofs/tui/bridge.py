"""The single crossing between volume and engine threads and the UI.

Questions (`ask`) run in lanes, one daemon thread each, so that a slow answer in one lane never
holds up another: `tree` and `detail` read SQLite, `content` reads blocks that are here, `far` may
wait for peers. A newer question of the same key replaces one that waits, and an older answer is
dropped. Acts (`act`) are verbs: each runs in a thread of its own (through the engine where there
is one). Answers reach the UI as messages; nothing here is ever called back on a worker thread
except `post`. Snapshots are polled ten times a second by a thread of their own.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from globofs import errors
from globofs.events import Emit, Event, Note, Progress, ignore
from globofs.limits import SNAPSHOT_HZ
from globofs.snapshots import Snapshot

if TYPE_CHECKING:
    from globofs.engine.engine import Engine
    from globofs.volume import Volume

Lane = Literal["tree", "detail", "content", "far", "state"]
LANES: Final[tuple[Lane, ...]] = ("tree", "detail", "content", "far", "state")
STATUS_SECONDS: Final = 2.0  # between looks at the disk where no engine runs
CLOSE_SECONDS: Final = 2.0
#: lanes that read the index and nothing else: keys may wait for them, no peer holds them up
QUICK: Final = frozenset(("tree", "detail"))


@dataclass(slots=True)
class Question:
    """One thing to find out."""

    key: str
    number: int
    find: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[errors.GlobofsError], None]


@dataclass(frozen=True, slots=True)
class Due:
    """A question that a key asked: later keys for the same screen wait for the answer."""

    asker: object
    since: float  # monotonic seconds
    modal: bool


@dataclass(slots=True)
class Act:
    """A verb under way, for whoever shows or cancels it."""

    number: int
    verb: str
    words: str
    began: float
    progress: Progress | None = None
    cancelled: bool = False


class Answer:
    """What comes back: call `deliver` on the UI thread."""

    def __init__(self, deliver: Callable[[], None]) -> None:
        self.deliver = deliver


Post = Callable[[Answer | Snapshot], None]


class Bridge:
    """Owns the volume and engine of the UI, and all threads between them and it."""

    def __init__(self, post: Post, now: Callable[[], int] = time.time_ns) -> None:
        self._post = post
        self.now = now
        self.volume: Volume | None = None
        self.engine: Engine | None = None
        self.acts: dict[int, Act] = {}
        self.resting = False  # nobody looks: another program has the terminal
        self.slowest = 0.0  # seconds the slowest answer took, for the lag screen
        self.asker: object = None  # the screen whose key is being handled, on the UI thread
        self.opener: object = None  # the screen that a dialog just left has an answer for
        self._due: dict[str, Due] = {}
        self._numbers = itertools.count(1)
        self._newest: dict[str, int] = {}
        self._waiting: dict[str, OrderedDict[str, Question]] = {
            lane: OrderedDict() for lane in LANES
        }
        self._since: dict[str, float] = {}
        self._wake = threading.Condition()
        self._threads: dict[str, threading.Thread] = {}
        self._last: Snapshot | None = None  # of a volume that was there
        self._closed = False

    # --- questions ------------------------------------------------------------------------

    def ask(
        self,
        lane: Lane,
        key: str,
        find: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[errors.GlobofsError], None],
        *,
        modal: bool = False,
    ) -> None:
        """Find something out in `lane`; `done(answer)` or `failed(error)` is called on the UI
        thread, unless the same key was asked again meanwhile. `modal`: the answer may open a dialog, which gets the
        keys that are typed until then."""
        number = next(self._numbers)
        asker = self.asker or self.opener
        if asker is not None and lane in QUICK and not self._closed:
            self._due.setdefault(key, Due(asker, time.monotonic(), modal))
        with self._wake:
            if self._closed:
                return
            self._newest[key] = number
            self._since.setdefault(key, time.monotonic())
            waiting = self._waiting[lane]
            waiting.pop(key, None)
            waiting[key] = Question(key, number, find, done, failed)
            if lane not in self._threads:
                thread = threading.Thread(
                    target=self._serve, args=(lane,), name=f"globofs-ui-{lane}", daemon=True
                )
                self._threads[lane] = thread
                thread.start()
            self._wake.notify_all()

    def drop(self, key: str) -> None:
        """Nobody wants that answer any more."""
        self._due.pop(key, None)
        with self._wake:
            self._newest.pop(key, None)
            self._since.pop(key, None)
            for waiting in self._waiting.values():
                waiting.pop(key, None)

    def waits(self) -> dict[str, float]:
        """What is being found out, and since when (monotonic seconds)."""
        with self._wake:
            return dict(self._since)

    @contextmanager
    def by_key(self, asker: object) -> Iterator[None]:
        """What is asked within, a key asked: it is due until answered, and so is what its
        answer asks in turn. `asker` is the screen the key went to, or None."""
        before, self.asker = self.asker, asker
        try:
            yield
        finally:
            self.asker = before

    def due(self, asker: object, *, rows: bool = True) -> bool:
        """Whether keys of that screen have to wait for an answer; without `rows` only for one
        that may open a dialog."""
        return any(one.asker is asker and (rows or one.modal) for one in self._due.values())

    def waited(self, asker: object) -> float:
        """Seconds that the oldest answer due to that screen has been waited for."""
        since = [one.since for one in self._due.values() if one.asker is asker]
        return time.monotonic() - min(since) if since else 0.0

    def let_go(self, asker: object) -> None:
        """Keys of that screen wait no longer for what is due now."""
        self._due = {key: one for key, one in self._due.items() if one.asker is not asker}

    def stale(self, key: str, number: int) -> bool:
        """Whether a newer question of that key was asked; long answers ask this as they go."""
        return self._closed or self._newest.get(key) != number

    def _serve(self, lane: Lane) -> None:
        waiting = self._waiting[lane]
        while True:
            with self._wake:
                while not waiting and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                _, question = waiting.popitem(last=False)
            self._answer(question)

    def _answer(self, question: Question) -> None:
        began = time.monotonic()
        error: errors.GlobofsError | None = None
        value: Any = None
        try:
            value = question.find()
        except Exception as problem:
            error = _in_words(problem)
        self.slowest = max(self.slowest, time.monotonic() - began)

        def deliver() -> None:
            with self._wake:
                if self._newest.get(question.key) != question.number:
                    return
                self._since.pop(question.key, None)
            due = self._due.pop(question.key, None)
            with self.by_key(due.asker if due is not None else None):
                if error is None:
                    question.done(value)
                else:
                    question.failed(error)

        self._post(Answer(deliver))

    # --- verbs ----------------------------------------------------------------------------

    def act(
        self,
        verb: str,
        words: str,
        work: Callable[[Emit, Callable[[], bool]], Any],
        done: Callable[[Any], None],
        failed: Callable[[errors.GlobofsError], None],
    ) -> Act:
        """Start a verb; `done(result)` or `failed(error)` is called on the UI thread."""
        act = Act(next(self._numbers), verb, words, time.monotonic())
        self.acts[act.number] = act

        def emit(event: Event) -> None:
            if isinstance(event, Progress):
                act.progress = event

        def run(engine_emit: Emit, cancelled: Callable[[], bool]) -> Any:
            def both(event: Event) -> None:
                emit(event)
                engine_emit(event)

            value: Any = None
            error: errors.GlobofsError | None = None
            try:
                value = work(both, lambda: act.cancelled or cancelled())
            except Exception as problem:
                error = _in_words(problem)

            def deliver() -> None:
                self.acts.pop(act.number, None)
                if error is None:
                    done(value)
                else:
                    failed(error)

            self._post(Answer(deliver))
            if error is not None:
                raise error
            return value

        if self.engine is not None:
            self.engine.submit(verb, run)
        else:
            threading.Thread(
                target=_quietly, args=(run,), name=f"globofs-ui-{verb}", daemon=True
            ).start()
        return act

    # --- opening, watching, closing -------------------------------------------------------

    def open(
        self,
        opener: Callable[[Emit], tuple[Volume, Engine | None]],
        say: Callable[[str], None],
        done: Callable[[], None],
        failed: Callable[[errors.GlobofsError], None],
    ) -> None:
        """Open volume and engine off the UI thread; `say(phase)` is called on the UI thread."""

        def emit(event: Event) -> None:
            text = ""
            if isinstance(event, Note):
                text = event.text
            elif isinstance(event, Progress):
                text = event.phase or event.verb
                if event.files_total:
                    text += f" {event.files}/{event.files_total}"
            if text:
                self._post(Answer(lambda: say(text)))

        def find() -> tuple[Volume, Engine | None]:
            return opener(emit)

        def opened(found: tuple[Volume, Engine | None]) -> None:
            self.volume, self.engine = found
            thread = threading.Thread(target=self._watch, name="globofs-ui-watch", daemon=True)
            self._threads["watch"] = thread
            thread.start()
            done()

        self.ask("far", "open", find, opened, failed)

    def _watch(self) -> None:
        serial = 0
        seen = -1
        while not self._closed:
            began = time.monotonic()
            snapshot = None
            if self.resting:
                time.sleep(1 / SNAPSHOT_HZ)
                continue
            try:
                if self.engine is not None:
                    snapshot = self.engine.snapshot()
                elif self.volume is not None:
                    serial += 1
                    snapshot = Snapshot(at=self.now(), serial=serial, status=self.volume.status())
            except Exception as problem:
                snapshot = self._broken(_in_words(problem).message, serial)
            if snapshot is not None and snapshot.serial != seen:
                seen = snapshot.serial
                self._post(snapshot)
            pause = 1 / SNAPSHOT_HZ if self.engine is not None else STATUS_SECONDS
            time.sleep(max(0.02, pause - (time.monotonic() - began)))

    def _broken(self, words: str, serial: int) -> Snapshot | None:
        last = self._last
        return None if last is None else replace(last, error=words, serial=serial)

    def remember(self, snapshot: Snapshot) -> None:
        """The state to show, dimmed, should the volume vanish."""
        if not snapshot.error:
            self._last = snapshot

    def close(self, timeout: float = CLOSE_SECONDS) -> bool:
        """End: volume and engine are closed in a thread, since a dead mount may hang there.
        False when they did not end in time."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for act in list(self.acts.values()):
            act.cancelled = True
        ended = threading.Event()

        def shut() -> None:
            try:
                if self.engine is not None:
                    self.engine.close(timeout)
                if self.volume is not None:
                    self.volume.close()
            except (errors.GlobofsError, OSError):
                pass
            ended.set()

        threading.Thread(target=shut, name="globofs-ui-close", daemon=True).start()
        return ended.wait(timeout)


def _quietly(run: Callable[[Emit, Callable[[], bool]], Any]) -> None:
    try:
        run(ignore, lambda: False)
    except errors.GlobofsError:
        return


def _in_words(problem: Exception) -> errors.GlobofsError:
    """What the UI says of anything that went wrong; a mistake of ours by where it happened."""
    if isinstance(problem, errors.GlobofsError):
        return problem
    if isinstance(problem, OSError):
        return errors.from_os_error(problem)
    where = traceback.extract_tb(problem.__traceback__)
    place = f" ({where[-1].name}:{where[-1].lineno})" if where else ""
    return errors.GlobofsError(f"{type(problem).__name__}: {problem}{place}")
