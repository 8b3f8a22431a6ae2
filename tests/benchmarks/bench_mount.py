"""Reading and writing through a mount, beside a passthrough of the same Python and libfuse, and
beside the mounts of restic, borg and sshfs where they are installed.

Contenders take turns file by file, so that a busy machine is the same for all. The first pass
begins without the mount's own page cache (the files below may be cached), the second is at once.
`bound` is no mount: it is how fast large files can be read at all with every block verified, if
all processors do nothing but what serving zeros takes, and verifying and decoding.
"""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from globofs.store.versions import blocks_by_id
from globofs.volume import Volume
from tests.benchmarks.bench import US, Bench, Result
from tests.benchmarks.measure import REPOSITORY, Figures, environment, ours
from tests.benchmarks.peers import PEERS

PASSTHROUGH = "passthrough"
ZEROS = "zeros"
BOUND = "bound"
_PIECE = 1 << 20
_GROUP = 200
"""Small files that one contender reads before it is the other's turn."""
_SFTP_SERVER = "/usr/lib/openssh/sftp-server"


@dataclass(frozen=True)
class Mount:
    """Something mounted: where, and by which process."""

    place: Path
    process: subprocess.Popen[bytes]

    @property
    def memory_bytes(self) -> int:
        """The largest resident set of its process so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024

    @property
    def processor_seconds(self) -> float:
        """What its process computed so far, in the kernel too."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(place: Path, command: Sequence[str | Path], **more: str) -> Iterator[Mount]:
    """What `command` mounts at `place` while it runs, for as long as the block runs."""
    place.mkdir(exist_ok=True)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        [str(word) for word in command], cwd=REPOSITORY, env=environment(**more), **silent
    )
    try:
        end = time.monotonic() + 30
        while not os.path.ismount(place):
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"{command[0]}: was not mounted")
            time.sleep(0.05)
        yield Mount(place, process)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", "-q", str(place)], check=False)
        process.wait(60)


def _python(*words: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", *words]


@contextmanager
def _floor(kind: str, work: Path, below: Path) -> Iterator[Mount]:
    place = work / kind
    with serving(place, _python("tests.benchmarks.passthrough", kind, below, place)) as made:
        yield made


@contextmanager
def _us(work: Path, volume: Path) -> Iterator[Mount]:
    place = work / "mounted"
    with serving(place, _python("globofs", "-C", volume, "mount", place)) as made:
        yield made


def _others(stack: ExitStack, bench: Bench, source: Path, figures: Figures) -> dict[str, Path]:
    """The set as restic, borg and sshfs show it; what keeps one out is noted in `figures`."""
    tops: dict[str, Path] = {}
    inside = source.relative_to("/")
    for name, below in (("restic", f"snapshots/latest/{inside}"), ("borg", f"1/{inside}")):
        for peer in bench.peers(figures, name):
            try:
                peer.save(source)
                place = bench.work / f"mounted-{name}"
                command, more = PEERS[name].mounting(peer, place)
                tops[name] = stack.enter_context(serving(place, command, **more)).place / below
            except (OSError, RuntimeError) as error:
                figures.skipped[name] = str(error)[-100:]
    there = shutil.which("sshfs") and os.path.exists(_SFTP_SERVER)
    if bench.left_out(figures, "sshfs", "" if there else "is not installed"):
        return tops
    place, wrapper = bench.work / "mounted-sshfs", bench.work / "sftp-server"
    wrapper.write_text(f"#!/bin/sh\nexec {_SFTP_SERVER}\n")
    wrapper.chmod(0o755)
    command = ["sshfs", "-f", "-o", f"ssh_command={wrapper}", f"here:{source}", place]
    tops["sshfs"] = stack.enter_context(serving(place, command)).place
    return tops


def _touch_memory(size: int) -> None:
    """Use `size` bytes: those that a virtual machine never used are slow at first, which would
    be charged to whoever happens to be read into them."""
    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


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


def _contenders(
    stack: ExitStack, bench: Bench, volume: Path, source: Path, figures: Figures
) -> tuple[dict[str, Path], dict[str, Mount]]:
    """Where each shows the set, and the mounts of ours and of the floors."""
    mounts = {US: stack.enter_context(_us(bench.work, volume))}
    for who, kind in ((PASSTHROUGH, "pass"), (ZEROS, "zeros")):
        mounts[who] = stack.enter_context(_floor(kind, bench.work, source.parent))
    tops = {who: mount.place / source.name for who, mount in mounts.items()}
    return tops | _others(stack, bench, source, figures), mounts


def _bound(zeros: Mount, volume: Path, source: Path) -> float:
    """MB/s of reading `source`, held by `volume`, if no processor ever waited."""
    names = _files(source)
    before = zeros.processor_seconds + time.process_time()
    size = sum(_read(zeros.place / source.name / name, fresh=True) for name in names)
    seconds = zeros.processor_seconds + time.process_time() - before
    with Volume.open(str(volume)) as opened:
        index, store = opened.node.index, opened.node.blocks
        entries = [opened.view().entry(os.fsencode(f"{source.name}/{name}")) for name in names]
        blocks = [b for entry in entries if entry for b in blocks_by_id(index, entry.version)]
        before = time.process_time()
        for block in blocks:
            store.get(block.id, block.size)
        seconds += time.process_time() - before
    return size / seconds * len(os.sched_getaffinity(0)) / 1e6


def large(bench: Bench, volume: Path, source: Path) -> Result:
    """MB/s of large files: first and second pass."""
    first, second = Figures("MB/s"), Figures("MB/s")
    with ExitStack() as stack:
        tops, mounts = _contenders(stack, bench, volume, source, first)
        groups = [[name] for name in _files(source)]
        _touch_memory(len(tops) * sum((source / name).stat().st_size for [name] in groups))
        for figures, fresh in ((first, True), (second, False)):
            for who, (size, seconds) in _pass(tops, groups, fresh).items():
                figures.note(who, size / seconds / 1e6)
        first.note(BOUND, _bound(mounts[ZEROS], volume, source))
        bench.memory = max(bench.memory, mounts[US].memory_bytes)
    return {"mount, large, first": first, "mount, large, second": second}


def small(bench: Bench, volume: Path, source: Path) -> Result:
    """Files a second of small files: first and second pass."""
    first, second = Figures("files/s"), Figures("files/s")
    names = _files(source)
    groups = [names[at : at + _GROUP] for at in range(0, len(names), _GROUP)]
    with ExitStack() as stack:
        tops, mounts = _contenders(stack, bench, volume, source, first)
        for top in tops.values():
            list(top.rglob("*"))
        for figures, fresh in ((first, True), (second, False)):
            for who, (_, seconds) in _pass(tops, groups, fresh).items():
                figures.note(who, len(names) / seconds)
        bench.memory = max(bench.memory, mounts[US].memory_bytes)
    return {"mount, small, first": first, "mount, small, second": second}


def writing(bench: Bench, volume: Path) -> Result:
    """Seconds to write a large file, and to unpack many small ones with tar."""
    one, many = Figures(), Figures()
    library = Path(os.__file__).parent
    archive = bench.work / "library.tar"
    subprocess.run(
        ["tar", "-cf", archive, "-C", library, "json", "email", "encodings", "asyncio"], check=True
    )
    below = bench.fresh("below")
    below.mkdir()
    piece = os.urandom(_PIECE)
    with _floor("pass", bench.work, below) as through, _us(bench.work, volume) as us:
        for who, mount in ((PASSTHROUGH, through), (US, us)):
            begin = time.monotonic()
            with open(mount.place / "large", "wb", buffering=0) as file:
                for _ in range(128):
                    file.write(piece)
            one.note(who, time.monotonic() - begin)
            unpacked = mount.place / "unpacked"
            unpacked.mkdir()
            begin = time.monotonic()
            subprocess.run(["tar", "-xf", archive, "-C", unpacked], check=True)
            many.note(who, time.monotonic() - begin)
    return {"mount, write 128 MiB": one, "mount, tar -x": many}


def through_mount(bench: Bench) -> Result:
    """Reading all through the mount: L ≥ 0.7, S ≥ 0.7 of a passthrough; ahead of restic, borg."""
    result: Result = {}
    for name, job in (("L", large), ("S", small)):
        volume = bench.volume()
        source = bench.set(name)
        ours("add", volume, source)
        for _ in range(bench.rounds):
            for row, figures in job(bench, volume, source).items():
                kept = result.setdefault(row, Figures(figures.unit, skipped=figures.skipped))
                for who, values in figures.values.items():
                    kept.values.setdefault(who, []).extend(values)
    return result | writing(bench, volume)
