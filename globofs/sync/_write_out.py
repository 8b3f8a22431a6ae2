"""Carrying out a restore that leaves the volume: blocks in, files out.

Large files are written two at a time; what they cost lies in unpacking and hashing, where threads
do not wait for each other. Small ones are written by the caller's thread alone: two threads took
a quarter more processor time for them, and no less time.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from globofs.errors import ContentMissing, GlobofsError, from_os_error
from globofs.events import Cancelled, Emit, Problem, Progress
from globofs.limits import KIB, MIB
from globofs.store import fsio
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.tree_names import folded
from globofs.store.versions import blocks_of_many
from globofs.store.views import Block, Version
from globofs.sync._outside import Outside
from globofs.sync._sources import remember_restored
from globofs.sync.pull import Puller, Wanted
from globofs.sync.results import PlanItem, RestorePlan

WORKERS: Final = 2
SMALL_BYTES: Final = 256 * KIB
GROUP_FILES: Final = 256
GROUP_BYTES: Final = 8 * MIB
FETCH_BYTES: Final = 256 * MIB
VolumePath = bytes
FATAL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


@dataclass(slots=True)
class Written:
    """What was done so far; all threads add to it under `guard`, a group of files at a time."""

    files: int = 0
    bytes: int = 0
    deleted: int = 0
    fetched_bytes: int = 0
    done: list[PlanItem] = field(default_factory=list)
    missing: list[VolumePath] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)


def write_out(
    node: Node, puller: Puller, plan: RestorePlan, emit: Emit, cancelled: Cancelled
) -> Written:
    """Write what `plan` says below `plan.to`. What fails is a problem and keeps nothing else.

    What stands there is remembered: edits of it descend from it. Raises DiskError where the disk
    itself is full or failing.
    """
    work = _WriteOut(node, puller, plan, emit, cancelled)
    try:
        written = work.run()
    except BaseException:
        with suppress(OSError):  # the volume may lie on the full disk, too: the first error is told
            _remember(node, work.written)
        raise
    try:
        _remember(node, written)
    except OSError as error:
        if not fsio.is_full(error):
            raise
        reason = (
            f"where it came from is not noted: {error.strerror}; an edit of it that is added"
            " counts as one of what is current then"
        )
        written.problems.append(Problem(b"", reason, warning=True))
        emit(written.problems[-1])
    return written


def _remember(node: Node, written: Written) -> None:
    if not node.readonly:
        remember_restored(node, written.done)


class _WriteOut:
    def __init__(
        self, node: Node, puller: Puller, plan: RestorePlan, emit: Emit, cancelled: Cancelled
    ) -> None:
        assert plan.to is not None
        self._node = node
        self._view = View(node)
        self._puller = puller
        self._plan = plan
        self._base = plan.to
        self._begin = plan.to if plan.to.endswith("/") else plan.to + "/"
        self._emit = emit
        self._cancelled = cancelled
        self.written = Written()
        self._local = threading.local()
        self._open: list[Outside] = []
        self._stop = threading.Event()

    def run(self) -> Written:
        active = [item for item in self._plan.items if item.action in ("create", "replace")]
        directories = [i for i in active if i.version is not None and i.version.kind == "directory"]
        active, twins = _apart(active)
        try:
            with ThreadPoolExecutor(WORKERS, thread_name_prefix="restore") as pool:
                for portion in _portions(active):
                    self._fetch(portion)
                    self._write_portion(pool, portion)
                    if self._over():
                        break
            self._write_twins(twins)
            for item in reversed(directories):
                if not self._over():
                    self._one(item, self._finish_directory)
            for item in self._plan.items:
                if item.action == "delete" and not self._over():
                    self._one(item, self._delete)
        finally:
            for outside in self._open:
                outside.close()
        return self.written

    def _write_portion(self, pool: ThreadPoolExecutor, portion: list[PlanItem]) -> None:
        large: list[Future[None]] = []
        try:
            for group in _groups(portion):
                if len(group) == 1:
                    large.append(pool.submit(self._group, group))
                else:
                    self._group(group)
        finally:
            wait(large)
        for one in large:
            one.result()

    def _write_twins(self, twins: list[tuple[PlanItem, PlanItem]]) -> None:
        """Write what another name may stand for on this disk, if the disk tells them apart."""
        for twin, item in twins:
            if self._over():
                return
            try:
                one = _are_one(twin, item)
            except OSError as error:
                self._problem(item, error.strerror or str(error))
                continue
            if one:
                name = os.path.basename(twin.target or "")
                self._problem(item, f"this disk does not tell its name from {name}: not written")
                continue
            self._fetch([item])
            self._group([item])

    def _over(self) -> bool:
        if not self._stop.is_set() and self._cancelled():
            self._stop.set()
        return self._stop.is_set()

    def _outside(self) -> Outside:
        outside: Outside | None = getattr(self._local, "outside", None)
        if outside is None:
            outside = Outside(self._base, force=self._plan.force)
            self._local.outside = outside
            with self.written.guard:
                self._open.append(outside)
        return outside

    def _relative(self, item: PlanItem) -> str:
        assert item.target is not None
        # The planner joined it to the base: `relpath` would cost more than writing the file.
        if item.target.startswith(self._begin):
            return item.target[len(self._begin) :]
        return os.path.relpath(item.target, self._base)

    def _fetch(self, portion: list[PlanItem]) -> None:
        """Pull what `portion` lacks, many at once; what nobody has is found out when written, and
        what the volume has no room for is pulled then, one block after the other."""
        wanted = [
            Wanted(block.id, block.size, item.path, item.version.node)
            for item in portion
            if item.version is not None and item.version.missing
            for block, held in self._view.blocks_of(item.version)
            if not held
        ]
        if wanted:
            try:
                result = self._puller.fetch(wanted, cancelled=self._over, emit=self._emit)
            except OSError as error:
                if not fsio.is_full(error):
                    raise
            else:
                self.written.fetched_bytes += result.bytes

    # --- a group of files ---------------------------------------------------------------------

    def _group(self, items: list[PlanItem]) -> None:
        if self._over():
            return
        files = {i.path: i.version.row for i in items if i.version and i.version.kind == "file"}
        found = blocks_of_many(self._node.index, files.values())
        listed = {path: found.get(row, []) for path, row in files.items()}
        small: dict[bytes, bytes | None] = {}
        if len(items) > 1:
            pairs = {block for blocks in listed.values() for block in blocks}
            small = dict(self._node.blocks.get_many([(b.id, b.size) for b in pairs]))
            self._node.blocks.uses.note(
                [block for block, data in small.items() if data is not None]
            )
        outside = self._outside()

        def write(item: PlanItem) -> None:
            self._write(outside, item, listed.get(item.path, []), small)

        done: list[PlanItem] = []
        try:
            for item in items:
                if not self._stop.is_set() and self._one(item, write):
                    done.append(item)
        finally:
            self._note(done)
        written = self.written
        self._emit(
            Progress(
                "restore",
                "writing",
                files=written.files,
                files_total=self._plan.files,
                bytes=written.bytes,
                bytes_total=self._plan.bytes,
                path=items[-1].path,
            )
        )

    def _note(self, done: list[PlanItem]) -> None:
        sizes = [i.version.size for i in done if i.version and i.version.kind != "directory"]
        with self.written.guard:
            self.written.done += done
            self.written.files += len(sizes)
            self.written.bytes += sum(sizes)

    def _one(self, item: PlanItem, act: Callable[[PlanItem], None]) -> bool:
        """Do one item, if that can be; what keeps it from being done is noted, what keeps all
        from it raised."""
        try:
            act(item)
            return True
        except ContentMissing as error:
            with self.written.guard:
                self.written.missing.append(item.path)
            self._problem(item, error.reason)
        except GlobofsError as error:
            if error.exit_code == 130:
                self._stop.set()
                return False
            self._problem(item, error.reason)
        except OSError as error:
            if error.errno in FATAL:
                self._stop.set()
                raise from_os_error(error, item.target) from error
            self._problem(item, error.strerror or str(error))
        return False

    def _problem(self, item: PlanItem, reason: str) -> None:
        problem = Problem(item.path, reason)
        with self.written.guard:
            self.written.problems.append(problem)
        self._emit(problem)

    def _write(
        self,
        outside: Outside,
        item: PlanItem,
        blocks: list[Block],
        small: dict[bytes, bytes | None],
    ) -> None:
        version = item.version
        assert version is not None
        relative = self._relative(item)
        if version.kind == "directory":
            outside.enter(relative)
        elif version.kind == "symlink":
            outside.symlink(relative, version)
        else:
            outside.file(relative, version, self._pieces(version, blocks, small))

    def _pieces(
        self, version: Version, blocks: Iterable[Block], small: dict[bytes, bytes | None]
    ) -> Iterator[bytes]:
        for block in blocks:
            data = small.get(block.id)
            if data is None:
                data = self._puller.get(
                    block.id, block.size, version.path, version.node, cancelled=self._over
                )
            yield data

    def _finish_directory(self, item: PlanItem) -> None:
        assert item.version is not None
        self._outside().finish_directory(self._relative(item), item.version)

    def _delete(self, item: PlanItem) -> None:
        self._outside().delete(self._relative(item))
        self.written.deleted += 1


def _apart(items: list[PlanItem]) -> tuple[list[PlanItem], list[tuple[PlanItem, PlanItem]]]:
    """Items whose names every disk tells apart, and those (each behind the first that it may be
    taken for) that differ only by case or in how an accent is written: some disks do not."""
    first: dict[str, PlanItem] = {}
    apart: list[PlanItem] = []
    twins: list[tuple[PlanItem, PlanItem]] = []
    for item in items:
        before = first.setdefault(folded(item.target or ""), item)
        directory = item.version is not None and item.version.kind == "directory"
        if before is item or directory:
            apart.append(item)
        else:
            twins.append((before, item))
    return apart, twins


def _are_one(one: PlanItem, other: PlanItem) -> bool:
    """Whether two names that are both to be written lead to one thing on the disk: where they
    part, only one of them is listed, and yet both are there. Inode numbers do not tell everywhere.
    Raises `OSError`.
    """
    above = "/"
    for name, twin in zip(*((i.target or "").split("/") for i in (one, other)), strict=True):
        if name != twin:
            if not os.path.lexists(os.path.join(above, twin)):
                return False  # the usual case, which lists no directory
            alike = [there for there in os.listdir(above) if folded(there) == folded(name)]
            if len(alike) != 1:
                return False
        above = os.path.join(above, name)
    return True


def _portions(items: Iterable[PlanItem]) -> Iterator[list[PlanItem]]:
    """Items in lists that need at most `FETCH_BYTES` pulled (or are one item)."""
    portion: list[PlanItem] = []
    size = 0
    for item in items:
        portion.append(item)
        if item.version is not None and item.version.missing:
            size += item.version.size
        if size >= FETCH_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _groups(items: Iterable[PlanItem]) -> Iterator[list[PlanItem]]:
    """Small files many at a time, in order; large ones each by itself."""
    group: list[PlanItem] = []
    size = 0
    for item in items:
        one = item.version.size if item.version is not None else 0
        if one > SMALL_BYTES:
            yield [item]
            continue
        group.append(item)
        size += one
        if len(group) >= GROUP_FILES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
