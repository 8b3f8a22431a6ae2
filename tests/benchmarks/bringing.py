"""5,000 small files and 512 MiB on their way to a second node, on one disk and over a slow line."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import syncthing
from tests.benchmarks.bench import US, Bench, Result
from tests.benchmarks.line import BYTES_A_SECOND, line
from tests.benchmarks.measure import (
    Figures,
    Run,
    drop_caches,
    ours,
    run,
    said,
    traced,
)
from tests.benchmarks.peers import disk_bytes

SFTP_SERVER = "/usr/lib/openssh/sftp-server"


def bring(bench: Bench) -> Result:
    """5,000 small files, 512 MiB to a second node: ≤ 1.0 of `rsync -a`, ≤ 0.5 of Syncthing."""
    took, held = Figures(), Figures()
    source = bench.set("B")
    for _ in range(bench.rounds):
        one, two = bench.fresh("one"), bench.fresh("two")
        ours("pair", one, two)
        ours("pin", two)
        ours("add", one, source)
        told = bench.ours("sync", one)
        brought = bench.ours("bring", two)
        took.take(US, _both(told, brought))
        held.note(US, told.seconds + said(brought, "held"))
        _rsync(bench, took, lambda copy: run(["rsync", "-a", f"{source}/", f"{copy}/"]))
        _syncthing(bench, took, source, far=False)
    return _until(took, held)


def far(bench: Bench) -> Result:
    """The same over a path with 20 ms round trips and 25 MB/s: bounded by bandwidth."""
    took, held = Figures(), Figures()
    source = bench.set("B")
    for _ in range(bench.rounds):
        one, two = bench.fresh("one"), bench.fresh("two")
        reason = _sshfs_why_not()
        if reason:
            took.skipped[US] = reason
        else:
            ours("init", one)
            ours("init", two)
            ours("add", one, source)
            with seen_from_afar(one, bench.work / "afar") as there:
                ours("join", two, there)
                ours("pin", two)
                brought = bench.ours("bring", two)
                took.take(US, brought)
                held.note(US, said(brought, "held"))
        wire = disk_bytes(source) / BYTES_A_SECOND
        took.note("floor: the bytes on the wire", wire)
        _rsync(bench, took, lambda copy: _rsync_afar(bench, source, copy))
        _syncthing(bench, took, source, far=True)
    return _until(took, held)


def push(bench: Bench) -> Result:
    """The records of 5,000 new files pushed over that path: one append, a few round trips."""
    took, appends = Figures(), Figures("appends")
    one, two = bench.fresh("one"), bench.fresh("two")
    reason = _sshfs_why_not()
    if reason:
        took.skipped[US] = reason
        return {"pushed": took}
    ours("init", two)
    ours("init", one)
    ours("add", one, bench.set("B"))
    with seen_from_afar(two, bench.work / "afar") as there:
        ours("join", one, there)
        trace = bench.work / "trace"
        begin = time.monotonic()
        lines = traced(trace, "openat", "sync", one)
        took.note(US, time.monotonic() - begin)
    opened = [t for t in lines if str(there) in t and "O_APPEND" in t and "ENOENT" not in t]
    appends.note(US, len(opened))
    appends.note("goal", 1)
    return {"pushed, under strace": took, "opened for appending": appends}


def _until(took: Figures, held: Figures) -> Result:
    """Until every block is here, durable and readable; and until `root/` is complete, too."""
    held.values.update({who: v for who, v in took.values.items() if who != US})
    held.skipped.update(took.skipped)
    return {"held and durable": held, "brought, root/ complete": took}


def _both(one: Run, other: Run) -> Run:
    """Two commands of one job, one behind the other."""
    return Run(
        one.seconds + other.seconds,
        one.processor_seconds + other.processor_seconds,
        max(one.memory_bytes, other.memory_bytes),
        other.output,
    )


def _rsync(bench: Bench, took: Figures, work: Callable[[Path], Run]) -> None:
    absent = "" if shutil.which("rsync") else "is not installed"
    if not bench.left_out(took, "rsync", absent):
        copy = bench.fresh("copy")
        drop_caches()
        took.take("rsync", work(copy))


def _syncthing(bench: Bench, took: Figures, source: Path, *, far: bool) -> None:
    if not bench.left_out(took, "syncthing", syncthing.why_not()):
        took.note("syncthing", syncthing.bring(bench.work, source, bench.fresh("copy"), far=far))


def _sshfs_why_not() -> str:
    for program in ("sshfs", SFTP_SERVER, "fusermount3"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "no /dev/fuse that we may open"


@contextmanager
def seen_from_afar(volume: Path, place: Path) -> Iterator[Path]:
    """`volume` through sshfs at the other end of the line."""
    place.mkdir(exist_ok=True)
    with line(SFTP_SERVER) as port:
        command = ["sshfs", "-f", "-o", f"directport={port}", f"127.0.0.1:{volume}", str(place)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            end = time.monotonic() + 15
            while not os.path.ismount(place):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("sshfs did not mount")
                time.sleep(0.02)
            try:
                yield place
            finally:
                subprocess.run(["fusermount3", "-u", "-z", str(place)], check=False)
                process.wait(30)


def _rsync_afar(bench: Bench, source: Path, copy: Path) -> Run:
    """rsync with its own protocol over the line, as to a daemon; without encryption, like us."""
    config = bench.work / "rsyncd.conf"
    config.write_text(f"use chroot = no\nuid = {os.getuid()}\n[set]\npath = {source}\n")
    with line(f"rsync --daemon --config={config}") as port:
        return run(["rsync", "-a", f"rsync://127.0.0.1:{port}/set/", f"{copy}/"])
