"""The sets of files that are measured on; made once below a directory, from one seed."""

from __future__ import annotations

import os
import random
import shutil
import sysconfig
import time
from pathlib import Path

MIB = 1 << 20
_DONE = ".whole"
AGE_SECONDS = 3.5
"""What changed less than 3 s before an `add` is read again by the next: sets are older."""


def _words(rng: random.Random) -> list[bytes]:
    letters = b"abcdefghijklmnopqrstuvwxyz"
    return [bytes(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(4000)]


def text(rng: random.Random, size: int, words: list[bytes] | None = None) -> bytes:
    """`size` bytes that compress like text."""
    words = words or _words(rng)
    pieces: list[bytes] = []
    left = size
    while left > 0:
        piece = b" ".join(rng.choices(words, k=1000)) + b"\n"
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)[:size]


def _large(top: Path, scale: float) -> None:
    """L: four files of 256 MiB, half random, half text."""
    rng = random.Random(1)
    words = _words(rng)
    size = max(2 * MIB, int(256 * MIB * scale))
    for number in range(4):
        with open(top / f"large{number}", "wb") as file:
            while file.tell() < size:
                piece = min(4 * MIB, size - file.tell())
                file.write(rng.randbytes(piece) if number % 2 else text(rng, piece, words))


def _small(top: Path, scale: float, files: int = 20_000, directories: int = 500) -> None:
    """S: 20,000 files of 0.2 to 16 KiB in 500 directories, half random, half text."""
    rng = random.Random(2)
    pool = text(rng, 4 * MIB)
    files, directories = max(200, int(files * scale)), max(5, int(directories * scale))
    for number in range(files):
        directory = top / f"d{number % directories:04d}"
        directory.mkdir(exist_ok=True)
        size = int(200 * 80 ** rng.random())
        at = rng.randrange(len(pool) - size)
        data = rng.randbytes(size) if number % 2 else pool[at : at + size - 8] + rng.randbytes(8)
        (directory / f"f{number:06d}").write_bytes(data)


def _library(top: Path, scale: float) -> None:
    """R: the standard library of this Python; with a small scale a part of it."""
    source = sysconfig.get_path("stdlib")
    names = sorted(os.listdir(source))
    names = [n for n in names if n not in ("site-packages", "dist-packages", "__pycache__")]
    for name in names[: max(20, int(len(names) * min(scale, 1)))]:
        path = os.path.join(source, name)
        if os.path.isdir(path):
            shutil.copytree(path, top / name, symlinks=True)
        elif os.path.isfile(path):
            shutil.copy2(path, top / name)


def _many(top: Path, scale: float) -> None:
    """N: 100,000 files of a few bytes, for finding out that nothing changed."""
    for number in range(max(500, int(100_000 * scale))):
        directory = top / f"d{number // 500:04d}"
        directory.mkdir(exist_ok=True)
        (directory / f"f{number:06d}").write_bytes(b"%d\n" % number)


def _bring(top: Path, scale: float) -> None:
    """B: 5,000 small files and 512 MiB."""
    _small(top, scale, 5000, 100)
    rng = random.Random(3)
    with open(top / "large", "wb") as file:
        while file.tell() < max(2 * MIB, int(512 * MIB * scale)):
            file.write(rng.randbytes(MIB))


_MAKERS = {"L": _large, "S": _small, "R": _library, "N": _many, "B": _bring}


def make(name: str, work: Path, scale: float) -> Path:
    """The set `name` below `work`, made if it is not there yet."""
    top = work / f"set-{name}-{scale:g}"
    done = top.with_name(top.name + _DONE)
    if not done.exists():
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir(parents=True)
        _MAKERS[name](top, scale)
        time.sleep(AGE_SECONDS)
        done.touch()
    return top


def edits(work: Path, scale: float) -> list[Path]:
    """E: ten versions of one file of 128 MiB, bytes inserted near the start, ranges rewritten.

    The scale makes the file smaller, not the changes: below 1, more of it is stored anew.
    """
    rng = random.Random(4)
    size = max(2 * MIB, int(128 * MIB * scale))
    data = bytearray(rng.randbytes(size // 2) + text(rng, size // 2))
    found: list[Path] = []
    for number in range(11):
        if number:
            at = rng.randrange(4096)
            data[at:at] = rng.randbytes(rng.randint(1, 100))
            for _ in range(3):
                at = rng.randrange(len(data) - 10_000)
                data[at : at + 10_000] = rng.randbytes(10_000)
        path = work / f"set-E-{scale:g}-{number}"
        if not path.exists():
            path.write_bytes(data)
        found.append(path)
    return found
