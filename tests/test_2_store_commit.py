"""Committing: parents and times, skipping what is the same, operations and their ends."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from globofs import limits
from globofs.errors import ReadOnlyVolume, Unsupported
from globofs.format import kinds, manifest
from globofs.format.manifest import Block
from globofs.store import fsio
from globofs.store.commit import Draft, Verbatim
from globofs.store.locks import Lock
from globofs.store.node import Node, open_node
from globofs.store.query import View
from tests.helpers_node import (
    FixedClock,
    deliver,
    file_draft,
    gone,
    new_node,
    put,
    reopen,
    write,
)


@pytest.fixture
def node(tmp_path: Path):
    made = new_node(tmp_path / "v")
    yield made
    made.close()


def test_parents_are_the_heads_when_none_were_in_hand(node: Node) -> None:
    first = put(node, b"a", b"1")
    second = put(node, b"a", b"2")
    newest, oldest = View(node).history(b"a")
    assert (newest.id, newest.parents) == (second.version_id, (first.version_id,))
    assert (oldest.parents, oldest.head, newest.head) == ((), False, True)


def test_an_edit_of_an_old_copy_is_a_conflict(node: Node) -> None:
    first = put(node, b"a", b"1")
    second = put(node, b"a", b"2")
    write(node, file_draft(b"a", b"mine", parents=(first.version_id,)))
    heads = View(node).heads(b"a")
    assert {head.id for head in heads[1:]} == {second.version_id}
    entry = View(node).entry(b"a")
    assert entry is not None
    assert entry.conflict
    join = write(node, file_draft(b"a", b"both"))[0]
    (only,) = View(node).heads(b"a")
    assert only.id == join.version_id
    assert len(only.parents) == 2
    entry = View(node).entry(b"a")
    assert entry is not None
    assert not entry.conflict


def test_time_goes_on_when_the_clock_goes_back(tmp_path: Path) -> None:
    clock = FixedClock()
    node = new_node(tmp_path / "v", clock=clock)
    first = put(node, b"a", b"1")
    clock.now -= 10**12
    second = put(node, b"a", b"2")
    assert second.time == first.time + 1
    other = put(node, b"b", b"2")
    assert other.time < first.time
    node.close()


def test_what_is_the_same_is_skipped(node: Node) -> None:
    first = put(node, b"a", b"1")
    records = node.journal.last().seq
    again = write(node, file_draft(b"a", b"1"), gone(b"never"))
    assert [c.skipped for c in again] == [True, True]
    assert again[0].version_id == first.version_id
    assert node.journal.last().seq == records, "an operation that writes nothing leaves no trace"
    forced = write(node, file_draft(b"a", b"1", if_changed=False))[0]
    assert not forced.skipped
    other_mode = Draft(b"a", "file", 1, 0o755, 0, b"", file_draft(b"a", b"1").blocks)
    assert not write(node, other_mode)[0].skipped


def test_an_old_copy_that_was_not_edited_makes_no_conflict(node: Node) -> None:
    first = put(node, b"a", b"1")
    put(node, b"a", b"2")
    same = write(node, file_draft(b"a", b"1", parents=(first.version_id,)))[0]
    assert same.skipped
    assert same.version_id == first.version_id


def test_one_path_twice_in_a_batch(node: Node) -> None:
    one, two, three = write(
        node, file_draft(b"a", b"1"), file_draft(b"a", b"2"), file_draft(b"a", b"2")
    )
    assert (one.skipped, two.skipped, three.skipped) == (False, False, True)
    assert three.version_id == two.version_id
    newest, _ = View(node).history(b"a")
    assert newest.parents == (one.version_id,)


def test_many_drafts_are_one_moment(node: Node) -> None:
    count = limits.BATCH_RECORDS + 10
    done = write(node, *[file_draft(b"d/%05d" % n) for n in range(count)])
    assert len(done) == count
    (operation,) = View(node).operations()
    assert operation.versions == count
    entry = View(node).entry(b"d")
    assert entry is not None
    assert entry.files == count


def test_equal_times_on_two_paths_and_names_in_the_tree(tmp_path: Path) -> None:
    node = new_node(tmp_path / "v", clock=FixedClock())
    write(node, file_draft(b"a"), file_draft(b"b"))
    versions = [View(node).version(path) for path in (b"a", b"b")]
    assert versions[0] is not None
    assert versions[1] is not None
    assert versions[0].time == versions[1].time
    node.close()


def test_two_clients_of_a_node_never_conflict_with_themselves(node: Node) -> None:
    other = open_node(node.volume, clock=node.clock)
    put(node, b"a", b"1")
    put(other, b"a", b"2")
    put(node, b"a", b"3")
    put(other, b"a", b"4")
    node.catch_up()
    (head,) = View(node).heads(b"a")
    assert len(View(node).history(b"a")) == 4
    assert head.size == 1
    written = node.journal.last().seq
    assert node.index.one("SELECT received, gaps, forked FROM seen") == (written, "", 0)
    other.close()


def test_processes_that_write_at_once(node: Node) -> None:
    script = (
        "import sys; from tests.helpers_node import *; from globofs.store.node import open_node\n"
        "node = open_node(sys.argv[1]); node.catch_up()\n"
        "for n in range(12): put(node, b'p%d' % (n % 3), b'%d from ' % n + sys.argv[2].encode())\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, node.volume, str(n)]) for n in range(3)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    node.catch_up()
    received, gaps, forked = node.index.one("SELECT received, gaps, forked FROM seen")
    assert (gaps, forked) == ("", 0)
    assert received == node.journal.last().seq >= 3 * 12 * 2
    for number in range(3):
        assert len(View(node).heads(b"p%d" % number)) == 1


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_failing_append_commits_nothing(
    node: Node, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(node, b"a", b"1")

    def observe(op: str, args: tuple[object, ...]) -> None:
        if op == failing and "updates" in str(args[0]):
            raise OSError(errno.ENOSPC, "No space left on device", str(args[0]))

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "observer", observe)
        with pytest.raises(OSError, match="No space"):
            write(node, file_draft(b"b", b"22"))
    assert View(node).entry(b"b") is None
    assert View(reopen(node)).entry(b"b") is None
    fresh = open_node(node.volume, clock=node.clock)
    done = put(fresh, b"b", b"22")
    assert not done.skipped
    assert fresh.index.one("SELECT gaps, forked FROM seen") == ("", 0)
    fresh.close()


def test_an_error_inside_closes_the_operation_with_what_was_done(node: Node) -> None:
    def fail() -> None:
        with node.operation("add") as operation:
            operation.commit([file_draft(b"a")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    (found,) = View(node).operations()
    assert (found.versions, found.interrupted, found.open) == (1, False, False)
    assert os.listdir(node.run()) == []


def test_a_killed_operation_is_interrupted_and_the_next_client_finishes(node: Node) -> None:
    script = (
        "import os, sys; from tests.helpers_node import *\n"
        "node = open_node(sys.argv[1]); op = node.operation('add', ['photos'])\n"
        "batch = node.blocks.batch(); batch.add(sha256(b'kept').digest(), 4, b'kept', '')\n"
        "batch.seal(); op.commit([file_draft(b'a', b'kept')]); os._exit(9)\n"
    )
    child = subprocess.run([sys.executable, "-c", script, node.volume])
    assert child.returncode == 9
    node.catch_up()
    (found,) = View(node).operations()
    assert (found.interrupted, found.open, found.versions) == (True, False, 1)
    assert "d" not in os.listdir(node.hashes())
    put(node, b"b", b"other")
    assert node.blocks.get(sha256(b"kept").digest(), 4) == b"kept"
    assert Path(node.root(), "a", "versions", "latest").exists()
    assert node.blocks.find(sha256(b"kept").digest()) is not None


def test_nothing_is_written_to_a_volume_opened_for_reading(node: Node) -> None:
    put(node, b"a", b"1")
    reader = reopen(node, readonly=True)
    with pytest.raises(ReadOnlyVolume):
        reader.operation("add")
    assert View(reader).entry(b"a") is not None
    reader.close()


def test_the_next_write_joins_heads_of_one_content(tmp_path: Path, node: Node) -> None:
    mine = put(node, b"a", b"same")
    other = new_node(tmp_path / "w", "beta")
    put(other, b"a", b"same")
    deliver(other, node)
    assert len(View(node).heads(b"a")) == 2
    write(node, gone(b"a", parents=(mine.version_id,)))
    assert [head.kind for head in View(node).heads(b"a")] == ["deleted"]
    other.close()


def test_a_manifest_over_the_bound_is_a_block(tmp_path: Path, node: Node) -> None:
    count = limits.MANIFEST_INLINE_BYTES // 65
    blocks = tuple(Block(sha256(b"%d" % n).digest(), 4096) for n in range(count))
    draft = Draft(b"big", "file", 4096 * count, 0o644, 0, b"", blocks)
    done = write(node, draft)[0]
    version = View(node).version(b"big")
    assert version is not None
    assert (version.blocks, version.missing, version.size) == (count, count, draft.size)
    assert node.blocks.has(done.version_id)
    # Elsewhere it is known before the manifest arrives, and whole when it has.
    other = new_node(tmp_path / "w", "beta")
    deliver(node, other)
    version = View(other).version(b"big")
    assert version is not None
    assert (version.id, version.size, version.missing) == (done.version_id, 0, 1)
    stored, suffix = node.blocks.read_raw(done.version_id)
    other.blocks.put(done.version_id, stored, suffix)
    other.blocks.flush()
    other.catch_up()
    version = View(other).version(b"big")
    assert version is not None
    assert (version.size, version.blocks, version.missing) == (draft.size, count, count)
    entry = View(other).entry(b"")
    assert entry is not None
    assert (entry.size, entry.blocks) == (draft.size, count)
    mine, theirs = View(node).operations(), View(other).operations()
    assert [op.bytes for op in mine] == [op.bytes for op in theirs]
    other.close()


def test_who_collects_and_who_writes_a_large_manifest_do_not_wait_for_each_other(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[bool] = []
    adders, take = Lock(node.directory, "adders"), node.locks.journal.exclusive

    def look(**how: Any) -> AbstractContextManager[None]:
        with adders.try_exclusive() as free:
            shared.append(not free)
        return take(**how)

    count = limits.MANIFEST_INLINE_BYTES // 65
    blocks = tuple(Block(sha256(b"%d" % n).digest(), 4096) for n in range(count))
    draft = Draft(b"big", "file", 4096 * count, 0o644, 0, b"", blocks)
    with node.operation("add") as operation:
        monkeypatch.setattr(node.locks.journal, "exclusive", look)
        done = operation.commit([draft])[0]
        text = node.blocks.get(done.version_id, node.index.block_size(done.version_id) or 0)
        operation.commit_verbatim([Verbatim(text, manifest.decode(text))])
        operation.commit([file_draft(b"small")])
        monkeypatch.undo()
    assert shared == [True, True, False]


def test_manifests_are_issued_again_verbatim(tmp_path: Path, node: Node) -> None:
    done = put(node, b"a", b"1")
    other = new_node(tmp_path / "w", "beta")
    text = node.journal.read_from(node.uuid, 0).__next__().record.payload
    with other.operation("identity") as operation:
        operation.commit_verbatim([Verbatim(text, manifest.decode(text))])
    version = View(other).version(b"a")
    assert version is not None
    assert (version.id, version.node) == (done.version_id, node.uuid)
    deliver(node, other)
    assert len(View(other).history(b"a")) == 1
    other.close()


def test_other_records_take_effect(node: Node) -> None:
    done = put(node, b"a", b"1")
    put(node, b"a", b"2")
    with node.operation("prune") as operation:
        operation.record(
            kinds.NodeRecord("the cellar", True),
            kinds.NoteRecord("a sentence"),
            kinds.PruneRecord((("keep-last", "1"),), (done.version_id,)),
        )
        assert node.index.node_name(node.uuid) == "the cellar"
        (info,) = node.index.nodes()
        assert info.cacheonly
    pruned = {version.id: version.pruned for version in View(node).history(b"a")}
    assert pruned[done.version_id]
    assert list(pruned.values()).count(True) == 1


@pytest.mark.parametrize("now", [-1, 2**62 + 1])
def test_a_clock_that_no_record_can_bear_is_named_and_nothing_is_written(
    tmp_path: Path, now: int
) -> None:
    clock = FixedClock()
    node = new_node(tmp_path / "v", clock=clock)
    put(node, b"a", b"1")
    last = node.journal.last()
    clock.now = now
    with pytest.raises(Unsupported, match="clock"):
        put(node, b"a", b"2")
    assert node.journal.last() == last
    node.close()
