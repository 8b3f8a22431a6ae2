"""Many short lives of small worlds: whatever happens, in the end everybody agrees, nothing is lost.

A failing seed is run again, and tells everything that happened, with

    GLOBOFS_SEED=<seed> pytest tests/test_5_world.py -n0

Thousands of seeds, from a first one on, with a line for each that fails:

    GLOBOFS_SEEDS=5000 GLOBOFS_FIRST_SEED=1000 pytest tests/test_5_world.py -m soak -n2 --timeout 0

Worlds live in a process of their own, because sets of bytes have the same order in every run only
where Python is told so before it starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.simworld import World

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
CI_SECONDS = 18.0
STEPS = 30


def live(seed: int) -> Counter[str]:
    """One world, from its beginning to its judgement; the faults it saw."""
    directory = tempfile.mkdtemp(prefix="globofs-world-", dir=MEMORY)
    try:
        with World(seed, directory) as world:
            try:
                world.run(STEPS)
                world.quiet()
                world.judge()
            except BaseException:
                print("\n".join(world.log))
                raise
            return Counter(world.faults)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def lives(first: int, count: int, seconds: float) -> int:
    """Every second seed from `first` on, so many or for so long; how many failed."""
    end = time.monotonic() + seconds
    faults: Counter[str] = Counter()
    failed = done = 0
    for seed in range(first, first + 2 * count, 2):
        try:
            faults += live(seed)
        except Exception as error:
            failed += 1
            print(f"GLOBOFS_SEED={seed}: {type(error).__name__}: {error}", flush=True)
        done += 1
        if time.monotonic() > end:
            break
    print(f"{done} worlds, {failed} failed, {dict(faults)}")
    return failed


def in_a_process(first: int, count: int, seconds: float = 1e9) -> None:
    """`lives` where every run is the same."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_5_world", str(first), str(count), str(seconds)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0


@pytest.mark.parametrize("half", [0, 1])
def test_short_lives(half: int) -> None:
    """As many seeds as fit into the time; always the same ones first."""
    if "GLOBOFS_SEED" in os.environ:
        in_a_process(int(os.environ["GLOBOFS_SEED"]), 1)
    else:
        in_a_process(half, 10_000, CI_SECONDS)


@pytest.mark.soak
@pytest.mark.parametrize("half", [0, 1])
def test_thousands_of_lives(half: int) -> None:
    """So many seeds as `GLOBOFS_SEEDS` says; every failing one is named."""
    first = int(os.environ.get("GLOBOFS_FIRST_SEED", "0"))
    in_a_process(first + half, int(os.environ.get("GLOBOFS_SEEDS", "2000")) // 2)


if __name__ == "__main__":
    sys.exit(min(100, lives(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
