"""A mount is killed again and again in the middle of work: all that was closed or synced is there."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path
from typing import IO

import pytest

from tests.helpers_mount import mounted, needs_fuse
from tests.helpers_story import make_nodes

pytestmark = needs_fuse

PLACES = ("a", "b", "d/x", "d/y", "e/z")
SIZES = (0, 10, 5000, 3_000_000)


class Worker:
    """Changes files at random; `model` is what must be found of them."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.rng = random.Random(seed)
        self.model: dict[str, bytes] = {}
        self.open: dict[str, IO[bytes]] = {}

    def step(self) -> None:
        closed = sorted(set(self.model) - set(self.open))
        if not closed or self.rng.random() < 0.1:
            self.make()
            return
        work = self.rng.choice((self.write, self.write, self.cut, self.rename, self.remove))
        work(self.rng.choice(closed))
        closed = sorted(set(self.model) - set(self.open))
        if closed and len(self.open) < 3 and self.rng.random() < 0.1:
            path = self.rng.choice(closed)
            self.open[path] = open(self.place / path, "r+b", buffering=0)
        if self.open and self.rng.random() < 0.5:
            path = self.rng.choice(sorted(self.open))
            self.put(path, self.open[path])
            os.fsync(self.open[path].fileno())
            if self.rng.random() < 0.15:
                time.sleep(1.5)  # it is recorded while it stays open

    def make(self) -> None:
        path = f"{self.rng.choice(PLACES)}{self.rng.randrange(5)}"
        if path not in self.open:
            (self.place / path).parent.mkdir(exist_ok=True)
            data = self.rng.randbytes(self.rng.choice(SIZES))
            (self.place / path).write_bytes(data)
            self.model[path] = data

    def put(self, path: str, file: IO[bytes]) -> None:
        before = bytearray(self.model[path])
        at, data = self.rng.randint(0, len(before)), self.rng.randbytes(9000)
        file.seek(at)
        file.write(data)
        before[at : at + len(data)] = data
        self.model[path] = bytes(before)

    def write(self, path: str) -> None:
        with open(self.place / path, "r+b") as file:
            self.put(path, file)

    def cut(self, path: str) -> None:
        before = self.model[path]
        size = self.rng.randrange(len(before) + 2000)
        os.truncate(self.place / path, size)
        self.model[path] = before[:size] + bytes(max(0, size - len(before)))

    def rename(self, path: str) -> None:
        """To a new name, or over another file."""
        others = sorted(set(self.model) - set(self.open) - {path})
        new = self.rng.choice([*others, f"{path[:20]}r"])
        if new != path and new not in self.open:
            os.rename(self.place / path, self.place / new)
            self.model[new] = self.model.pop(path)

    def remove(self, path: str) -> None:
        (self.place / path).unlink()
        del self.model[path]

    def found(self) -> dict[str, bytes]:
        files = (path for path in self.place.rglob("*") if path.is_file())
        return {str(path.relative_to(self.place)): path.read_bytes() for path in files}

    def let_go(self) -> None:
        for file in self.open.values():
            with contextlib.suppress(OSError):
                file.close()
        self.open.clear()


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(6))
def test_all_that_was_closed_or_synced_is_found_again(tmp_path: Path, seed: int) -> None:
    (at,) = make_nodes(tmp_path, "node")
    config = at.node / "config"
    config.write_text(config.read_text() + "commit=1s\n")
    worker = Worker(tmp_path / "m", seed)
    for _ in range(6):
        with mounted(at, tmp_path / "m") as mount:
            found = worker.found()
            assert found.keys() == worker.model.keys()
            assert [path for path in found if found[path] != worker.model[path]] == []
            for _ in range(worker.rng.randrange(20, 80)):
                worker.step()
            mount.kill()
        worker.let_go()
    with mounted(at, tmp_path / "m"):
        assert worker.found() == worker.model
    assert at("conflicts", "--json").json == []
    at.verify()
