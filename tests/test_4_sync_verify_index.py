"""`verify` compares the index with the journals: a wrong value in any row is found, and mended."""

from __future__ import annotations

import os
import shutil
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from globofs.format.manifest import Block
from globofs.format.record import Found
from globofs.store import audit as audit_module
from globofs.store.audit import Audit
from globofs.store.commit import Draft, Operation
from globofs.sync.results import Policy
from globofs.volume import Volume
from tests.helpers_cli import Shell

HINTS = {
    "meta": "how far local work got; wrong, it is done again",
    "cursor": "how far files were read; what was not read is lacking in other tables",
    "built": "what stands in root/, which is compared itself",
    "again": "what to build in root/, which is compared itself",
    "staged": "where copies lie; each is checked when it is read",
    "block.synced": "what the disk has nobody can tell afterwards",
    "block.held": "compared with hashes/, both ways",
    "block.last_use": "when something was read is written nowhere else",
    "node.no": "nothing names a node by it",
    "seen.forked": "stays when the other branch is gone",
}
"""What no journal tells, and why it may be wrong without harm."""
EMPTY = {"orphan", "again", "built"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that knows two: edits, a rename, a deletion, a conflict, links, a prune, a retired
    node, a version whose parent is unknown."""
    top = tmp_path_factory.mktemp("made")
    source = top / "source"
    (source / "d/e").mkdir(parents=True)
    with Volume.init(str(top / "a"), name="a") as a, Volume.init(str(top / "b"), name="b") as b:
        for number, volume in enumerate((a, b, a, a)):
            (source / "d/e/large").write_bytes(os.urandom(20_000))
            (source / "d/small").write_text(f"text {number}" * (number + 1))
            (source / "link").unlink(missing_ok=True)
            (source / "link").symlink_to(f"d/{number}")
            volume.add([f"{source}/"], delete=True)
        a.mv(b"d/small", b"moved")
        a.rm([b"link"])
        a.peer_add("b", str(top / "b"), yes=True)
        b.peer_add("a", str(top / "a"), yes=True)
        for _ in range(2):
            b.sync()
            a.sync()
        with a.node.operation("add", ["odd"]) as operation:
            operation.commit([Draft(b"odd", "directory", parents=(b"\x07" * 32,))])
        a.prune(Policy(keep_last=1))
        a.peer_remove("b")
        a.peer_retire(b.uuid)
        assert a.conflicts()
        assert a.verify().problems == ()
    with sqlite3.connect(top / "a/local/index.sqlite") as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return top / "a"


def spoiled(value: Any, bit: int) -> Any:
    """Another value of the same kind: a bit of it is another."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 4]) if value else b"\x04"
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
    return bit if value is None else value ^ bit


def columns(db: sqlite3.Connection) -> list[tuple[str, str, list[str]]]:
    """Table, column, and the primary key's columns, of all tables."""
    found = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        info = db.execute(f"PRAGMA table_info({table})").fetchall()
        keys = [row[1] for row in info if row[5]]
        found += [(table, row[1], keys) for row in info]
    return found


def count(volume: Volume) -> int:
    """How many rows are wrong. A value that cannot even be read is one."""
    audit = Audit(volume.node.index)
    try:
        for origin in volume.node.journal.origins():
            if batch := list(volume.node.journal.read_from(origin, 0)):
                audit.take(origin, batch, 0)
        audit.end((), volume.node.catch_up)
    except sqlite3.DatabaseError:
        return 1
    return audit.findings.count


def test_every_column_of_every_table(made: Path) -> None:
    """One value after the other is spoiled, in the first and in the last row."""
    unseen: list[str] = []
    tried = 0
    with Volume.open(str(made)) as volume:
        volume.node.catch_up()
        db = volume.node.index.db
        assert count(volume) == 0
        for table, column, keys in columns(db):
            if table in HINTS or f"{table}.{column}" in HINTS:
                continue
            # When an operation ended one of its last records tells: it is known to a second or so.
            bit = 1 << 40 if (table, column) == ("op", "last") else 4
            key = ", ".join(keys)
            rows = db.execute(f"SELECT {column}, {key} FROM {table} ORDER BY {key}").fetchall()
            assert rows or table in EMPTY, table
            for value, *which in {rows[0], rows[-1]} if rows else ():
                sql = f"UPDATE {table} SET {column} = ? WHERE {' = ? AND '.join(keys)} = ?"
                db.execute("SAVEPOINT before")
                tried += 1
                try:
                    db.execute(sql, (spoiled(value, bit), *which))
                    assert db.execute("SELECT changes()").fetchone() == (1,)
                    if not count(volume):
                        unseen.append(f"{table}.{column}: {value!r}")
                except sqlite3.IntegrityError:
                    pass  # SQLite's own check finds that one
                finally:
                    db.execute("ROLLBACK TO before")
                    db.execute("RELEASE before")
        assert count(volume) == 0
    assert unseen == []
    assert tried > 100


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM record; DELETE FROM version WHERE row > 1",
        "UPDATE version SET id = CAST(x'01' || substr(id, 2) AS BLOB) WHERE row = 3",
        "UPDATE version SET size = size + 1 WHERE kind = 'file'",
        "UPDATE path SET path = CAST('d/e/largf' AS BLOB) WHERE path = CAST('d/e/large' AS BLOB)",
        "UPDATE path SET d_bytes = d_bytes + 100",
        "UPDATE record SET id = CAST(x'01' || substr(id, 2) AS BLOB) WHERE seq = 5",
        "UPDATE record SET seq = seq + 100 WHERE seq = 5",
        "DELETE FROM record WHERE seq = 5",
        "DELETE FROM use",
        "DELETE FROM version WHERE row = 2",
        "UPDATE op SET args = 'something else'",
        "UPDATE cursor SET offset = size, size = size + 1; DELETE FROM record WHERE seq > 20",
    ],
)
def test_found_mended_and_silent(made: Path, tmp_path: Path, spoil: str) -> None:
    """Whole commands, after each of which the journals and blocks are as they were."""
    at = tmp_path / "vol"
    shutil.copytree(made, at, symlinks=True)
    with Volume.open(str(at)) as volume:
        before = answers(volume)
        volume.node.index.db.executescript(spoil)
    here = Shell(at)
    found = here("verify", "--json", expect=1).json
    assert found["damaged"] > 0
    reasons = [problem["reason"] for problem in found["problems"] if not problem["warning"]]
    assert reasons
    assert all(reason.startswith("index.sqlite is damaged: ") for reason in reasons)
    mended = here("verify", "--repair", "--json").json
    assert mended["repaired"] == mended["damaged"] > 0
    silent = here("verify", "--json").json
    assert (silent["damaged"], silent["problems"]) == (0, [])
    with Volume.open(str(at)) as volume:
        assert answers(volume) == before


@pytest.mark.parametrize("table", ["version", "path", "record", "block"])
def test_a_flipped_bit_that_makes_a_text_of_an_id(made: Path, tmp_path: Path, table: str) -> None:
    """Python cannot even read such a value. Who meets it makes the index anew, no command fails."""
    at = tmp_path / "vol"
    shutil.copytree(made, at, symlinks=True)
    column = "version" if table == "path" else "id"
    with Volume.open(str(at)) as volume:
        before = answers(volume)
        sql = f"UPDATE {table} SET {column} = CAST({column} AS TEXT) WHERE length({column}) = 32"
        volume.node.index.db.execute(sql)
    here = Shell(at)
    found = here("verify", "--json", expect=1).json
    assert found["damaged"] == 1
    assert "index.sqlite is damaged: " in found["problems"][0]["reason"]
    here("ls", "-lR")
    for words in (("--repair",), ()):
        silent = here("verify", "--json", *words).json
        assert (silent["damaged"], silent["problems"]) == (0, [])
    with Volume.open(str(at)) as volume:
        assert answers(volume) == before


def answers(volume: Volume) -> list[Any]:
    """What the index says of every path and its versions; its own numbers may be others."""
    view = volume.view()
    return [
        [one._replace(row=0) for one in (entry, *volume.history(entry.path))]
        for entry in view.walk()
    ]


@pytest.mark.parametrize("most", [1000, 1])
def test_what_is_committed_meanwhile_is_no_difference(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Others write while the journals are read: a record may stand in a journal and not yet in the
    index, or be in the index and not in what was read of the journal."""
    at = tmp_path / "vol"
    shutil.copytree(made, at, symlinks=True)
    monkeypatch.setattr(audit_module, "MISSING_MOST", most)
    with Volume.open(str(at)) as volume, Volume.open(str(at)) as other:
        take = Audit.take
        late: list[Operation] = []

        def and_commit(audit: Audit, origin: str, batch: list[Found], after: int) -> None:
            if origin != volume.uuid:
                take(audit, origin, batch, after)
                return
            other.prune(Policy(keep_last=1))
            late.append(other.node.operation("add", ["late"], late=True))
            late[0].commit([Draft(b"late/%d" % number, "directory") for number in range(5)])
            batch = list(volume.node.journal.read_from(origin, 0))
            sql = "SELECT received FROM seen WHERE origin = ?"
            assert batch[-1].record.seq > volume.node.index.one(sql, (origin,))[0]
            take(audit, origin, batch, after)
            other.mv(b"moved", b"again")

        monkeypatch.setattr(Audit, "take", and_commit)
        done = volume.verify()
        assert late
        late[0].close()
        assert (done.damaged, done.problems) == (0, ())
        monkeypatch.undo()
        assert volume.verify().problems == ()


def test_versions_whose_manifest_is_too_large_for_a_record(tmp_path: Path) -> None:
    """Before the manifest has come, and after: no difference; and what is wrong is found."""
    blocks = tuple(Block(sha256(b"%d" % n).digest(), 1000 + n) for n in range(15_000))
    size = sum(block.size for block in blocks)
    with (
        Volume.init(str(tmp_path / "a"), name="a") as a,
        Volume.init(str(tmp_path / "b"), name="b") as b,
    ):
        with a.node.operation("add", ["large"]) as operation:
            operation.commit([Draft(b"large", "file", size=size, blocks=blocks)])
        shutil.copytree(a.node.upstream(a.uuid), b.node.upstream(a.uuid))
        b.node.catch_up()
        assert b.node.index.one("SELECT count(*) FROM version WHERE pending = 1") == (1,)
        assert (count(a), b.verify().problems) == (0, ())
        assert spoil_and_count(b, "UPDATE version SET lacking = lacking + 1") == 2
        (block,) = b.node.index.one("SELECT id FROM block WHERE size > 1 << 20")
        data, suffix = a.node.blocks.read_raw(block)
        b.node.blocks.put(block, data, suffix)
        b.node.blocks.flush()
        b.node.catch_up()
        assert b.node.index.one("SELECT count(*) FROM version WHERE pending = 1") == (0,)
        assert b.verify().problems == ()
        for sql in (
            "UPDATE version SET list = zeroblob(8) || substr(list, 9)",
            "UPDATE block SET size = size + 1 WHERE no = 77",
            "UPDATE block SET size = size + 1 WHERE size > 1 << 20",
            "UPDATE use SET bytes = bytes + 1 WHERE block = 77",
            "INSERT INTO use VALUES(1, 1000, 1, 1), (1, 0, 1, 1)",
        ):
            assert spoil_and_count(b, sql) > 0, sql


def spoil_and_count(volume: Volume, sql: str) -> int:
    """What is wrong after a change of the index, which is taken back."""
    db = volume.node.index.db
    db.execute("SAVEPOINT before")
    try:
        db.execute(sql)
        assert db.execute("SELECT changes()").fetchone()[0] > 0
        return count(volume)
    finally:
        db.execute("ROLLBACK TO before")
        db.execute("RELEASE before")
