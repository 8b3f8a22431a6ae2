"""Long verbs in worker threads: an add, a restore, a verify that somebody watches.

A job never raises into its submitter: its error is kept, in the words for the user.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any, Final, Literal

from globofs import errors
from globofs.events import Direction, Emit, Event, Progress

JobState = Literal["running", "done", "failed", "cancelled"]
Work = Callable[[Emit, Callable[[], bool]], Any]

DIRECTIONS: Final[dict[str, Direction]] = {
    "add": "add",
    "watch": "add",
    "restore": "restore",
    "undo": "restore",
    "redo": "restore",
    "verify": "verify",
}
JOBS_KEPT: Final = 50


class Job:
    """One long verb. Attributes may be read from any thread; they only ever go forward."""

    def __init__(self, number: int, kind: str) -> None:
        self.id = number
        self.kind = kind
        self.state: JobState = "running"
        self.progress: Progress | None = None
        self.result: Any = None
        self.error: errors.GlobofsError | None = None
        self._cancelled = threading.Event()
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Ask the verb to end; it does at its next safe point."""
        self._cancelled.set()

    def cancelled(self) -> bool:
        """Whether it was asked to end."""
        return self._cancelled.is_set()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when the time ran out."""
        return self._ended.wait(timeout)

    def run(self, work: Work, emit: Emit) -> None:
        """Do the work in the calling thread and keep what comes of it."""
        try:
            self.result = work(emit, self.cancelled)
            self.state = "cancelled" if self.cancelled() and self.result is None else "done"
        except errors.Interrupted as error:
            self.error, self.state = error, "cancelled"
        except errors.GlobofsError as error:
            self.error, self.state = error, "failed"
        except OSError as error:
            self.error, self.state = errors.from_os_error(error), "failed"
        except Exception as error:  # a mistake of ours is the job's, never its submitter's
            self.error = errors.GlobofsError(f"{self.kind}: {type(error).__name__}: {error}")
            self.state = "failed"
        finally:
            self._ended.set()


class Jobs:
    """The jobs of an engine. In the job's thread `begun(job)` is called once before its verb,
    `hear(job, event)` for every event, `ended(job)` once after it; none of them may block."""

    def __init__(
        self,
        hear: Callable[[Job, Event], None],
        begun: Callable[[Job], None],
        ended: Callable[[Job], None],
    ) -> None:
        self._hear = hear
        self._begun = begun
        self._ended = ended
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._jobs: list[Job] = []

    def submit(self, kind: str, work: Work) -> Job:
        """Start a verb in a thread of its own; returns at once."""
        job = Job(next(self._numbers), kind)
        with self._lock:
            self._jobs.append(job)
            over = [old for old in self._jobs if not old.running][:-JOBS_KEPT]
            self._jobs = [old for old in self._jobs if old not in over]
        threading.Thread(
            target=self._run, args=(job, work), name=f"globofs-{kind}-{job.id}", daemon=True
        ).start()
        return job

    def _run(self, job: Job, work: Work) -> None:
        def emit(event: Event) -> None:
            if isinstance(event, Progress):
                job.progress = event
            self._hear(job, event)

        self._begun(job)
        try:
            job.run(work, emit)
        finally:
            self._ended(job)

    @property
    def all(self) -> tuple[Job, ...]:
        """The jobs that run and the latest that ended, oldest first."""
        with self._lock:
            return tuple(self._jobs)

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs that have not ended."""
        return tuple(job for job in self.all if job.running)

    def cancel_all(self) -> None:
        """Ask all to end."""
        for job in self.running:
            job.cancel()
