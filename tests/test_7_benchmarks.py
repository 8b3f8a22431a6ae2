"""The benchmarks run, and print what they promise; how fast anything is, is not tested."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.benchmarks.line import ROUND_TRIP_SECONDS, line
from tests.benchmarks.table import JOBS

REPOSITORY = Path(__file__).resolve().parents[1]


def bench(*words: str) -> str:
    """What `python -m tests.benchmarks` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_they_are_listed() -> None:
    assert [line.split()[0] for line in bench("--list").splitlines()] == list(JOBS)


@pytest.mark.timeout(120)
def test_a_quick_one_runs_from_end_to_end(tmp_path: Path) -> None:
    told = bench("small", "--quick", "--peers", "-", "--work", str(tmp_path))
    for what in ("first", "first, until safe", "again", "restore"):
        assert f"\n  {what}: " in told
    assert "floor: layout, two threads:" in told
    assert "restic: left out, was not asked for" in told


@pytest.mark.soak
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", JOBS)
def test_each_of_them_runs(name: str, tmp_path: Path) -> None:
    told = bench(name, "--quick", "--work", str(tmp_path))
    assert f"\n{name}: " in told
    assert "most memory of ours: " in told


def test_the_line_delays_and_carries_both_ways() -> None:
    sent = os.urandom(300_000)
    with line("cat", rate=10_000_000) as port, socket.create_connection(("127.0.0.1", port)) as end:
        begin = time.monotonic()
        sender = threading.Thread(target=lambda: (end.sendall(sent), end.shutdown(socket.SHUT_WR)))
        sender.start()
        back = b"".join(iter(lambda: end.recv(65536), b""))
        took = time.monotonic() - begin
        sender.join()
    assert back == sent
    assert took >= ROUND_TRIP_SECONDS + len(sent) / 10_000_000
