"""The programs we are measured against, each called the way its manual says."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from tests.benchmarks.measure import Run, run


class Peer(ABC):
    """A backup program: `begin` makes its repository, then `save` and `bring_back`."""

    name = ""

    def __init__(self, work: Path) -> None:
        self.place = work / f"peer-{self.name}"
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)

    @classmethod
    def why_not(cls) -> str:
        """Why it cannot be run here, "" if it can."""
        return "" if shutil.which(cls.name) else "is not installed"

    def begin(self) -> None:  # noqa: B027 - not every program has a repository to make
        """Make the repository, where it has one; not measured."""

    @abstractmethod
    def save(self, source: Path) -> Run:
        """Store a directory."""

    def bring_back(self, target: Path) -> Run:
        """Restore what was stored last."""
        raise RuntimeError("has no restore to compare with")

    def mounting(self, place: Path) -> tuple[list[str], dict[str, str]]:
        """The command that mounts what it keeps at `place` while it runs, and its environment."""
        raise RuntimeError("has no mount to compare with")

    def stored(self) -> int:
        """Bytes of everything it keeps."""
        return disk_bytes(self.place)


def disk_bytes(top: Path) -> int:
    """The sizes of all files below `top`."""
    return sum(
        os.lstat(os.path.join(place, name)).st_size
        for place, _, names in os.walk(top)
        for name in names
    )


class Restic(Peer):
    """restic, without a password prompt."""

    name = "restic"

    def _settings(self) -> dict[str, str]:
        settings = {"RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": str(self.place / "r")}
        return settings | {"RESTIC_CACHE_DIR": str(self.place / "cache")}

    def _run(self, *args: str) -> Run:
        return run(["restic", "-q", *args], env=os.environ | self._settings())

    def mounting(self, place: Path) -> tuple[list[str], dict[str, str]]:
        return ["restic", "mount", str(place)], self._settings()

    def begin(self) -> None:
        self._run("init")

    def save(self, source: Path) -> Run:
        return self._run("backup", str(source))

    def bring_back(self, target: Path) -> Run:
        return self._run("restore", "latest", "--target", str(target))


class Borg(Peer):
    """borg with zstd 3, without encryption."""

    name = "borg"
    _count = 0

    def _settings(self) -> dict[str, str]:
        settings = {"BORG_BASE_DIR": str(self.place / "base")}
        return settings | {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}

    def _run(self, *args: str, cwd: Path | None = None) -> Run:
        return run(["borg", *args], env=os.environ | self._settings(), cwd=cwd)

    def mounting(self, place: Path) -> tuple[list[str], dict[str, str]]:
        return ["borg", "mount", "-f", str(self.place / "r"), str(place)], self._settings()

    def begin(self) -> None:
        self._run("init", "-e", "none", str(self.place / "r"))

    def save(self, source: Path) -> Run:
        self._count += 1
        archive = f"{self.place / 'r'}::{self._count}"
        return self._run("create", "-C", "zstd,3", archive, str(source))

    def bring_back(self, target: Path) -> Run:
        target.mkdir(parents=True, exist_ok=True)
        return self._run("extract", f"{self.place / 'r'}::{self._count}", cwd=target)

    def stored(self) -> int:
        return disk_bytes(self.place / "r")


class Casync(Peer):
    """casync into a chunk store."""

    name = "casync"

    def save(self, source: Path) -> Run:
        index, store = self.place / "i.caidx", self.place / "store"
        return run(["casync", "make", f"--store={store}", str(index), str(source)])

    def bring_back(self, target: Path) -> Run:
        index, store = self.place / "i.caidx", self.place / "store"
        target.mkdir(parents=True, exist_ok=True)
        return run(["casync", "extract", f"--store={store}", str(index), str(target)])

    def stored(self) -> int:
        return disk_bytes(self.place / "store")


class Annex(Peer):
    """git-annex: the files are moved into its repository first, which is not measured."""

    name = "git-annex"

    def _git(self, *args: str) -> Run:
        env = {**os.environ, "HOME": str(self.place)}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "bench", f"GIT_{who}_EMAIL": "bench@localhost"}
        return run(["git", *args], cwd=self.place / "r", env=env)

    def begin(self) -> None:
        (self.place / "r").mkdir()
        self._git("init", "-q")
        self._git("annex", "init", "bench")

    def save(self, source: Path) -> Run:
        inside = self.place / "r" / "data"
        if not inside.exists():
            shutil.copytree(source, inside, symlinks=True)
        return self._git("annex", "add", "-q", ".")


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Restic, Borg, Casync, Annex)}
