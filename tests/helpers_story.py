"""Stories are told with the real command in real processes; this is their vocabulary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GLOBOFS_")},
    "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    "NO_COLOR": "1",
}


@dataclass
class Answer:
    """What a command said and how it ended."""

    status: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode(errors="surrogateescape")

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class At:
    """A volume, spoken to with the `globofs` command."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume

    def __call__(self, *words: str | bytes, expect: int | None = 0, **options: Any) -> Answer:
        done = subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT,
            timeout=options.pop("timeout", 100),
            **options,
        )
        answer = Answer(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
        if expect is not None:
            assert answer.status == expect, f"{words}: {answer.status}\n{answer.out}\n{answer.err}"
        assert "Traceback" not in answer.err, answer.err
        return answer

    def command(self, *words: str | bytes) -> list[str | bytes]:
        return [sys.executable, "-m", "globofs", "-C", str(self.volume), *words]

    def start(self, *words: str | bytes) -> subprocess.Popen[bytes]:
        """The command in the background; it leads a process group of its own."""
        return subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )

    @contextmanager
    def running(self, *words: str | bytes) -> Iterator[subprocess.Popen[bytes]]:
        process = self.start(*words)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def read(self, path: str | bytes) -> bytes:
        return self("cat", path).raw

    def paths(self, *words: str) -> set[str]:
        return {row["path"] for row in self("ls", "-R", "--json", *words).json}

    @property
    def node(self) -> Path:
        return self.volume / "local"

    def verify(self) -> dict[str, Any]:
        found: dict[str, Any] = self("verify", "--json").json
        assert found["damaged"] == 0
        return found


def make_nodes(directory: Path, *names: str, peers: bool = True, **init: str) -> list[At]:
    """Nodes of one volume on local directories, each a peer of every other."""
    words = [word for key, value in init.items() for word in (f"--{key}", value)]
    made = [At(directory / name) for name in names]
    for at in made:
        at("init", str(at.volume), "--name", at.volume.name, *words)
    if peers:
        for at in made:
            for other in made:
                if other is not at:
                    at("peer", "add", other.volume.name, str(other.volume))
    return made


def until(true: Callable[[], object], seconds: float, every: float = 0.02) -> float:
    """Seconds until `true()` holds; fails when it never does within `seconds`."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, f"not within {seconds} s"
        time.sleep(every)
    return time.monotonic() - start


def tree_of(directory: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything below a directory that must survive a round trip, to be compared."""
    found: dict[bytes, tuple[object, ...]] = {}
    top = os.fsencode(directory)
    for parent, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(parent, name)
            facts = os.lstat(path)
            key = os.path.relpath(path, top)
            if os.path.islink(path):
                found[key] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[key] = ("dir", facts.st_mode & 0o7777, facts.st_mtime_ns)
            else:
                with open(path, "rb") as file:
                    found[key] = (facts.st_mode & 0o7777, facts.st_mtime_ns, file.read())
    return found
