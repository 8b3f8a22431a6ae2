"""`prune`: what a policy keeps, and when blocks really go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globofs.errors import UsageError
from globofs.limits import SECOND_NS
from globofs.store.node import open_node
from globofs.sync import _policy
from globofs.sync.prune import collect, collect_due
from globofs.sync.results import Policy
from globofs.volume import Volume
from tests.helpers_node import file_draft
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]

DAY = 24 * 3600 * SECOND_NS
NOW = 1_700_000_000 * SECOND_NS


@given(
    st.lists(st.integers(0, 400 * DAY), max_size=60),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_policies_keep_what_they_say(ages: list[int], last: int, daily: int, weekly: int) -> None:
    times = sorted((NOW - age for age in ages), reverse=True)
    policy = Policy(keep_last=last, keep_daily=daily, keep_weekly=weekly)
    kept = _policy.kept(times, policy, NOW)
    assert set(range(min(last, len(times)))) <= kept
    assert len(kept) <= last + daily + weekly
    if times and (last or daily or weekly):
        assert 0 in kept, "the newest is the newest of its day"
    days = {time // DAY for time in times}
    assert len(_policy.kept(times, Policy(keep_daily=1000), NOW)) >= len(days) - 1


def test_within() -> None:
    times = [NOW, NOW - DAY, NOW - 3 * DAY]
    assert _policy.kept(times, Policy(keep_within_seconds=2 * 86400), NOW) == {0, 1}


@pytest.fixture
def old(bench: Bench) -> Bench:
    for _n in range(5):
        bench.put("x", os.urandom(200_000))
        bench.add(yes=True)
    return bench


def held(volume: Volume) -> int:
    return sum(1 for _ in volume.node.index.held_blocks())


def trash(volume: Volume) -> list[str]:
    top = Path(volume.node.directory) / "trash"
    return sorted(path.name for path in top.rglob("*") if path.is_file()) if top.exists() else []


def test_an_empty_policy_is_refused(old: Bench) -> None:
    with pytest.raises(UsageError, match="empty policy"):
        old.volume.prune(Policy())


def test_dry_run_writes_nothing_and_counts_right(old: Bench) -> None:
    before = len(old.volume.operations())
    result = old.volume.prune(Policy(keep_last=2), dry_run=True)
    assert (result.versions, result.blocks, result.bytes) == (3, 3, 600_000)
    assert len(old.volume.operations()) == before
    assert held(old.volume) == 5


def test_versions_go_blocks_are_set_aside_and_the_rest_is_sound(old: Bench) -> None:
    result = old.volume.prune(Policy(keep_last=2))
    assert (result.versions, result.blocks, result.deleted_blocks) == (3, 3, 0)
    assert held(old.volume) == 2
    assert len(trash(old.volume)) == 3
    assert [v.pruned for v in old.volume.history(b"docs/x")] == [False, False, True, True, True]
    assert old.volume.verify().damaged == 0
    again = old.volume.prune(Policy(keep_last=2))
    assert (again.versions, again.operation) == (0, None)


def test_pruned_versions_are_not_made_from_again(old: Bench) -> None:
    gone = old.volume.history(b"docs/x")[-1]
    old.volume.prune(Policy(keep_last=1))
    plan = old.volume.plan_restore([b"docs/x"], version=gone)
    assert [item.action for item in plan.items] == ["skip"] or not plan.files


def test_a_moment_shows_what_was_let_go_of_as_pruned_and_does_not_skip_it(old: Bench) -> None:
    """Who looks back must not take the version after it, or none, for what was there then."""
    times = [(v.time, v.id) for v in old.volume.history(b"docs/x")]
    old.volume.prune(Policy(keep_last=2))
    for place, (time, version) in enumerate(times):
        entry = old.volume.view(time).entry(b"docs/x")
        shown = old.volume.view(time).version(b"docs/x")
        assert entry is not None
        assert shown is not None
        assert (entry.version, shown.id) == (version, version)
        assert (shown.pruned, entry.missing > 0) == (place >= 2, place >= 2)


def test_the_grace_period_then_they_are_deleted(old: Bench) -> None:
    old.volume.prune(Policy(keep_last=1))
    assert collect(old.volume.node).deleted_blocks == 0
    result = collect(old.volume.node, grace_ns=0)
    assert result.deleted_blocks == 4
    assert trash(old.volume) == []


def test_a_new_use_brings_them_back(old: Bench) -> None:
    data = (old.folder / "x").read_bytes()
    old.put("x", "other")
    old.add()
    old.volume.prune(Policy(keep_last=1))
    assert len(trash(old.volume)) == 5
    old.put("y", data)
    old.add()
    collect(old.volume.node, grace_ns=0)
    assert old.content("docs/y") == data
    assert old.volume.verify().damaged == 0


def test_what_came_before_its_record_is_brought_back_where_nothing_was_pruned(old: Bench) -> None:
    """(Seed 100406 of the simulated world.)"""
    node = old.volume.node
    node.blocks.put(sha256(b"early").digest(), b"early", "", 5)
    node.blocks.flush()
    assert collect(node).blocks == 1
    assert len(trash(old.volume)) == 1
    with node.operation("add", ["x"]) as operation:
        operation.commit([file_draft(b"late", b"early")])
    collect_due(node)
    assert old.content("late") == b"early"


def test_what_was_added_while_it_waited_for_the_adders_is_in_use(
    old: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record stands in the journal, and the index has not heard of it yet."""
    node = old.volume.node
    alone = node.locks.adders.exclusive
    with (
        open_node(node.volume) as other,
        other.operation("add", ["x"], late=True) as operation,
    ):

        def after_an_add() -> AbstractContextManager[None]:
            monkeypatch.undo()
            with other.blocks.batch() as batch:
                batch.add(sha256(b"new").digest(), 3, b"new", "")
                batch.seal()
                operation.commit([file_draft(b"new", b"new")])
            other.blocks.explode()
            return alone()

        monkeypatch.setattr(node.locks.adders, "exclusive", after_an_add)
        assert collect(node).blocks == 0
        assert trash(old.volume) == []
    assert old.content("new") == b"new"


@pytest.fixture
def two(old: Bench, tmp_path: Path) -> Iterator[tuple[Bench, Volume]]:
    other = Volume.init(str(tmp_path / "other"), name="other")
    other.peer_add("home", old.volume.directory, yes=True)
    old.volume.peer_add("other", other.directory, yes=True)
    yield old, other
    other.close()


def exchange(one: Volume, other: Volume) -> None:
    for _ in range(2):
        one.sync()
        other.sync()


def test_nothing_is_deleted_before_every_node_has_agreed(two: tuple[Bench, Volume]) -> None:
    bench, other = two
    exchange(bench.volume, other)
    other.mirror(all_versions=True)
    bench.volume.prune(Policy(keep_last=1))
    waiting = collect(bench.volume.node, grace_ns=0)
    assert waiting.deleted_blocks == 0
    assert any("other" in text for text in waiting.waiting)
    exchange(bench.volume, other)
    collect(other.node)
    assert len(trash(other)) == 4
    exchange(bench.volume, other)
    assert collect(bench.volume.node, grace_ns=0).deleted_blocks == 4


def test_what_a_node_that_was_away_restored_comes_back(two: tuple[Bench, Volume]) -> None:
    bench, other = two
    exchange(bench.volume, other)
    first = bench.volume.history(b"docs/x")[-1]
    content = b"".join(bench.volume.read(first))
    theirs = other.history(b"docs/x")[-1]
    bench.volume.prune(Policy(keep_last=1))
    other.restore([b"docs/x"], version=theirs)
    collect(bench.volume.node, grace_ns=0)
    exchange(bench.volume, other)
    collect(bench.volume.node, grace_ns=0)
    assert bench.content("docs/x") == content
    assert bench.volume.verify().damaged == 0


def test_a_sync_collects_what_a_prune_freed_and_looks_once_only(
    two: tuple[Bench, Volume], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, other = two
    exchange(bench.volume, other)
    other.mirror(all_versions=True)
    bench.volume.prune(Policy(keep_last=1))
    exchange(bench.volume, other)
    assert len(trash(other)) == 4, "set aside without a prune of its own"
    looked: list[object] = []
    monkeypatch.setattr("globofs.sync.prune.collect", lambda *a, **k: looked.append(a))
    exchange(bench.volume, other)
    assert not looked
    monkeypatch.undo()
    for volume in (bench.volume, other):
        done = collect_due(volume.node, grace_ns=0)
        assert done is not None
        assert done.deleted_blocks == 4
        assert collect_due(volume.node, grace_ns=0) is None


def test_a_retired_node_is_not_waited_for(two: tuple[Bench, Volume]) -> None:
    bench, other = two
    exchange(bench.volume, other)
    bench.volume.prune(Policy(keep_last=1))
    bench.volume.peer_retire("other")
    assert collect(bench.volume.node, grace_ns=0).deleted_blocks == 4
