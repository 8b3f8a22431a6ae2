"""Who keeps a mount from being unmounted is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from globofs.mount.holders import holders

Run = Callable[..., str]

MAP = """
import mmap, os
fd = os.open(sys.argv[1], os.O_RDONLY)
kept = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
os.close(fd)
os.closerange(3, 20)
"""


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts a program that does something, and then waits; gives how it is named."""
    with ExitStack() as stack:

        def start(script: str, *words: Path, cwd: Path | None = None) -> str:
            script = f"import sys\n{script}\nprint(1, flush=True)\nsys.stdin.read()"
            process = subprocess.Popen(
                [sys.executable, "-c", script, *map(str, words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=cwd,
            )
            stack.callback(process.communicate)
            assert process.stdout is not None
            process.stdout.readline()
            name = Path(f"/proc/{process.pid}/comm").read_text().strip()
            return f"{name} (pid {process.pid})"

        yield start


def test_what_each_does_there(tmp_path: Path, run: Run) -> None:
    place, beside = tmp_path / "m", tmp_path / "m2"
    (place / "d").mkdir(parents=True)
    beside.mkdir()
    notes = place / "d" / "notes\x1b.txt"
    notes.write_text("notes")
    run("", cwd=beside)
    assert holders(str(place)) == ""
    said = {
        f"{run('', cwd=place)} is in it",
        f"{run('kept = open(sys.argv[1])', notes)} has d/notes\\x1b.txt open",
        f"{run(MAP, notes)} has d/notes\\x1b.txt mapped",
    }
    assert set(holders(str(place)).split(", ")) == said
    notes.unlink()
    run("", cwd=place / "d")
    assert set(holders(str(place)).split(", ")) == said | {"1 other process"}
