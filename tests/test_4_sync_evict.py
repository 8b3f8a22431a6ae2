"""`evict`: nothing goes that keepers do not surely hold; pins and copies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from globofs.errors import NotPinned, Unsupported
from globofs.limits import SECOND_NS
from globofs.store.announce import announce
from globofs.store.clock import SYSTEM
from globofs.store.intent import IntentLog
from globofs.volume import Volume
from tests.helpers_verbs import Bench


class Shifted:
    """The system's clock, and how far it is set ahead."""

    ahead = 0

    def now_ns(self) -> int:
        return SYSTEM.now_ns() + self.ahead

    def monotonic(self) -> float:
        return SYSTEM.monotonic()

    def sleep(self, seconds: float) -> None:
        self.ahead += int(seconds * SECOND_NS)


class Pair:
    """A node that keeps nothing, with a file, and a keeper that has mirrored it."""

    def __init__(self, top: Path) -> None:
        (top / "light").mkdir()
        self.bench = Bench(top / "light", cacheonly=True)
        self.light = self.bench.volume
        self.keeper = Volume.init(str(top / "keeper"), name="keeper")
        self.clock = Shifted()
        self.light.node.clock = self.light.node.blocks.uses._clock = self.clock
        self.bench.put("x", os.urandom(500_000))
        self.bench.put("d/y", b"small text " * 50)
        self.bench.add()
        announce(self.keeper.node)
        self.light.peer_add("keeper", self.keeper.directory, yes=True)
        self.keeper.peer_add("light", self.light.directory, yes=True)

    def sync(self) -> None:
        for _ in range(2):
            self.light.sync()
            self.keeper.sync()

    def mirror(self) -> None:
        self.sync()
        self.keeper.mirror()
        self.sync()

    def held(self) -> int:
        return sum(1 for _ in self.light.node.index.held_blocks())

    def announced(self) -> None:
        """Everybody knows who keeps what."""
        self.light.evict()
        self.mirror()

    def close(self) -> None:
        self.light.close()
        self.keeper.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def test_seen_twice_a_minute_apart_and_then_it_goes(pair: Pair) -> None:
    pair.announced()
    held = pair.held()
    first = pair.light.evict()
    assert (first.blocks, first.waiting) == (0, held)
    pair.clock.sleep(59)
    assert pair.light.evict().blocks == 0
    pair.clock.sleep(2)
    assert pair.light.evict(dry_run=True).blocks == held
    assert pair.held() == held
    assert pair.light.evict().blocks == held
    assert pair.held() == 0
    assert pair.light.verify().damaged == 0, "what was let go of is no damage"
    assert pair.bench.content("docs/d/y") == b"small text " * 50


def test_nothing_goes_without_a_keeper(pair: Pair) -> None:
    pair.announced()
    pair.light.evict()
    pair.clock.sleep(61)
    os.rename(pair.keeper.directory, pair.keeper.directory + ".away")
    result = pair.light.evict()
    assert result.blocks == 0
    assert dict(result.kept) == {"too few keepers reachable": pair.held()}
    os.rename(pair.keeper.directory + ".away", pair.keeper.directory)
    assert pair.light.evict().blocks > 0


def test_nothing_goes_for_the_sake_of_a_retired_keeper(pair: Pair) -> None:
    pair.announced()
    pair.light.evict()
    pair.clock.sleep(61)
    pair.light.peer_retire("keeper")
    result = pair.light.evict()
    assert dict(result.kept) == {"too few keepers reachable": pair.held()}
    assert [p.reason for p in result.problems] == ["keeper is retired: it counts as gone for good"]


def test_nothing_goes_that_the_keeper_lost_meanwhile(pair: Pair) -> None:
    pair.announced()
    pair.light.evict()
    pair.clock.sleep(61)
    block, _ = pair.light.blocks(pair.bench.shown("docs/x"))[0]
    found = pair.keeper.node.blocks.find(block.id)
    assert found is not None
    os.unlink(found[0])
    result = pair.light.evict()
    assert dict(result.kept) == {"no keeper was seen to hold it": 1}
    assert pair.light.node.index.is_held(block.id)


def test_nothing_goes_when_the_copy_there_is_cut_off(pair: Pair) -> None:
    pair.announced()
    block, _ = pair.light.blocks(pair.bench.shown("docs/x"))[0]
    found = pair.keeper.node.blocks.find(block.id)
    assert found is not None
    os.truncate(found[0], 1000)
    pair.light.evict()
    pair.clock.sleep(61)
    pair.light.evict()
    assert pair.light.node.index.is_held(block.id)


def test_nothing_goes_that_the_keeper_has_not_acknowledged(pair: Pair) -> None:
    pair.announced()
    pair.bench.put("z", (pair.bench.folder / "x").read_bytes())  # the same blocks, a new version
    pair.bench.add()
    pair.light.evict()
    pair.clock.sleep(61)
    result = pair.light.evict(b"docs/x")
    assert result.blocks == 0
    assert "not yet acknowledged by a keeper" in dict(result.kept)


def test_nothing_goes_that_is_used_again_while_an_eviction_waits(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper has acknowledged every version, and then another client makes one more."""
    pair.announced()
    pair.light.evict()
    pair.clock.sleep(61)
    block, _ = pair.light.blocks(pair.bench.shown("docs/x"))[0]
    adders = pair.light.node.locks.adders
    alone = adders.exclusive

    def after_an_add() -> AbstractContextManager[None]:
        monkeypatch.undo()
        pair.bench.put("z", (pair.bench.folder / "x").read_bytes())
        with Volume.open(pair.light.directory) as other:
            other.add([str(pair.bench.folder)])
        return alone()

    monkeypatch.setattr(adders, "exclusive", after_an_add)
    pair.light.evict(b"docs/x")
    assert pair.light.node.index.is_held(block.id)


def test_a_keeper_that_has_not_heard_that_we_keep_nothing_does_not_count(pair: Pair) -> None:
    """It was a keeper itself, and the other may rely on that. Only what the other acknowledges
    after the announcement counts, however often its copy is seen until then."""
    pair.light.node.change_config("cacheonly", "no")
    announce(pair.light.node)
    pair.mirror()
    held = pair.held()
    pair.light.node.change_config("cacheonly", "yes")
    for _ in range(3):
        result = pair.light.evict()
        assert any("has not heard" in problem.reason for problem in result.problems)
        pair.clock.sleep(61)
    assert pair.held() == held
    pair.sync()
    pair.light.evict()
    pair.clock.sleep(61)
    assert pair.light.evict().blocks == held


@pytest.mark.parametrize("known_by", ["its config", "its journal"])
def test_one_sign_that_it_keeps_nothing_is_enough(pair: Pair, known_by: str) -> None:
    """The other stops being a keeper. Its config says so at once, but is seen through a cache that
    may be old; its journal says so, but may not have come yet."""
    pair.announced()
    held = pair.held()
    keeper = pair.keeper.node
    keeper.change_config("cacheonly", "yes")
    if known_by == "its journal":
        announce(keeper)
        pair.sync()
        config = Path(keeper.directory) / "config"
        config.write_text(config.read_text().replace("cacheonly=yes", "cacheonly=no"))
    for _ in range(3):
        result = pair.light.evict()
        assert any("is no keeper" in problem.reason for problem in result.problems)
        pair.clock.sleep(61)
    assert pair.held() == held


def test_a_node_that_keeps_nothing_is_no_copy(pair: Pair) -> None:
    pair.announced()
    pair.keeper.node.change_config("cacheonly", "yes")
    pair.light.evict()
    pair.clock.sleep(61)
    result = pair.light.evict()
    assert result.blocks == 0
    assert any("no keeper" in problem.reason for problem in result.problems)


def test_a_keeper_evicts_nothing(pair: Pair) -> None:
    with pytest.raises(Unsupported, match="keeper"):
        pair.keeper.evict()


def test_a_client_that_slept_while_the_node_became_a_keeper_evicts_nothing(pair: Pair) -> None:
    """Another client, or the user in an editor, made it a keeper, and others count on it already.
    Without the look at the config a mount or UI that was open went on letting go of blocks."""
    pair.mirror()
    pair.announced()
    pair.light.evict()
    held = pair.held()
    with Volume.open(pair.light.directory) as other:
        other.node.change_config("cacheonly", "no")
        other.sync()
    pair.clock.sleep(61)
    with pytest.raises(Unsupported, match="keeper"):
        pair.light.evict()
    assert pair.held() == held


def test_pinned_stays_and_is_said(pair: Pair) -> None:
    pair.announced()
    pair.light.pin(b"docs/d")
    pair.light.evict()
    pair.clock.sleep(61)
    result = pair.light.evict()
    assert dict(result.kept) == {"pinned": 1}
    assert pair.bench.shown("docs/d/y").missing == 0
    assert pair.bench.shown("docs/x").missing > 0
    with pytest.raises(NotPinned, match="what keeps it is the pin"):
        pair.light.unpin(b"docs/d/y")
    assert pair.light.unpin(b"docs/d").pins == ()
    pair.clock.sleep(1)
    pair.light.evict()
    pair.clock.sleep(61)
    pair.light.evict()
    assert pair.held() == 0


def test_what_is_open_through_a_mount_stays_and_is_said(pair: Pair) -> None:
    """Whoever reads it would wait for a peer, who may be away by then. A mount that has died holds
    nothing open."""
    pair.announced()
    log = IntentLog(f"{pair.light.node.directory}/state/open", "1-mount")
    log.say_where("/somewhere")
    log.say_open([b"docs/d/y"])
    pair.light.evict()
    pair.clock.sleep(61)
    assert dict(pair.light.evict().kept) == {"open through a mount": 1}
    assert pair.bench.shown("docs/d/y").missing == 0
    assert pair.bench.shown("docs/x").missing > 0
    log.close(clean=False)
    pair.light.evict()
    pair.clock.sleep(61)
    pair.light.evict()
    assert pair.held() == 0


def test_what_was_used_lately_stays(pair: Pair) -> None:
    """What came counts as used, and so does what somebody read: through the index, as another
    process evicts."""
    pair.announced()
    pair.light.node.change_config("cachetime", "30m")
    pair.clock.sleep(20 * 60)
    version = pair.light.history(b"docs/d/y")[0]
    assert b"".join(pair.light.read(version)) == b"small text " * 50
    pair.light.node.blocks.uses.tell()
    pair.clock.sleep(20 * 60)
    pair.light.evict()
    pair.clock.sleep(61)
    assert dict(pair.light.evict().kept) == {"used not long ago": 1}
    pair.clock.sleep(31 * 60)
    pair.light.evict()
    pair.clock.sleep(61)
    pair.light.evict()
    assert pair.held() == 0
    pair.light.mirror(b"docs/x")
    came = pair.held()
    assert came > 0
    pair.light.evict()
    pair.clock.sleep(61)
    assert dict(pair.light.evict().kept) == {"used not long ago": came}
    assert pair.held() == came


def test_copies(pair: Pair) -> None:
    pair.sync()
    counts = {count.name: count for count in pair.light.copies(b"docs")}
    total = pair.held()
    assert (counts["home"].blocks, counts["home"].state) == (total, "here")
    assert counts["keeper"].total == total
    pair.mirror()
    counts = {count.name: count for count in pair.light.copies(b"docs")}
    assert (counts["keeper"].blocks, counts["keeper"].state) == (total, "seen")
    os.rename(pair.keeper.directory, pair.keeper.directory + ".away")
    counts = {count.name: count for count in pair.light.copies(b"docs")}
    assert counts["keeper"].state == "offline"
    os.rename(pair.keeper.directory + ".away", pair.keeper.directory)
