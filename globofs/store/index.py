"""The index: one SQLite file that answers every question about the tree, and can be thrown away.

One connection a thread, WAL mode, any number of processes. Writers go through `transaction()`,
which SQLite keeps exclusive between processes as well. What is asked of blocks is in
`index_blocks`, the tables are in `index_schema`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from globofs.errors import Locked
from globofs.store import fsio, index_schema
from globofs.store.index_blocks import BlockTable
from globofs.store.index_schema import MetaKey
from globofs.store.portions import chunks, marks

T = TypeVar("T")
MEMORY: Final = ":memory:"
"""The path of an index that is kept nowhere."""
_ROOMY: Final = 2  # connections that have the usual cache
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNWRITABLE: Final = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    sqlite3.SQLITE_CANTOPEN,
)


def _code(error: sqlite3.Error) -> int:
    """The primary result code of an error, 0 for those that SQLite did not make."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_damage(error: Exception) -> bool:
    """Whether an error of a question tells that the index is damaged: SQLite says so, or a value
    is not even of its type (a flipped bit makes a text of an id)."""
    return not isinstance(error, sqlite3.Error) or _code(error) in (0, *_DAMAGED)


class HeadInfo(NamedTuple):
    """One head of a path, as a commit needs it to settle parents and to skip what is the same."""

    id: bytes
    row: int
    time: int
    kind: str
    mode: int
    mtime: int
    content: bytes


class PathInfo(NamedTuple):
    """What is known of a path when something is committed to it."""

    newest: int  # the largest version time of the path, 0 if it has none
    heads: tuple[HeadInfo, ...]


class NodeInfo(NamedTuple):
    """A node of the volume as its journal announced it."""

    uuid: str
    name: str
    cacheonly: bool
    retired: bool


def head_conditions(paths: Iterable[tuple[int, int, int]]) -> Iterator[tuple[str, list[int]]]:
    """How to ask for the heads of paths (number, row shown, number of heads): conditions on the
    table `version` and their values. One head alone is the row that is shown; no index is kept
    for the few paths that have more."""
    single: list[int] = []
    several: list[int] = []
    for no, row, heads in paths:
        if heads == 1:
            single.append(row)
        elif heads:
            several.append(no)
    for chunk in chunks(single):
        yield f"row IN ({marks(chunk)})", chunk
    for chunk in chunks(several):
        yield f"path IN ({marks(chunk)}) AND head = 1", chunk


class Index(BlockTable):
    """The index of one node. Open it once a process; every thread may use it."""

    def __init__(self, path: str, *, readonly: bool = False) -> None:
        self.path = path
        self.readonly = readonly
        self.on_damage: Callable[[], None] | None = None
        """Called after a damaged index was thrown away, to fill the new one."""
        self._threads: dict[int, tuple[int, sqlite3.Connection]] = {}
        self._lock = threading.RLock()
        self._opened: list[tuple[int, sqlite3.Connection]] = []  # by which thread
        self._generation = 0
        self._watching: tuple[int, sqlite3.Connection] | None = None
        self._inode = 0
        self._emptied = False  # a damaged file was replaced, and nobody filled the new one yet
        self._filled = -1  # the generation of connections whose file is known to be filled
        self._memory: sqlite3.Connection | None = None
        self.read_block: Callable[[bytes], bytes | None] | None = None
        """Reads a held block: large manifests are blocks. Set by the node."""
        self.overlays: dict[Any, Any] = {}
        """The tree at recent moments (see `overlay`)."""
        self.serial = 0
        """Rises with every transaction of this process, and when the index is replaced."""

    # --- connections ------------------------------------------------------------------------

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection; made, and the file with it, when first asked for.

        Kept by the system's number of the thread: a thread that Python did not start (of a FUSE
        library) has no `threading.local` that outlives one call.
        """
        thread = threading.get_ident()
        found = self._threads.get(thread)
        if found is not None and found[0] == self._generation:
            return found[1]
        with self._lock:
            connection = self._open()
            self._threads[thread] = (self._generation, connection)
            emptied, self._emptied = self._emptied, False
        if emptied and self.on_damage is not None:
            self.on_damage()
            return self.db
        return connection

    def _open(self) -> sqlite3.Connection:
        if self._memory is not None:
            return self._memory
        try:
            if self.path != MEMORY:
                return self._open_file()
        except sqlite3.OperationalError as error:
            if not self.readonly and _code(error) not in _UNWRITABLE:
                raise
        # A disk that may not, or cannot, be written: an index in memory serves.
        self._memory = index_schema.connect(MEMORY)
        index_schema.create(self._memory)
        return self._memory

    def _open_file(self) -> sqlite3.Connection:
        if self.readonly:
            return self._keep(self._open_readonly())
        for last in (False, True):
            try:
                return self._keep(self._checked(index_schema.connect(self.path)))
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                if last:
                    raise
                self._remove()
                self._emptied = True
        raise AssertionError

    def _open_readonly(self) -> sqlite3.Connection:
        """Without making anything. `OperationalError` where there is no use in what is there."""
        try:
            try:
                return self._checked(index_schema.connect(self.path, readonly=True))
            except sqlite3.OperationalError:
                wal = self.path + "-wal"
                if os.path.exists(wal) and os.path.getsize(wal):
                    raise
                # A disk that is read only for everybody: SQLite need not watch for writers.
                found = index_schema.connect(self.path, readonly=True, immutable=True)
                return self._checked(found)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise sqlite3.OperationalError(f"the index is damaged: {error}") from None

    def _keep(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        inode = self._inode_now()
        if self._inode not in (0, inode):
            # The file was replaced, by us or another: other threads hold the one that is gone.
            self._outdate()
        self._inode = inode
        if len(self._opened) >= _ROOMY:
            connection.execute(f"PRAGMA cache_size=-{index_schema.SMALL_CACHE_KIB}")
        self._opened.append((threading.get_ident(), connection))
        return connection

    def _outdate(self) -> None:
        """Make every thread connect anew; connections in use close when they are let go of."""
        self._generation += 1
        self._opened.clear()
        self._threads.clear()
        self._inode = 0
        self.serial += 1

    def _checked(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; raise `DatabaseError` for one that is not ours."""
        found = index_schema.number(connection)
        if found == index_schema.SCHEMA_NUMBER:
            connection.execute("SELECT value FROM meta WHERE key = 'built'").fetchone()
            connection.execute("SELECT no FROM path WHERE no = 1").fetchone()
            return
        if self.readonly:
            raise sqlite3.OperationalError("the index is of another version")
        index_schema.refuse_later(connection, self.path)
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty:
            raise sqlite3.DatabaseError("an index of another version")
        try:
            index_schema.create(connection)
        except sqlite3.OperationalError:
            # Another client made it between our look and our lock.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if index_schema.number(connection) != index_schema.SCHEMA_NUMBER:
                raise

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                fsio.unlink(self.path + suffix)

    def reset(self) -> None:
        """Throw the index away; the next question finds an empty one, to be filled again.

        Other threads may be in the middle of a question: their connections close by themselves.
        """
        with self._lock:
            self._outdate()
            self._memory = None
            if not self.readonly:
                self._remove()

    def to_memory(self) -> None:
        """Go on with a copy in memory: what a reader may not write it can still know."""
        with self._lock:
            if self._memory is not None:
                return
            source = self.db
            if self._memory is not None:
                return
            copy = index_schema.connect(MEMORY)
            source.backup(copy)
            self._outdate()
            self._memory = copy

    def refresh(self) -> None:
        """Notice that another process replaced the file: one `stat`."""
        if self._memory is not None or not self._inode:
            return
        inode = self._inode_now()
        if inode != self._inode or inode < 0:
            with self._lock:
                self._outdate()

    def _inode_now(self) -> int:
        """That of the file of this name; -1 where another client threw it away just now."""
        try:
            return os.stat(self.path).st_ino
        except FileNotFoundError:
            return -1

    def close(self) -> None:
        """Close the connections of this thread and of those that have ended. One that still runs,
        as nobody could wait for it, may be in the middle of a question: closing would crash it."""
        with self._lock:
            here = threading.get_ident()
            running = {thread.ident for thread in threading.enumerate()} - {here}
            own = self._threads.get(here)
            if own and not self.readonly and any(thread in running for thread, _ in self._opened):
                index_schema.bring_in_log(own[1])
            for thread, connection in self._opened:
                if thread not in running:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
            self._outdate()
            self._memory = None

    # --- asking and writing -----------------------------------------------------------------

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query. A damaged index is rebuilt once and asked again."""
        return self.answer(sql, args, list)

    def answer(self, sql: str, args: Sequence[Any], take: Callable[[Iterable[Any]], T]) -> T:
        """What `take` makes of the rows of a query, which need not be in memory all at once.
        A damaged index is rebuilt once and asked again: `take` may be called twice."""
        try:
            return take(self.db.execute(sql, args))
        except sqlite3.OperationalError as error:
            if self.on_damage is None or not is_damage(error):
                raise
        except sqlite3.DatabaseError:
            if self.on_damage is None:
                raise
        self.reset()
        self.on_damage()
        return take(self.db.execute(sql, args))

    def one(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """The first row of a query, or `None`."""
        found = self.rows(sql, args)
        return found[0] if found else None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything or nothing, one writer at a time among all clients of the node.

        Nested use joins the transaction that is open in this thread.
        """
        db = self.db
        # The index in memory has one connection for all threads: they take turns here.
        with self._lock if self._memory is not None else contextlib.nullcontext():
            if db.in_transaction:
                yield db
                return
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        self.serial += 1

    @contextlib.contextmanager
    def sorting_on_disk(self, kib: int) -> Iterator[sqlite3.Connection]:
        """A transaction that sorts in so much memory and else in temporary files. Raises
        `sqlite3.OperationalError`, having done nothing, where those find no room."""
        db = self.db
        try:
            index_schema.spare_memory(db, kib)
            with self.transaction():
                yield db
        finally:
            index_schema.use_memory(db)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """All that is asked through it is answered as of one moment. Nothing may be written."""
        db = self.db
        with self._lock if self._memory is not None else contextlib.nullcontext():
            if self._memory is not None or db.in_transaction:
                yield db
                return
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextlib.contextmanager
    def large_cache(self) -> Iterator[None]:
        """While this thread writes much."""
        before = self.db.execute("PRAGMA cache_size").fetchone()[0]
        self.db.execute(f"PRAGMA cache_size=-{index_schema.LARGE_CACHE_KIB}")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute(f"PRAGMA cache_size={before}")

    @contextlib.contextmanager
    def large_log(self) -> Iterator[None]:
        """While this thread fills the index."""
        pages = index_schema.filling_log_pages(self.path)
        self.db.execute(f"PRAGMA wal_autocheckpoint={pages}")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute(f"PRAGMA wal_autocheckpoint={index_schema.LOG_PAGES}")
                self.db.execute(f"PRAGMA journal_size_limit={index_schema.LOG_KEPT_BYTES}")

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in a transaction. It may be done twice: it must not depend on the first time.

        A damaged index is filled again first. When the disk is full or fails, this process goes
        on in memory and leaves no outdated index behind: what is in it can be made again, and
        letting go of blocks must need no space. Raises `errors.Locked` after a minute's wait.
        """
        try:
            with self.transaction() as db:
                return work(db)
        except sqlite3.DatabaseError as error:
            if self.db.in_transaction:
                raise  # part of a larger one, which is done again as a whole
            self._recover(error)
        with self.transaction() as db:
            return work(db)

    def _recover(self, error: sqlite3.DatabaseError) -> None:
        code = _code(error)
        if code == sqlite3.SQLITE_BUSY:
            seconds = index_schema.BUSY_MILLISECONDS // 1000
            raise Locked(path=self.path, holder="another client", seconds=seconds) from error
        if code in _DAMAGED:
            self.reset()
            if self.on_damage is not None:
                self.on_damage()
        elif code in _UNWRITABLE and self._memory is None:
            self.to_memory()
            if not self.readonly:
                with contextlib.suppress(OSError):
                    self._remove()
        else:
            raise error

    def drop_outdated(self) -> None:
        """Where this process goes on in memory, for the file could not even be opened (no room, no
        inode for its log), remove the file: it would say that blocks are here which are not."""
        if self._memory is not None and not self.readonly and self.path != MEMORY:
            with contextlib.suppress(OSError):
                self._remove()

    def change_mark(self) -> tuple[int, int, int]:
        """A value that differs after any process changed the index (for caches)."""
        thread = self.db
        with self._lock:
            if self._watching is None or self._watching[0] != self._generation:
                # Each connection counts for itself: all threads must ask the same one.
                watcher = thread if self._memory is not None else self._open()
                self._watching = (self._generation, watcher)
            data = self._watching[1].execute("PRAGMA data_version").fetchone()[0]
            return self._generation, self.serial, int(data)

    def meta(self, key: MetaKey) -> Any:
        """A value kept beside the tables, or `None`."""
        found = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def set_meta(self, key: MetaKey, value: Any) -> None:
        """Keep a value beside the tables."""
        sql = "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)"
        self.write(lambda db: db.execute(sql, (key, value)))

    def is_filled(self) -> bool:
        """Whether all was read into it that lay there when it was made: until then it, too, can be
        asked, but what it does not have may only not be in it yet."""
        _ = self.db  # notices a file that was replaced
        generation = self._generation
        if self._filled != generation and self.meta("filled") is not None:
            self._filled = generation
        return self._filled == generation

    def note_filled(self) -> None:
        """Everything that lay there is in it now."""
        if not self.is_filled():
            if not self.readonly or self._memory is not None:
                self.set_meta("filled", 1)
            self._filled = self._generation

    # --- what a commit asks -----------------------------------------------------------------

    def path_infos(self, paths: Sequence[bytes]) -> dict[bytes, PathInfo]:
        """Newest time and heads of every path of `paths` that is known."""
        known: dict[int, tuple[bytes, int]] = {}
        found: dict[int, list[HeadInfo]] = {}
        shown: list[tuple[int, int, int]] = []
        for chunk in chunks(paths):
            sql = f"SELECT no, path, newest, shown, heads FROM path WHERE path IN ({marks(chunk)})"
            for no, path, newest, row, heads in self.db.execute(sql, chunk):
                known[no] = (path, newest)
                found[no] = []
                shown.append((no, row, heads))
        for condition, values in head_conditions(shown):
            sql = (
                "SELECT path, id, row, time, kind, mode, mtime, content FROM version "
                f"WHERE {condition} ORDER BY path, time, id"
            )
            for no, *rest in self.db.execute(sql, values):
                found[no].append(HeadInfo(*rest))
        return {path: PathInfo(new, tuple(found[no])) for no, (path, new) in known.items()}

    # --- nodes ------------------------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        """Every node that has written or was named, by uuid."""
        sql = "SELECT uuid, name, cacheonly, retired FROM node ORDER BY uuid"
        return [NodeInfo(u, n, bool(c), bool(r)) for u, n, c, r in self.rows(sql)]

    def node_name(self, uuid: str) -> str:
        """The announced name of a node; the start of its uuid while it announced none."""
        found = self.one("SELECT name FROM node WHERE uuid = ?", (uuid,))
        return str(found[0]) if found and found[0] else uuid[:8]
