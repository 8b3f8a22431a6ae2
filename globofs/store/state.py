"""What is this node's alone and cannot be rebuilt: wishes, pins, pauses, and what folders held.

Text files in `state/`, one entry a line, the first word its key. A change is appended: the key
with its new value, or the key alone when it is gone; the last line of a key counts. A line without
its line feed (a torn append) is none, and one that means nothing (a flipped bit) is passed over. When
a file is mostly history it is written anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Final, Literal, NamedTuple, cast

from globofs import limits
from globofs.errors import FormatError
from globofs.format.text import escape, parse_hex32, unescape
from globofs.store import fsio
from globofs.store.locks import Lock
from globofs.store.views import Kind

FILE_BYTES: Final = 4 * limits.GIB
_GARBAGE_LINES = 1000
_ID_BYTES = 32


class LineFile:
    """Keys and values in one text file; safe between processes. Words hold no blanks or feeds."""

    def __init__(self, path: str, lock: Lock) -> None:
        """The file `path`; nothing is read yet."""
        self.path = path
        self.lock = lock

    def load(self) -> dict[str, str]:
        """Every key that is there, in the order of first appearance, and its value."""
        return self._parse(self._read())[0]

    def _read(self) -> bytes:
        try:
            return fsio.read_file(self.path, FILE_BYTES)
        except FileNotFoundError:
            return b""

    def _parse(self, data: bytes) -> tuple[dict[str, str], int]:
        text = data[: data.rfind(b"\n") + 1].decode("ascii", "replace")
        found: dict[str, str] = {}
        lines = text.split("\n")
        for line in lines:
            key, blank, value = line.partition(" ")
            if blank:
                found[key] = value
            else:
                found.pop(key, None)
        return found, len(lines) - 1

    def change(self, changes: Mapping[str, str | None], *, durable: bool = True) -> None:
        """Set keys to values, or remove those whose value is None."""
        if not changes:
            return
        text = "".join(
            f"{key}\n" if value is None else f"{key} {value}\n" for key, value in changes.items()
        )
        with self.lock.exclusive():
            data = self._read()
            lines = data.count(b"\n") + len(changes)
            if lines > _GARBAGE_LINES:
                found, _ = self._parse(data)
                for key, value in changes.items():
                    if value is None:
                        found.pop(key, None)
                    else:
                        found[key] = value
                if lines > 2 * len(found) + _GARBAGE_LINES:
                    self._rewrite(found, durable)
                    return
            self._append(data.rfind(b"\n") + 1, text.encode("ascii"), durable)

    def _append(self, start: int, text: bytes, durable: bool) -> None:
        """Write `text` at `start`, in place of what a torn append left there."""
        try:
            fd, size = fsio.open_append(self.path)
        except FileNotFoundError:
            fsio.mkdirs(os.path.dirname(self.path))
            fd, size = fsio.open_append(self.path)
        try:
            if size > start:
                fsio.truncate(fd, self.path, start)
            fsio.write_at(fd, self.path, start, text)
            if durable:
                fsio.fdatasync(fd, self.path)
        finally:
            os.close(fd)
        if durable and start == 0:
            fsio.fsync_dir(os.path.dirname(self.path))

    def replace(self, values: Mapping[str, str], *, durable: bool = True) -> None:
        """Forget everything and hold exactly `values`."""
        with self.lock.exclusive():
            self._rewrite(values, durable)

    def _rewrite(self, values: Mapping[str, str], durable: bool) -> None:
        text = "".join(f"{key} {value}\n" for key, value in values.items())
        try:
            fsio.write_atomic(self.path, text.encode("ascii"), durable=durable)
        except FileNotFoundError:
            fsio.mkdirs(os.path.dirname(self.path))
            fsio.write_atomic(self.path, text.encode("ascii"), durable=durable)


WishKind = Literal["mirror", "history", "version"]


class Wish(NamedTuple):
    """Something asked for that is to be fetched: everything below a path, or one version.

    `mirror` wants current versions below `path`, `history` all of them, `version` the one of `id`.
    """

    kind: WishKind
    path: bytes = b""
    id: bytes = b""


class Pauses(NamedTuple):
    """What is paused until somebody resumes it."""

    everything: bool
    peers: frozenset[str]
    paths: frozenset[bytes]


class SourceEntry(NamedTuple):
    """What a folder held at a volume path when it was last added from or restored to it."""

    kind: Kind
    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int
    version: bytes  # the base of the next version of this path that comes from there


def signature(kind: str, info: os.stat_result) -> str:
    """The first words of a line of `Source`: equal for a file that looks unchanged."""
    return (
        f"{kind} {info.st_size} {info.st_mtime_ns} {info.st_ctime_ns} {info.st_ino} "
        f"{info.st_mode & 0o7777:o}"
    )


def parse_entry(line: str) -> SourceEntry:
    """The entry behind a line of `Source.load`. Raises ValueError for a damaged one."""
    kind, size, mtime, ctime, inode, mode, version = line.split(" ")
    if kind not in ("file", "directory", "symlink", "deleted"):
        raise ValueError(kind)
    base = bytes.fromhex(version)
    if len(base) != _ID_BYTES:
        raise ValueError(version)
    numbers = (int(size), int(mtime), int(ctime), int(inode), int(mode, 8))
    return SourceEntry(cast(Kind, kind), *numbers, base)


class Source:
    """What one folder held, by volume path: `state/sources/<key>`."""

    def __init__(self, path: str, lock: Lock) -> None:
        """The file at `path`, named by the folder's key."""
        self.key = os.path.basename(path)
        self._file = LineFile(path, lock)

    def load(self) -> dict[bytes, str]:
        """A line for each path: compare its beginning with `signature`, or `parse_entry` it.

        Not parsed because a folder may hold a million files that did not change.
        """
        lines = self._file.load()
        lines.pop(_FOLDER, None)
        found: dict[bytes, str] = {}
        for key, line in lines.items():
            path = key.encode("ascii") if key.isascii() and "%" not in key else _path_of(key)
            if path is not None:
                found[path] = line
        return found

    def folder(self) -> tuple[str, bytes] | None:
        """The folder's real path and where it lands in the volume; None if that was lost."""
        line = self._file.load().get(_FOLDER)
        if line is None:
            return None
        folder, to = map(_path_of, line.partition(" ")[::2])
        return None if folder is None or to is None else (os.fsdecode(folder), to)

    def change(self, lines: Mapping[bytes, str | None], *, durable: bool = True) -> None:
        """Set or (None) remove lines, each `signature(...)`, a blank, and the version's hex id."""
        self._file.change({escape(path): line for path, line in lines.items()}, durable=durable)

    def name(self, folder: str, to: bytes) -> None:
        """Remember which folder this is, if that is not known yet."""
        if self.folder() != (folder, to):
            self._file.change({_FOLDER: f"{escape(os.fsencode(folder))} {escape(to)}"})


_FOLDER = "//folder"  # no volume path begins so


def _path_of(text: str) -> bytes | None:
    """What was escaped as `text`; None where nothing is."""
    try:
        return unescape(text)
    except FormatError:
        return None


def source_key(folder: str, to: bytes) -> str:
    """The 16 hex digits that name the folder `folder` (a real path) landing at `to`."""
    return sha256(os.fsencode(folder) + b"\0" + to).hexdigest()[:16]


class State:
    """The files in `state/` of one node."""

    def __init__(self, directory: str) -> None:
        """Of the directory `directory`; nothing is read yet."""
        self.directory = directory
        self.lock = Lock(os.path.dirname(directory), "state")
        self._wanted = LineFile(os.path.join(directory, "wanted"), self.lock)
        self._pins = LineFile(os.path.join(directory, "pins"), self.lock)
        self._pauses = LineFile(os.path.join(directory, "pauses"), self.lock)
        self.unsaved: dict[str, str | None] = {}
        """Changes of `seen` that a full disk did not take: this process remembers them."""

    # --- wanted -----------------------------------------------------------------------------

    def wanted(self) -> list[Wish]:
        """What is to be fetched, oldest wish first."""
        found: list[Wish] = []
        for key in self._wanted.load():
            kind, _, value = key.partition(":")
            with suppress(FormatError):
                if kind == "version":
                    found.append(Wish("version", id=parse_hex32(value)))
                elif kind in ("mirror", "history"):
                    found.append(Wish(cast(WishKind, kind), unescape(value)))
        return found

    def want(self, wishes: Iterable[Wish]) -> None:
        """Add wishes; those that are there already stay."""
        known = self._wanted.load()
        keys = [_wish_key(wish) for wish in wishes]
        self._wanted.change({key: "yes" for key in keys if key not in known})

    def unwant(self, wishes: Iterable[Wish]) -> None:
        """Take wishes back."""
        known = self._wanted.load()
        self._wanted.change({key: None for key in map(_wish_key, wishes) if key in known})

    # --- pins -------------------------------------------------------------------------------

    def pins(self) -> list[bytes]:
        """Paths whose content, and whatever comes below them, is to be kept here."""
        return _paths(self._pins.load(), "/")

    def pin(self, path: bytes) -> bool:
        """Pin a path; False if it is pinned."""
        return self._set(self._pins, "/" + escape(path), True)

    def unpin(self, path: bytes) -> bool:
        """Unpin a path; False if it was not pinned."""
        return self._set(self._pins, "/" + escape(path), False)

    # --- pauses -----------------------------------------------------------------------------

    def pauses(self) -> Pauses:
        """What is paused."""
        keys = self._pauses.load()
        return Pauses(
            everything="all" in keys,
            peers=frozenset(map(os.fsdecode, _paths(keys, "peer:"))),
            paths=frozenset(_paths(keys, "path:")),
        )

    def pause(self, what: str | bytes | None = None) -> bool:
        """Pause a peer (its name, str), a path (bytes), or everything; False if it was."""
        return self._set(self._pauses, _pause_key(what), True)

    def resume(self, what: str | bytes | None = None) -> bool:
        """Take a pause back; None takes all back. False if there was none."""
        if what is not None:
            return self._set(self._pauses, _pause_key(what), False)
        known = self._pauses.load()
        self._pauses.change(dict.fromkeys(known))
        return bool(known)

    # --- sources ----------------------------------------------------------------------------

    def source(self, key: str) -> Source:
        """What the folder of that key held (see `source_key`); empty for an unknown one."""
        return Source(os.path.join(self.directory, "sources", key), self.lock)

    def source_keys(self) -> list[str]:
        """The keys of all folders that were ever added."""
        try:
            names = os.listdir(os.path.join(self.directory, "sources"))
        except FileNotFoundError:
            return []
        return sorted(name for name in names if len(name) == 16)

    def _set(self, file: LineFile, key: str, present: bool) -> bool:
        if (key in file.load()) == present:
            return False
        file.change({key: "yes" if present else None})
        return True


def _paths(keys: Iterable[str], prefix: str) -> list[bytes]:
    """What stands behind `prefix` in the keys that begin with it."""
    found = (_path_of(key.removeprefix(prefix)) for key in keys if key.startswith(prefix))
    return [path for path in found if path is not None]


def _wish_key(wish: Wish) -> str:
    value = wish.id.hex() if wish.kind == "version" else escape(wish.path)
    return f"{wish.kind}:{value}"


def _pause_key(what: str | bytes | None) -> str:
    if what is None:
        return "all"
    if isinstance(what, bytes):
        return f"path:{escape(what)}"
    return f"peer:{escape(os.fsencode(what))}"
