"""The rules that look odd, each as the schedule that it is there for.

Most are told where their room is tested; `TOLD` names those tests. Beside each stands what was
taken out of the code to see that test fail (and it failed, unless the sentence says else).
"""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from globofs.errors import Unsupported
from globofs.events import Problem
from globofs.format.manifest import manifest_id
from globofs.format.record import BEFORE_APPEND
from globofs.store import home
from globofs.store.catchup import positions
from globofs.store.node import open_node
from globofs.store.query import View
from globofs.sync import evict as eviction
from globofs.sync import prune, restore, verify
from globofs.sync._journals import append_via
from globofs.sync.identity import own_records
from globofs.sync.results import Policy
from tests.helpers_node import FixedClock
from tests.helpers_peer import Site, sites, tree, versions

TOLD = {
    # rule: (test, what was taken out)
    "an acknowledgement comes after the receiver's own sync": (
        "test_5_crash.test_row_13_receiving_without_the_sync",
        "`fdatasync_file` in `catchup._file`",
    ),
    "a failed sync of the journal: said again in a new segment": (
        "test_2_store_journal.test_after_a_failed_sync_everything_is_said_again_in_a_new_segment",
        "`_reissue`: the error was swallowed",
    ),
    "held but unsynced blocks count only behind a barrier": (
        "test_2_store_blocks.test_a_batch_that_only_skips_unsynced_blocks_is_a_barrier",
        "`_barrier` in `batch.seal`",
    ),
    "prune waits for a node that was away": (
        "test_4_sync_prune.test_nothing_is_deleted_before_every_node_has_agreed",
        "`_silent` in `prune._Trash.delete`",
    ),
    "what that node restored meanwhile comes back": (
        "test_4_sync_prune.test_what_a_node_that_was_away_restored_comes_back",
        "`bring_back` in `prune.collect`",
    ),
    "a keeper is looked at twice, a minute apart: it may have lost power in between": (
        "test_4_sync_evict.test_nothing_goes_that_the_keeper_lost_meanwhile",
        "the first look counted as the second in `Sightings.look`",
    ),
    "a node that stops being a keeper counts only those that acknowledged its leaving": (
        "test_4_sync_evict.test_a_keeper_that_has_not_heard_that_we_keep_nothing_does_not_count",
        "the look for our announcement in `_keepers.keepers`",
    ),
    "of two keepers that leave, either's config or its journal is enough to not count it": (
        "test_4_sync_evict.test_one_sign_that_it_keeps_nothing_is_enough",
        "the config, and the announcement, each alone, in `_keepers.keepers`",
    ),
    "two versions with one time have two names in the tree": (
        "test_5_odd_rules.test_two_versions_of_one_path_with_one_time",
        "the twin's name in `tree_files._write_checked`",
    ),
    "restored from yesterday's backup: its records are taken back": (
        "test_4_sync_identity.test_restored_from_yesterday_it_takes_its_records_back",
        "`_take_back` in `identity.settle`",
    ),
    "a cloned volume becomes another node": (
        "test_4_sync_identity.test_both_copies_of_a_volume_are_used",
        "`_fork` in `identity.settle`",
    ),
    "a killed explode is finished by whoever comes next": (
        "test_5_crash.test_row_7_in_the_middle_of_exploding",
        "`explode` in `commit.finish`",
    ),
    "an idle peer is not sent the same again": (
        "test_4_sync_push.test_a_new_process_does_not_send_again_what_lies_there",
        "the search in `_outbox._look`",
    ),
    "a peer's config may have keys of later releases": (
        "test_3_peer_directory.test_a_node_of_a_later_release_is_a_peer",
        "`parse_foreign` in `directory.parse_facts`: the strict parser in its place",
    ),
    "a push makes no `upstream/`, so an empty mount point stays empty": (
        "test_3_peer_directory.test_a_push_never_makes_upstream",
        "`make_directories` in `append_updates`: `os.makedirs` in its place",
    ),
    "a push never lands in a peer entry": (
        "test_3_peer_directory.test_an_entry_that_names_the_peer_is_not_the_peer",
        "`root`, `hashes` or `upstream` beside the config, in `find_node`",
    ),
    "clients of one node look at its config again before they write": (
        "test_4_sync_identity."
        "test_a_client_that_did_not_see_the_change_of_name_writes_under_the_new_one",
        "`reload` in `Operation._journal`",
    ),
    "a change of identity waits for whoever writes": (
        "test_4_sync_identity.test_a_client_in_the_middle_of_writing_is_waited_for",
        "the lock `journal` in `identity.finish_reissue`",
    ),
    "records of a retired node are given up when all others have said that they lack them": (
        "test_4_sync_lost.test_whoever_has_such_a_record_is_waited_for_and_brings_it",
        "`waited_for` in `_lost.given_up`: what this node lacks was given up",
    ),
    "a retired node that comes back is waited for again": (
        "test_4_sync_lost.test_a_retired_node_that_comes_back_is_waited_for_again",
        "`come_back` in `prune.acknowledge_prunes`",
    ),
    "what a reader pulled is synced without its doing anything": (
        "test_4_sync_pull.test_what_a_reader_pulled_is_synced_soon_and_without_its_doing_anything",
        "`due` in `Puller._keep`",
    ),
    "relay over a middle": (
        "test_4_sync_relay.test_a_b_c_then_c_hears_of_a",
        "`relay` in `round._write`",
    ),
}


@pytest.mark.parametrize("rule", TOLD)
def test_it_is_told_where_it_belongs(rule: str) -> None:
    """The test that this page points to is there."""
    module, name = TOLD[rule][0].split(".")
    assert callable(getattr(importlib.import_module(f"tests.{module}"), name))


def settle(*made: Site, rounds: int = 5) -> None:
    for _ in range(rounds):
        for site in made:
            for peer in site.peers:
                site.round(peer.name)


# --- eviction -----------------------------------------------------------------------------------

START = 1_700_000_000 * 10**9


@pytest.fixture
def cached(tmp_path: Path) -> Iterator[tuple[Site, Site, FixedClock]]:
    """A cache and a keeper that hold the same file, and know it of each other."""
    clock = FixedClock(START, tick=1000)
    with (
        sites(tmp_path, "cache", cacheonly=True, clock=clock) as (cache,),
        sites(tmp_path, "keeper", clock=clock) as (keeper,),
    ):
        cache.knows(keeper)
        keeper.knows(cache)
        keeper.write("hello", b"so that it has said that it keeps things")
        cache.write("one", b"1" * 1000)
        settle(cache, keeper)
        keeper.sync(pull=True)
        eviction.evict(cache.node, cache.peers)
        settle(cache, keeper)
        yield cache, keeper, clock


def test_eviction_waits_for_a_client_that_adds(cached: tuple[Site, Site, FixedClock]) -> None:
    """A client found the block held and skipped it, its record is not written yet: the block
    must not go in between. Without the lock in `_Evicting.batch` it went."""
    cache, _, clock = cached
    ((block, _),) = [h for h in cache.node.blocks.iter_held() if cache.held("one") == [True]]
    eviction.evict(cache.node, cache.peers)
    clock.sleep(61)
    batch = cache.node.blocks.batch()
    assert batch.held([block]) == {block}
    other = Site(open_node(cache.node.volume, clock=clock))
    thread = threading.Thread(target=eviction.evict, args=(other.node, other.peers))
    thread.start()
    thread.join(0.4)
    assert thread.is_alive(), "it waits for the adder"
    assert cache.node.blocks.has(block)
    batch.close()
    thread.join(20)
    assert not cache.node.blocks.has(block), "now it may go"
    other.close()


@pytest.mark.parametrize("talk", [False, True])
def test_two_keepers_that_stop_being_keepers_do_not_count_on_each_other(
    tmp_path: Path, talk: bool
) -> None:
    """Both hold the only two copies, both become caches at once, both want to let go. Without
    the look at the other's config and announcement in `_keepers`, both copies went once they had
    talked; before that it is the announcement nobody has heard yet that keeps them."""
    clock = FixedClock(START, tick=1000)
    with sites(tmp_path, "a", "b", clock=clock) as (a, b):
        a.knows(b)
        b.knows(a)
        b.write("hello", b"")
        a.write("one", b"1" * 1000)
        settle(a, b)
        assert b.read("one") == b"1" * 1000
        b.node.blocks.sync_pending()
        for site in (a, b):
            site.node.change_config("cacheonly", "yes")
        for _ in range(4):
            for site in (a, b):
                eviction.evict(site.node, site.peers)
            if talk:
                settle(a, b)
            clock.sleep(61)
        assert a.held("one") == b.held("one") == [True]


def test_a_keeper_that_has_lost_power_is_looked_at_again(
    cached: tuple[Site, Site, FixedClock],
) -> None:
    """The cache saw the keeper's block, which was not on the keeper's disk yet; the keeper lost
    power, and the block with it. With one look instead of two it was gone everywhere."""
    cache, keeper, clock = cached
    assert eviction.evict(cache.node, cache.peers).blocks == 0
    for block, suffix in keeper.node.blocks.iter_held():
        Path(keeper.node.blocks.path_of(block, suffix)).write_bytes(b"")
    clock.sleep(61)
    assert eviction.evict(cache.node, cache.peers).blocks == 0
    assert cache.held("one") == [True]


# --- who hears of what --------------------------------------------------------------------------


def test_relay_goes_on_after_one_direct_contact(tmp_path: Path) -> None:
    """c met a once, and never again: what a says later reaches c over b, though c's journal of
    a begins in a's own file. c cannot ask b; without `relay` it never heard of it."""
    with sites(tmp_path, "a", "b", "c") as (a, b, c):
        for one, other in ((a, b), (b, a), (b, c), (a, c)):
            one.knows(other)
        a.write("first", b"1")
        settle(a, b)
        c.node.catch_up()
        assert c.paths() == [b"first"]
        a.node.remove_peer_entry("c")
        a.peers.reload()
        a.write("later", b"2")
        settle(a, b)
        c.node.catch_up()
        assert set(c.paths()) == {b"first", b"later"}


def test_two_versions_of_one_path_with_one_time(tmp_path: Path) -> None:
    """Two clocks that stand still, on two nodes that have not heard of each other. Both versions
    stand in the tree, the one that was built later under a name with its id, and stay there when
    the tree is built again. Without the second name the later took the earlier's place."""
    with (
        sites(tmp_path, "a", clock=FixedClock(START)) as (a,),
        sites(tmp_path, "b", clock=FixedClock(START)) as (b,),
    ):
        a.knows(b)
        b.knows(a)
        ids = {a.write("file", b"1"), b.write("file", b"2")}
        settle(a, b)
        assert {v.time for v in View(a.node).history(b"file")} == {START}
        for site in (a, b):
            site.node.finish()
            for _ in range(2):
                places = list((site.directory / "root/file/versions").glob("1700000000.*"))
                texts = [place.read_bytes() for place in places]
                assert {manifest_id(text) for text in texts} == ids
                assert verify.verify(site.node, None).damaged == 0
                shutil.rmtree(site.directory / "root/file")
                verify.verify(site.node, None, repair=True)
        assert tree(a) == tree(b)
        assert (
            (a.directory / "root/file/versions/latest").read_bytes()
            == (b.directory / "root/file/versions/latest").read_bytes()
        )  # fmt: skip


def test_every_origin_is_relayed_not_only_a_neighbours(tmp_path: Path) -> None:
    """Five nodes in a row, and none asks the one before it: the last hears of the first. Without
    `relay` in `round._write` it knew of its neighbour alone."""
    names = ("a", "b", "c", "d", "e")
    with sites(tmp_path, *names) as made:
        for one, other in pairwise(made):
            one.knows(other)
        for site in made:
            site.write(f"of-{site.node.name}", site.node.name.encode())
        settle(*made, rounds=12)
        made[-1].node.catch_up()  # it knows nobody, and makes no rounds itself
        for site in made:
            assert tree(site) == tree(made[0])
        assert len(made[-1].paths()) == len(names)


def test_a_third_node_that_has_half_of_each_branch_asks_for_the_rest(tmp_path: Path) -> None:
    """A volume is copied and both are used. The third node gets record 3 from one and 4 and on
    from the other; no number is lacking, yet one version is. The break in the chain counts as a
    gap: without `_breaks` in `apply_records` the version never came."""
    with sites(tmp_path, "a", "hub", "third") as (a, hub, third):
        for one, other in ((a, hub), (hub, a), (hub, third), (third, hub)):
            one.knows(other)
        a.write("common", b"0")
        settle(a, hub, third)
        copy = str(tmp_path / "clone")
        a.node.index.close()
        shutil.copytree(a.node.volume, copy, symlinks=True)
        clone = Site(open_node(copy))
        clone.node.catch_up()
        left = clone.write("left", b"left")
        source = Path(clone.node.updates(clone.uuid))
        there = Path(third.node.updates(a.uuid, hub.uuid))
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(source, there)
        third.node.catch_up()
        assert b"left" in third.paths()
        lost = a.write("right", b"right")
        a.write("more", b"more")
        settle(a, hub, third, rounds=8)
        assert {left, lost} <= versions(third)
        assert {b"left", b"right", b"more"} <= set(third.paths())
        clone.close()


def test_a_branch_that_its_writer_gave_up_does_not_hang_in_the_air(tmp_path: Path) -> None:
    """The end of a clone's branch gets around before the clone notices what it is and issues
    all of it again under another name. What comes before that end is lacking everywhere from then
    on: a gap that stops every prune. Without `_pass_on_former` nobody had it; without
    `half_lacked` the hub and the clone, with one half of record 4 each, gave the other nothing."""
    with sites(tmp_path, "a", "hub") as (a, hub):
        a.knows(hub)
        hub.knows(a)
        a.write("common", b"0")
        settle(a, hub)
        copy = str(tmp_path / "clone")
        a.node.index.close()
        shutil.copytree(a.node.volume, copy, symlinks=True)
        clone = Site(open_node(copy))
        clone.node.catch_up()
        for number in range(2):
            a.write(f"left-{number}", b"left")
            clone.write(f"right-{number}", b"right")
        settle(a, hub)
        *_, before, last = own_records(clone.node)
        append_via(hub.node, a.uuid, BEFORE_APPEND + before.raw + last.raw)
        hub.node.catch_up()
        settle(clone, hub, rounds=2)
        hub.knows(clone, name="clone")
        settle(a, clone, hub, rounds=8)
        assert versions(a) == versions(hub) == versions(clone)
        for site in (a, hub, clone):
            assert {o[:8]: p.gaps for o, p in positions(site.node).items() if p.gaps} == {}
        clone.close()


def test_two_that_have_one_half_each_of_a_fork_give_it_to_each_other(tmp_path: Path) -> None:
    """Under one number there are two records. Each of two nodes has one of them, and knows from
    the chain that another is lacking, so both count the number as a gap, and neither claims to
    have it. Without `_perhaps` in `receive` neither gave its own to the other."""
    with sites(tmp_path, "a", "x", "y") as (a, x, y):
        a.write("common", b"0")
        copy = str(tmp_path / "clone")
        a.node.index.close()
        shutil.copytree(a.node.volume, copy, symlinks=True)
        clone = Site(open_node(copy))
        clone.node.catch_up()
        found = []
        for site, word in ((a, "left"), (clone, "right")):
            for number in range(2):
                site.write(f"{word}-{number}", b"0")
            found.append([one.raw for one in own_records(site.node)])
        left, right = found
        for site, raw in ((x, [*left, *right[-2:]]), (y, [*right, *left[-2:]])):
            append_via(site.node, a.uuid, BEFORE_APPEND + b"".join(raw))
            site.node.catch_up()
        clone.close()
        x.knows(y)
        for _ in range(8):
            x.round("y")
            y.node.catch_up()
        assert {b"left-0", b"left-1", b"right-0", b"right-1"} <= set(x.paths())
        assert versions(x) == versions(y)
        assert not positions(x.node)[a.uuid].gaps
        assert not positions(y.node)[a.uuid].gaps


def restored_and_used(a: Site, witness: Site) -> tuple[Site, bytes]:
    """`a`, back from a backup and with a longer life than it lost; the version that it lost, which
    `witness` has."""
    copy = a.node.volume + "-backup"
    a.node.index.close()
    shutil.copytree(a.node.volume, copy, symlinks=True)
    lost = a.write("lost", b"2")
    settle(witness)
    a.close()
    shutil.rmtree(a.node.volume)
    shutil.move(copy, a.node.volume)
    again = Site(open_node(a.node.volume))
    again.node.catch_up()
    for number in range(3):
        again.write(f"new-{number}", b"3")
    return again, lost


def test_restored_used_and_overtaken_it_hears_of_the_life_it_lost(tmp_path: Path) -> None:
    """A node is restored from yesterday's backup and writes more than it had lost, before it asks
    anybody: its newest number is known to all, so nothing seems to be lacking. Peers that have
    two records under one number give it both: without `_branches` in `relay` it never saw them."""
    with sites(tmp_path, "a", "b") as (a, b):
        a.write("old", b"1")
        b.knows(a)
        settle(b)
        again, lost = restored_and_used(a, b)
        settle(b, rounds=8)
        again.node.catch_up()
        assert lost in versions(again)
        assert lost in versions(b)
        assert versions(again) == versions(b)
        again.close()


def test_a_branch_that_ended_comes_to_whoever_has_only_the_other(tmp_path: Path) -> None:
    """A node is restored from yesterday's backup and writes more than it had lost. A third node
    has all of the new life and nothing of the old: no number is lacking, no later record names the
    old one's end, and those who have both acknowledge the same as it does. Without `_branches` in
    `relay` the version of the old life never came. Seed 5954 of the simulated world told it."""
    with sites(tmp_path, "a", "hub", "third") as (a, hub, third):
        a.write("old", b"1")
        hub.knows(a)
        third.knows(a)
        settle(hub, third)
        again, lost = restored_and_used(a, hub)
        settle(third)
        assert lost in versions(hub) - versions(third)
        hub.knows(third)
        third.knows(hub)
        settle(hub, third, again, rounds=8)
        again.node.catch_up()
        assert lost in versions(third)
        assert versions(hub) == versions(third) == versions(again)
        passed_on = Path(third.node.updates(a.uuid, hub.uuid), "latest")
        size = passed_on.stat().st_size
        settle(hub, third, rounds=4)
        assert passed_on.stat().st_size == size
        again.close()


# --- a node that is there twice -----------------------------------------------------------------

DAY = 24 * 3600.0


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[Site, Site, Site, bytes]]:
    """`a`, which keeps nothing, its copy, and the keeper with the data of both; an old version
    of theirs, which a prune lets go of in a moment."""
    clock = FixedClock(START, tick=1000)
    with (
        sites(tmp_path, "a", cacheonly=True, clock=clock) as (a,),
        sites(tmp_path, "keeper", clock=clock) as (keeper,),
    ):
        a.knows(keeper)
        keeper.knows(a)
        old = keeper.write("file", b"old" * 400)
        keeper.write("file", b"new")
        settle(a, keeper)
        copy = str(tmp_path / "copy")
        a.node.index.close()
        shutil.copytree(a.node.volume, copy, symlinks=True)
        clone = Site(open_node(copy, clock=clock))
        clone.node.catch_up()
        yield a, clone, keeper, old
        clone.close()


def pruned_with(keeper: Site, other: Site) -> None:
    """The keeper lets old versions go, and whoever has to agree is asked: only `other` is there."""
    prune.prune(keeper.node, Policy(keep_last=1))
    for _ in range(3):
        settle(other, keeper)
        other.node.catch_up()
        prune.acknowledge_prunes(other.node, emit=other.events.append)
        keeper.node.clock.sleep(8 * DAY)
        prune.collect(keeper.node)


def test_a_copy_agrees_to_nothing_in_the_name_of_its_original(
    twins: tuple[Site, Site, Site, bytes],
) -> None:
    """The copy hears of a prune and agreed to it, in the name of both; the original was away and
    took the version back, of which it holds nothing. Without `at_home` in `acknowledge_prunes` the
    keeper deleted the data. Seeds 3367 and 7366 of the simulated world told it."""
    a, clone, keeper, old = twins
    pruned_with(keeper, clone)
    assert [e.reason for e in clone.events if isinstance(e, Problem)].count(home.ELSEWHERE) == 1
    restore.restore(a.node, a.puller, [b"file"], version=View(a.node).version_by_id(old))
    settle(a, keeper)
    prune.collect(keeper.node)
    assert a.read("file") == b"old" * 400


def test_a_copy_promises_nothing_that_its_original_let_go_of(
    twins: tuple[Site, Site, Site, bytes],
) -> None:
    """The other way round: the original agreed, the data is gone, and nobody could know of a copy
    that was away and took the version back. Without `_is_here` in `Operation._commit` that was
    reported as done, and the data was nowhere."""
    a, clone, keeper, old = twins
    pruned_with(keeper, a)
    version = View(clone.node).version_by_id(old)
    with pytest.raises(Unsupported, match="not all here"):
        restore.restore(clone.node, clone.puller, [b"file"], version=version)
    clone.write("file", b"what it has itself it may write")


def test_a_copy_that_lets_versions_go_waits_for_itself(
    twins: tuple[Site, Site, Site, bytes],
) -> None:
    """A prune is the agreement to it, too. Without `at_home` in `prune` the original's was given
    with it."""
    _, clone, keeper, _ = twins
    done = prune.prune(clone.node, Policy(keep_last=1))
    assert done.versions == 1
    assert home.ELSEWHERE in done.waiting
    settle(clone, keeper)
    prune.acknowledge_prunes(keeper.node)
    keeper.node.clock.sleep(8 * DAY)
    assert "a has not yet agreed to 1 prune" in prune.collect(keeper.node).waiting


def test_told_apart_they_speak_for_themselves(twins: tuple[Site, Site, Site, bytes]) -> None:
    a, clone, keeper, _ = twins
    assert not clone.node.at_home()
    a.write("mine", b"1")
    settle(a, keeper)
    clone.write("yours", b"2")
    settle(clone, keeper)
    assert clone.uuid != a.uuid
    assert clone.node.at_home()
    assert a.node.at_home()


def test_what_a_keeper_acknowledges_of_a_copy_says_nothing_of_the_original(
    twins: tuple[Site, Site, Site, bytes],
) -> None:
    """Both have written a record under one number, and the keeper acknowledges the copy's. It knows
    nothing of the original's version, whose block it happens to hold. Without `_is_doubtful` in
    `_keepers` the original let go of the block."""
    a, clone, keeper, _ = twins
    eviction.evict(a.node, a.peers)
    settle(a, keeper)
    keeper.node.remove_peer_entry("a")  # what it hears of either comes from the copy
    keeper.peers.reload()
    number = a.node.journal.last().seq
    a.write("mine", b"old" * 400)
    a.node.finish()
    settle(clone)
    while clone.node.journal.last().seq < a.node.journal.last().seq:
        clone.write("yours", b"%d" % clone.node.journal.last().seq)
    settle(clone)
    keeper.node.catch_up()
    assert positions(keeper.node)[a.uuid].received > number
    assert clone.uuid == a.uuid
    for _ in range(2):
        eviction.evict(a.node, a.peers)
        a.node.clock.sleep(61)
    assert a.held("mine") == [True]
