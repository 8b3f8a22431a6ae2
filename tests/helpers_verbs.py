"""A volume and a folder beside it, for tests of verbs: written to, added, looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from globofs.events import Event
from globofs.store.views import Version
from globofs.sync.results import AddResult
from globofs.volume import Volume


class Bench:
    """One volume, one folder, and the events of the verbs that ran."""

    def __init__(self, top: Path, **config: object) -> None:
        self.top = top
        self.folder = top / "docs"
        self.folder.mkdir()
        self.volume = Volume.init(str(top / "vol"), name="home", **config)  # type: ignore[arg-type]
        self.events: list[Event] = []

    def put(self, name: str, data: bytes | str = b"") -> Path:
        """Write a file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def add(self, **options: object) -> AddResult:
        """Add the folder as `docs`."""
        return self.volume.add([str(self.folder)], emit=self.events.append, **options)  # type: ignore[arg-type]

    def tree(self, at: int | None = None) -> dict[str, str]:
        """Live paths and their kinds."""
        return {os.fsdecode(e.path): e.kind for e in self.volume.view(at).walk()}

    def content(self, path: str) -> bytes:
        """The current content of a file."""
        version = self.shown(path)
        return b"".join(self.volume.read(version))

    def shown(self, path: str) -> Version:
        """The version that a path shows."""
        version = self.volume.view().version(os.fsencode(path))
        assert version is not None
        return version

    def conflicts(self) -> list[str]:
        """Paths in conflict."""
        return [os.fsdecode(one.path) for one in self.volume.conflicts()]


def meanwhile(bench: Bench, name: str, data: str) -> Callable[[], bool]:
    """A `cancelled` that never is, but under which another client adds `name` before the first
    record is written."""
    done: list[bool] = []

    def asked() -> bool:
        if not done:
            done.append(True)
            bench.put(name, data)
            other = Volume.open(bench.volume.node.volume)
            other.add([str(bench.folder)])
            other.close()
        return False

    return asked


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench in which a file that was just written may be trusted to be what it looks like."""
    monkeypatch.setattr("globofs.sync.add.RACY_NS", -(10**18))
    made = Bench(tmp_path)
    yield made
    made.volume.close()
