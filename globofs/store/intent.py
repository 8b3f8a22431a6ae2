"""What a mount is about to record, written down before: nothing closed is lost with the process.

Each mount has a directory of its own, `state/open/<name>/`: `log`, scratch files named by number,
and `alive`, locked as long as the mount lives; `where` it is mounted, what is `open` through it.
FORMAT.md, section 1. Lines of the log, fields percent-escaped and separated by blanks, `-` for
none:

    set <n> <kind> <path> <mode> <mtime> <target> <base id> <replaced id>
        <from path> <from id> <scratch>
    left <n> <block>      that base block's bytes are in the scratch file from now on
    keep <n>              closed, or synced by its writer: to be recovered if the mount dies
    done <n>              recorded, or no longer wanted; what `left` said stays true: a file that
                          stays open may be changed again, and be `set` again

A line without its end is not one; of several `set` lines for a number the last holds. Behind the
last line lie zeros, room for more, so that names can be removed where the disk is full.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from globofs.errors import FormatError
from globofs.format.manifest import KINDS, Kind
from globofs.format.names import check_path
from globofs.format.text import escape, unescape
from globofs.store import fsio

_OPEN_TOLD = 1000
_LOOKED_AT_SECONDS = 0.02
LOG_BYTES = 256 * 1024 * 1024
"""A log longer than this is not one of ours."""
_COMPACT_BYTES = 1 << 20
"""A log longer than this is written anew, when it is twice as long as it was then."""
_ROOM_BYTES = 64 << 10
"""How much room the log has on the disk before it is needed: half of it at least."""


@dataclass(slots=True)
class Intent:
    """The state that a path is to have."""

    number: int
    kind: Kind
    path: bytes
    mode: int = 0
    mtime: int = 0
    target: bytes = b""
    base: bytes = b""  # id of the version that holds the content not in the scratch file
    replaces: bytes = b""  # id of the version that its path shows
    from_path: bytes = b""
    from_id: bytes = b""
    scratch: bool = False
    left: list[int] = field(default_factory=list)
    keep: bool = False
    done: bool = False

    def lines(self) -> bytes:
        """All that a log says of it."""
        said = [self.line(), *(_left(self.number, block) for block in self.left)]
        if self.keep:
            said.append(_keep(self.number))
        if self.done:
            said.append(_done(self.number))
        return b"".join(said)

    def line(self) -> bytes:
        """Its `set` line."""
        words = (
            "set",
            str(self.number),
            self.kind,
            escape(self.path),
            f"{self.mode:o}",
            str(self.mtime),
            escape(self.target) or "-",
            self.base.hex() or "-",
            self.replaces.hex() or "-",
            escape(self.from_path) or "-",
            self.from_id.hex() or "-",
            "yes" if self.scratch else "no",
        )
        return (" ".join(words) + "\n").encode()


def _left(number: int, block: int) -> bytes:
    return b"left %d %d\n" % (number, block)


def _keep(number: int) -> bytes:
    return b"keep %d\n" % number


def _done(number: int) -> bytes:
    return b"done %d\n" % number


class IntentLog:
    """The intents of one living mount. Any thread may call it."""

    def __init__(self, parent: str, name: str) -> None:
        """Begin an empty one at `parent/name`. Raises OSError."""
        self.directory = os.path.join(parent, name)
        fsio.mkdirs(self.directory)
        self._alive = _alive(self.directory)
        self._path = os.path.join(self.directory, "log")
        self._fd, self._size = fsio.open_append(self._path)
        self._room = 0  # as far as there is room for lines
        self._compacted = 0  # how long it was when it was written anew
        self._lock = threading.Lock()
        self._make_room()

    def say_where(self, mountpoint: str) -> None:
        """Write down what is served, for `where`."""
        fsio.write_atomic(os.path.join(self.directory, "where"), os.fsencode(mountpoint) + b"\n")

    def say_open(self, paths: Sequence[bytes]) -> None:
        """Tell others what is open through this mount."""
        text = "".join(f"{escape(path)}\n" for path in paths[:_OPEN_TOLD])
        fsio.write_atomic(os.path.join(self.directory, "open"), text.encode())

    def scratch(self, number: int) -> str:
        """Where the scratch file of intent `number` lies."""
        return os.path.join(self.directory, str(number))

    def _say(self, line: bytes) -> None:
        with self._lock:
            if self._size + len(line) > self._room - _ROOM_BYTES // 2:
                self._make_room()
            fsio.write_at(self._fd, self._path, self._size, line)
            self._size += len(line)
            if self._size > max(_COMPACT_BYTES, 2 * self._compacted):
                self._compact()

    def _make_room(self) -> None:
        with suppress(OSError):  # the disk is full: what there is has to do
            fsio.write_at(self._fd, self._path, self._size, bytes(_ROOM_BYTES))
            self._room = self._size + _ROOM_BYTES

    def _compact(self) -> None:
        """Write the log anew, without what is done: as long as a file stays open it is never empty."""
        new = os.path.join(self.directory, fsio.temporary_name(".log-"))
        try:
            told = _told(fsio.read_range(self._path, 0, self._size))
            text = b"".join(
                one.lines()
                for one in told.values()
                if not one.done or (one.scratch and os.path.exists(self.scratch(one.number)))
            )
            fsio.write_new(new, text)
            fd, size = fsio.open_append(new)
            try:
                fsio.fdatasync(fd, new)
                fsio.rename(new, self._path)
            except OSError:
                os.close(fd)
                raise
        except OSError:  # the disk is full: it goes on as it is
            fsio.remove(new)
            self._compacted = self._size
            return
        os.close(self._fd)
        self._fd, self._size, self._room, self._compacted = fd, size, 0, size
        with suppress(OSError):
            fsio.fsync_dir(self.directory)

    def set(self, intent: Intent) -> None:
        """Write down the state that a path is to have."""
        self._say(intent.line())

    def left(self, number: int, block: int) -> None:
        """A base block of intent `number` has its bytes in the scratch file now."""
        self._say(_left(number, block))

    def keep(self, number: int) -> None:
        """Intent `number` is to be recovered if the mount dies."""
        self._say(_keep(number))

    def done(self, number: int) -> None:
        """Intent `number` is recorded, or no longer wanted."""
        self._say(_done(number))

    def sync(self) -> None:
        """Make the log itself survive a power loss."""
        with self._lock:
            fd = os.dup(self._fd)  # others may write it anew meanwhile, durably
        try:
            fsio.fdatasync(fd, self._path)
        finally:
            os.close(fd)

    def forget(self) -> None:
        """Start afresh: the caller has nothing to record."""
        with self._lock:
            if self._size:
                fsio.truncate(self._fd, self._path, 0)
                self._size = self._room = self._compacted = 0
                self._make_room()

    def close(self, *, clean: bool) -> None:
        """End; a `clean` end leaves nothing behind."""
        os.close(self._fd)
        if clean:
            discard(self.directory)
        if self._alive is not None:
            os.close(self._alive)


def _alive(directory: str) -> int | None:
    """The lock that says that a mount lives; None when somebody holds it."""
    fd = fsio.open_lock(os.path.join(directory, "alive"))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def read_log(data: bytes) -> list[Intent]:
    """The intents that a log leaves open; lines that are not ours are passed over."""
    return [one for one in _told(data).values() if not one.done]


def _told(data: bytes) -> dict[int, Intent]:
    """All that a log tells of, also what is done."""
    found: dict[int, Intent] = {}
    for line in data.split(b"\n")[:-1]:
        try:
            _take(line.decode("ascii").split(" "), found)
        except (ValueError, IndexError, KeyError, FormatError):
            continue
    return found


def _take(words: list[str], found: dict[int, Intent]) -> None:
    verb, number = words[0], int(words[1])
    if verb == "set":
        (kind, path, mode, mtime, target, base, replaces, from_path, from_id, scratch) = words[2:]
        if kind not in KINDS:
            raise ValueError(kind)
        before = found.get(number)
        found[number] = Intent(
            number,
            kind,
            check_path(unescape(path)),
            int(mode, 8),
            int(mtime),
            b"" if target == "-" else unescape(target),
            b"" if base == "-" else bytes.fromhex(base),
            b"" if replaces == "-" else bytes.fromhex(replaces),
            b"" if from_path == "-" else unescape(from_path),
            b"" if from_id == "-" else bytes.fromhex(from_id),
            scratch == "yes",
            before.left if before else [],
            before.keep and not before.done if before else False,
        )
    elif verb == "left":
        found[number].left.append(int(words[2]))
    elif verb == "keep":
        found[number].keep = True
    elif verb == "done":
        found[number].done = True


@dataclass(frozen=True, slots=True)
class Remains:
    """What a mount that died left behind."""

    directory: str
    intents: tuple[Intent, ...]

    def scratch(self, intent: Intent) -> str:
        """Where the content of `intent` lies."""
        return os.path.join(self.directory, str(intent.number))


def abandoned(parent: str) -> Iterator[Remains]:
    """The remains of dead mounts below `parent`; each is held locked while it is looked at."""
    try:
        names = sorted(os.listdir(parent))
    except FileNotFoundError:
        return
    for name in names:
        directory = os.path.join(parent, name)
        if not os.path.isdir(directory):
            continue
        try:
            held = _alive(directory)
            if held is None:
                time.sleep(_LOOKED_AT_SECONDS)  # perhaps somebody only looks whether it lives
                held = _alive(directory)
        except FileNotFoundError:  # it has just ended, and tidied up
            continue
        if held is None:
            continue
        try:
            data = fsio.read_file(os.path.join(directory, "log"), LOG_BYTES)
        except OSError:
            data = b""
        try:
            yield Remains(directory, tuple(read_log(data)))
        finally:
            os.close(held)


def serves(directory: str) -> bool:
    """Whether the mount that owns `directory` lives."""
    try:
        held = _alive(directory)
    except OSError:
        return False
    if held is None:
        return True
    os.close(held)
    return False


def where(directory: str) -> str:
    """The mount point that the mount of that directory serves, "" if it does not say."""
    try:
        return os.fsdecode(fsio.read_file(os.path.join(directory, "where"), 65536)[:-1])
    except OSError:
        return ""


def keep_only(remains: Remains, intents: Sequence[Intent]) -> None:
    """All other intents are recorded, and need no recovering at the next start."""
    kept = {intent.number for intent in intents}
    done = [intent.number for intent in remains.intents if intent.number not in kept]
    log = os.path.join(remains.directory, "log")
    fsio.append(log, b"\n" + b"".join(map(_done, done)))


class Living(NamedTuple):
    """A mount that serves: where, and some of the paths that are open through it."""

    place: str
    open: tuple[bytes, ...]


def living(parent: str) -> list[Living]:
    """The mounts with directories below `parent` that serve now."""
    found: list[Living] = []
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(parent)):
            directory = os.path.join(parent, name)
            place = where(directory)
            if place and serves(directory):
                found.append(Living(place, _open_paths(directory)))
    return found


def _open_paths(directory: str) -> tuple[bytes, ...]:
    try:
        lines = fsio.read_file(os.path.join(directory, "open"), LOG_BYTES).decode("ascii")
        return tuple(unescape(line) for line in lines.splitlines())
    except (OSError, UnicodeDecodeError, FormatError):
        return ()


def discard(directory: str) -> None:
    """Remove a mount's directory and all that is in it, the log first and for certain: with it
    left and a scratch file gone, an empty file would be recovered."""
    with suppress(FileNotFoundError):  # whoever left it and whoever recovers may both do this
        if fsio.remove(os.path.join(directory, "log")):
            fsio.fsync_dir(directory)
        for name in os.listdir(directory):
            fsio.remove(os.path.join(directory, name))
        fsio.rmdir(directory)
