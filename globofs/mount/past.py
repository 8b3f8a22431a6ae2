"""What lies below `.globofs` in a mount, read only and in no listing of the root:

.globofs/at/<time>/...             the whole tree at that moment, by any words for a time
.globofs/versions/<path>/<version> one entry for each version of a file, by its number, what else
                                   names it, or a time
.globofs/missing                   the files that are not wholly held here, one a line
"""

from __future__ import annotations

import errno
import os
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from globofs.errors import AmbiguousVersion, BadTime, NoSuchVersion
from globofs.format.text import format_time
from globofs.limits import TIME_MAX_NS
from globofs.mount.inode import DIRECTORY_BYTES, Attributes, entry_attributes
from globofs.mount.namespace import fail
from globofs.speech import moment_name, parse_time, safe

if TYPE_CHECKING:
    from globofs.store.query import View
    from globofs.store.views import Entry, Kind, Version
    from globofs.volume import Volume

TOP = b".globofs"
_MOMENTS_LISTED = 200
_MOMENTS_KEPT = 8
_RESTS_SECONDS = 60.0
_MISSING_SECONDS = 1.0  # a text of what is missing holds so long while the tree keeps changing

Listing = Callable[[], Iterator[tuple[bytes, "Kind"]]]


@dataclass(frozen=True, slots=True)
class Place:
    """Something below `.globofs`: a directory with its listing, a version, or a made-up text."""

    attributes: Attributes
    listing: Listing | None = None
    version: Version | None = None
    text: bytes = b""
    target: bytes = b""


def is_past(path: bytes) -> bool:
    """Whether a path of the mount is one of these."""
    return path == TOP or path.startswith(TOP + b"/")


class Past:
    """Finds what lies below `.globofs`. Any thread may call it."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self._lock = threading.Lock()
        self._meant: dict[str, tuple[int, float]] = {}
        self._moments: OrderedDict[int, View] = OrderedDict()
        self._mark: object = None
        self._named: tuple[object, bytes, dict[bytes, Version]] = (None, b"", {})
        self._missing: tuple[object, float, Place] = (None, 0.0, Place(_text_attributes(0)))

    def find(self, path: bytes) -> Place:
        """What lies at `path`, which `is_past`. Raises OSError: ENOENT, ENOTDIR."""
        top, _, rest = path[len(TOP) + 1 :].partition(b"/")
        if not top:
            return _directory(_names(b"at", b"versions", missing=True), self._changed())
        if top == b"missing" and not rest:
            return self._missing_text()
        if top == b"at":
            return self._at(rest, path)
        if top == b"versions":
            return self._versions(rest, path)
        raise fail(errno.ENOENT, path)

    # --- the tree at a moment -------------------------------------------------------------------

    def _at(self, rest: bytes, path: bytes) -> Place:
        if not rest:
            return _directory(self._list_moments, self._changed())
        words, _, below = rest.partition(b"/")
        try:
            moment = self._moment(os.fsdecode(words))
        except BadTime:
            raise fail(errno.ENOENT, path) from None
        view = self._view(moment)
        if not below:
            facts = Attributes("directory", 0o755, DIRECTORY_BYTES, moment, moment, 2)
            return Place(facts, listing=lambda: _list(view, b""))
        entry = view.entry(below)
        if entry is None or entry.kind == "deleted":
            raise fail(errno.ENOENT, path)
        return self._entry(view, entry)

    def _entry(self, view: View, entry: Entry) -> Place:
        facts = entry_attributes(entry)
        if entry.kind == "directory":
            return Place(facts, listing=lambda: _list(view, entry.path))
        return Place(facts, version=view.version(entry.path), target=entry.target)

    def _changed(self) -> int:
        """When the newest operation ended."""
        return max((one.last for one in self.volume.operations(limit=1)), default=0)

    def _list_moments(self) -> Iterator[tuple[bytes, Kind]]:
        """The moments just after operations, each by a name that means none of the next."""
        operations = [one for one in self.volume.operations(limit=_MOMENTS_LISTED) if one.versions]
        begins = sorted(one.time for one in operations)
        before = -1
        for last in sorted({one.last for one in operations}):
            at = bisect_right(begins, last)
            after = begins[at] if at < len(begins) else TIME_MAX_NS
            yield moment_name(last, before, after).encode(), "directory"
            before = last

    def _moment(self, words: str) -> int:
        """The moment that `words` name. One that moves, `2h ago`, rests while it is looked at, so
        that whoever copies a tree copies it as it was at one moment. Raises BadTime."""
        with self._lock:
            moment, used = self._meant.get(words, (0, -_RESTS_SECONDS))
            now = time.monotonic()
            if now - used >= _RESTS_SECONDS:
                moment = parse_time(words, time.time_ns())
            if len(self._meant) >= _MOMENTS_LISTED and words not in self._meant:
                self._meant.clear()
            self._meant[words] = (moment, now)
            return moment

    def _view(self, moment: int) -> View:
        """The tree at a moment: the same as long as nothing changes, for a moment may lie ahead,
        and what others did before it may still arrive."""
        mark = self.volume.node.index.change_mark()
        with self._lock:
            if mark != self._mark:
                self._mark = mark
                self._moments.clear()
            view = self._moments.pop(moment, None) or self.volume.view(moment)
            self._moments[moment] = view
            while len(self._moments) > _MOMENTS_KEPT:
                self._moments.popitem(last=False)
            return view

    # --- the versions of a file -----------------------------------------------------------------

    def _versions(self, rest: bytes, path: bytes) -> Place:
        view = self.volume.view()
        if not rest:
            return _directory(lambda: _list_histories(view, b""), self._changed())
        above, _, name = rest.rpartition(b"/")
        versions = self._by_name(above) if above else {}
        version = versions.get(name)
        entry = view.entry(rest, deleted=True) if version is None else None
        if entry is not None:
            if entry.kind == "directory":
                return _directory(lambda: _list_histories(view, rest), entry.time)
            return _directory(
                lambda: ((_version_name(v), v.kind) for v in _of(self.volume, rest)), entry.time
            )
        version = version or (self._meant_version(above, name, versions) if versions else None)
        if version is None:
            raise fail(errno.ENOENT, path)
        return Place(_version_attributes(version), version=version, target=version.target)

    def _meant_version(
        self, path: bytes, name: bytes, versions: dict[bytes, Version]
    ) -> Version | None:
        """The version of a file that a time, or what else commands take for one, means."""
        words = os.fsdecode(name)
        with suppress(BadTime):
            moment = self._moment(words)
            earlier = [one for one in versions.values() if one.time <= moment]
            if earlier:
                return max(earlier, key=attrgetter("time"))
        with suppress(NoSuchVersion, AmbiguousVersion):
            return self.volume.parse_version(path, words)
        return None

    def _by_name(self, path: bytes) -> dict[bytes, Version]:
        """The versions of a file by their names; of the one asked about last they are at hand, as
        who lists them looks at each."""
        mark = self.volume.node.index.change_mark()
        with self._lock:
            if self._named[:2] == (mark, path):
                return self._named[2]
        found = {_version_name(version): version for version in reversed(_of(self.volume, path))}
        with self._lock:
            self._named = (mark, path, found)
        return found

    # --- what is not here -----------------------------------------------------------------------

    def _missing_text(self) -> Place:
        """Made anew once something changed, but at most once a second."""
        mark = self.volume.node.index.change_mark()
        known, made, place = self._missing
        now = time.monotonic()
        if mark != known and (known is None or now - made > _MISSING_SECONDS):
            lines = [
                f"{entry.missing} of {entry.blocks} blocks\t{safe(entry.path)}\n"
                for entry in self.volume.view().walk(b"")
                if entry.kind == "file" and entry.missing
            ]
            text = "".join(lines).encode("utf-8", "surrogateescape")
            place = Place(_text_attributes(len(text)), text=text)
            self._missing = (mark, now, place)
        return place


def _text_attributes(size: int) -> Attributes:
    now = time.time_ns()
    return Attributes("file", 0o444, size, now, now)


def _directory(listing: Listing, when: int) -> Place:
    facts = Attributes("directory", 0o555, DIRECTORY_BYTES, when, when, 2)
    return Place(facts, listing=listing)


def _names(*directories: bytes, missing: bool) -> Listing:
    def listed() -> Iterator[tuple[bytes, Kind]]:
        for name in directories:
            yield name, "directory"
        if missing:
            yield b"missing", "file"

    return listed


def _list(view: View, path: bytes) -> Iterator[tuple[bytes, Kind]]:
    for entry in view.children(path):
        yield entry.name, entry.kind


def _list_histories(view: View, path: bytes) -> Iterator[tuple[bytes, Kind]]:
    for entry in view.children(path, deleted=True):
        yield entry.name, "directory"


def _of(volume: Volume, path: bytes) -> list[Version]:
    return [v for v in volume.history(path) if v.kind in ("file", "symlink") and not v.pruned]


def _version_name(version: Version) -> bytes:
    return format_time(version.time).encode()


def _version_attributes(version: Version) -> Attributes:
    mode = version.mode & 0o555 or 0o444
    return Attributes(version.kind, mode, version.size, version.mtime, version.time)
