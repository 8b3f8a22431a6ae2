"""The tables of `index.sqlite`, and how a connection to it is opened.

The index is a cache: journals, `hashes/` and `staged/` hold everything in it. Whatever looks
wrong with it (another schema, damage, a foreign file) is answered by deleting and rebuilding it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import Final, Literal

from globofs.errors import LaterIndex

SCHEMA_NUMBER: Final = 9
"""Raised with every change below; an index of another number is rebuilt."""

LOG_PAGES: Final = 1000
FILLING_LOG_PAGES: Final = 16 * 1024
"""Pages in the log before they are brought into the file, always and, at most, while the index is
filled: each time both are made durable."""
_FILLING_LOG_SHARE: Final = 8
"""The part of the free space that the log may take while the index is filled."""
_PAGE_BYTES: Final = 4096
LOG_KEPT_BYTES: Final = 4 * 1024 * 1024
"""What of a log that grew is kept to be written over."""
BUSY_MILLISECONDS: Final = 60_000
CACHE_KIB: Final = 8 * 1024
"""Of a connection, and every thread has one: what is read is in the system's cache as well."""
SMALL_CACHE_KIB: Final = 1024
"""Of each further one: a mount has twenty, and looks up as many paths a second with this."""
LARGE_CACHE_KIB: Final = 32 * 1024
"""While many records are applied: what one batch changed, the next changes again."""

TOTALS: Final = ("files", "bytes", "versions", "conflicts", "blocks", "missing", "lacking", "live")
"""What a directory sums up over everything below it, as columns `d_<name>` of `path`."""

MetaKey = Literal[
    "held",  # what lies in `hashes/` and `staged/` was told to this index
    "filled",  # so were all journals that lay there when it was made
    "adopted",  # what was laid out by hand was looked for (`adopt`)
    "own_ready",  # of our own journal: the number up to which its blocks stand in `hashes/`
    "given_row",  # versions up to this row were looked at for blocks that a peer sent before
    "tree_row",  # versions up to this row stand in `root/`
    "tree_boot",  # under which boot they were put there
    "tree_row_synced",  # up to this row they stand there durably
    "tree_settled",  # when that was, nanoseconds
    "collected",  # how many prune records there were when blocks were last collected
    "trash_row",  # the newest version when the trash was last looked through
]
"""The keys of the table `meta`. (While the index is filled, `filling` keeps a mark of its own.)"""

SCHEMA: Final = (
    """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE node(
    no INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '',
    cacheonly INTEGER NOT NULL DEFAULT 0, told INTEGER NOT NULL DEFAULT 0,
    retired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE path(
    no INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, parent INTEGER, name BLOB NOT NULL,
    shown INTEGER NOT NULL DEFAULT 0, version BLOB NOT NULL DEFAULT x'',
    kind TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL DEFAULT 0,
    mode INTEGER NOT NULL DEFAULT 0, mtime INTEGER NOT NULL DEFAULT 0,
    time INTEGER NOT NULL DEFAULT 0, node TEXT NOT NULL DEFAULT '',
    target BLOB NOT NULL DEFAULT x'', newest INTEGER NOT NULL DEFAULT 0,
    nversions INTEGER NOT NULL DEFAULT 0, heads INTEGER NOT NULL DEFAULT 0, conflict INTEGER NOT NULL DEFAULT 0,
    blocks INTEGER NOT NULL DEFAULT 0, missing INTEGER NOT NULL DEFAULT 0,
    lacking INTEGER NOT NULL DEFAULT 0, """
    + ", ".join(f"d_{name} INTEGER NOT NULL DEFAULT 0" for name in TOTALS)
    + """);
CREATE UNIQUE INDEX path_children ON path(parent, name);
CREATE INDEX path_conflict ON path(no) WHERE conflict > 0;
CREATE TABLE version(
    row INTEGER PRIMARY KEY, id BLOB NOT NULL, path INTEGER NOT NULL,
    time INTEGER NOT NULL, node TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL,
    mode INTEGER NOT NULL, mtime INTEGER NOT NULL, target BLOB NOT NULL, parents BLOB NOT NULL,
    from_path BLOB, from_id BLOB, content BLOB NOT NULL, blocks INTEGER NOT NULL,
    missing INTEGER NOT NULL, lacking INTEGER NOT NULL, head INTEGER NOT NULL,
    pruned INTEGER NOT NULL DEFAULT 0, op INTEGER NOT NULL, source TEXT NOT NULL,
    origin TEXT NOT NULL, seq INTEGER NOT NULL, list BLOB NOT NULL, extra TEXT,
    pending INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX version_id ON version(id);
CREATE INDEX version_path ON version(path, time);
CREATE INDEX version_time ON version(time);
CREATE INDEX version_op ON version(op);
CREATE INDEX version_from ON version(from_id) WHERE from_id IS NOT NULL;
CREATE TABLE orphan(parent BLOB NOT NULL, path INTEGER NOT NULL, PRIMARY KEY(parent, path))
    WITHOUT ROWID;
CREATE TABLE prune(version BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE block(
    no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, size INTEGER NOT NULL DEFAULT -1,
    held INTEGER NOT NULL DEFAULT 0, synced INTEGER NOT NULL DEFAULT 0,
    last_use INTEGER NOT NULL DEFAULT 0);
CREATE INDEX block_unsynced ON block(no) WHERE held = 1 AND synced = 0;
CREATE TABLE use(
    block INTEGER NOT NULL, version INTEGER NOT NULL, times INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY(block, version)) WITHOUT ROWID;
CREATE TABLE staged(
    id BLOB PRIMARY KEY, file TEXT NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    suffix TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE op(
    no INTEGER PRIMARY KEY, node TEXT NOT NULL, number INTEGER NOT NULL,
    verb TEXT NOT NULL DEFAULT '', args TEXT NOT NULL DEFAULT '', time INTEGER NOT NULL,
    last INTEGER NOT NULL, versions INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0, closed INTEGER NOT NULL DEFAULT 0, UNIQUE(node, number));
CREATE INDEX op_last ON op(last, no);
CREATE TABLE record(
    origin TEXT NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL, prev BLOB NOT NULL,
    PRIMARY KEY(origin, seq, id)) WITHOUT ROWID;
CREATE TABLE seen(
    origin TEXT PRIMARY KEY, received INTEGER NOT NULL, hash BLOB NOT NULL,
    gaps TEXT NOT NULL DEFAULT '', forked INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE cursor(
    directory TEXT NOT NULL, print BLOB NOT NULL, name TEXT NOT NULL, offset INTEGER NOT NULL,
    size INTEGER NOT NULL, mtime INTEGER NOT NULL, PRIMARY KEY(directory, print)) WITHOUT ROWID;
CREATE INDEX version_pending ON version(row) WHERE pending = 1;
CREATE TABLE built(
    origin TEXT PRIMARY KEY, seq INTEGER NOT NULL, done INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE again(row INTEGER PRIMARY KEY);
CREATE TABLE event(
    origin TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL,
    time INTEGER NOT NULL, op INTEGER NOT NULL, PRIMARY KEY(origin, seq, kind, fields))
    WITHOUT ROWID;
"""
)
"""The tables, and what columns mean that do not say it. Times are nanoseconds, ids 32 raw bytes.

`node`: nodes that wrote or were named; `told`: the number of the `node` record that was taken.
`path`: every path that ever had a version, and the directories above. `shown`, `version`: row and id
of the version shown, of which the columns up to `target` are; `newest`: time of the newest version;
`heads`: how many; `conflict`: bits of `totals`; `missing`, `lacking`: blocks and bytes that are not
here; `d_...`: the same of all below it.
`version`: `row` counts as they came; `parents`: ids one behind the other; `list`: number of a block
and size in turn, 32 bits each; `origin`, `seq`: the record that brought it; `source`: the folder it was
added from; `pending`: its large manifest has not come.
`orphan`: versions that a version of the path names as parent, and that are not known.
`prune`: versions that a prune record let go of, known or not.
`block`: `size` -1 is unknown; `synced`: known to be on the disk itself.
`use`: how often, and with how many bytes in all, a version lists a block.
`staged`: where a copy of a block lies in a staged file.
`op`: operations; `number`: that of its first record; `last`: the largest time of its versions.
`record`: every record of every journal; a fork has two under one number.
`seen`: how far each journal is here; `gaps`: as `1-3,7-7`.
`cursor`: how far each journal file was read, and how it looked then; `print`: its first bytes.
`built`: how far each journal stands in `root/`, durably (`seq`) and at all (`done`).
`again`: rows to be built into `root/` once more.
`event`: records that are neither versions nor ends of operations."""


def connect(path: str, *, readonly: bool = False, immutable: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode with this program's settings. Raises `sqlite3.Error`.

    `readonly` never makes or changes the file; `immutable` is for one that nobody can change.
    """
    name = path
    if readonly:
        quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        name = f"file:{quoted}?mode=ro{'&immutable=1' if immutable else ''}"
    db = sqlite3.connect(
        name, uri=readonly, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        db.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        use_memory(db)
        if not readonly:
            db.execute("PRAGMA synchronous=NORMAL")
    except UnicodeDecodeError as error:  # what SQLite says of a damaged schema quotes it
        db.close()
        raise sqlite3.DatabaseError("the schema is damaged") from error
    except BaseException:
        db.close()
        raise
    return db


def filling_log_pages(path: str) -> int:
    """How many pages the log of an index may have while that is filled: fewer where there is little
    room. Raises OSError."""
    disk = os.statvfs(os.path.dirname(path) or ".")
    share = disk.f_bavail * disk.f_frsize // _FILLING_LOG_SHARE // _PAGE_BYTES
    return max(LOG_PAGES, min(FILLING_LOG_PAGES, share))


def use_memory(db: sqlite3.Connection) -> None:
    """The usual cache, and no temporary files."""
    db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    db.execute("PRAGMA temp_store=MEMORY")


def spare_memory(db: sqlite3.Connection, kib: int) -> None:
    """A cache of that size, and temporary files, until `use_memory`; outside of a transaction."""
    db.execute(f"PRAGMA cache_size=-{kib}")
    db.execute("PRAGMA temp_store=FILE")


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database, whole or not at all."""
    if not path_is_memory(db):
        db.execute("PRAGMA journal_mode=WAL")
    db.executescript("BEGIN IMMEDIATE;" + SCHEMA)
    db.execute("INSERT INTO path(no, path, parent, name) VALUES(1, x'', NULL, x'')")
    db.execute(f"PRAGMA application_id={SCHEMA_NUMBER}")
    db.execute(f"PRAGMA user_version={SCHEMA_NUMBER}")
    db.execute("COMMIT")


def path_is_memory(db: sqlite3.Connection) -> bool:
    """Whether the database lives in memory alone (a volume that may not be written)."""
    return not db.execute("PRAGMA database_list").fetchone()[2]


def number(db: sqlite3.Connection) -> int:
    """The schema number of an open database, 0 for an empty one."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def refuse_later(db: sqlite3.Connection, path: str) -> None:
    """Raise `errors.LaterIndex` where a later release made the file: while both run, each would
    make it anew for ever. A file says its number twice: one alone may be a flipped bit."""
    found = number(db)
    if found > SCHEMA_NUMBER and found == db.execute("PRAGMA application_id").fetchone()[0]:
        raise LaterIndex(path=path)


def bring_in_log(connection: sqlite3.Connection) -> None:
    """As SQLite does when the last connection closes, unless somebody would have to wait."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
