"""A volume as large as we promise to bear: a million versions of 200,000 files, one sparse giant.

`python -m tests.benchmarks.load [--versions N] [--files N] [--giant BYTES] [--work DIR]` makes it
(through operations, without content: every file holds the same few blocks) and prints what
looking at it costs. The volume is kept in DIR and used again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from globofs.format.manifest import Block
from globofs.store.clock import boot_id
from globofs.store.commit import Draft
from globofs.store.node import Node
from globofs.store.query import View
from globofs.volume import Volume
from tests.benchmarks.bench import US, Bench, Result, working_directory
from tests.benchmarks.measure import Figures, Others, environment, own_memory

ONE_DIRECTORY = 100_000
OPERATION_VERSIONS = 10_000


def drafts(files: int, serial: int) -> Iterator[Draft]:
    """One version of every file: half of them in one directory, the others 100 to a directory."""
    content = b"%d" % (serial % 7)
    block = Block(sha256(content).digest(), len(content))
    for number in range(files):
        flat = number < min(ONE_DIRECTORY, files // 2)
        path = b"flat/f%06d" % number if flat else b"t/d%04d/f%06d" % (number // 100, number)
        yield Draft(path, "file", block.size, 0o644, 10**18 + serial, b"", (block,))


def fill(volume: Volume, files: int, versions: int) -> None:
    """Commit versions in operations of 10,000 until there are as many."""
    node = volume.node
    with node.blocks.batch() as batch:
        for number in range(7):
            data = b"%d" % number
            batch.add(sha256(data).digest(), len(data), data, "")
        batch.seal()
    for serial in range(max(1, versions // files)):
        begin = time.monotonic()
        portion: list[Draft] = []
        for draft in drafts(files, serial):
            portion.append(draft)
            if len(portion) == OPERATION_VERSIONS:
                _commit(volume, portion)
                portion = []
        _commit(volume, portion)
        rate = files / (time.monotonic() - begin)
        print(f"  {(serial + 1) * files} versions, {rate:.0f} a second", flush=True)

    as_if_built(node)


def as_if_built(node: Node) -> None:
    """Believe that everything known stands in `root/`: half an hour of making directories."""
    newest = node.index.one("SELECT max(row) FROM version")[0]
    node.index.set_meta("tree_row", newest)
    node.index.set_meta("tree_row_synced", newest)
    node.index.set_meta("tree_boot", boot_id())


def _commit(volume: Volume, portion: list[Draft]) -> None:
    """Without `root/`: two million directories would be measured, not us."""
    operation = volume.node.operation("add", ["load"])
    operation.commit(portion)


def timed(what: str, work: Callable[[], object]) -> None:
    """Print how long `work` takes, the first time and the second."""
    took: list[float] = []
    for _ in range(2):
        begin = time.monotonic()
        work()
        took.append((time.monotonic() - begin) * 1000)
    print(f"  {what}: {took[0]:.1f} ms, again {took[1]:.1f} ms", flush=True)


def looks(path: Path) -> None:
    """What it costs to look at it."""

    def opened(work: Callable[[Volume], object]) -> None:
        with Volume.open(str(path)) as volume:
            work(volume)

    timed("open, and the root's entries", lambda: opened(lambda v: v.view().children(b"")))
    with Volume.open(str(path)) as volume:
        middle = volume.operations(limit=1000)[-1].time
        timed("status", volume.status)
        timed("children of a large directory", lambda: volume.view().children(b"flat"))
        timed("the tree at an earlier moment", lambda: View(volume.node, middle).children(b"t"))
        timed("history of a file", lambda: volume.history(b"flat/f000007"))
        timed("the newest 100 operations", lambda: volume.operations(limit=100))
        timed("find", lambda: volume.find("f00000*", limit=100))
        timed("sync with nothing new", volume.sync)
    command = [sys.executable, "-m", "globofs", "ls"]
    timed(
        "the command `globofs ls`",
        lambda: subprocess.run(
            command, cwd=path, env=environment(), check=True, stdout=subprocess.DEVNULL
        ),
    )
    print(f"  memory of all that: {own_memory() / 2**20:.0f} MiB")


def giant(work: Path, size: int) -> Iterator[tuple[str, float, int]]:
    """A sparse file of `size` bytes is added, read back and restored: what, seconds, and the most
    bytes held by all our processes together."""
    source, path = work / "giant", work / "giant-volume"
    shutil.rmtree(path, ignore_errors=True)
    with open(source, "wb") as file:
        file.truncate(size)
    Volume.init(str(path)).close()
    # VmHWM: what `getrusage` says of a child begins with what its parent had.
    program = (
        "import sys\nfrom globofs.cli.main import main\ncode = main(sys.argv[1:])\n"
        "told = open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]\n"
        "print(int(told), file=sys.stderr)\nsys.exit(code)"
    )
    restored = work / "giant-restored"
    restored.unlink(missing_ok=True)
    for words in (
        ["add", str(source)],
        ["cat", "giant"],
        ["restore", "giant", "--to", str(restored)],
    ):
        begin = time.monotonic()
        with (
            subprocess.Popen(
                [sys.executable, "-c", program, *words],
                cwd=path,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
            Others(process.pid) as others,
        ):
            _, said = process.communicate()
        took = time.monotonic() - begin
        if process.returncode:
            raise RuntimeError(f"{words[0]} ended with {process.returncode}: {said[-300:]}")
        yield words[0], took, int(said.strip().splitlines()[-1]) * 1024 + others.bytes
    restored.unlink()
    os.unlink(source)
    shutil.rmtree(path)


def memory(bench: Bench) -> Result:
    """A sparse file of 10 GB added and read back, and one a tenth of it: < 150 MB, and the same."""
    result: Result = {}
    whole = max(2**26, int(10 * 2**30 * bench.scale))
    for who, size in (("a tenth", whole // 10), (US, whole)):
        for what, _, held in giant(bench.work, size):
            result.setdefault(f"memory of {what}", Figures("MB")).note(who, held / 1e6)
    for figures in result.values():
        figures.note("goal", 150)
    return result


def main() -> int:
    """Make it, look at it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--giant", type=int, default=10 * 2**30, help="bytes; 0 leaves it out")
    parser.add_argument("--work", help="directory for the volume; kept")
    args = parser.parse_args()
    work = working_directory(args.work)
    path = work / f"load-{args.files}-{args.versions}"
    if not path.exists():
        making = work / "load-making"
        shutil.rmtree(making, ignore_errors=True)
        with Volume.init(str(making)) as volume:
            fill(volume, args.files, args.versions)
        making.rename(path)
    looks(path)
    for what, took, held in giant(work, args.giant) if args.giant else ():
        print(f"  {what} of {args.giant} bytes: {took:.1f} s, {held / 2**20:.0f} MiB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
