"""Many short lives of small worlds: whatever happens, in the end everybody agrees, nothing is lost.

A failing seed is run again with `GLOBOFS_SEED=<seed> pytest tests/test_5_world.py`, which also
prints everything that happened. Thousands of seeds, from a first one on:

    GLOBOFS_SEEDS=5000 GLOBOFS_FIRST_SEED=1000 pytest tests/test_5_world.py -m soak -n2 --timeout 0
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter

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
                print(f"\nTo see it again: GLOBOFS_SEED={seed} pytest tests/test_5_world.py")
                raise
            return Counter(world.faults)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("half", [0, 1])
def test_short_lives(half: int) -> None:
    """As many seeds as fit into the time; always the same ones first."""
    if "GLOBOFS_SEED" in os.environ:
        live(int(os.environ["GLOBOFS_SEED"]))
        return
    end = time.monotonic() + CI_SECONDS
    seed = half
    while time.monotonic() < end:
        live(seed)
        seed += 2


@pytest.mark.soak
@pytest.mark.parametrize("half", [0, 1])
def test_thousands_of_lives(half: int) -> None:
    """So many seeds as `GLOBOFS_SEEDS` says; every failing one is named."""
    first = int(os.environ.get("GLOBOFS_FIRST_SEED", "0"))
    count = int(os.environ.get("GLOBOFS_SEEDS", "2000"))
    failed: dict[int, str] = {}
    faults: Counter[str] = Counter()
    for seed in range(first + half, first + count, 2):
        try:
            faults += live(seed)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failed[seed] = f"{type(error).__name__}: {error}"
    print(dict(faults))
    assert not failed
