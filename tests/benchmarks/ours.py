"""What we do ourselves, each in a fresh process: `python -m tests.benchmarks.ours JOB ARGS`.

Prints `key=value` lines; times count from the start of the process, its imports included. It looks
for cycles as seldom as `globofs` does, and ends like it.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable

from globofs.events import Note
from globofs.limits import OBJECTS_BETWEEN_COLLECTIONS


def _since_start() -> float:
    """Seconds since the kernel started this process."""
    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _most_memory() -> int:
    """The largest resident set since this program began, bytes.

    Not `getrusage`: what that says of a child begins with what its parent had.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        return int(file.read().partition("VmHWM:")[2].split()[0]) * 1024


def _init(volume: str) -> None:
    from globofs.volume import Volume

    Volume.init(volume).close()


def _add(volume: str, *sources: str) -> None:
    from globofs.volume import Volume

    def emit(event: object) -> None:
        if isinstance(event, Note) and "safe" in event.text:
            print(f"safe={_since_start():.3f}")

    with Volume.open(volume) as opened:
        done = opened.add(list(sources), emit=emit)
        print(f"files={done.files}\nadded={done.added}\nunchanged={done.unchanged}")
    print(f"complete={_since_start():.3f}")


def _restore(volume: str, target: str) -> None:
    from globofs.volume import Volume

    with Volume.open(volume) as opened:
        names = [entry.path for entry in opened.view().children(b"")]
        done = opened.restore(names, to=target)
        print(f"files={done.files}")


def _rebuild(volume: str) -> None:
    from globofs.store.node import open_node

    with open_node(volume) as node:
        node.index.reset()
        begin = time.monotonic()
        node.catch_up()
        took = time.monotonic() - begin
        records = node.index.one("SELECT count(*) FROM record")[0]
        print(f"records={records}\nseconds={took:.4f}\nrate={records / took:.0f}")


def _pair(first: str, second: str) -> None:
    """Two volumes that know each other."""
    from globofs.volume import Volume

    Volume.init(first).close()
    Volume.init(second).close()
    with Volume.open(first) as one, Volume.open(second) as two:
        one.peer_add("second", second, yes=True)
        two.peer_add("first", first, yes=True)


def _join(volume: str, other: str) -> None:
    """One volume that knows of another, which does not know of it."""
    from globofs.volume import Volume

    with Volume.open(volume) as opened:
        opened.peer_add("other", other, yes=True)


def _sync(volume: str) -> None:
    from globofs.volume import Volume

    with Volume.open(volume) as opened:
        opened.sync()


def _pin(volume: str) -> None:
    """All that ever comes into the volume is to be held here."""
    from globofs.volume import Volume

    with Volume.open(volume) as opened:
        opened.pin(b"")


def _bring(volume: str) -> None:
    """Hear what there is, and have all of it, where that is pinned: one `sync`."""
    from globofs.volume import Volume

    def emit(event: object) -> None:
        if isinstance(event, Note) and "durable" in event.text:
            print(f"held={_since_start():.3f}")

    with Volume.open(volume) as opened:
        done = opened.sync(emit=emit)
        top = opened.view().entry(b"")
        print(f"blocks={done.blocks}\nmissing={top.missing if top else 0}")
        if top is None or not top.files or top.missing or done.problems:
            raise SystemExit(f"not all came: {done.problems[:3]}")


def _load(volume: str, files: str) -> None:
    """So many files, committed and not built into `root/`."""
    from globofs.volume import Volume
    from tests.benchmarks.load import fill

    with Volume.open(volume) as opened:
        fill(opened, int(files), int(files))


def _hear(volume: str) -> None:
    """Receive what was pushed here, and say that it was built, which it is not."""
    from globofs.volume import Volume
    from tests.benchmarks.load import as_if_built

    with Volume.open(volume) as opened:
        opened.node.catch_up()
        as_if_built(opened.node)
        opened.node.finish()


def _rounds(volume: str, count: str) -> None:
    """Sync rounds with nothing new, in one process; for `strace` and the clock."""
    from globofs.volume import Volume

    with Volume.open(volume) as opened:
        opened.sync()
        opened.sync()
        begin = time.monotonic()
        os.access("/globofs-rounds-begin", os.F_OK)
        for _ in range(int(count)):
            opened.sync()
        os.access("/globofs-rounds-end", os.F_OK)
        print(f"seconds={(time.monotonic() - begin) / int(count):.5f}")


def _change(first: str, second: str, count: str) -> None:
    """A change at `first` until it can be read at `second`, both engines running here."""
    from globofs.engine.engine import Engine
    from globofs.volume import Volume

    source = os.path.join(os.path.dirname(first), "changing")
    os.makedirs(source, exist_ok=True)
    with Volume.open(first) as one, Volume.open(second) as two:
        left, right = Engine(one), Engine(two)
        left.start()
        right.start()
        try:
            left.wait_idle(20)
            right.wait_idle(20)
            took: list[float] = []
            for number in range(int(count)):
                took.append(_one_change(one, two, source, number))
                time.sleep(0.5)
            print(f"seconds={sorted(took)[len(took) // 2]:.4f}")
        finally:
            left.close(5)
            right.close(5)


def _one_change(one: object, two: object, source: str, number: int) -> float:
    path = os.path.join(source, f"file{number}")
    data = os.urandom(1024)
    with open(path, "wb") as file:
        file.write(data)
    begin = time.monotonic()
    one.add([path])  # type: ignore[attr-defined]
    wanted = f"file{number}".encode()
    while time.monotonic() - begin < 30:
        version = two.view().version(wanted)  # type: ignore[attr-defined]
        if version is not None:
            assert b"".join(two.read(version)) == data  # type: ignore[attr-defined]
            return time.monotonic() - begin
        time.sleep(0.005)
    raise SystemExit("the change did not arrive in 30 s")


JOBS: dict[str, Callable[..., None]] = {
    "init": _init,
    "add": _add,
    "restore": _restore,
    "rebuild": _rebuild,
    "pair": _pair,
    "join": _join,
    "sync": _sync,
    "pin": _pin,
    "bring": _bring,
    "load": _load,
    "hear": _hear,
    "rounds": _rounds,
    "change": _change,
}

if __name__ == "__main__":
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    JOBS[sys.argv[1]](*sys.argv[2:])
    print(f"memory={_most_memory()}", flush=True)
    os._exit(0)
