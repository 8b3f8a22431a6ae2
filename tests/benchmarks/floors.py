"""What Python and this disk can do at best: plain loops without any guarantee.

`python -m tests.benchmarks.floors loop|layout|work SOURCE TARGET` runs one in a fresh process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import zstandard

_MIB = 1 << 20


def _files(source: str) -> list[str]:
    return sorted(os.path.join(place, n) for place, _, names in os.walk(source) for n in names)


def loop(source: str, target: str) -> None:
    """Two threads: read 1 MiB, sha256, zstd 3, write. No names, no sync, no manifests.

    They take turns piece by piece: of L, a thread with every second file would have all the text.
    """
    pieces = ((path, at) for path in _files(source) for at in range(0, os.path.getsize(path), _MIB))
    turn = threading.Lock()

    def half(number: int) -> None:
        packer = zstandard.ZstdCompressor(level=3)
        with open(os.path.join(target, f"out{number}"), "wb") as out:
            while True:
                with turn:
                    path, at = next(pieces, ("", 0))
                if not path:
                    return
                with open(path, "rb", buffering=0) as file:
                    file.seek(at)
                    piece = file.read(_MIB)
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
            _place(target, os.path.relpath(path, source), data, packer, f".{number}")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(half, range(2)))


def _place(
    target: str, relative: str, data: bytes, packer: zstandard.ZstdCompressor, temporary: str
) -> None:
    name = sha256(data).hexdigest()
    above = f"{target}/hashes/{name[:2]}/{name[2:4]}"
    os.makedirs(above, exist_ok=True)
    stored = f"{above}/{name[4:]}.zst"
    with open(stored + temporary, "wb", buffering=0) as out:
        out.write(packer.compress(data))
    os.rename(stored + temporary, stored)
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


def work(source: str, target: str) -> None:
    """One thread cuts, hashes and compresses as `add` does, and writes nothing.

    Prints `work=`, the seconds it computed: half of that is what two cores can do at best.
    """
    from globofs.format.chunking import Chunker, iter_chunks
    from globofs.format.codec import compress
    from globofs.limits import BLOCK_SIZE_DEFAULT, ZSTD_LEVEL_DEFAULT

    chunker = Chunker("cdc", BLOCK_SIZE_DEFAULT)
    for path in _files(source):
        with open(path, "rb", buffering=0) as file:
            for block in iter_chunks(file.readinto, chunker, os.path.getsize(path)):
                sha256(block).digest()
                compress(block, "zstd", ZSTD_LEVEL_DEFAULT)
    print(f"work={time.thread_time():.3f}")


if __name__ == "__main__":
    os.makedirs(sys.argv[3])
    {"loop": loop, "layout": layout, "work": work}[sys.argv[1]](sys.argv[2], sys.argv[3])
