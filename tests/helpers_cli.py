"""Commands run in this process: the same `main` as the console script, captured."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from globofs.cli.main import main
from tests.helpers_story import Answer, At


@dataclass
class Ran:
    """What a command printed and how it ended."""

    status: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@contextmanager
def captured() -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """stdout and stderr as bytes, while it lasts."""
    raw, err = io.BytesIO(), io.BytesIO()
    before = sys.stdout, sys.stderr
    sys.stdout = io.TextIOWrapper(raw, "utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(err, "utf-8", write_through=True)
    try:
        yield raw, err
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            stream.detach()
        sys.stdout, sys.stderr = before


def run(*words: str | Path) -> Ran:
    """Run `globofs WORDS` here; nothing a user types may raise."""
    with captured() as (raw, err):
        status = main([str(word) for word in words])
    ran = Ran(status, raw.getvalue(), err.getvalue().decode())
    assert "Traceback" not in ran.err, ran.err
    assert "a mistake of globofs itself" not in ran.err, ran.err
    return ran


class Shell:
    """A volume, spoken to in this process."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume

    def __call__(self, *words: str | Path, expect: int = 0) -> Ran:
        ran = run("-C", self.volume, *words)
        assert ran.status == expect, f"{words}: {ran.status}\n{ran.out}\n{ran.err}"
        return ran


def make(volume: Path, name: str, *options: str) -> Shell:
    """A new volume."""
    ran = run("init", volume, "--name", name, *options)
    assert ran.status == 0, ran.err
    return Shell(volume)


def tree(directory: Path, files: dict[str, str]) -> Path:
    """Make `files` below `directory`."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GLOBOFS_")},
    "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
}
COMMAND = [sys.executable, "-m", "globofs"]


class Inside(At):
    """A volume spoken to like `At`, in this process: many times as fast."""

    def __call__(self, *words: str | bytes, expect: int | None = 0, **options: Any) -> Answer:
        ran = run("-C", self.volume, *map(os.fsdecode, words))
        if expect is not None:
            assert ran.status == expect, f"{words}: {ran.status}\n{ran.out}\n{ran.err}"
        return Answer(ran.status, ran.raw, ran.err)
