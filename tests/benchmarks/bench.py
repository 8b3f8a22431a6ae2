"""What the rows of the table share: where they work, and how they run us and the others."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import sets
from tests.benchmarks.measure import Figures, Run, drop_caches, ours
from tests.benchmarks.peers import PEERS, Peer

US = "globofs"
Result = dict[str, Figures]


@dataclass
class Bench:
    """Where to work, how large, how often, and what was used most."""

    work: Path
    scale: float
    rounds: int
    only: frozenset[str]  # peers that may be run
    memory: int = 0
    others: int = 0  # of all processes that one of ours started

    def set(self, name: str) -> Path:
        """A set of files."""
        return sets.make(name, self.work, self.scale)

    def fresh(self, name: str) -> Path:
        """A path in the working directory where nothing lies.

        What lay there goes to the trash: ext4 looks long for inodes where many were just deleted.
        """
        path = self.work / name
        if path.exists():
            trash = self.work / "trash"
            trash.mkdir(exist_ok=True)
            path.rename(trash / f"{time.monotonic_ns()}")
        return path

    def empty_trash(self) -> None:
        """Delete what `fresh` moved away."""
        shutil.rmtree(self.work / "trash", ignore_errors=True)

    def volume(self, name: str = "volume") -> Path:
        """A new volume."""
        path = self.fresh(name)
        ours("init", path)
        return path

    def ours(self, job: str, *args: str | Path) -> Run:
        """One of our jobs, with cold caches; its memory is remembered."""
        drop_caches()
        done = ours(job, *args)
        self.memory = max(self.memory, done.memory_bytes)
        self.others = max(self.others, done.others_bytes)
        return done

    def peers(self, figures: Figures, *names: str) -> list[Peer]:
        """Fresh repositories of those peers that are installed; the others are noted."""
        found: list[Peer] = []
        for name in names:
            kind = PEERS[name]
            if self.left_out(figures, name, kind.why_not()):
                continue
            peer = kind(self.work)
            peer.begin()
            found.append(peer)
        return found

    def left_out(self, figures: Figures, name: str, why_not: str) -> bool:
        """Whether a peer is not to be run, which `figures` is told."""
        why = "was not asked for" if name not in self.only else why_not
        if why:
            figures.skipped[name] = why
        return bool(why)


def working_directory(given: str | None) -> Path:
    """Where sets and volumes lie: `given`, or below the temporary directory."""
    path = Path(given or os.path.join(os.environ.get("TMPDIR", "/tmp"), "globofs-benchmarks"))
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()
