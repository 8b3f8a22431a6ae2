"""Records that went with a node that is gone for good: a gap that nobody can fill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs import limits
from globofs.errors import Unsupported
from globofs.events import Problem
from globofs.format import kinds
from globofs.format import versions as format_versions
from globofs.format.record import BEFORE_APPEND
from globofs.store import home
from globofs.store.catchup import positions
from globofs.store.query import View
from globofs.sync import _keepers, _lost, evict, prune, restore, verify
from globofs.sync._journals import append_via
from globofs.sync.identity import own_records
from globofs.sync.peering import peer_retire
from globofs.sync.results import Policy
from globofs.sync.upkeep import pull_owed
from tests.helpers_node import FixedClock
from tests.helpers_peer import Site, sites, versions

START = 1_700_000_000 * 10**9
DAY = 24 * 3600.0
KEEP_ONE = Policy(keep_last=1)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[tuple[Site, Site, Site]]:
    """Two nodes that know each other, and one that is about to be gone."""
    with sites(tmp_path, "a", "b", "gone", clock=FixedClock(START, tick=1000)) as made:
        a, b, gone = made
        a.knows(b)
        b.knows(a)
        for text in (b"one", b"two"):
            a.write("file", text * 300)
            rounds(a, b)
        gone.write("theirs", b"1")
        gone.write("theirs", b"2" * 700)
        gone.write("theirs", b"3")
        yield a, b, gone


def rounds(*made: Site) -> None:
    for _ in range(4):
        for site in made:
            for peer in site.peers:
                site.round(peer.name)
            prune.acknowledge_prunes(site.node, emit=site.events.append)


def hears(site: Site, gone: Site, lacking: int = 0, *, blocks: bool = True) -> None:
    """`site` has what `gone` wrote, but for one record."""
    raw = [found.raw for found in own_records(gone.node) if found.record.seq != lacking]
    append_via(site.node, gone.uuid, BEFORE_APPEND + b"".join(raw))
    site.node.catch_up()
    for block, suffix in gone.node.blocks.iter_held() if blocks else ():
        site.node.blocks.put(
            block, Path(gone.node.blocks.path_of(block, suffix)).read_bytes(), suffix
        )


def the_second(gone: Site) -> int:
    """The number of the record of its second version."""
    found = [one.record.seq for one in own_records(gone.node) if one.record.kind == "version"]
    return found[1]


def test_what_went_with_a_node_that_is_gone_for_good_is_given_up_by_all(
    three: tuple[Site, Site, Site],
) -> None:
    a, b, gone = three
    lacking = the_second(gone)
    for site in (a, b):
        hears(site, gone, lacking)
    rounds(a, b)
    assert positions(a.node)[gone.uuid].gaps == ((lacking, lacking),)
    with pytest.raises(Unsupported, match=r"records of .* are missing here"):
        prune.prune(a.node, KEEP_ONE)
    peer_retire(a.node, gone.uuid)
    with pytest.raises(Unsupported, match="b has not yet said that it lacks them, too"):
        prune.prune(a.node, KEEP_ONE)
    rounds(a, b)
    assert prune.prune(a.node, KEEP_ONE).versions > 0
    rounds(a, b)
    a.node.clock.sleep(8 * DAY)
    done = prune.collect(a.node)
    assert done.deleted_blocks > 0
    assert done.waiting == ()
    assert prune.collect_due(b.node) is not None
    before = a.node.journal.last()
    rounds(a, b)
    assert a.node.journal.last() == before, "it is said once"
    for site in (a, b):
        reasons: list[object] = []
        verify.verify(site.node, None, emit=reasons.append)
        assert "index.sqlite" not in str(reasons)


def test_whoever_has_such_a_record_is_waited_for_and_brings_it(
    three: tuple[Site, Site, Site],
) -> None:
    """`b` was away, with the record that `a` lacks: a version made of data that a prune would let
    go of. That everybody agreed to the prune is not enough to give the record up."""
    a, b, gone = three
    gone.knows(a)
    rounds(gone)
    restored = gone.write("back", b"one" * 300)
    gone.write("last", b"0")
    lacking = next(
        one.record.seq
        for one in own_records(gone.node)
        if one.record.get("manifest") == restored.hex()
    )
    hears(b, gone)
    hears(a, gone, lacking)
    peer_retire(a.node, gone.uuid)
    prune.acknowledge_prunes(a.node)
    prune.acknowledge_prunes(b.node)
    assert restored not in versions(a)
    with pytest.raises(Unsupported, match="b has not yet said"):
        prune.prune(a.node, KEEP_ONE)
    rounds(a, b)
    assert restored in versions(a)
    prune.prune(a.node, KEEP_ONE)
    rounds(a, b)
    a.node.clock.sleep(8 * DAY)
    prune.collect(a.node)
    assert a.read("back") == b"one" * 300


def test_more_than_a_record_holds_is_said_in_several_and_once(
    three: tuple[Site, Site, Site],
) -> None:
    """Said in one, nobody understood it, and every round said it again."""
    a, b, gone = three
    with b.node.operation("lost") as operation:
        for first in (101, 5101):
            odd = tuple((number, number) for number in range(first, first + 2000, 2))
            operation.record(kinds.LostRecord(gone.uuid, odd))
    peer_retire(a.node, gone.uuid)
    rounds(a, b)
    last = a.node.journal.last()
    assert [event for event in a.events if isinstance(event, Problem)] == []
    assert _lost.given_up(a.node)[gone.uuid].count() == 2000
    rounds(a, b)
    assert a.node.journal.last() == last


def test_a_large_manifest_that_went_with_a_node_is_given_up_by_all(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record got around, and the manifest is a block of its own: nobody prunes while it may
    come, and it never will."""
    a, b, gone = three
    for module in (limits, kinds, format_versions):
        monkeypatch.setattr(module, "MANIFEST_INLINE_BYTES", 400)
    gone.write("x" * 250, b"what nobody fetched in time")
    for site in (a, b):
        hears(site, gone, blocks=False)
    rounds(a, b)
    with pytest.raises(Unsupported, match=r"manifests of large files of .* are missing here; `gl"):
        prune.prune(a.node, KEEP_ONE)
    peer_retire(a.node, gone.uuid)
    words = r"manifests of large files of .*, which is gone for good, .* b has not yet said"
    with pytest.raises(Unsupported, match=words):
        prune.prune(a.node, KEEP_ONE)
    rounds(a, b)
    assert prune.prune(a.node, KEEP_ONE).versions > 0
    before = a.node.journal.last()
    rounds(a, b)
    assert a.node.journal.last() == before, "it is said once"


def test_whoever_has_such_a_manifest_is_waited_for(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, gone = three
    for module in (limits, kinds, format_versions):
        monkeypatch.setattr(module, "MANIFEST_INLINE_BYTES", 400)
    gone.write("x" * 250, b"one" * 300)
    hears(b, gone)
    hears(a, gone, blocks=False)
    peer_retire(a.node, gone.uuid)
    rounds(a, b)
    with pytest.raises(Unsupported, match="b has not yet said"):
        prune.prune(a.node, KEEP_ONE)
    assert pull_owed(a.node, a.puller) == 1
    prune.prune(a.node, KEEP_ONE)
    rounds(a, b)
    a.node.clock.sleep(8 * DAY)
    prune.collect(a.node)
    assert a.read("x" * 250) == b"one" * 300


def test_what_came_since_it_was_said_to_be_lacking_is_not_given_up_here(
    three: tuple[Site, Site, Site],
) -> None:
    """Somebody had it, brought it to one node and was retired, too: that node must not think that
    the other knows of it."""
    a, b, gone = three
    last = list(own_records(gone.node))[-1].record.seq
    for site in (a, b):
        hears(site, gone, the_second(gone))
    a.node.change_config("cacheonly", "yes")
    b.write("hello", b"so that it has said that it keeps things")
    peer_retire(a.node, gone.uuid)
    evict.evict(a.node, a.peers)
    rounds(a, b)
    rounds(a, b)
    ((keeper,), _) = _keepers.keepers(a.node, a.peers)
    assert keeper.knows([(gone.uuid, last)])
    hears(a, gone)
    assert not positions(a.node)[gone.uuid].gaps
    ((keeper,), _) = _keepers.keepers(a.node, a.peers)
    assert not keeper.knows([(gone.uuid, last)])
    rounds(a, b)
    ((keeper,), _) = _keepers.keepers(a.node, a.peers)
    assert keeper.knows([(gone.uuid, last)]), "it was passed on"


def test_a_node_that_may_be_there_twice_does_not_say_what_it_lacks(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, gone = three
    for site in (a, b):
        hears(site, gone, the_second(gone))
    peer_retire(a.node, gone.uuid)
    rounds(a)
    monkeypatch.setattr(home, "is_here", lambda _: False)
    b.node._at_home = False
    rounds(b, a)
    with pytest.raises(Unsupported, match="b has not yet said"):
        prune.prune(a.node, KEEP_ONE)
    monkeypatch.undo()
    rounds(b, a)
    prune.prune(a.node, KEEP_ONE)


def test_a_keeper_knows_what_stands_behind_such_a_gap(three: tuple[Site, Site, Site]) -> None:
    a, b, gone = three
    last = list(own_records(gone.node))[-1].record.seq
    for site in (a, b):
        hears(site, gone, the_second(gone))
    a.node.change_config("cacheonly", "yes")
    b.write("hello", b"so that it has said that it keeps things")
    rounds(a, b)
    evict.evict(a.node, a.peers)
    rounds(a, b)
    ((keeper,), _) = _keepers.keepers(a.node, a.peers)
    assert not keeper.knows([(gone.uuid, last)])
    peer_retire(a.node, gone.uuid)
    rounds(a, b)
    ((keeper,), _) = _keepers.keepers(a.node, a.peers)
    assert keeper.knows([(gone.uuid, last)])


@pytest.mark.parametrize("order", [1, -1])
def test_a_retired_node_that_comes_back_is_waited_for_again(
    three: tuple[Site, Site, Site], order: int
) -> None:
    """Without `come_back` nobody waited for it ever again: what it took back while it was away the
    next time had lost its data when it came."""
    a, b, gone = three
    for one, other in ((a, gone), (gone, a)):
        one.knows(other)
    rounds(a, gone)
    peer_retire(a.node, gone.uuid)
    peer_retire(b.node, gone.uuid)
    rounds(a, b)
    assert gone.uuid not in _lost.waited_for(a.node)
    rounds(gone, a)
    for site in (a, b)[::order]:
        rounds(site, *(a, b)[::-order])
        assert gone.uuid in _lost.waited_for(site.node)
    told = [e.reason for e in gone.events if isinstance(e, Problem)]
    assert [text for text in told if "is gone for good: it says that it is not" in text] == told[:1]
    old = View(gone.node).history(b"file")[-1]
    prune.prune(a.node, KEEP_ONE)  # and it is away
    rounds(a, b)
    a.node.clock.sleep(8 * DAY)
    assert prune.collect(a.node).deleted_blocks == 0
    restore.restore(gone.node, gone.puller, [b"file"], version=old)
    rounds(gone, a)
    prune.collect(a.node)
    assert a.read("file") == b"one" * 300
    for site in (a, b, gone):
        assert verify.verify(site.node, None).damaged == 0, "it is what the journals say"
    peer_retire(a.node, gone.uuid)
    rounds(a)
    assert gone.uuid not in _lost.waited_for(a.node), "it may be said again"
