"""The three nodes of the demo on one machine, and a network between them that can fail.

DIRECTORY/laptop nas cabin     a volume directory each
DIRECTORY/network/<name>       how the others reach it: a link, gone while the node is away
DIRECTORY/home/<name>/         what its people work on
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from globofs import errors
from globofs.store.clock import SYSTEM, Clock
from globofs.store.node import create_node, open_node
from globofs.volume import Volume

NAMES = ("laptop", "nas", "cabin")
DAY_NS = 86_400 * 10**9
HOUR_NS = DAY_NS // 24
_PREFIX = "globofs-demo-"
_MEMORY = "/dev/shm"
_MEMORY_BYTES = 1 << 30


class StoryClock:
    """A clock that lives in the past: it is set, and then runs a millisecond a look."""

    def __init__(self, now_ns: int) -> None:
        self._now = now_ns

    def now_ns(self) -> int:
        """The story's time."""
        self._now += 1_000_000
        return self._now

    def set(self, now_ns: int) -> None:
        """Go to a moment, never back."""
        self._now = max(self._now, now_ns)

    def monotonic(self) -> float:
        """Deadlines are of the real world."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Real waiting."""
        time.sleep(seconds)


def is_temporary(volume: str) -> bool:
    """Whether a volume's directory is a demo's, which goes when the program ends."""
    return os.path.basename(os.path.dirname(volume)).startswith(_PREFIX)


class Stage:
    """Where the demo's nodes live. Leaving it deletes them, unless the place was given."""

    def __init__(self, keep: str | None = None) -> None:
        self._kept = keep is not None
        if keep is None:
            self.directory = tempfile.mkdtemp(prefix=_PREFIX, dir=_roomy_memory())
        else:
            self.directory = os.path.abspath(keep)
            os.makedirs(self.directory, exist_ok=True)
            if os.listdir(self.directory):
                raise errors.NotEmpty(path=self.directory)
        self._closing: list[Callable[[], object]] = []

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for close in reversed(self._closing):
            with suppress(errors.GlobofsError, OSError):
                close()
        if not self._kept:
            shutil.rmtree(self.directory, ignore_errors=True)

    def at_end(self, close: Callable[[], object]) -> None:
        """Call `close` before the directory goes."""
        self._closing.append(close)


def _roomy_memory() -> str | None:
    """A file system in memory with room enough: there the demo is made at once, and no disk has to
    wait for what nobody keeps. None: the usual place."""
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return None
    room = found.f_bavail * found.f_frsize
    usable = room >= _MEMORY_BYTES and os.access(_MEMORY, os.W_OK | os.X_OK)
    return _MEMORY if usable else None


class Site:
    """One node, with the home of its people and a clock of its choice."""

    def __init__(self, directory: str, name: str, volume: Volume) -> None:
        self.name = name
        self.directory = directory
        self.volume = volume
        self.home = os.path.join(directory, "home", name)

    @classmethod
    def make(cls, directory: str, name: str, clock: Clock) -> Site:
        """A new node, reachable by the others."""
        node = create_node(os.path.join(directory, name), name=name, clock=clock)
        os.makedirs(os.path.join(directory, "home", name))
        connect(directory, name, True)
        return cls(directory, name, Volume(node))

    @classmethod
    def open(cls, directory: str, name: str, clock: Clock = SYSTEM) -> Site:
        """The node as `make` left it."""
        return cls(directory, name, Volume(open_node(os.path.join(directory, name), clock=clock)))

    def meet(self, *names: str) -> None:
        """Name the others as peers."""
        for name in names:
            self.volume.peer_add(name, os.path.join(self.directory, "network", name))

    def write(self, path: str, content: bytes, mtime_ns: int | None = None) -> str:
        """Put a file into the home; its path."""
        place = os.path.join(self.home, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)
        if mtime_ns is not None:
            os.utime(place, ns=(mtime_ns, mtime_ns))
        return place

    def add(self, path: str) -> None:
        """Record what lies at a path of the home at the same path of the volume."""
        to = os.path.dirname(path)
        self.volume.add([os.path.join(self.home, path)], to=os.fsencode(to))

    def put(self, path: str, content: bytes, when: int | None = None) -> None:
        """Write a file and record it."""
        self.write(path, content, when)
        self.add(path)

    def content(self, path: bytes) -> bytes | None:
        """What the volume shows at a path; None when there is no file."""
        version = self.volume.view().version(path)
        if version is None or version.kind != "file":
            return None
        return b"".join(self.volume.read(version))

    def close(self) -> None:
        """Close the volume."""
        self.volume.close()


def connect(directory: str, name: str, up: bool) -> None:
    """Plug a node into the network, or pull the plug: the others' way to it is there or not."""
    link = os.path.join(directory, "network", name)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    if up and not os.path.lexists(link):
        os.symlink(os.path.join("..", name), link)
    elif not up and os.path.lexists(link):
        os.unlink(link)
