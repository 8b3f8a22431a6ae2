"""The benchmarks run, and print what they promise; how fast anything is, is not tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def bench(*words: str) -> str:
    """What `python -m tests.benchmarks` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_they_are_listed() -> None:
    names = [line.split()[0] for line in bench("--list").splitlines()]
    assert {"large", "small", "library", "many", "edits", "round", "start"} <= set(names)


@pytest.mark.timeout(120)
def test_a_quick_one_runs_from_end_to_end(tmp_path: Path) -> None:
    told = bench("small", "--quick", "--peers", "-", "--work", str(tmp_path))
    for what in ("first", "first, until safe", "again", "restore"):
        assert f"\n  {what}: " in told
    assert "floor: layout, two threads:" in told
    assert "restic: left out, was not asked for" in told
