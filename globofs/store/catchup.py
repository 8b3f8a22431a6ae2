"""Reading what lies in `upstream/` into the index, and acknowledging it.

Every journal file has a cursor: how far it was read, and a print of its first bytes, because
`latest` gets another name when it is closed. When nothing is new this costs a listing and a
`stat` an origin. What was read is made durable before it is applied, and acknowledged last.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from globofs import limits
from globofs.errors import Damaged, FormatError, plural
from globofs.events import Emit, Note, Problem, ignore
from globofs.format import applied
from globofs.format.record import Damage, Framed, frames, nonsense
from globofs.format.text import parse_uuid
from globofs.format.versions import read
from globofs.store import cursors, filling, fsio
from globofs.store.apply import apply_items
from globofs.store.apply_pending import complete_pending
from globofs.store.apply_records import Item, load_seen, unpack_gaps, who
from globofs.store.cursors import Cursor
from globofs.store.index import is_damage
from globofs.store.segments import LATEST, is_segment
from globofs.store.sent_blocks import is_behind, take_sent
from globofs.store.staged_index import index_pending

if TYPE_CHECKING:
    from globofs.store.decoder import Decoder
    from globofs.store.parts import NodeParts

CHUNK_BYTES: Final = 2 * limits.SEGMENT_BYTES
FILL_BYTES: Final = limits.SEGMENT_BYTES // 2
"""So much to be read into an empty index, and it is filled the quick way."""
OVERLAP_BYTES: Final = limits.RECORD_BYTES + 1024


class _Shrunk(Exception):
    """A journal is shorter than what was read of it: the index tells of things that are gone."""


def catch_up(node: NodeParts, *, emit: Emit = ignore) -> int:
    """Bring the index up to what lies in `upstream/`; the number of records that were new.

    A lost, damaged or outdated index is filled again. Announces what changed, and as problems
    what was skipped. OSErrors of the own directory pass through.
    """
    index = node.index
    index.on_damage = lambda: _rebuild(node)
    index.read_block = lambda block: _read_block(node, block)
    try:
        return _catch_up(node, emit)
    except _Shrunk:
        pass
    except sqlite3.OperationalError as error:
        if not is_damage(error):
            raise
    except sqlite3.DatabaseError:
        pass
    index.reset()
    return _catch_up(node, emit, quick=False)


def catch_up_own(node: NodeParts, *, emit: Emit = ignore) -> None:
    """Under the lock `journal`: apply what other clients of this node have written."""
    index = node.index
    if index.on_damage is None or index.meta("held") is None:
        catch_up(node, emit=emit)
    known = load_seen(index.db, node.uuid)
    if node.journal.last()[0] > known.received:
        with node.locks.apply.exclusive():
            index_pending(node.blocks)
            if _Reader(node, emit).origin(node.uuid):
                index_pending(node.blocks)
                take_sent(node)


def _rebuild(node: NodeParts) -> None:
    with contextlib.suppress(_Shrunk):
        _catch_up(node, ignore)


def _read_block(node: NodeParts, block: bytes) -> bytes | None:
    size = node.index.block_size(block)
    if size is None or not node.index.is_held(block):
        return None
    try:
        return node.blocks.get_any(block, size)
    except (KeyError, Damaged):
        return None


def _catch_up(node: NodeParts, emit: Emit, quick: bool = True) -> int:
    index = node.index
    node.reload()
    index.refresh()
    if index.meta("held") is None:
        if node.readonly:
            index.to_memory()
        recall_applied(node)
        node.blocks.rescan()
        index.set_meta("held", 1)
    reader = _Reader(node, emit)
    news = [origin for origin in _origins(node) if reader.has_news(origin)]
    count = 0
    if news and node.readonly:
        index.to_memory()
        reader = _Reader(node, emit)
        if node.uuid in news:
            index_pending(node.blocks)
        count = sum(reader.origin(origin) for origin in news)
        filling.finish(index)
    elif news or (filling.is_filling(index.db) and not node.readonly):
        with node.locks.apply.exclusive(say=lambda text: emit(Note(text))):
            if node.uuid in news:
                index_pending(node.blocks)
            reader = _Reader(node, emit)
            if quick and sum(map(reader.amount, news)) >= FILL_BYTES:
                filling.begin(index)
            with index.large_cache(), reader.helped():
                count = sum(map(reader.origin, news))
            filling.finish(index)
        _acknowledge(node, emit)
    complete_pending(index)
    if count or (not node.readonly and is_behind(node)):
        # What was written beside us after the first time, or by who was killed before he looked.
        index_pending(node.blocks)
        take_sent(node)
    index.note_filled()
    return count


def _origins(node: NodeParts) -> list[str]:
    """The nodes whose journals lie here, by uuid."""
    found: list[str] = []
    try:
        names = os.listdir(node.upstream())
    except FileNotFoundError:
        return found
    for name in sorted(names):
        with contextlib.suppress(FormatError):
            found.append(parse_uuid(name))
    return found


class _Reader:
    """Reads the files of `upstream/` from their cursors."""

    def __init__(self, node: NodeParts, emit: Emit) -> None:
        self.node = node
        self.emit = emit
        self.decoder: Decoder | None = None
        self._cursors = cursors.load(node.index.db)
        self._said: set[str] = set()

    @contextlib.contextmanager
    def helped(self) -> Iterator[None]:
        """While the index is filled a second process decodes what is read."""
        if not filling.is_filling(self.node.index.db):
            yield
            return
        from globofs.store.decoder import Decoder  # slow to load, and seldom needed

        self.decoder = Decoder.start()
        try:
            with self.node.index.large_log():
                yield
        finally:
            if self.decoder is not None:
                self.decoder.close()
                self.decoder = None

    def _directories(self, origin: str) -> list[tuple[str, str]]:
        """Where records of an origin lie: directory below `upstream/`, and who writes there."""
        found = [(os.path.join(origin, "updates"), origin)]
        for via in self._names(os.path.join(origin, "via"), origin):
            with contextlib.suppress(FormatError):
                where = os.path.join(origin, "via", parse_uuid(via), "updates")
                found.append((where, via))
        return found

    def _names(self, directory: str, writer: str) -> list[str]:
        """What lies in a directory below `upstream/`, sorted. What another node put there and
        cannot be listed (a symlink to itself) is said, and stops nothing; our own journal's raises.
        """
        try:
            return sorted(os.listdir(os.path.join(self.node.upstream(), directory)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            if directory == os.path.join(self.node.uuid, "updates"):
                raise
            self._unread(os.path.join("upstream", directory), writer, error)
            return []

    def _unread(self, where: str, writer: str, error: OSError) -> None:
        if where not in self._said:
            self._said.add(where)
            reason = f"cannot be read: {error.strerror}; it is {self.name(writer)}'s to write"
            self.emit(Problem(b"", f"{where} {reason}"))

    def name(self, uuid: str) -> str:
        """A node as its user calls it, and its uuid."""
        return who(self.node.index.db, uuid)

    def _news(self, directory: str, writer: str) -> list[tuple[str, os.stat_result]]:
        """The files of a directory that are not as they were when last read, oldest first."""
        path = os.path.join(self.node.upstream(), directory)
        names = filter(is_segment, self._names(directory, writer))
        known = {cursor.name: cursor for cursor in self._cursors.get(directory, {}).values()}
        found: list[tuple[str, os.stat_result]] = []
        for name in sorted(names, key=lambda name: (name == LATEST, name)):
            cursor = known.get(name)
            if name != LATEST and cursor is not None and cursor.offset == cursor.size:
                continue
            try:
                status = os.stat(os.path.join(path, name), follow_symlinks=False)
            except FileNotFoundError:
                continue
            if cursor is None or (status.st_size, status.st_mtime_ns) != cursor[3:]:
                found.append((name, status))
        return found

    def has_news(self, origin: str) -> bool:
        """Whether anything of an origin is to be read."""
        return any(self._news(*where) for where in self._directories(origin))

    def amount(self, origin: str) -> int:
        """How many bytes of journals are to be read of an origin, at most."""
        found = [self._news(*where) for where in self._directories(origin)]
        return sum(status.st_size for news in found for _, status in news)

    def origin(self, origin: str) -> int:
        """Read and apply what is new of an origin; the number of new records."""
        count = 0
        for directory, writer in self._directories(origin):
            found, renamed = self._directory(origin, writer, directory)
            if renamed:
                found += self._directory(origin, writer, directory)[0]
            count += found
        if count and origin != self.node.uuid and origin not in self.node.warned:
            self._look_at_clock(origin)
        return count

    def _directory(self, origin: str, writer: str, directory: str) -> tuple[int, bool]:
        """The same, in one of its directories; and whether a file was closed while it was read, and
        bears another name now."""
        count, renamed = 0, False
        news = self._news(directory, writer)
        if self.decoder is not None and directory not in self._cursors:
            where = os.path.join(os.path.abspath(self.node.upstream()), directory)
            self.decoder.expect([(os.path.join(where, name), 0) for name, _ in news])
        for name, status in news:
            try:
                count += self._file(origin, writer, directory, name, status)
            except FileNotFoundError:
                renamed = True
            except OSError as error:
                self._unread(os.path.join("upstream", directory, name), writer, error)
        return count, renamed

    def _look_at_clock(self, origin: str) -> None:
        """Say, once a process, that what another node wrote last is still to come here."""
        sql = "SELECT time FROM op WHERE node = ? ORDER BY number DESC LIMIT 1"
        last = self.node.index.one(sql, (origin,))
        ahead = (last[0] - self.node.clock.now_ns()) // limits.SECOND_NS if last else 0
        if ahead > limits.CLOCK_AHEAD_SECONDS:
            self.node.warned.add(origin)
            text = (
                f"the clock of {self.name(origin)} is {ahead // 60:,} minutes ahead of this one's:"
                " what it writes until both agree counts as newer than all that others write"
            )
            self.emit(Problem(b"", text, warning=True))

    def _file(
        self, origin: str, writer: str, directory: str, name: str, status: os.stat_result
    ) -> int:
        path = os.path.join(self.node.upstream(), directory, name)
        begin = cursors.first_bytes(path)
        if len(begin) < cursors.PRINT_BYTES:
            return 0
        cursor = self._cursors.get(directory, {}).get(begin)
        offset = cursor.offset if cursor else 0
        if status.st_size < offset:
            raise _Shrunk
        if not self.node.readonly:
            if cursor is None:
                fsio.fsync_dir(os.path.dirname(path))
            fsio.fdatasync_file(path)
        own = self.node.uuid
        stop = self.node.journal.torn_at() if origin == writer == own and name == LATEST else None
        run = _Run(self, path, origin, writer, offset, status.st_size, name != LATEST, stop)
        done = apply_items(self.node.index, run.items(), emit=self.emit)
        if run.read_to > status.st_size and not self.node.readonly:
            fsio.fdatasync_file(path)  # it grew since, and what was read is acknowledged next
        made = Cursor(name, begin, run.offset, run.read_to, status.st_mtime_ns)
        self._keep(directory, made)
        return done.records

    def _keep(self, directory: str, cursor: Cursor) -> None:
        self._cursors.setdefault(directory, {})[cursor.print] = cursor
        self.node.index.write(lambda db: cursors.keep(db, directory, cursor))


class _Run:
    """One reading of one file, from `offset` to its end, in pieces of bounded size."""

    def __init__(
        self,
        reader: _Reader,
        path: str,
        origin: str,
        writer: str,
        offset: int,
        size: int,
        closed: bool,
        stop: int | None = None,
    ) -> None:
        self.emit = reader.emit
        self.name = reader.name
        self.decoder = reader.decoder
        self.path = path
        self.origin = origin
        self.writer = writer
        self.closed = closed
        self.offset = offset  # where to go on reading next time
        self.read_to = offset  # the size of what was looked at
        self.size = size
        self.stop = stop  # what follows there never happened
        self._refused = 0
        self._garbage = Damage(offset, offset, "bytes that are no record")
        self._shown = os.path.relpath(path, reader.node.directory)

    def items(self) -> Iterator[Item]:
        """The records of the directory's own origin, in their order in the file."""
        if self.decoder is not None and self.stop is None:
            for items, end in self.decoder.read(os.path.abspath(self.path), self.offset):
                for item in items:
                    if item.record.origin == self.origin:
                        yield item
                    else:
                        self._refuse(item.record.origin)
                self.offset = self.read_to = end
        while True:
            data = fsio.read_range(self.path, self.offset, CHUNK_BYTES)
            base = self.offset
            last = len(data) < CHUNK_BYTES
            self.read_to = base + len(data)
            if self.stop is not None and self.read_to > self.stop:
                data, last = data[: max(0, self.stop - base)], True
            self.offset = base + len(data)
            for found in frames(data, base, final=last and self.closed):
                if isinstance(found, Framed):
                    self._end_garbage()
                    yield from self._item(found)
                elif isinstance(found, Damage):
                    self._damaged(found)
                else:
                    self.offset = found.offset
                    if self.stop is None and data[found.offset - base :].strip(b"\0"):
                        self._skip(base + len(data) - OVERLAP_BYTES)
            if self.offset == base and not last:
                self._skip(base + len(data) - OVERLAP_BYTES)
            if self._garbage.end - self._garbage.offset > limits.GARBAGE_BYTES:
                self.read_to = self.size  # looked at again when it changes
                last = True
            if last:
                self._end_garbage()
                return

    def _skip(self, end: int) -> None:
        """More than any record's length without a record: only its end, from `end` on, may be
        the beginning of one."""
        if end > self.offset:
            begin = self._garbage.offset if self._garbage.end == self.offset else self.offset
            self._garbage = replace(self._garbage, offset=begin, end=end)
            self.offset = end

    def _end_garbage(self) -> None:
        if self._garbage.end > self._garbage.offset:
            self._damaged(self._garbage)
            self._garbage = replace(self._garbage, offset=self._garbage.end)

    def _item(self, framed: Framed) -> Iterator[Item]:
        try:
            found = read(framed.body)
        except FormatError as error:
            self._damaged(nonsense(framed, error))
            return
        if found.record.origin == self.origin:
            yield Item(found.record, framed.id, found.version, found.manifest)
        else:
            self._refuse(found.record.origin)

    def _damaged(self, damage: Damage) -> None:
        size = damage.end - damage.offset
        text = (
            f"{self._shown}: {plural(size, 'byte')} at {damage.offset}, written by {self.name(self.writer)},"
            f" skipped: {damage.reason}"
        )
        self.emit(Problem(b"", text, warning=True))

    def _refuse(self, origin: str) -> None:
        self._refused += 1
        if self._refused == 1:
            text = (
                f"{self._shown}: a record of {self.name(origin)} stands in the journal of"
                f" {self.origin}, written by {self.name(self.writer)}: refused"
            )
            self.emit(Problem(b"", text))


def _acknowledge(node: NodeParts, emit: Emit) -> None:
    """As `write_applied`; a full disk keeps nobody from reading what has come."""
    try:
        write_applied(node)
    except OSError as error:
        if not fsio.is_full(error):
            raise
        text = f"what came from other nodes is not acknowledged: {error.strerror}"
        emit(Problem(b"", text, warning=True))


def write_applied(node: NodeParts) -> None:
    """Write `upstream/applied` if it says something else than the index knows.

    Our own line is what peers may read of our journal: only records whose blocks stand under
    `hashes/`, which is what `own_ready` (kept by `finish`) says.
    """
    if node.readonly:
        return
    with node.locks.apply.exclusive():
        text = applied.encode(positions(node))
        path = os.path.join(node.upstream(), "applied")
        try:
            if fsio.read_file(path, limits.APPLIED_BYTES) == text:
                return
        except OSError:
            pass
        fsio.mkdirs(node.upstream())
        fsio.write_atomic(path, text)


def recall_applied(node: NodeParts) -> None:
    """A new index takes over what only `applied` remembers: what stands in `root/` and `hashes/`."""
    path = os.path.join(node.upstream(), "applied")
    try:
        before = applied.decode(fsio.read_file(path, limits.APPLIED_BYTES))
    except (OSError, FormatError):
        return
    sql = "INSERT OR IGNORE INTO built(origin, seq, done) VALUES(?1, ?2, ?2)"
    rows = [(origin, position.built) for origin, position in before.items()]
    node.index.write(lambda db: db.executemany(sql, rows))
    if node.uuid in before:
        node.index.set_meta("own_ready", before[node.uuid].received)


def positions(node: NodeParts) -> applied.Applied:
    """What this node has received and built of every origin's journal."""
    index = node.index
    built = dict(index.rows("SELECT origin, seq FROM built"))
    found: applied.Applied = {}
    for origin, received, digest, gaps in index.rows(
        "SELECT origin, received, hash, gaps FROM seen"
    ):
        position = applied.Position(
            received, digest, unpack_gaps(gaps), min(built.get(origin, 0), received)
        )
        if origin == node.uuid:
            position = _own(node, position)
        found[origin] = position
    return found


def _own(node: NodeParts, position: applied.Position) -> applied.Position:
    ready = int(node.index.meta("own_ready") or 0)
    if ready >= position.received:
        return position
    sql = "SELECT id FROM record WHERE origin = ? AND seq = ? ORDER BY id"
    found = node.index.one(sql, (node.uuid, ready))
    digest = found[0] if found else bytes(32)
    if not found:
        ready = 0
    gaps = tuple(gap for gap in position.gaps if gap[1] < ready)
    return applied.Position(ready, digest, gaps, min(position.built, ready))
