"""An index that is filled without its index by id is the one that was made record by record."""

from __future__ import annotations

import marshal
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.errors import FormatError
from globofs.format import kinds, manifest, record
from globofs.format.record import Framed, encode_record, frames
from globofs.format.versions import read
from globofs.store import _decoding, apply, catchup, filling, index_schema, second
from globofs.store.apply import Item, apply_items
from globofs.store.catchup import catch_up
from globofs.store.decoder import Decoder, item
from globofs.store.index import Index
from globofs.store.query import View
from tests.helpers_index import START, make_history
from tests.helpers_node import deliver, new_node, put

HAND_MADE = b"kind=file\nsize=0\nmode=0644\nmtime=1.000000000\n\nblocks=0\n"
STRANGER = "00000000-0000-0000-0000-0000000000aa"


def tables(index: Index) -> dict[str, list[object]]:
    """Everything the index holds, and by which indexes."""
    names = index.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    found = {name: sorted(index.rows(f"SELECT * FROM {name}"), key=repr) for (name,) in names}
    found["indexes"] = index.rows("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY 1")
    return found


def filled(items: list[Item], quick: bool) -> Index:
    index = Index(":memory:")
    if quick:
        filling.begin(index)
        assert filling.is_filling(index.db)
    apply_items(index, items)
    filling.finish(index)
    return index


def strange_items(rng: random.Random, told: list[kinds.VersionRecord]) -> list[Item]:
    """A stranger's records: what others wrote once more, under other names, of other parents."""
    versions = [entry.manifest for entry in told] + [bytes(32)]
    made: list[Item] = []
    prev = record.FIRST_PREV
    for seq in range(1, rng.randrange(2, 12)):
        path = rng.choice([b"a", b"a/b", b"z", b"new"])
        time = START + rng.randrange(30)
        entry: kinds.Entry
        what = rng.randrange(6)
        if what == 0:
            entry = kinds.PruneRecord((), tuple(rng.sample(versions, 2)))
        elif what == 1:  # of any path and time: it names neither
            plain = manifest.decode(HAND_MADE, path=path, version=time)
            entry = kinds.VersionRecord.of(plain, HAND_MADE)
        elif what == 2:  # too large to be here
            entry = kinds.VersionRecord(
                path, "file", time, (), rng.choice([*versions, rng.randbytes(32)]), 2**21
            )
        elif what == 3:
            parents = tuple(rng.sample([*versions, rng.randbytes(32)], 2))
            m = manifest.decode(HAND_MADE, path=path, version=time)._replace(parents=parents)
            entry = kinds.VersionRecord.of(m, manifest.encode(m))
        else:
            entry = rng.choice(told)
        made_record = kinds.make_record(seq, STRANGER, prev, seq, time, entry)
        prev = record.encode_record(made_record)[1]
        made.append(Item(made_record, prev))
    return made


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 40), batch=st.sampled_from([1, 3, 1000]))
def test_filled_at_once_is_made_step_by_step(seed: int, count: int, batch: int) -> None:
    rng = random.Random(seed)
    history = make_history(rng, count)
    items = list(history.items)
    if rng.random() < 0.7:
        items += strange_items(rng, [kinds.VersionRecord.parse(i.record) for i in items])
    if rng.random() < 0.5:
        rng.shuffle(items)
    items += rng.sample(items, rng.randrange(len(items)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "BATCH", batch)
        patch.setattr(apply, "MANY", 2)
        made, at_once = filled(items, False), filled(items, True)
    assert tables(at_once) == tables(made)
    assert at_once.one("PRAGMA cache_size") == (-index_schema.CACHE_KIB,)
    made.close()
    at_once.close()


def test_a_fill_that_was_killed_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup, "FILL_BYTES", 1)
    node, other = new_node(tmp_path / "v"), new_node(tmp_path / "w", "beta")
    for number in range(3):
        put(other, b"f%d" % number, b"x")
    deliver(other, node)
    node.index.reset()

    def killed(index: Index) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(filling, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            catch_up(node)
    assert filling.is_filling(node.index.db)
    assert [entry.path for entry in View(node).walk()] == [b"f0", b"f1", b"f2"]
    catch_up(node)
    assert not filling.is_filling(node.index.db)
    assert ("version_id",) in tables(node.index)["indexes"]
    node.close()
    other.close()


def test_without_room_for_temporary_files_it_sorts_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = make_history(random.Random(1), 30).items
    index = Index(str(tmp_path / "i"))
    filling.begin(index)
    apply_items(index, items)
    tried: list[object] = []

    def full(db: sqlite3.Connection) -> None:
        tried.append(db.execute("PRAGMA temp_store").fetchone()[0])
        if len(tried) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        make(db)

    make = filling.make_index
    monkeypatch.setattr(filling, "make_index", full)
    filling.finish(index)
    assert tried == [1, 2], "in files, then in memory"
    assert not filling.is_filling(index.db)
    index.close()


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A journal as it is, or cut, or with some bytes changed, or with others in between."""
    at = rng.randrange(len(data) + 1)
    return rng.choice(
        [
            data,
            data[:at],
            data[:at] + rng.randbytes(3) + data[at + 3 :],
            data[:at] + rng.choice([b"\n\n", bytes(40), b"globofs-record 7"]) + data[at:],
        ]
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), first=st.sampled_from([30, 700, 10**6]))
def test_records_are_decoded_up_to_the_first_harm(
    tmp_path_factory: pytest.TempPathFactory, seed: int, first: int
) -> None:
    rng = random.Random(seed)
    history = make_history(rng, 12)
    told = [kinds.VersionRecord.parse(one.record) for one in history.items]
    items = history.items + strange_items(rng, told)
    data = damaged(rng, b"".join(b"\n" + encode_record(one.record)[0] for one in items))
    expected: list[Item] = []
    for found in frames(data):
        try:
            if not isinstance(found, Framed):
                break
            record, version, made = read(found.body)
        except FormatError:
            break
        content = made.content if made else b""
        expected.append(Item(record, found.id, version, made, content))
        end = found.end
    path = tmp_path_factory.getbasetemp() / "journal"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_decoding, "_FIRST_BYTES", first)
        pieces = [marshal.loads(marshal.dumps(p)) for p in _decoding.pieces(str(path), 0)]
    assert [item(row) for _, rows in pieces for row in rows] == expected
    assert all(rows for _, rows in pieces[:-1])
    assert pieces[-1] == ((end if expected else 0), [])


@pytest.mark.parametrize("fate", ["works", "dies", "hangs", "tells of other files", "cannot start"])
def test_a_second_process_decodes_what_an_index_is_filled_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    node = new_node(tmp_path / "v")
    for number in range(3):
        put(node, b"f%d" % number, b"x")
    before = tables(node.index)
    node.index.reset()
    monkeypatch.setattr(catchup, "FILL_BYTES", 1)
    if fate == "hangs":
        monkeypatch.setattr(second, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    begin, heard = Decoder.start, []

    def start() -> Decoder | None:
        made = begin()
        assert made is not None
        if fate == "dies":
            os.kill(made.pid, signal.SIGKILL)
        elif fate == "tells of other files":
            made.expect([(str(tmp_path / "other"), 0)])
        elif fate == "cannot start":
            made.close()
            return None
        elif fate == "hangs":
            os.kill(made.pid, signal.SIGSTOP)
        receive = made.receive
        monkeypatch.setattr(made, "receive", lambda: heard.append(receive()) or heard[-1])
        return made

    monkeypatch.setattr(Decoder, "start", start)
    catch_up(node)
    records = [len(piece[1]) for piece in heard if piece]
    assert sum(records) == (node.journal.last().seq if fate == "works" else 0)
    assert node.index.one("PRAGMA wal_autocheckpoint") == (index_schema.LOG_PAGES,)
    after = tables(node.index)
    for name in ("path", "version", "use", "op", "record", "seen", "indexes"):
        assert after[name] == before[name], name
    node.close()
