"""What Python and this disk can do at best: plain loops without any guarantee.

`python -m tests.benchmarks.floors loop|layout SOURCE TARGET` runs one in a fresh process.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import zstandard

_MIB = 1 << 20


def _files(source: str) -> list[str]:
    return sorted(os.path.join(place, n) for place, _, names in os.walk(source) for n in names)


def loop(source: str, target: str) -> None:
    """Two threads: read 1 MiB, sha256, zstd 3, write. No names, no sync, no manifests."""
    files = _files(source)

    def half(number: int) -> None:
        packer = zstandard.ZstdCompressor(level=3)
        with open(os.path.join(target, f"out{number}"), "wb") as out:
            for path in files[number::2]:
                with open(path, "rb", buffering=0) as file:
                    while piece := file.read(_MIB):
                        sha256(piece).digest()
                        out.write(packer.compress(piece))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(half, range(2)))


def layout(source: str, target: str) -> None:
    """Two threads: per file its block and the directories and files of `root/`. No sync."""
    files = _files(source)

    def half(number: int) -> None:
        packer = zstandard.ZstdCompressor(level=3)
        for path in files[number::2]:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
            _place(target, os.path.relpath(path, source), data, packer)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(half, range(2)))


def _place(target: str, relative: str, data: bytes, packer: zstandard.ZstdCompressor) -> None:
    name = sha256(data).hexdigest()
    above = f"{target}/hashes/{name[:2]}/{name[2:4]}"
    os.makedirs(above, exist_ok=True)
    stored = f"{above}/{name[4:]}.zst"
    with open(stored + ".tmp", "wb", buffering=0) as out:
        out.write(packer.compress(data))
    os.rename(stored + ".tmp", stored)
    directory = f"{target}/root/{relative}"
    os.makedirs(f"{directory}/versions")
    text = f"kind=file\npath={relative}\nsize={len(data)}\n\n{name} {len(data)}\nblocks=1\n" * 2
    for version in ("1348096774.177556349", "latest"):
        with open(f"{directory}/versions/{version}", "wb", buffering=0) as out:
            out.write(text.encode())
    os.makedirs(f"{directory}/hashes/{name[:2]}/{name[2:4]}")
    os.symlink(
        f"../../../../hashes/{name[:2]}/{name[2:4]}/{name[4:]}.zst",
        f"{directory}/hashes/{name[:2]}/{name[2:4]}/{name[4:]}.zst",
    )


if __name__ == "__main__":
    os.makedirs(sys.argv[3])
    {"loop": loop, "layout": layout}[sys.argv[1]](sys.argv[2], sys.argv[3])
