"""What a directory's file system can do: `doctor` asks, `init` warns.

`probe` works in a directory of its own and leaves nothing behind; it may hang like anything that
touches a peer, so it is run in a pool.
"""

from __future__ import annotations

import fcntl
import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from globofs import limits
from globofs.peerio import files
from globofs.peerio.pool import beat
from globofs.store import fsio
from globofs.store.mounts import file_system, is_remote

_LATENCY_TRIES = 8
_THROUGHPUT_BYTES = 4 * limits.MIB
_COMPOSED, _DECOMPOSED = "caf\u00e9", "cafe\u0301"

Unicode = Literal["kept", "NFC", "NFD", "refused"]
"""What becomes of two names that only differ in how an accent is written."""
CLOCK_SECONDS = 3.0  # steps of file times and caches of networks differ by less


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What was found; None where it could not be tried. `problems` are sentences."""

    path: str
    file_system: str  # as the kernel names it, "" when unknown
    network: bool
    writable: bool = False
    append: bool | None = None  # what is appended in two openings stands there in order
    exclusive_create: bool | None = None
    rename: bool | None = None
    rename_over: bool | None = None
    symlink: bool | None = None
    symlink_upward: bool | None = None  # with `..` in its target, as the links in root/ are
    hard_link: bool | None = None
    lock: bool | None = None  # flock, between two openings
    case_sensitive: bool | None = None
    names: Unicode | None = None  # what becomes of composed and decomposed letters
    bytes_names: bool | None = None  # names that are not UTF-8
    longest_name: int = 0  # bytes
    mtime_step_ns: int | None = None
    clock_ahead_seconds: float | None = None  # of the file system's clock against ours
    fsync: bool | None = None
    latency_seconds: float | None = None  # of creating, syncing and reading back a small file
    write_rate: float | None = None  # bytes a second, synced
    read_rate: float | None = None  # bytes a second, maybe from a cache
    problems: tuple[str, ...] = ()


def probe(directory: str) -> ProbeReport:
    """Try everything in a new directory below `directory`, and remove it again.

    Never raises an `OSError`: what does not work is the answer.
    """
    kind = file_system(directory)
    try:
        with room(directory) as place:
            return _Probe(place).report(directory, kind)
    except OSError as error:
        reason = f"nothing can be written there: {error.strerror or error}"
        return ProbeReport(directory, kind, is_remote(kind), problems=(reason,))


@contextmanager
def room(directory: str) -> Iterator[str]:
    """A new directory below `directory` to try things in; it is removed again with all that is in
    it, where that can be done. Raises OSError where it cannot be made."""
    place = os.path.join(directory, fsio.temporary_name(".globofs-probe-"))
    os.mkdir(place, 0o700)
    try:
        yield place
    finally:
        _clean(place)


def _clean(place: str) -> None:
    for parent, directories, names in os.walk(place, topdown=False):
        for name in names:
            with suppress(OSError):
                os.unlink(os.path.join(parent, name))
        for name in directories:
            with suppress(OSError):
                os.rmdir(os.path.join(parent, name))
    with suppress(OSError):
        os.rmdir(place)


class _Probe:
    def __init__(self, place: str) -> None:
        self.place = place
        self.problems: list[str] = []

    def report(self, directory: str, kind: str) -> ProbeReport:
        """Try all there is."""
        latency, write_rate, read_rate = self._speed()
        return ProbeReport(
            path=directory,
            file_system=kind,
            network=is_remote(kind),
            writable=True,
            append=self._try(self._append, "appending"),
            exclusive_create=self._try(self._exclusive, "exclusive creation"),
            rename=self._try(self._rename, "renaming"),
            rename_over=self._try(self._rename_over, "renaming over a file"),
            symlink=self._try(self._symlink, "symlinks"),
            symlink_upward=self._try(self._symlink_upward, 'symlinks with ".."'),
            hard_link=self._try(self._hard_link, "hard links"),
            lock=self._try(self._lock, "locks"),
            case_sensitive=self._try(self._case, ""),
            names=self._unicode(),
            bytes_names=self._try(self._bytes_name, ""),
            longest_name=self._longest(),
            mtime_step_ns=self._mtime_step(),
            clock_ahead_seconds=self._clock(),
            fsync=self._try(self._fsync, "fsync"),
            latency_seconds=latency,
            write_rate=write_rate,
            read_rate=read_rate,
            problems=tuple(self.problems),
        )

    def _at(self, name: str) -> str:
        return os.path.join(self.place, name)

    def _try(self, test: Callable[[], bool], what: str) -> bool:
        beat()
        try:
            works = test()
            why = "the result is wrong"
        except OSError as error:
            works, why = False, error.strerror or str(error)
        if not works and what:
            self.problems.append(f"{what}: {why}")
        return works

    def _make(self, name: str, data: bytes = b"x") -> str:
        path = self._at(name)
        files.create(path, "", data)
        return path

    def _read(self, path: str) -> bytes:
        return files.read_regular(path, "", limits.MIB)

    def _append(self) -> bool:
        path = self._at("append")
        files.append(path, "", b"one\n")
        before = files.append(path, "", b"two\n")
        return before == 4 and self._read(path) == b"one\ntwo\n"

    def _exclusive(self) -> bool:
        self._make("exclusive")
        try:
            self._make("exclusive")
        except FileExistsError:
            return True
        return False

    def _rename(self) -> bool:
        source, target = self._make("rename", b"r"), self._at("renamed")
        os.rename(source, target)
        return self._read(target) == b"r" and not os.path.lexists(source)

    def _rename_over(self) -> bool:
        target = self._make("over", b"old")
        os.rename(self._make("over-new", b"new"), target)
        return self._read(target) == b"new"

    def _symlink(self) -> bool:
        self._make("pointed", b"p")
        os.symlink("pointed", self._at("link"))
        with open(self._at("link"), "rb") as file:
            return file.read() == b"p"

    def _symlink_upward(self) -> bool:
        self._make("upward", b"u")
        os.makedirs(self._at("a/b"))
        os.symlink("../../upward", self._at("a/b/link"))
        with open(self._at("a/b/link"), "rb") as file:
            return file.read() == b"u"

    def _hard_link(self) -> bool:
        source, target = self._make("hard"), self._at("hard-2")
        os.link(source, target)
        return os.stat(source).st_ino == os.stat(target).st_ino

    def _lock(self) -> bool:
        path = self._make("lock")
        with open(path, "r+b") as first, open(path, "r+b") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _case(self) -> bool:
        self._make("case")
        return not os.path.lexists(self._at("CASE"))

    def _unicode(self) -> Unicode:
        beat()
        place = self._at("unicode")
        try:
            os.mkdir(place)
            for name in (_COMPOSED, _DECOMPOSED):
                with suppress(FileExistsError):
                    files.create(os.path.join(place, name), "", b"")
            found = set(os.listdir(place))
        except OSError:
            return "refused"
        if found == {_COMPOSED, _DECOMPOSED}:
            return "kept"
        form: Unicode = "NFD" if found == {unicodedata.normalize("NFD", _COMPOSED)} else "NFC"
        self.problems.append(f"names with accents are rewritten to {form}, or folded together")
        return form

    def _bytes_name(self) -> bool:
        name = b"not-utf8-\xff\xfe"
        self._make(os.fsdecode(name))
        return name in os.listdir(os.fsencode(self.place))

    def _longest(self) -> int:
        low, high = 0, limits.NAME_BYTES
        while low < high:
            middle = (low + high + 1) // 2
            try:
                os.unlink(self._make("n" * middle))
                low = middle
            except OSError:
                high = middle - 1
        if low < limits.NAME_BYTES:
            self.problems.append(f"names longer than {low} bytes are refused")
        return low

    def _mtime_step(self) -> int | None:
        """The coarsest of the usual steps that explains what becomes of an odd time."""
        beat()
        asked = 1_700_000_001_123_456_789
        try:
            path = self._make("mtime")
            os.utime(path, ns=(asked, asked))
            kept = os.stat(path).st_mtime_ns
        except OSError as error:
            self.problems.append(f"setting times: {error.strerror or error}")
            return None
        for step in (1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000):
            if abs(kept - asked) < step:
                return step
        self.problems.append("times that are set are not kept")
        return None

    def _clock(self) -> float | None:
        """How far the clock that stamps files there is ahead of ours; 0 within a second."""
        beat()
        try:
            before = time.time()
            stamped = os.stat(self._make("clock")).st_mtime
            after = time.time()
        except OSError:
            return None
        ahead = min(stamped - before, 0.0) + max(stamped - after, 0.0)
        if abs(ahead) < CLOCK_SECONDS:
            return 0.0
        word = "ahead of" if ahead > 0 else "behind"
        self.problems.append(f"the clock there is {abs(ahead):.0f} s {word} ours; set them right")
        return ahead

    def _fsync(self) -> bool:
        with open(self._at("fsync"), "wb") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        return True

    def _speed(self) -> tuple[float | None, float | None, float | None]:
        beat()
        try:
            begun = time.monotonic()
            for number in range(_LATENCY_TRIES):
                self._read(self._make(f"latency-{number}"))
            latency = (time.monotonic() - begun) / _LATENCY_TRIES
            data = os.urandom(_THROUGHPUT_BYTES)
            begun = time.monotonic()
            path = self._make("speed", data)
            written = time.monotonic()
            files.read_regular(path, "", _THROUGHPUT_BYTES)
            done = time.monotonic()
        except OSError as error:
            self.problems.append(f"writing {_THROUGHPUT_BYTES} bytes: {error.strerror or error}")
            return None, None, None
        write_rate = _THROUGHPUT_BYTES / max(written - begun, 1e-9)
        return latency, write_rate, _THROUGHPUT_BYTES / max(done - written, 1e-9)
