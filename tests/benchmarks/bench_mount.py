"""Reading and writing through a mount, beside a passthrough of the same Python and libfuse.

Contenders take turns file by file, so that a busy machine is the same for all. The first pass
begins without the mount's own page cache (the files below may be cached), the second is at once.
`python -m tests.benchmarks.bench_mount VOLUME SOURCE` measures a volume that SOURCE was added to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import REPOSITORY, Figures, environment, ours

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench, Result

US = "globofs"
PASSTHROUGH = "passthrough"
ZEROS = "zeros"
_PIECE = 1 << 20
_GROUP = 200
"""Small files that one contender reads before it is the other's turn."""


@contextmanager
def mounted(place: Path, *words: str | Path) -> Iterator[Path]:
    """What `python -m WORDS place` mounts, for as long as the block runs."""
    place.mkdir(exist_ok=True)
    command = [sys.executable, "-m", *map(str, words), str(place)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while not os.path.ismount(place):
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"{words[0]}: was not mounted")
            time.sleep(0.05)
        yield place
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(place)], check=False)
        process.wait(60)


def _read(path: Path, fresh: bool) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        if fresh:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        total = 0
        while piece := os.read(fd, _PIECE):
            total += len(piece)
        return total
    finally:
        os.close(fd)


def _pass(
    tops: dict[str, Path], groups: Sequence[Sequence[str]], fresh: bool
) -> dict[str, tuple[int, float]]:
    """Bytes and seconds of each contender for all files, read in turn."""
    done = dict.fromkeys(tops, (0, 0.0))
    for number, group in enumerate(groups):
        order = list(tops) if number % 2 else list(reversed(tops))
        for who in order:
            begin = time.monotonic()
            size = sum(_read(tops[who] / name, fresh) for name in group)
            before = done[who]
            done[who] = (before[0] + size, before[1] + time.monotonic() - begin)
    return done


def _files(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def large(volume: Path, source: Path, work: Path) -> Result:
    """MB/s of large files: first and second pass, and of zeros."""
    first, second = Figures("MB/s"), Figures("MB/s")
    with ExitStack() as stack:
        tops = _both(stack, volume, source, work)
        groups = [[name] for name in _files(source)]
        for figures, fresh in ((first, True), (second, False)):
            for who, (size, seconds) in _pass(tops, groups, fresh).items():
                figures.note(who, size / seconds / 1e6)
        zeros = stack.enter_context(
            mounted(work / "zeros", "tests.benchmarks.passthrough", "zeros")
        )
        begin = time.monotonic()
        first.note(ZEROS, _read(zeros / "zeros", True) / (time.monotonic() - begin) / 1e6)
    return {"mount, large, first": first, "mount, large, second": second}


def small(volume: Path, source: Path, work: Path) -> Result:
    """Files a second of small files: first and second pass."""
    first, second = Figures("files/s"), Figures("files/s")
    names = _files(source)
    groups = [names[at : at + _GROUP] for at in range(0, len(names), _GROUP)]
    with ExitStack() as stack:
        tops = _both(stack, volume, source, work)
        for top in tops.values():
            list(top.rglob("*"))
        for figures, fresh in ((first, True), (second, False)):
            for who, (_, seconds) in _pass(tops, groups, fresh).items():
                figures.note(who, len(names) / seconds)
    return {"mount, small, first": first, "mount, small, second": second}


def _both(stack: ExitStack, volume: Path, source: Path, work: Path) -> dict[str, Path]:
    through = mounted(work / "through", "tests.benchmarks.passthrough", "pass", source.parent)
    us = mounted(work / "mounted", "globofs", "-C", volume, "mount")
    return {
        PASSTHROUGH: stack.enter_context(through) / source.name,
        US: stack.enter_context(us) / source.name,
    }


def writing(volume: Path, work: Path) -> Result:
    """Seconds to write a large file, and to unpack many small ones with tar."""
    one, many = Figures(), Figures()
    library = Path(os.__file__).parent
    archive = work / "library.tar"
    subprocess.run(
        ["tar", "-cf", archive, "-C", library, "json", "email", "encodings", "asyncio"], check=True
    )
    below = work / "below"
    shutil.rmtree(below, ignore_errors=True)
    below.mkdir()
    piece = os.urandom(_PIECE)
    with ExitStack() as stack:
        through = mounted(work / "through", "tests.benchmarks.passthrough", "pass", below)
        us = mounted(work / "mounted", "globofs", "-C", volume, "mount")
        tops = {PASSTHROUGH: stack.enter_context(through), US: stack.enter_context(us)}
        for who, top in tops.items():
            begin = time.monotonic()
            with open(top / "large", "wb", buffering=0) as file:
                for _ in range(128):
                    file.write(piece)
            one.note(who, time.monotonic() - begin)
            (top / "unpacked").mkdir()
            begin = time.monotonic()
            subprocess.run(["tar", "-xf", archive, "-C", top / "unpacked"], check=True)
            many.note(who, time.monotonic() - begin)
    shutil.rmtree(below)
    return {"mount, write 128 MiB": one, "mount, tar -x": many}


def through_mount(bench: Bench) -> Result:
    """Reading all through a mount: L ≥ 0.7, S ≥ 0.7 of a passthrough; writing beside it."""
    result: Result = {}
    volume = bench.fresh("volume")
    ours("init", volume)
    for name, job in (("L", large), ("S", small)):
        source = bench.set(name)
        ours("add", volume, source)
        for _ in range(bench.rounds):
            for row, figures in job(volume, source, bench.work).items():
                kept = result.setdefault(row, Figures(figures.unit))
                for who, values in figures.values.items():
                    kept.values.setdefault(who, []).extend(values)
    return result | writing(volume, bench.work)


def main(words: list[str]) -> None:
    """Measure what was asked for, and print figures and ratios."""
    volume, source = Path(words[0]).resolve(), Path(words[1]).resolve()
    work = volume.parent
    result = {**large(volume, source / "L", work), **small(volume, source / "S", work)}
    for row, figures in (result | writing(volume, work)).items():
        told = ", ".join(f"{who} {values[-1]:.5g}" for who, values in figures.values.items())
        ratio = figures.values[US][-1] / figures.values[PASSTHROUGH][-1]
        print(f"{row}: {told} {figures.unit}; ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
