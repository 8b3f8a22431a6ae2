"""Running something and measuring it: wall time, memory; the page cache dropped before."""

from __future__ import annotations

import compileall
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOOK_SECONDS = 0.03
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """What one command took."""

    seconds: float
    processor_seconds: float  # of all its threads and children, in the kernel too
    memory_bytes: int  # its largest resident set; of other programs no less than ours
    output: str
    others_bytes: int = 0  # the largest resident sets of all that it started, together


cold = True
"""Whether caches are dropped at all: it makes everything else on the machine slow."""


def drop_caches() -> bool:
    """Write everything out and forget clean pages; False where we may not, or shall not."""
    if not cold:
        return False
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def compile_ours() -> None:
    """Compile the project as `pip` does when it installs it: a start is not measured compiling."""
    for package in ("globofs", "tests/benchmarks"):
        compileall.compile_dir(REPOSITORY / package, quiet=2)


def environment(**more: str) -> dict[str, str]:
    """Of a command that imports this project."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}


class Others:
    """How much memory the processes below one take, looked at now and then while it runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Others:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        """The largest resident sets of all of them together."""
        return sum(self._most.values())

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for pid in self._below(self._pid):
                with contextlib.suppress(OSError, IndexError, ValueError):
                    told = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2]
                    # The last is the largest, and is not of what it was before it was itself.
                    self._most[pid] = int(told.split()[0]) * 1024

    def _below(self, pid: int) -> list[int]:
        found: list[int] = []
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, file.read_text().split())
        return found + [deeper for child in found for deeper in self._below(child)]


def run(
    command: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Run:
    """Run a command to its end. Raises RuntimeError with its last words where it fails."""
    begin = time.monotonic()
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        with Others(process.pid) as others:
            output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begin
    if process.returncode:
        raise RuntimeError(f"{command[0]}: ended with {process.returncode}: {output[-500:]}")
    took = usage.ru_utime + usage.ru_stime
    return Run(seconds, took, usage.ru_maxrss * 1024, output, others.bytes)


def ours(job: str, *args: str | Path) -> Run:
    """Run one job of `tests.benchmarks.ours` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.ours", job, *map(str, args)]
    done = run(command, cwd=REPOSITORY, env=environment())
    done.memory_bytes = int(said(done, "memory"))
    return done


def traced(trace: Path, wanted: str, job: str, *args: str | Path) -> list[str]:
    """The system calls `wanted` of one job of ours, as lines of strace, each call once."""
    command = [sys.executable, "-m", "tests.benchmarks.ours", job, *map(str, args)]
    run(
        ["strace", "-f", "-q", "-y", "-o", str(trace), "-e", f"trace={wanted}", *command],
        cwd=REPOSITORY,
        env=environment(),
    )
    lines = trace.read_text(errors="replace").splitlines()
    return [line for line in lines if "resumed>" not in line]


def version_of(program: str) -> str:
    """The first line a program says of its version, for the record."""
    flag = "version" if program in ("restic", "git-annex") else "--version"
    try:
        told = subprocess.run([program, flag], capture_output=True, text=True, timeout=10)
    except OSError:
        return "absent"
    return (told.stdout.splitlines() or ["?"])[0].strip()[:60]


def said(done: Run, key: str) -> float:
    """A figure that a job of ours printed as `key=value`."""
    for line in done.output.splitlines():
        name, _, value = line.partition("=")
        if name == key:
            return float(value)
    raise RuntimeError(f"{key} is missing in: {done.output[-500:]}")


def own_memory() -> int:
    """The largest resident set of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass
class Figures:
    """Seconds (or whatever else) of each contender, round by round, and what was left out."""

    unit: str = "s"
    values: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def take(self, who: str, done: Run) -> None:
        """One more run: its time, and the processor's, which a busy machine changes less."""
        self.note(who, done.seconds)
        self.processor.setdefault(who, []).append(done.processor_seconds)

    def note(self, who: str, value: float) -> None:
        """One more measurement."""
        self.values.setdefault(who, []).append(value)

    def middle(self, who: str) -> float | None:
        """The median of a contender."""
        found = self.values.get(who)
        return statistics.median(found) if found else None

    def middle_processor(self, who: str) -> float | None:
        """The median of a contender's processor seconds, where they are known."""
        found = self.processor.get(who)
        return statistics.median(found) if found else None


def attempt(figures: Figures, who: str, work: Callable[[], Run]) -> None:
    """Measure a peer; what keeps it from being measured is a reason, not an error."""
    try:
        figures.take(who, work())
    except (OSError, RuntimeError) as error:
        figures.skipped[who] = (str(error).strip().splitlines() or ["failed"])[-1][:100]
