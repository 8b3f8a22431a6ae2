"""The tree now and at a moment, histories and operations."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.errors import AmbiguousVersion, NoSuchVersion
from globofs.format.kinds import NoteRecord
from globofs.format.text import format_time
from globofs.store import overlay
from globofs.store.apply import apply_items
from globofs.store.commit import Draft
from globofs.store.index import Index
from globofs.store.node import Node
from globofs.store.overlay import overlay_at
from globofs.store.query import View, entry_of
from globofs.store.totals import PathRows
from tests.helpers_index import block, expected_paths, found_paths, make_history
from tests.helpers_node import deliver, file_draft, gone, new_node, put, write


@pytest.fixture
def node(tmp_path: Path):
    made = new_node(tmp_path / "v")
    yield made
    made.close()


class _Stub:
    """As much of a node as a view of a bare index needs."""

    def __init__(self, index: Index) -> None:
        self.index = index


@pytest.mark.parametrize("many", [1, 10**6], ids=["much later", "little later"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
def test_every_moment_is_the_rule_applied_to_what_was_known(
    many: int, seed: int, count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "_MANY", many)
        _compare_moments(seed, count)


def _compare_moments(seed: int, count: int) -> None:
    rng = random.Random(seed)
    history = make_history(rng, count)
    held = {block(number).id for number in range(6) if rng.random() < 0.5}
    index = Index(":memory:")
    index.mark_held(held)
    apply_items(index, history.items)
    now = found_paths(index)
    for at in {version.time for version in history.versions} | {0}:
        moment = overlay_at(index, at)
        rows = dict(now)
        for row in moment.rows(index.db, index.rows("SELECT no, path FROM path")):
            rows[row.path] = (row.version, int(row.conflict > 0), row.nversions, *row.below)
        rows = {path: row for path, row in rows.items() if row[2] or row[5]}
        expected = expected_paths(history.versions, held, at)
        assert rows == {path: row for path, row in expected.items() if row[2] or row[5]}
        _compare_listing(index, at, expected)
    assert found_paths(index) == now
    index.close()


def _compare_listing(index: Index, at: int, expected: dict[bytes, tuple[object, ...]]) -> None:
    view = View(_Stub(index), at)  # type: ignore[arg-type]
    listed = {entry.path: entry for entry in view.walk(deleted=True)}
    assert set(listed) == {path for path, row in expected.items() if path and (row[2] or row[5])}
    assert list(listed) == sorted(listed, key=lambda path: path.split(b"/"))
    for path, entry in listed.items():
        assert view.entry(path, deleted=True) == entry
    assert list(view.entries([*listed, b"never"], deleted=True)) == list(listed.values())
    live = {path for path, entry in listed.items() if entry.kind != "deleted"}
    assert {entry.path for entry in view.walk()} == live


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_an_entry_from_sql_is_the_entry_from_a_row(seed: int) -> None:
    index = Index(":memory:")
    apply_items(index, make_history(random.Random(seed), 30).items)
    view = View(_Stub(index))  # type: ignore[arg-type]
    rows = PathRows(index.db)
    rows.load_numbers([row[0] for row in index.rows("SELECT no FROM path")])
    for path, row in rows.by_path.items():
        if path:
            assert view.entry(path, deleted=True) == entry_of(row)
    index.close()


def test_a_tree(node: Node) -> None:
    put(node, b"docs/a.txt", b"one")
    write(node, Draft(b"empty", "directory", mode=0o700), file_draft(b"docs/b.txt", b"absent"))
    view = View(node)
    root = view.entry(b"")
    assert root is not None
    assert (root.kind, root.files, root.size, root.missing) == ("directory", 2, 9, 1)
    docs, empty = view.children()
    assert (docs.path, docs.kind, docs.held, docs.files) == (b"docs", "directory", "part", 2)
    assert (empty.kind, empty.mode, empty.files) == ("directory", 0o700, 0)
    assert [entry.path for entry in view.walk()] == [
        b"docs", b"docs/a.txt", b"docs/b.txt", b"empty"]  # fmt: skip
    assert view.entry(b"nothing") is None
    assert view.children(b"nothing") == []
    first = view.entry(b"docs/a.txt")
    assert first is not None
    assert first.conflict is False
    assert first.held == "all"


def test_a_deleted_directory_is_still_to_be_found(node: Node) -> None:
    put(node, b"d/e/f", b"one")
    write(node, gone(b"d/e/f"))
    view = View(node)
    assert view.children() == []
    (entry,) = view.children(deleted=True)
    assert (entry.path, entry.kind, entry.below) == (b"d", "deleted", 2)
    assert [entry.path for entry in view.walk(deleted=True)] == [b"d", b"d/e", b"d/e/f"]
    assert view.entry(b"d") is None
    assert [entry.path for entry in view.find("f")] == [b"d/e/f"]
    assert list(view.find("f", deleted=False)) == []


def test_a_path_that_is_file_and_directory_shows_the_directory(tmp_path: Path, node: Node) -> None:
    other = new_node(tmp_path / "w", "beta")
    put(node, b"x", b"a file")
    put(other, b"x/y", b"below")
    deliver(other, node)
    entry = View(node).entry(b"x")
    assert entry is not None
    assert (entry.kind, entry.conflict, entry.files) == ("directory", True, 1)
    root = View(node).entry(b"")
    assert root is not None
    assert root.conflicts == 1
    assert View(node).conflicts() == [b"x"]
    write(node, gone(b"x/y"))
    entry = View(node).entry(b"x")
    assert entry is not None
    assert (entry.kind, entry.conflict) == ("file", False)
    other.close()


def test_time_travel_and_back(node: Node) -> None:
    put(node, b"a", b"one")
    then = View(node).operations()[0].last
    put(node, b"a", b"second")
    put(node, b"b/c", b"new")
    write(node, gone(b"a"))
    view = View(node, then)
    assert [entry.path for entry in view.walk()] == [b"a"]
    entry = view.entry(b"a")
    assert entry is not None
    assert entry.size == 3
    assert entry.versions == 1
    assert [version.size for version in view.history(b"a")] == [3]
    assert [entry.path for entry in View(node).changed_since(then)] == [b"a", b"b/c"]
    assert list(view.changed_since(then)) == []
    assert next(View(node).changed_since(then)).path == b"a"
    assert [entry.path for entry in View(node).changed_since(then, below=b"b")] == [b"b/c"]
    newest = View(node).newest_below
    assert newest(b"b") == View(node).history(b"b/c")[0].time
    assert newest(b"a") == View(node).history(b"a")[0].time  # its deletion
    assert view.newest_below(b"a") == view.history(b"a")[0].time
    assert view.newest_below(b"b") == 0
    root = view.entry(b"")
    assert root is not None
    assert (root.files, root.size, root.versions) == (1, 3, 1)


def test_history_follows_a_rename(node: Node) -> None:
    old = put(node, b"old", b"one")
    newer = put(node, b"old", b"two!")
    moved = file_draft(b"new", b"two!", from_path=b"old", from_id=newer.version_id)
    write(node, moved, gone(b"old"))
    put(node, b"new", b"three")
    put(node, b"old", b"somebody else")
    paths = [(version.path, version.size) for version in View(node).history(b"new")]
    assert paths == [(b"new", 5), (b"new", 4), (b"old", 4), (b"old", 3)]
    assert len(View(node).history(b"new", follow=False)) == 2
    assert View(node).history(b"old")[-1].id == old.version_id


def test_renames_in_a_circle_end(node: Node) -> None:
    first = put(node, b"a", b"1")
    write(node, file_draft(b"b", b"1", from_path=b"a", from_id=first.version_id), gone(b"a"))
    second = View(node).history(b"b")[0]
    write(node, file_draft(b"a", b"1", from_path=b"b", from_id=second.id), gone(b"b"))
    assert len(View(node).history(b"a")) >= 3


def test_an_undo_of_itself_is_listed_as_any_other(node: Node) -> None:
    def noted(*args: str) -> int:
        with node.operation("undo", args) as operation:
            operation.record(NoteRecord("nothing"))
        return operation.key.number

    _, first, second = noted(), noted("\u00b2"), noted("9" * 30)
    circle = noted(str(2 * second - first))
    found = {op.key.number: op.reverses for op in View(node).operations()}
    assert found[first] is found[second] is None
    about = found[circle]
    assert about is not None
    assert about.key.number == circle


@pytest.mark.parametrize("most", [10**6, 1500], ids=["few paths", "many paths"])
def test_moments_that_are_kept_take_bounded_memory(
    node: Node, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(overlay, "KEPT_BYTES", most)
    for number in range(6):
        put(node, b"f%d" % number, b"x")
    moments = [operation.last for operation in View(node).operations()]
    assert len(moments) == 6
    for moment in moments:
        View(node, moment).children()
    kept = [found.memory for found in node.index.overlays.values()]
    assert len(kept) == (overlay.KEPT if most == 10**6 else 3)
    assert sum(kept[:-1]) <= most
    assert kept[-1] > 0, "the last one is always there"


def test_operations_are_moments(node: Node) -> None:
    put(node, b"d/a", b"1")
    put(node, b"e/b", b"22")
    view = View(node)
    newest, oldest = view.operations()
    assert (newest.verb, newest.args, newest.versions, newest.bytes) == ("add", ("x",), 1, 2)
    assert not newest.interrupted
    assert view.operations(1) == [newest]
    assert view.operations(before=newest.last) == [oldest]
    assert view.operations(below=b"d") == [oldest]
    assert [v.path for v in view.versions_of_operation(oldest.key)] == [b"d/a"]
    assert [v.path for v in view.history_below(b"")] == [b"e/b", b"d/a"]
    assert [v.path for v in view.history_below(b"d")] == [b"d/a"]


def test_an_operation_without_an_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = node.operation("add")
    operation.commit([file_draft(b"a")])
    (found,) = View(node).operations()
    assert (found.open, found.interrupted) == (True, False)
    Path(node.run(), f"op-{found.key.number}").write_text("999999999 1\n")
    (found,) = View(node).operations()
    assert (found.open, found.interrupted) == (False, True)


def test_versions_by_number_prefix_and_position(node: Node) -> None:
    first, second = put(node, b"a", b"1"), put(node, b"a", b"2")
    view = View(node)
    assert view.version_by_prefix(b"a", format_time(first.time)).id == first.version_id
    assert view.version_by_prefix(b"a", "-1").id == first.version_id
    assert view.version_by_prefix(b"a", second.version_id.hex()[:10]).id == second.version_id
    with pytest.raises(AmbiguousVersion):
        view.version_by_prefix(b"a", format_time(first.time)[:5])
    with pytest.raises(NoSuchVersion):
        view.version_by_prefix(b"a", "-2")
    with pytest.raises(NoSuchVersion):
        view.version_by_prefix(b"a", "999")


def test_blocks_come_in_order_with_repetitions(node: Node) -> None:
    one, two = block(1), block(2)
    draft = Draft(b"a", "file", 2 * one.size + two.size, 0o644, 0, b"", (one, two, one))
    write(node, draft)
    version = View(node).version(b"a")
    assert version is not None
    assert (version.blocks, version.missing, version.held) == (3, 3, "none")
    node.index.mark_held([one.id])
    view = View(node)
    version = view.version(b"a")
    assert version is not None
    assert (version.missing, version.held) == (1, "part")
    assert view.blocks_of(version) == [(one, True), (two, False), (one, True)]


def test_a_large_directory_is_listed_at_once(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "i"))
    index.db.execute("BEGIN")
    rows = PathRows(index.db)
    rows.load_paths([b"d/file%06d" % number for number in range(100_000)])
    for row in rows.by_number.values():
        if b"/" in row.path:
            row.kind, row.nversions, row.version, row.size = "file", 1, bytes(32), 10
    rows.flush()
    index.db.execute("COMMIT")
    view = View(_Stub(index))  # type: ignore[arg-type]
    began = time.process_time()
    found = view.children(b"d")
    took = time.process_time() - began
    assert len(found) == 100_000
    assert took < 1.5, took  # 0.25 s on an idle machine
    began = time.process_time()
    for number in range(1000):
        assert view.entry(b"d/file%06d" % number) is not None
    assert (time.process_time() - began) / 1000 < 0.001
    index.close()
