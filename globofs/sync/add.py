"""`add`: what lies in folders of this machine becomes versions in the volume.

A scan finds what looks different from last time (`_scan`), the pipeline stores its content
(`_ingest`), and here it becomes versions whose parents are what the folder had in hand
(`_sources`): an edit on an old copy is a conflict, never a silent overwrite. One operation.
"""

from __future__ import annotations

import errno
import os
import stat
import time as _time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from globofs.errors import (
    MassChange,
    Refused,
    UsageError,
    from_os_error,
    os_reason,
    plural,
    printable,
)
from globofs.events import Cancelled, Emit, Event, Note, Problem, Progress, ignore, never
from globofs.format import names
from globofs.format.manifest import content_of
from globofs.limits import BATCH_RECORDS, MASS_CHANGE_FILES, MASS_CHANGE_SHARE, RACY_NS
from globofs.store.commit import Committed, Draft, Operation
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.store.versions import by_ids
from globofs.store.views import Version
from globofs.sync._changes import overwritten
from globofs.sync._ignore import Rules, excludes
from globofs.sync._ingest import Done, Ingest
from globofs.sync._scan import Item, Place, Scan
from globofs.sync._sources import Memory, SourceName, source_name
from globofs.sync.added import AddResult

TELL_SECONDS = 0.1


def add(
    node: Node,
    sources: Sequence[str],
    *,
    to: bytes = b"",
    delete: bool = False,
    checksum: bool = False,
    exclude: Sequence[str] = (),
    yes: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> AddResult:
    """Snapshot files or trees of this machine into the volume, below `to`: one operation.

    A directory written with a slash at its end lands as `to` itself, anything else under its own
    name in it. With `delete`, what a source put there before and no longer has is recorded as
    deleted. Only what looks changed is read, with `checksum` every file.

    What cannot be read is a problem, and is not "deleted". Raises MassChange (before anything is
    written) unless `yes`, UsageError for the volume itself, DiskError where the volume cannot
    take it; what was committed until then stays, and the same `add` goes on from there.
    """
    node.writable()
    places, problems = _places(node, sources, to)
    for problem in problems:
        emit(problem)
    adding = _Adding(node, Rules(excludes(exclude)), delete, checksum, yes, emit, cancelled)
    adding.problems += problems
    args = [*sources]
    if to:
        args += ["--to", os.fsdecode(to)]
    if delete:
        args.append("--delete")
    with node.operation("add", args, late=True, emit=adding.said) as operation:
        for place in places:
            if adding.interrupted:
                break
            operation.settle()  # one place may lie in another
            adding.place(operation, place)
        if operation.key is not None:
            count = operation.versions
            safe = f"{plural(count, 'version')} {'is' if count == 1 else 'are'}"
            emit(Note(f"{safe} safe; putting what is new in its place"))
    return adding.result(operation)


def _places(node: Node, sources: Sequence[str], to: bytes) -> tuple[list[Place], list[Problem]]:
    """Where each source lies, really, and where it lands; what is not there is a problem."""
    volume = os.path.realpath(node.volume)
    found: list[Place] = []
    problems: list[Problem] = []
    for source in sources:
        whole = source.endswith("/") or os.path.basename(source) in ("", ".", "..")
        given = os.path.abspath(source)
        disk = os.path.realpath(given)
        if not whole:
            disk = os.path.join(os.path.realpath(os.path.dirname(given)), os.path.basename(given))
        if (disk + "/").startswith(volume + "/"):
            raise UsageError(f"{printable(source)}: lies in the volume itself")
        try:
            mode = os.lstat(disk).st_mode
        except OSError as error:
            problems.append(Problem(os.fsencode(source), os_reason(error)))
            continue
        if source.endswith("/") and not stat.S_ISDIR(mode):
            problems.append(Problem(os.fsencode(source), os.strerror(errno.ENOTDIR)))
            continue
        inside = whole and stat.S_ISDIR(mode)
        path = to if inside else names.join(to, os.fsencode(os.path.basename(disk)))
        found.append(Place(disk, names.check_path(path) if path else b""))
    if problems and not found and len(sources) == 1:
        raise Refused(path=sources[0], reason=problems[0].reason)
    return found, problems


@dataclass
class _Counts:
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    renamed: int = 0
    directories: int = 0
    new_bytes: int = 0
    stored_bytes: int = 0


@dataclass
class _Adding:
    """One `add`, over all its places."""

    node: Node
    rules: Rules
    delete: bool
    checksum: bool
    yes: bool
    emit: Emit
    cancelled: Cancelled
    counts: _Counts = field(default_factory=_Counts)
    problems: list[Problem] = field(default_factory=list)
    scans: list[Scan] = field(default_factory=list)
    ingests: list[Ingest] = field(default_factory=list)
    interrupted: bool = False
    _memories: dict[SourceName, Memory] = field(default_factory=dict)
    _told: float = 0.0

    def said(self, event: Event) -> None:
        """Note and pass on what recording and building has to say, if it is a problem."""
        if isinstance(event, Problem):
            self.problems.append(event)
            self.emit(event)

    def place(self, operation: Operation, place: Place) -> None:
        """Scan one place and commit what is new there."""
        name = source_name(place.disk, place.path)
        memory = self._memories.get(name)
        if memory is None:
            memory = self._memories[name] = Memory(self.node, name, emit=self.emit)
        scan = Scan(
            place,
            memory.lines,
            volume=self.node.volume,
            rules=self.rules,
            checksum=self.checksum,
            emit=self.emit,
            cancelled=self.cancelled,
        )
        self.scans.append(scan)
        racy_after = _time.time_ns() - RACY_NS
        items: Iterable[Item] = scan.items()
        gone: list[bytes] = []
        held = [path for path in memory.lines if names.is_below(path, place.path)]
        if held:
            # What is to come is known before anything is written: for the guard, and because a
            # new name is a rename only if the old one is gone.
            items = list(items)
            if self.delete and not self.cancelled():
                gone = scan.survey.gone(memory.lines, place.path)
            if not self.yes:
                self._guard(place, memory, items, gone, held)
        placing = _Placing(self, operation, memory, racy_after, gone)
        try:
            placing.run(items)
        finally:
            memory.save()
            self.problems += scan.survey.problems

    def _guard(
        self,
        place: Place,
        memory: Memory,
        items: Sequence[Item],
        gone: Sequence[bytes],
        held: Sequence[bytes],
    ) -> None:
        """Raise MassChange where more than half of what was there would go or be overwritten."""
        files = [path for path in held if not memory.lines[path].startswith("directory ")]
        lost = [path for path in gone if not memory.lines[path].startswith("directory ")]
        limit = max(MASS_CHANGE_FILES, int(len(files) * MASS_CHANGE_SHARE))
        known = [item for item in items if item.known and item.kind == "file"]
        count, what = len(lost), "deleted"
        if count <= limit < count + len(known):
            count += overwritten(self.node, memory, known, limit - count, self.cancelled)
            what = "deleted or overwritten" if lost else "overwritten"
        if count > limit:
            raise MassChange(count=count, total=len(files), path=place.disk, what=what)

    def tick(self) -> bool:
        """Tell how far it is; whether to stop."""
        now = _time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            surveys = [scan.survey for scan in self.scans]
            read = sum(ingest.files for ingest in self.ingests)
            self.emit(
                Progress(
                    "add",
                    files=read + sum(survey.unchanged for survey in surveys),
                    files_total=sum(survey.files for survey in surveys),
                    bytes=sum(ingest.read_bytes for ingest in self.ingests),
                    bytes_total=sum(ingest.found_bytes for ingest in self.ingests),
                    growing=True,
                )
            )
        return self.cancelled()

    def result(self, operation: Operation) -> AddResult:
        """The sum of it all."""
        counts = self.counts
        surveys = [scan.survey for scan in self.scans]
        return AddResult(
            files=sum(survey.files for survey in surveys),
            added=counts.added,
            changed=counts.changed,
            unchanged=counts.unchanged + sum(survey.unchanged for survey in surveys),
            deleted=counts.deleted,
            renamed=counts.renamed,
            directories=counts.directories,
            skipped=sum(survey.skipped for survey in surveys),
            bytes=sum(survey.bytes for survey in surveys),
            new_bytes=counts.new_bytes,
            stored_bytes=counts.stored_bytes,
            operation=operation.key,
            interrupted=self.interrupted or self.cancelled(),
            problems=tuple(self.problems),
        )


class _Placing:
    """Committing what one place brings."""

    def __init__(
        self,
        adding: _Adding,
        operation: Operation,
        memory: Memory,
        racy_after: int,
        gone: Sequence[bytes],
    ) -> None:
        self._adding = adding
        self._node = adding.node
        self._operation = operation
        self._memory = memory
        self._racy_after = racy_after
        self._gone = gone
        self._origins = self._gone_by_inode()

    def run(self, items: Iterable[Item]) -> None:
        """Commit the items' content, then the deletions."""
        ingest = Ingest(self._node, tick=self._adding.tick)
        self._adding.ingests.append(ingest)
        ingest.run(items, self._take)
        if ingest.interrupted or self._adding.cancelled():
            self._adding.interrupted = True
            return
        self._delete()

    def _gone_by_inode(self) -> dict[int, tuple[bytes, Version]]:
        """Versions whose file is gone, by its inode number: what a rename may come from."""
        bases = self._memory.bases(self._gone)
        versions = by_ids(self._node.index, bases.values())
        found: dict[int, tuple[bytes, Version]] = {}
        for path, base in bases.items():
            version = versions.get(base)
            entry = self._memory.entry(path)
            if version is not None and entry is not None and entry.inode:
                found[entry.inode] = (path, version)
        return found

    def _take(self, portion: list[Done]) -> None:
        """Commit a portion whose blocks are durable."""
        good = [done for done in portion if not done.error]
        for done in portion:
            if done.error:
                self._problem(Problem(done.item.path, done.error))
            elif done.unsteady:
                reason = "changed while it was read; what was read last is kept"
                self._problem(Problem(done.item.path, reason, warning=True))
        bases = self._memory.bases([done.item.path for done in good])
        fresh = [done.item.path for done in good if done.item.path not in bases]
        infos = self._node.index.path_infos(fresh)
        there = {
            path for path, info in infos.items() if any(h.kind != "deleted" for h in info.heads)
        }
        self._memory.begin()
        drafts = [self._draft(done, bases.get(done.item.path)) for done in good]
        try:
            committed = self._operation.commit(drafts)
        except OSError as error:
            raise from_os_error(error, self._node.volume) from error
        for done, made in zip(good, committed, strict=True):
            self._count(done, made, done.item.path in bases or done.item.path in there)
            if not done.unsteady:
                self._memory.remember(
                    done.item.path, done.item.kind, done.stat, made.version_id, self._racy_after
                )

    def _draft(self, done: Done, base: bytes | None) -> Draft:
        item, info = done.item, done.stat
        mode = stat.S_IMODE(info.st_mode)
        from_path = from_id = None
        origin = self._origins.get(info.st_ino) if base is None else None
        if origin is not None and origin[1].kind == item.kind:
            content = content_of(item.kind, mode, done.target, done.blocks)
            if content == origin[1].content:
                from_path, from_id = origin[0], origin[1].id
        return Draft(
            path=item.path,
            kind=item.kind,
            size=sum([block.size for block in done.blocks]),
            mode=mode,
            mtime=info.st_mtime_ns,
            target=done.target,
            blocks=done.blocks,
            parents=None if base is None else (base,),
            from_path=from_path,
            from_id=from_id,
            source=self._memory.key,
        )

    def _count(self, done: Done, made: Committed, known: bool) -> None:
        counts = self._adding.counts
        counts.new_bytes += done.new
        counts.stored_bytes += done.stored
        if done.item.kind == "directory":
            counts.directories += not made.skipped
        elif made.skipped:
            counts.unchanged += 1
        elif known:
            counts.changed += 1
        else:
            counts.added += 1
            counts.renamed += made.draft.from_path is not None

    def _delete(self) -> None:
        if not self._gone:
            return
        self._memory.begin()
        bases = self._memory.bases(self._gone)
        drafts = (
            Draft(path, "deleted", parents=(bases[path],), source=self._memory.key)
            for path in self._gone
        )
        for batch in chunks(drafts, BATCH_RECORDS):
            made = self._operation.commit(batch)
            self._adding.counts.deleted += sum(not one.skipped for one in made)
            for one in made:
                self._memory.forget(one.draft.path)
            if self._adding.tick():
                self._adding.interrupted = True
                return

    def _problem(self, problem: Problem) -> None:
        self._adding.problems.append(problem)
        self._adding.emit(problem)
