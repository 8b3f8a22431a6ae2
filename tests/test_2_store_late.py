"""Operations whose records reach the index later than the journal."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import randbytes
from typing import TypeVar
from unittest.mock import Mock

import pytest

from globofs import limits
from globofs.store import catchup, fsio, index_blocks, staged, unapplied
from globofs.store.apply_records import Item
from globofs.store.commit import Draft, Operation
from globofs.store.index import Index
from globofs.store.node import Node, open_node
from globofs.store.query import View
from globofs.store.views import Block
from tests.helpers_node import file_draft, new_node, put

T = TypeVar("T")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = new_node(tmp_path / "v")
    yield made
    made.close()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The readings of journal files, one entry each."""
    found: list[object] = []
    real = catchup._Run.items

    def items(run: catchup._Run) -> Iterator[object]:
        found.append(run.path)
        return real(run)

    monkeypatch.setattr(catchup._Run, "items", items)
    return found


def late(node: Node) -> Operation:
    return node.operation("add", ["x"], late=True)


def test_what_is_committed_is_in_the_journal_and_later_in_the_index(node: Node) -> None:
    with late(node) as operation:
        operation.commit([file_draft(b"a"), file_draft(b"b")])
        assert node.journal.last().seq == 2
        assert View(node).entry(b"a") is None
        operation.settle()
        assert View(node).entry(b"a") is not None
        operation.commit([file_draft(b"c")])
    assert [entry.path for entry in View(node).walk()] == [b"a", b"b", b"c"]


def test_another_client_sees_it_at_once_and_nothing_is_said_twice(node: Node) -> None:
    with late(node) as operation:
        operation.commit([file_draft(b"a", b"1")])
        with open_node(node.volume, clock=node.clock) as other:
            other.catch_up()
            assert View(other).entry(b"a") is not None
            put(other, b"a", b"2")
        operation.commit([file_draft(b"b")])
    assert [version.size for version in View(node).history(b"a")] == [1, 1]
    assert len(View(node).heads(b"a")) == 1, "the other client's version descends from ours"
    assert node.index.one("SELECT gaps, forked FROM seen") == ("", 0)


def seal_late(node: Node, data: bytes) -> Block:
    node.catch_up()  # or the first commit would: a new index asks the disk
    block = Block(sha256(data).digest(), len(data))
    with node.blocks.batch(late=True) as batch:
        assert batch.held([block.id]) == set()
        batch.add(block.id, block.size, data, "")
        batch.seal()
    with node.blocks.batch(late=True) as batch:
        assert batch.held([block.id]) == {block.id}, "stored once, whoever knows of it"
    return block


def test_blocks_of_a_killed_add_are_held_for_whoever_comes_next(node: Node) -> None:
    data = b"of a file that was reported as safe"
    block = seal_late(node, data)
    operation = late(node)
    operation.commit([Draft(b"a", "file", len(data), 0o644, blocks=(block,))])
    assert not node.index.is_held(block.id), "the index hears of it with the record"
    with open_node(node.volume, clock=node.clock) as other:
        other.catch_up()
        entry = View(other).entry(b"a")
        assert entry is not None
        assert entry.missing == 0
        assert other.blocks.get(*block) == data


def test_blocks_of_a_killed_add_are_held_when_only_a_commit_follows(node: Node) -> None:
    block = seal_late(node, b"data")
    late(node).commit([Draft(b"a", "file", 4, 0o644, blocks=(block,))])
    with open_node(node.volume, clock=node.clock) as other:
        other.operation("add", ["y"]).commit([file_draft(b"b")])
        entry = View(other).entry(b"a")
        assert entry is not None
        assert entry.missing == 0


def seal_many(node: Node, *data: bytes) -> list[Block]:
    """One staged file of several blocks, of which the index has not heard."""
    node.catch_up()
    with node.blocks.batch(late=True) as batch:
        blocks = [Block(sha256(one).digest(), len(one)) for one in data]
        for block, one in zip(blocks, data, strict=True):
            batch.add(block.id, block.size, one, "")
        batch.seal()
    return blocks


class Killed(BaseException):
    """What a test raises where a process is to end."""


@pytest.mark.parametrize("writes", range(5))
def test_an_add_killed_while_it_tells_of_its_blocks_loses_none(
    node: Node, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    monkeypatch.setattr(index_blocks, "BATCH", 2)
    blocks = seal_many(node, b"1", b"22", b"333", b"4444", b"55555")
    late(node).commit([Draft(b"a", "file", 15, 0o644, blocks=tuple(blocks))])
    left = [writes]
    real = Index.write

    def write(index: Index, work: Callable[[sqlite3.Connection], T]) -> T:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return real(index, work)

    monkeypatch.setattr(Index, "write", write)
    with suppress(Killed):
        node.blocks.flush()
    monkeypatch.setattr(Index, "write", real)
    with open_node(node.volume, clock=node.clock) as other:
        other.catch_up()
        entry = View(other).entry(b"a")
        assert entry is not None
        assert entry.missing == 0


def test_blocks_that_no_record_names_are_known_once_they_are_put_into_place(node: Node) -> None:
    """Their writer was killed before its commit: the same `add` finds them, a prune lets them go."""
    block = seal_late(node, b"data")
    with open_node(node.volume, clock=node.clock) as other:
        put(other, b"b", b"1")
        assert other.index.synced([block.id]) == {block.id}


def test_what_is_let_go_of_is_in_no_staged_file_of_a_killed_add_either(node: Node) -> None:
    """Another boot would put it back."""
    block = seal_late(node, b"data")
    with open_node(node.volume, clock=node.clock) as other:
        with other.locks.adders.exclusive():
            other.blocks.remove([block.id])
        assert staged.files(other.blocks.staged) == []


def test_large_blocks_are_known_before_their_file_is_whole(node: Node) -> None:
    """Of a file of many gigabytes whose `add` is killed; no staged file tells of them."""
    block = seal_late(node, randbytes(limits.STAGE_BELOW_BYTES))
    with open_node(node.volume, clock=node.clock) as other:
        assert other.index.synced([block.id]) == {block.id}


def test_who_is_killed_behind_applying_does_not_hide_blocks_from_the_next(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record came between its look at staged files and its reading of the journal."""
    block = seal_late(node, b"data")
    late(node).commit([Draft(b"a", "file", 4, 0o644, blocks=(block,))])
    with open_node(node.volume, clock=node.clock) as other:
        monkeypatch.setattr(catchup, "index_pending", lambda blocks: None)
        monkeypatch.setattr(catchup, "take_sent", fail := Mock(side_effect=Killed))
        with pytest.raises(Killed):
            other.catch_up()
        assert fail.called
    monkeypatch.undo()
    with open_node(node.volume, clock=node.clock) as other:
        other.catch_up()
        entry = View(other).entry(b"a")
        assert entry is not None
        assert entry.missing == 0


def test_an_operation_that_cannot_end_tells_of_its_blocks(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may live on for days, and what it alone knows of others may let go of."""
    block = seal_late(node, b"data")
    operation = late(node)
    operation.commit([Draft(b"a", "file", 4, 0o644, blocks=(block,))])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(node.journal, "append", full)
    with pytest.raises(OSError, match="no room"):
        operation.close()
    assert not node.blocks.unindexed.those([block.id])
    assert node.index.is_held(block.id)


def test_what_was_put_is_told_though_what_was_sealed_cannot_be(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal_late(node, b"sealed")
    pulled = sha256(b"pulled").digest()
    node.blocks.put(pulled, b"pulled", "", 6)
    with monkeypatch.context() as patch:
        patch.setattr(node.blocks.unindexed, "tell", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            node.blocks.flush()
    node.blocks.flush()
    assert node.index.is_held(pulled)


def test_the_index_hears_of_blocks_before_their_records(node: Node) -> None:
    block = seal_late(node, b"data")
    with late(node) as operation:
        operation.commit([Draft(b"a", "file", 4, 0o644, blocks=(block,))])
        operation.settle()
        assert node.index.synced([block.id]) == {block.id}
        entry = View(node).entry(b"a")
        assert entry is not None
        assert entry.missing == 0
    assert not node.blocks.unindexed.those([block.id])


def test_a_path_that_comes_again_descends_from_what_was_not_applied_yet(node: Node) -> None:
    with late(node) as operation:
        first = operation.commit([file_draft(b"a", b"1")])[0]
        second = operation.commit([file_draft(b"a", b"22")])[0]
        same = operation.commit([file_draft(b"a", b"22")])[0]
    assert (same.skipped, same.version_id) == (True, second.version_id)
    newest, oldest = View(node).history(b"a")
    assert (oldest.id, newest.parents) == (first.version_id, (first.version_id,))


def test_what_was_applied_late_is_not_read_again_whatever_closed_a_segment(
    node: Node, readings: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 4000)
    with late(node) as operation:
        for number in range(30):
            operation.commit([file_draft(b"f%d" % number)])
    assert len(list(Path(node.updates(node.uuid)).iterdir())) > 2
    node.catch_up()
    with open_node(node.volume, clock=node.clock) as fresh:
        fresh.catch_up()
        assert len(list(View(fresh).walk())) == 30
    assert not readings


def test_what_another_appended_behind_it_is_read(node: Node) -> None:
    with late(node) as operation:
        operation.commit([file_draft(b"a")])
        with open_node(node.volume, clock=node.clock) as other:
            record = other.operation("add", ["y"])
            record.commit([file_draft(b"b")])
        operation.settle()
        node.catch_up()
        assert View(node).entry(b"b") is not None


def test_memory_is_bounded_by_applying_in_between(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNAPPLIED_RECORDS", 3)
    with late(node) as operation:
        operation.commit([file_draft(b"a"), file_draft(b"b")])
        assert View(node).entry(b"a") is None
        operation.commit([file_draft(b"c")])
        assert View(node).entry(b"c") is not None


def test_what_fails_inside_is_applied_all_the_same(node: Node) -> None:
    def fail() -> None:
        with late(node) as operation:
            operation.commit([file_draft(b"a")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert View(node).entry(b"a") is not None


def test_a_segment_that_is_closed_while_it_is_marked_is_not_taken_for_the_next(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client closes it and writes a longer one, between our look at it and its marking."""

    def closed_before(name: str) -> None:
        real = getattr(fsio, name)

        def read(*args: object) -> object:
            monkeypatch.undo()
            with open_node(node.volume, clock=node.clock) as other:
                other.journal.rotate()
                killed = late(other)
                killed.commit([file_draft(b"b%d" % n, b"2") for n in range(5)])
            return real(*args)

        monkeypatch.setattr(fsio, name, read)

    with late(node) as operation:
        operation.commit([file_draft(b"a", b"1")])
        closed_before("read_range")
        closed_before("pread_all")
        operation.settle()
    node.catch_up()
    assert [entry.path for entry in View(node).walk()] == [b"a", *[b"b%d" % n for n in range(5)]]


def test_an_index_that_is_made_anew_meanwhile_reads_it_all(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = unapplied.apply_items

    def then_lost(index: Index, items: list[Item], **options: object) -> None:
        real(index, items, **options)  # type: ignore[arg-type]
        index.reset()

    monkeypatch.setattr(unapplied, "apply_items", then_lost)
    with late(node) as operation:
        operation.commit([file_draft(b"a")])
        operation.settle()
        monkeypatch.undo()
    node.catch_up()
    assert [entry.path for entry in View(node).walk()] == [b"a"]
