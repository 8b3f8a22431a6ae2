"""Things to put into a volume: documents that get edited, tables that grow, pictures, films.

Everything follows from a seed, so that two runs make the same bytes.
"""

from __future__ import annotations

import math
import os
import random
import struct
import sysconfig
import zlib
from collections.abc import Iterator

SENTENCES = (
    "The path along the lake is open again; allow two hours to the hut.",
    "Snow down to 1,800 m, the north side is still icy in the morning.",
    "Mara brings the stove, Jon the rope and the map.",
    "The last bus leaves at 18:40 from the bridge.",
    "Call the hut before noon, they only keep beds until four.",
    "The old footbridge is closed; the detour costs forty minutes.",
    "Water at the second spring, none after that.",
    "If it rains we take the low way through the larch wood.",
    "Bring small change for the cable car.",
    "The view from the saddle is worth the last hundred steps.",
    "Breakfast at six, off at half past.",
    "Two more people asked; the big room has eight beds.",
)
PACKAGES_FIRST = ("json", "logging", "sqlite3")
PACKAGES_LATER = ("http", "email", "asyncio", "unittest", "importlib", "multiprocessing", "ctypes")
PICTURE_SIZE = (480, 300)


def library(package: str) -> Iterator[tuple[str, bytes]]:
    """The sources of a package of the standard library: relative names and contents."""
    top = os.path.join(sysconfig.get_paths()["stdlib"], package)
    for place, directories, files in os.walk(top):
        directories[:] = sorted(name for name in directories if name not in ("__pycache__", "test"))
        for name in sorted(files):
            if name.endswith(".py"):
                path = os.path.join(place, name)
                with open(path, "rb") as file:
                    yield os.path.relpath(path, os.path.dirname(top)), file.read()


class Document:
    """A text that people go on editing: lines come, change, move and go."""

    def __init__(self, title: str, seed: int, lines: int = 8) -> None:
        self._random = random.Random(seed)
        self._title = title
        self._lines = [self._sentence() for _ in range(lines)]

    def _sentence(self) -> str:
        return self._random.choice(SENTENCES)

    def edit(self) -> None:
        """One sitting: mostly additions, some corrections, now and then a paragraph less."""
        chance = self._random
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(self._lines) + 1)
            what = chance.random()
            if what < 0.55 or not self._lines:
                self._lines.insert(at, self._sentence())
            elif what < 0.85:
                at = min(at, len(self._lines) - 1)
                old = self._lines[at]
                self._lines[at] = old.replace("the", "this", 1) if "the" in old else old + " (!)"
            elif len(self._lines) > 4:
                del self._lines[min(at, len(self._lines) - 1)]

    def bytes(self) -> bytes:
        """The document as it stands."""
        body = "\n\n".join(self._lines)
        return f"# {self._title}\n\n{body}\n".encode()


class Budget:
    """A table that gets a row now and then, and whose sum follows."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._rows: list[tuple[str, int]] = []

    def edit(self) -> None:
        """One more expense."""
        what = self._random.choice(("hut", "cable car", "bread", "rope", "maps", "bus", "gas"))
        self._rows.append((what, self._random.randint(3, 180)))

    def bytes(self, extra: str = "") -> bytes:
        """The table as it stands, with a remark as its last row."""
        rows = [f"{number},{what},{cost}" for number, (what, cost) in enumerate(self._rows, 1)]
        total = sum(cost for _, cost in self._rows)
        tail = [f",{extra},"] if extra else []
        return "\n".join(["no,what,euro", *rows, *tail, f",sum,{total}", ""]).encode()


def picture(seed: int) -> bytes:
    """A PNG of mountains at some hour of the day; between 20 and 60 KB."""
    chance = random.Random(seed)
    width, height = PICTURE_SIZE
    ridges = [_ridge(chance, width, height * share) for share in (0.42, 0.58, 0.74)]
    sky = bytes(64 + y * 120 // height for y in range(height))
    columns: list[bytes] = []
    for x in range(width):
        tops = sorted(min(height, ridge[x]) for ridge in ridges)
        column = sky[: tops[0]]
        for number, top in enumerate(tops):
            end = tops[number + 1] if number + 1 < len(tops) else height
            column += bytes((16 + 14 * number,)) * (end - top)
        columns.append(column)
    mask = int.from_bytes(b"\x03" * width, "big")
    rows = bytearray()
    for row in zip(*columns, strict=True):
        grain = int.from_bytes(chance.randbytes(width), "big") & mask
        rows += b"\0" + (int.from_bytes(bytes(row), "big") ^ grain).to_bytes(width, "big")
    return _png(width, height, _palette(chance), bytes(rows))


def _ridge(chance: random.Random, width: int, base: float) -> list[int]:
    waves = [
        (chance.uniform(10, 46) / n, chance.uniform(0.004, 0.02) * n, chance.random() * 6.3)
        for n in (1, 2, 4, 8)
    ]
    return [
        max(2, int(base + sum(high * math.sin(x * often + at) for high, often, at in waves)))
        for x in range(width)
    ]


def _palette(chance: random.Random) -> bytes:
    """Dark tones below, the colours of a sky above."""
    low = [chance.randint(140, 220), chance.randint(90, 170), chance.randint(90, 160)]
    high = [chance.randint(20, 90), chance.randint(60, 120), chance.randint(120, 220)]
    made = bytearray()
    for index in range(256):
        if index < 64:
            made += bytes((index, index + 12, index + 24))
        else:
            share = (index - 64) / 191
            made += bytes(int(h + (w - h) * share) for h, w in zip(high, low, strict=True))
    return bytes(made)


def _png(width: int, height: int, palette: bytes, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", palette)
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


def film(seed: int, size: int) -> Iterator[bytes]:
    """Pieces of a film of `size` bytes: as incompressible as films are."""
    chance = random.Random(seed)
    left = size
    while left > 0:
        piece = min(left, 1 << 20)
        yield chance.randbytes(piece)
        left -= piece
