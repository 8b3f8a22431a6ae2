"""Running something and measuring it: wall time, memory; the page cache dropped before."""

from __future__ import annotations

import compileall
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """What one command took."""

    seconds: float
    processor_seconds: float  # of all its threads and children, in the kernel too
    memory_bytes: int  # its largest resident set; of other programs no less than ours
    output: str


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
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begin
    if process.returncode:
        raise RuntimeError(f"{command[0]}: ended with {process.returncode}: {output[-500:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


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
