"""The index: any order and any repetition give the same rows, and they are the right ones."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.errors import LaterIndex, Locked
from globofs.events import Problem
from globofs.store import index_schema
from globofs.store.apply import apply_items
from globofs.store.index import Index
from globofs.store.staged import StagedBlock
from tests.helpers_index import (
    NODES,
    History,
    block,
    expected_paths,
    found_paths,
    make_history,
)


@pytest.fixture
def index(tmp_path: Path):
    made = Index(str(tmp_path / "index.sqlite"))
    yield made
    made.close()


def deliver(index: Index, history: History, rng: random.Random) -> None:
    """Apply all records in random batches, shuffled, some of them repeatedly."""
    order = list(history.items)
    rng.shuffle(order)
    order += rng.sample(order, len(order) // 3)
    while order:
        size = rng.choice((1, 2, 5, 50))
        apply_items(index, order[:size])
        order = order[size:]


def memory_index() -> Index:
    return Index(":memory:")


def heads_of(index: Index) -> set[bytes]:
    return {row[0] for row in index.rows("SELECT id FROM version WHERE head = 1")}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
def test_any_order_gives_the_tree_worked_out_from_scratch(seed: int, count: int) -> None:
    rng = random.Random(seed)
    history = make_history(rng, count)
    held = {block(number).id for number in range(6) if rng.random() < 0.5}
    index = memory_index()
    before, after = sorted(held)[::2], sorted(held)[1::2]
    index.mark_held(before)
    deliver(index, history, rng)
    index.mark_held(after)
    expected = expected_paths(history.versions, held)
    expected.setdefault(b"", (b"", 0, 0, *[0] * 8))
    assert found_paths(index) == expected
    # and back again: everything is lost, then everything comes
    index.mark_missing(held)
    expected = expected_paths(history.versions, set())
    assert found_paths(index) == expected
    everything = {block(number).id for number in range(6)}
    index.mark_held([(block(number).id, block(number).size) for number in range(6)])
    index.mark_held(everything)
    assert found_paths(index) == expected_paths(history.versions, everything)
    named = {parent for version in history.versions for parent in version.parents}
    assert heads_of(index) == {v.id for v in history.versions if v.id not in named}
    index.close()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_operations_count_each_version_once_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    history = make_history(rng, 25)
    index = memory_index()
    deliver(index, history, rng)
    rows = {(node, number): (time, last, versions) for node, number, time, last, versions
            in index.rows("SELECT node, number, time, last, versions FROM op")}  # fmt: skip
    counted = dict.fromkeys(history.ops, 0)
    for version in history.versions:
        counted[version.op] += 1
    assert rows == {
        key: (min(times), max(times), counted[key]) for key, times in history.ops.items()
    }
    index.close()


def test_positions_keep_gaps_and_close_them(index: Index) -> None:
    items = [item for item in make_history(random.Random(5), 60).items
             if item.record.origin == NODES[0]]  # fmt: skip
    assert len(items) > 8
    apply_items(index, [items[0], items[4], items[7]])
    assert index.one("SELECT received, gaps FROM seen") == (8, "2-4,6-7")
    apply_items(index, [items[2], items[5]])
    assert index.one("SELECT received, gaps, hash FROM seen") == (8, "2-2,4-4,7-7", items[7].id)
    apply_items(index, items)
    assert index.one("SELECT received, gaps, forked FROM seen") == (len(items), "", 0)


def test_a_fork_is_said_once_and_both_branches_are_applied(index: Index) -> None:
    one = [i for i in make_history(random.Random(1), 30).items if i.record.origin == NODES[0]]
    two = [i for i in make_history(random.Random(2), 30).items if i.record.origin == NODES[0]]
    said: list[object] = []
    apply_items(index, one, emit=said.append)
    apply_items(index, two, emit=said.append)
    apply_items(index, two, emit=said.append)
    loud = [event for event in said if isinstance(event, Problem)]
    assert len(loud) == 1
    assert "continues in two ways at record 1" in loud[0].reason
    ids = {row[0] for row in index.rows("SELECT id FROM record")}
    assert ids == {item.id for item in one + two}


def test_a_chain_that_breaks_is_a_fork_even_when_the_other_branch_is_not_here(index) -> None:
    one = [i for i in make_history(random.Random(1), 30).items if i.record.origin == NODES[0]]
    two = [i for i in make_history(random.Random(2), 30).items if i.record.origin == NODES[0]]
    said: list[object] = []
    apply_items(index, one[:3], emit=said.append)
    apply_items(index, two[4:6], emit=said.append)
    assert not [e for e in said if isinstance(e, Problem)]  # a gap lies between: nobody knows yet
    apply_items(index, [two[3]], emit=said.append)
    assert [e for e in said if isinstance(e, Problem)]


def test_a_failing_batch_leaves_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    history = make_history(random.Random(3), 20)
    from globofs.store import apply

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(apply.PathRows, "flush", fail)
        with pytest.raises(sqlite3.OperationalError):
            apply_items(index, history.items)
    assert index.one("SELECT count(*) FROM version")[0] == 0
    apply_items(index, history.items)
    assert found_paths(index) == expected_paths(history.versions, set())


@pytest.mark.parametrize("damage", ["truncated", "garbage", "foreign schema", "middle"])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "index.sqlite"
    index = Index(str(path))
    history = make_history(random.Random(4), 400)
    apply_items(index, history.items)
    index.close()
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 3 // 4096 * 4096])
    elif damage == "garbage":
        path.write_bytes(b"not a database at all" * 1000)
    elif damage == "foreign schema":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99999")
        db.close()
    else:
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    index = Index(str(path))
    filled: list[int] = []

    def fill() -> None:
        filled.append(1)
        apply_items(index, history.items)

    index.on_damage = fill
    index.rows("SELECT count(*) FROM version")
    if not filled:
        fill()
    assert found_paths(index) == expected_paths(history.versions, set())
    index.close()


def test_what_a_later_release_made_is_left_to_it(tmp_path: Path) -> None:
    """Each would throw away what the other made, for ever. Who may not write goes on in memory."""
    path = tmp_path / "index.sqlite"
    running, later = Index(str(path)), Index(str(path))
    running.set_meta("who", "ours")
    later.reset()
    later.set_meta("who", "theirs")
    for what in ("application_id", "user_version"):
        later.db.execute(f"PRAGMA {what} = {index_schema.SCHEMA_NUMBER + 1}")
    for index in (running, Index(str(path))):
        index.refresh()
        for _ in range(2):
            with pytest.raises(LaterIndex, match="use that one here, too"):
                index.set_meta("who", "ours")
        index.close()
    assert later.meta("who") == "theirs"
    reader = Index(str(path), readonly=True)
    assert reader.meta("who") is None
    reader.close()
    later.db.execute("PRAGMA application_id = 7")
    later.close()
    damaged = Index(str(path))
    assert damaged.meta("who") is None
    damaged.close()


def test_another_process_replacing_the_file_is_noticed(tmp_path: Path) -> None:
    path = str(tmp_path / "index.sqlite")
    one, two = Index(path), Index(path)
    one.set_meta("who", "first")
    assert two.meta("who") == "first"
    one.reset()
    one.set_meta("who", "second")
    two.refresh()
    assert two.meta("who") == "second"
    one.close()
    two.close()


@pytest.mark.parametrize("by", ["itself", "another process"])
def test_every_thread_leaves_a_file_that_one_of_them_found_replaced(
    tmp_path: Path, by: str
) -> None:
    path = tmp_path / "index.sqlite"
    index, other = Index(str(path)), Index(str(path))
    index.set_meta("who", "first")
    if by == "itself":
        other.db.execute("PRAGMA user_version = 99999")
    else:
        other.reset()
    thread = threading.Thread(target=index.set_meta, args=("who", "second"))
    thread.start()
    thread.join()
    index.refresh()
    assert index.meta("who") == "second"
    index.close()
    other.close()


def test_threads_have_connections_of_their_own(index: Index) -> None:
    history = make_history(random.Random(6), 300)
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(50):
                index.rows("SELECT count(*) FROM version")
        except BaseException as error:
            errors.append(error)

    def write(part: int) -> None:
        try:
            for at in range(part, len(history.items), 3):
                apply_items(index, [history.items[at]])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert found_paths(index) == expected_paths(history.versions, set())


def test_what_is_told_of_blocks_is_remembered(index: Index) -> None:
    first, second, third = (block(number) for number in (1, 2, 3))
    index.mark_held([first.id], synced=True)
    index.mark_held([(second.id, second.size)])
    assert index.held([first.id, second.id, third.id]) == {first.id, second.id}
    assert index.synced([first.id, second.id]) == {first.id}
    assert index.unsynced() == [second.id]
    assert index.block_size(second.id) == second.size
    assert index.block_size(first.id) is None
    index.mark_synced([second.id, third.id])
    assert index.unsynced() == []
    index.mark_missing([first.id])
    assert not index.is_held(first.id)
    assert index.synced([first.id]) == set()
    index.mark_staged(
        "f1",
        [StagedBlock(first.id, 30, 10, 20, ".zst"), StagedBlock(second.id, 5, 40, 5, "")],
    )
    assert index.staged_locate([second.id, third.id])[second.id] == ("f1", 40, 5, "")
    index.staged_drop("f1")
    assert index.staged_find(first.id) is None
    assert set(index.held_blocks()) == {first.id, second.id}, "a staged block is held"


def test_an_index_that_is_thrown_away_while_it_is_opened_is_made_anew(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a `verify --repair` of another client."""
    index.set_meta("x", 1)
    real = index_schema.connect

    def connect(path: str, **options: bool) -> sqlite3.Connection:
        made = real(path, **options)
        if "-thrown" not in told:
            told.append("-thrown")
            for suffix in ("", "-wal", "-shm"):
                Path(path + suffix).unlink(missing_ok=True)
        return made

    told: list[str] = []
    monkeypatch.setattr(index_schema, "connect", connect)
    with closing(Index(index.path)) as other:
        assert other.meta("x") == 1
        other.refresh()
        assert other.meta("x") is None
        other.set_meta("x", 2)
        index.refresh()
        assert index.meta("x") == 2


def fill_disk(index: Index) -> None:
    """SQLite finds no more room from here on."""
    pages = index.db.execute("PRAGMA page_count").fetchone()[0]
    index.db.execute(f"PRAGMA max_page_count = {pages}")


def test_on_a_full_disk_it_goes_on_in_memory(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"))
    history = make_history(random.Random(11), 500)
    apply_items(index, history.items[:100])
    fill_disk(index)
    apply_items(index, history.items[100:])
    assert found_paths(index) == expected_paths(history.versions, set())
    index.mark_held([block(1).id])
    index.mark_missing([block(1).id])
    assert found_paths(index) == expected_paths(history.versions, set())
    assert not (tmp_path / "index.sqlite").exists(), "nothing outdated is left behind"
    index.close()


def test_a_locked_index_is_an_error_with_a_sentence(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.set_meta("a", 1)
    index.db.execute("PRAGMA busy_timeout = 20")
    blocker = sqlite3.connect(index.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Locked):
        index.set_meta("a", 2)
    blocker.execute("ROLLBACK")
    index.set_meta("a", 3)
    blocker.close()


def test_damage_met_while_writing_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    history = make_history(random.Random(12), 600)
    index = Index(str(path))
    apply_items(index, history.items[:500])
    index.close()
    data = bytearray(path.read_bytes())
    for page in range(4, len(data) // 4096):
        data[page * 4096 : page * 4096 + 512] = b"\xff" * 512
    path.write_bytes(data)
    index = Index(str(path))
    index.on_damage = lambda: apply_items(index, history.items[:500])
    apply_items(index, history.items[500:])
    assert found_paths(index) == expected_paths(history.versions, set())
    index.close()


def test_a_reset_does_not_disturb_a_thread_in_the_middle_of_a_question(index: Index) -> None:
    apply_items(index, make_history(random.Random(13), 200).items)
    rows = index.db.execute("SELECT id FROM version")
    first = rows.fetchone()
    thread = threading.Thread(target=index.reset)
    thread.start()
    thread.join()
    assert first is not None
    assert len(rows.fetchall()) > 50
    assert index.rows("SELECT id FROM version") == []


def test_the_mark_of_change_is_the_same_for_all_threads(tmp_path: Path) -> None:
    path = str(tmp_path / "index.sqlite")
    ours, theirs = Index(path), Index(path)

    def mark() -> object:
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(ours.change_mark()))
        thread.start()
        thread.join()
        return found[0]

    before = mark()
    for number in range(3):
        theirs.set_meta("seen", str(number))
        after = mark()
        assert after != before, "another process wrote"
        assert [mark(), ours.change_mark()] == [after, after], "nobody wrote since"
        before = after
    ours.set_meta("seen", "ours")
    assert mark() != before
    ours.close()
    theirs.close()


def test_a_thread_that_is_left_running_keeps_nothing_out_of_the_file(tmp_path: Path) -> None:
    """An idle thread of a peer: the log would stay beside the file for the next process."""
    index = Index(str(tmp_path / "index.sqlite"))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: index.rows("SELECT count(*) FROM version")).result()
        index.set_meta("something", 1)
        index.close()
        assert not os.path.getsize(tmp_path / "index.sqlite-wal")
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'something'").fetchone() == (1,)


def test_closing_breaks_nobodys_question(index: Index) -> None:
    """The thread of a peer that hangs is left to itself, and may be in the middle of one."""
    asked, closed = threading.Event(), threading.Event()

    def ask() -> int:
        connection = index.db
        while not closed.is_set():
            connection.execute("SELECT count(*) FROM version").fetchone()
            asked.set()
        return int(connection.execute("SELECT count(*) FROM version").fetchone()[0])

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        assert asked.wait(10)
        index.close()
        closed.set()
        assert answer.result() == 0


def test_the_connections_of_many_threads_hold_little(index: Index) -> None:
    """A mount has twenty threads."""
    together = threading.Barrier(12)

    def size(_: int) -> int:
        (kib,) = index.one("PRAGMA cache_size")
        together.wait(10)
        return -int(kib)

    with ThreadPoolExecutor(12) as pool:
        sizes = list(pool.map(size, range(12)))
    assert sorted(sizes)[-2:] == [index_schema.CACHE_KIB] * 2
    assert sum(sizes) == 2 * index_schema.CACHE_KIB + 10 * index_schema.SMALL_CACHE_KIB
