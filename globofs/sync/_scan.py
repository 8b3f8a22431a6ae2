"""Walking a folder that is to be added: what is there, and what of it is new since last time.

A file is unchanged when size, mtime, ctime, inode and mode are those of the last time; one that
was changed within `RACY_NS` of that time was remembered with no ctime, so it is read again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from globofs.errors import BadPath, UsageError, os_reason
from globofs.events import Emit, Note, Problem
from globofs.format import names
from globofs.store.state import signature
from globofs.store.views import Kind
from globofs.sync._ignore import IGNORE_NAME, Rules, read_ignore_file
from globofs.sync._sources import ID_HEX

VolumePath = bytes  # `bytes` is also what a survey counts


class Place(NamedTuple):
    """One SRC of an `add`: where it lies on disk, and where it lands in the volume."""

    disk: str  # absolute, without symlinks above its last part
    path: bytes


class Item(NamedTuple):
    """Something found that may need a new version."""

    path: bytes
    disk: str
    kind: Kind
    stat: os.stat_result
    known: bool  # it was in the source before, and looks different now


@dataclass(slots=True)
class Survey:
    """What a scan counted on its way, beside the items it yields."""

    files: int = 0
    bytes: int = 0
    unchanged: int = 0
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)
    seen: set[VolumePath] = field(default_factory=set)  # known paths that are still there
    unsure: list[VolumePath] = field(
        default_factory=list
    )  # ignored or unreadable: not known to be gone

    def gone(self, known: Mapping[VolumePath, str], top: VolumePath) -> list[VolumePath]:
        """Known paths at or below `top` that are surely no longer there, in path order."""
        unsure = set(self.unsure)
        if top in unsure:
            return []
        return sorted(
            path
            for path in known
            if path not in self.seen
            and names.is_below(path, top)
            and path not in unsure
            and unsure.isdisjoint(names.ancestors(path))
        )


def kind_of(mode: int) -> Kind | None:
    """The kind a version of such a thing has; None for what is not stored."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else None


def same(kind: Kind, info: os.stat_result, line: str) -> bool:
    """Whether a file's metadata say that its content is what `line` remembers."""
    return line[: -1 - ID_HEX] == signature(kind, info)


class Scan:
    """One walk over one place. `items()` yields what is new; `survey` counts the rest."""

    def __init__(
        self,
        place: Place,
        known: Mapping[bytes, str],
        *,
        volume: str,
        rules: Rules | None = None,
        checksum: bool = False,
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> None:
        self.place = place
        self.survey = Survey()
        self._known = known
        self._rules = rules or Rules()
        self._checksum = checksum
        self._emit = emit
        self._cancelled = cancelled
        info = os.stat(volume)
        self._volume = (info.st_dev, info.st_ino)

    def items(self) -> Iterator[Item]:
        """Everything new or changed, directories before what is in them, in order of names.

        A symlink at the top is stored as one. A place that is gone is a problem.
        """
        try:
            info = os.lstat(self.place.disk)
        except OSError as error:
            self._trouble(self.place.path, os_reason(error))
            return
        if not stat.S_ISDIR(info.st_mode):
            yield from self._one(self.place.path, self.place.disk, info)
            return
        if (info.st_dev, info.st_ino) == self._volume:
            raise UsageError(f"{self.place.disk}: is the volume itself")
        yield from self._tree(info)

    def _tree(self, top: os.stat_result) -> Iterator[Item]:
        stack = [(self.place.path, self.place.disk, "", self._rules, top)]
        while stack:
            path, disk, relative, rules, info = stack.pop()
            if self._cancelled():
                return
            try:
                with os.scandir(disk) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                self._trouble(path, f"{os_reason(error)}; left as it is in the volume")
                if path:
                    self.survey.seen.add(path)
                continue
            if path:
                yield from self._directory(path, disk, info)
            rules = self._rules_in(path, disk, relative, rules, entries)
            below = []
            for entry in entries:
                child = names.join(path, os.fsencode(entry.name))
                inner = f"{relative}/{entry.name}" if relative else entry.name
                found_stat = self._stat(child, entry)
                if found_stat is None:
                    continue
                directory = stat.S_ISDIR(found_stat.st_mode)
                if rules and rules.ignored(inner, directory):
                    self.survey.skipped += 1
                    self.survey.unsure.append(child)
                elif not directory:
                    yield from self._one(child, entry.path, found_stat)
                elif self._enter(child, found_stat, info):
                    below.append((child, entry.path, inner, rules, found_stat))
            stack.extend(reversed(below))

    def _stat(self, path: bytes, entry: os.DirEntry[str]) -> os.stat_result | None:
        try:
            return entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None  # deleted since the directory was listed
        except OSError as error:
            self._trouble(path, os_reason(error))
            return None

    def _enter(self, path: bytes, info: os.stat_result, above: os.stat_result) -> bool:
        if (info.st_dev, info.st_ino) == self._volume:
            self.survey.skipped += 1
            self.survey.unsure.append(path)
            self._emit(Note(f"{os.fsdecode(path)}: is the volume itself, left out"))
            return False
        if info.st_dev != above.st_dev:
            self._emit(Note(f"{os.fsdecode(path)}: another file system begins here; entered"))
        return True

    def _rules_in(
        self, path: bytes, disk: str, relative: str, rules: Rules, entries: list[os.DirEntry[str]]
    ) -> Rules:
        if not any(entry.name == IGNORE_NAME for entry in entries):
            return rules
        try:
            spec = read_ignore_file(os.path.join(disk, IGNORE_NAME))
        except (OSError, ValueError) as error:
            where = names.join(path, IGNORE_NAME.encode())
            self._warn(where, f"its rules were not followed: {error}")
            return rules
        return rules.below(relative, spec) if spec is not None else rules

    def _directory(self, path: bytes, disk: str, info: os.stat_result) -> Iterator[Item]:
        known = self._known.get(path)
        if known is not None:
            self.survey.seen.add(path)
            kind, *words = known.split(" ")
            if kind == "directory" and words[4:5] == [f"{info.st_mode & 0o7777:o}"]:
                return
        yield from self._checked(Item(path, disk, "directory", info, known is not None))

    def _one(self, path: bytes, disk: str, info: os.stat_result) -> Iterator[Item]:
        survey = self.survey
        survey.files += 1
        known = self._known.get(path)
        kind = kind_of(info.st_mode)
        if known is not None:
            survey.seen.add(path)
            forced = self._checksum and kind == "file"
            if kind is not None and same(kind, info, known) and not forced:
                survey.unchanged += 1
                survey.bytes += info.st_size
                return
        if kind is None:
            survey.files -= 1
            survey.skipped += 1
            self._warn(path, "is a device, socket or FIFO; such things are not stored")
            return
        survey.bytes += info.st_size
        yield from self._checked(Item(path, disk, kind, info, known is not None))

    def _checked(self, item: Item) -> Iterator[Item]:
        if not item.known:
            try:
                names.check_path(item.path)
            except BadPath as error:
                self._trouble(item.path, str(error.fields["reason"]))
                return
        yield item

    def _warn(self, path: bytes, reason: str) -> None:
        problem = Problem(path, reason, warning=True)
        self.survey.problems.append(problem)
        self._emit(problem)

    def _trouble(self, path: bytes, reason: str) -> None:
        problem = Problem(path, reason)
        self.survey.problems.append(problem)
        self.survey.unsure.append(path)
        self._emit(problem)
