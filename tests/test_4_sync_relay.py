"""Fetch and relay: news reach everybody along any path, in any order, once."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs import limits
from globofs.errors import FormatError
from globofs.format.record import Found, scan
from globofs.store import fsio
from globofs.sync._journals import records_in
from tests.helpers_peer import Site, sites, tree, versions
from tests.test_4_sync_push import lying


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[Site, Site, Site]]:
    """a - b - c: a and c do not know each other."""
    with sites(tmp_path, "a", "b", "c") as (a, b, c):
        a.knows(b)
        b.knows(a)
        b.knows(c)
        c.knows(b)
        yield a, b, c


def readonly_for(writer: Site) -> None:
    """Whatever is written outside `writer`'s own volume fails, as on a read-only mount."""
    own = writer.node.volume

    def refuse(op: str, args: tuple[object, ...]) -> None:
        place = str(args[1] if op == "symlink" else args[0])
        if not place.startswith(own + "/"):
            raise OSError(30, "Read-only file system", place)

    fsio.observer = refuse


@pytest.fixture(autouse=True)
def _writable() -> Iterator[None]:
    yield
    fsio.observer = None


# --- fetch ----------------------------------------------------------------------------------


def test_adding_on_one_side_is_enough_to_receive(tmp_path: Path) -> None:
    with sites(tmp_path, "reader", "source") as (reader, source):
        reader.knows(source)
        source.write("one", b"1")
        readonly_for(reader)
        done = reader.sync()
        fsio.observer = None
        assert done.received == source.node.journal.last().seq
        assert reader.read("one") == b"1"
        assert tree(reader) == tree(source)
        assert reader.sync().received == 0


def test_what_is_fetched_lies_verbatim_in_our_own_via(tmp_path: Path) -> None:
    with sites(tmp_path, "reader", "source") as (reader, source):
        reader.knows(source)
        source.write("one", b"1")
        source.write("two", b"2")
        reader.sync()
        own = source.directory / "upstream" / source.uuid / "updates" / "latest"
        there = reader.directory / "upstream" / source.uuid / "via" / reader.uuid / "updates"
        raw = lambda data: [f.raw for f in scan(data) if isinstance(f, Found)]  # noqa: E731
        assert raw((there / "latest").read_bytes()) == raw(own.read_bytes())


def test_a_peers_own_journal_is_read_only_up_to_its_own_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import globofs.store.commit as commit

    with sites(tmp_path, "reader", "source") as (reader, source):
        reader.knows(source)
        source.write("safe", b"1")
        monkeypatch.setattr(commit, "finish", lambda *_, **__: None)
        source.write("staged", b"2")
        monkeypatch.undo()
        reader.sync()
        assert reader.paths() == [b"safe"]
        source.node.finish()
        reader.sync()
        assert reader.paths() == [b"safe", b"staged"]


def test_a_pusher_gets_its_chance_before_anything_is_fetched(
    chain: tuple[Site, Site, Site],
) -> None:
    a, b, _ = chain
    a.write("one", b"1")
    a.round("b")
    b.node.catch_up()
    a.write("two", b"2")  # a is about to push; b must not fetch what will be pushed
    assert [b.round("a").fetched for _ in range(2)] == [0, 0]
    assert b.round("a").fetched == 2, "two rounds later it is clear that nobody pushes"
    assert b.paths() == [b"one", b"two"]


def test_fetching_goes_on_where_it_ended(tmp_path: Path) -> None:
    with sites(tmp_path, "reader", "source") as (reader, source):
        reader.knows(source)
        for number in range(30):
            source.write(f"f{number:02}", b"x" * 500)
        reader.round("source")
        peer = reader.peers["source"]
        before = peer.bytes_in
        source.write("last", b"new")
        assert reader.round("source").fetched == 2
        assert peer.bytes_in - before < 2000, "only what is new is read"


def test_a_damaged_copy_at_the_peer_is_fetched_from_another_writer(tmp_path: Path) -> None:
    """a's journal lies at b twice: pushed by a, and passed on by c. The first is damaged."""
    with sites(tmp_path, "a", "b", "c", "reader") as (a, b, c, reader):
        a.knows(b)
        a.knows(c)
        c.knows(b)
        reader.knows(b)
        for number in range(3):
            a.write(f"f{number}", b"%d" % number)
        a.round("c")
        c.node.catch_up()
        a.round("b")
        b.node.catch_up()
        pushed = b.directory / "upstream" / a.uuid / "updates" / "latest"
        relayed = b.directory / "upstream" / a.uuid / "via" / c.uuid / "updates"
        relayed.mkdir(parents=True)
        (relayed / "latest").write_bytes(pushed.read_bytes())
        data = bytearray(pushed.read_bytes())
        data[data.index(b"path=f1") + 5] ^= 1
        pushed.write_bytes(data)
        reader.sync()
        assert b"f1" in reader.paths()


def test_endless_garbage_at_a_peer_costs_bounded_memory_and_time() -> None:
    asked: list[int] = []

    def read(offset: int, limit: int) -> bytes:
        asked.append(limit)
        return b"globofs-record 9 ".ljust(limit, b"x")

    with pytest.raises(FormatError, match="not read on"):
        list(records_in(read))
    assert max(asked) <= 8 * limits.MIB
    assert sum(asked) < 3 * limits.GARBAGE_BYTES


# --- relay ----------------------------------------------------------------------------------


def test_a_b_c_then_c_hears_of_a(chain: tuple[Site, Site, Site]) -> None:
    """Scenario 18."""
    a, b, c = chain
    a.write("from-a", b"1")
    a.round("b")
    b.node.catch_up()
    assert [b.round("c").relayed for _ in range(2)] == [0, 0], "two rounds of patience"
    assert b.round("c").relayed > 0
    c.node.catch_up()
    assert c.paths() == [b"from-a"]
    assert lying(b, c, a.uuid) == sorted(set(lying(b, c, a.uuid)))
    assert b.round("c").seen.outgoing == 0
    assert b.round("c").relayed == 0


def test_a_relayed_record_is_not_sent_again_to_a_sleeper(chain: tuple[Site, Site, Site]) -> None:
    a, b, _c = chain
    a.write("from-a", b"1")
    a.round("b")
    b.node.catch_up()
    sent = sum(b.round("c").relayed for _ in range(6))
    assert sent == a.node.journal.last().seq
    again = b.reopened()
    assert sum(again.round("c").relayed for _ in range(6)) == 0
    again.close()


def test_one_command_on_each_node_carries_news_along_the_chain(
    chain: tuple[Site, Site, Site],
) -> None:
    a, b, c = chain
    a.write("x", b"from a")
    c.write("x", b"from c")
    c.write("y", b"2")
    for site in (a, b, c, b, a):
        site.sync()
    assert tree(a) == tree(b) == tree(c)
    assert a.node.index.one("SELECT conflict FROM path WHERE path = ?", (b"x",))[0]


def test_then_c_and_a_meet_and_nothing_moves(chain: tuple[Site, Site, Site]) -> None:
    """Scenario 18."""
    a, b, c = chain
    a.write("one", b"1")
    c.write("two", b"2")
    for site in (a, b, c, b, a, c):
        site.sync()
    a.knows(c)
    c.knows(a)
    assert (a.sync().sent, c.sync().sent) == (0, 0)


def test_a_record_of_another_origin_is_refused(chain: tuple[Site, Site, Site]) -> None:
    a, b, c = chain
    a.write("real", b"1")
    a.sync()
    b.sync()
    forged = c.directory / "upstream" / c.uuid / "updates" / "latest"
    c.write("mine", b"2")
    place = b.directory / "upstream" / a.uuid / "via" / c.uuid / "updates"
    place.mkdir(parents=True)
    (place / "latest").write_bytes(forged.read_bytes())
    b.node.catch_up()
    assert b.paths() == [b"real"]


# --- many nodes, one seed ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_rounds_ends_in_the_same_tree(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = ("a", "b", "c", "d")
    with sites(tmp_path, *names) as made:
        ring = list(zip(made, made[1:] + made[:1], strict=True))
        for one, other in ring:
            one.knows(other)
            if chance.random() < 0.7:
                other.knows(one)
        for step in range(40):
            site = chance.choice(made)
            act = chance.random()
            if act < 0.35:
                site.write(f"p{chance.randrange(5)}", b"%d" % step)
            elif act < 0.45 and site.paths():
                site.delete(os.fsdecode(chance.choice(site.paths())))
            elif act < 0.9:
                for peer in site.peers:
                    site.round(peer.name)
            else:
                latest = list((site.directory / "upstream").glob("*/updates/latest"))
                others = [path for path in latest if site.uuid not in path.parts]
                if others:  # a torn end of what somebody pushed here
                    path = chance.choice(others)
                    with open(path, "r+b") as file:
                        seen = site.node.index.one(
                            "SELECT max(size) FROM cursor WHERE directory LIKE ?",
                            (f"{path.parts[-3]}/updates",),
                        )[0]
                        file.truncate(max(seen or 0, path.stat().st_size - 30))
        for site in made:  # the processes end; new ones look at what lies there
            site.memories.clear()
        for _ in range(12):
            for site in made:
                for peer in site.peers:
                    site.round(peer.name)
        trees = [tree(site) for site in made]
        assert trees[0]
        assert all(found == trees[0] for found in trees)
        assert all(versions(site) == versions(made[0]) for site in made)


def test_what_is_claimed_and_nowhere_to_be_read_is_not_looked_for_in_every_round(
    tmp_path: Path,
) -> None:
    with sites(tmp_path, "reader", "source") as (reader, source):
        reader.knows(source)
        for number in range(20):
            source.write(f"f{number:02}", b"x" * 500)
        latest = source.directory / "upstream" / source.uuid / "updates" / "latest"
        data = bytearray(latest.read_bytes())
        data[data.index(b"path=f03") + 5] ^= 1
        latest.write_bytes(data)
        reader.round("source")
        assert len(reader.paths()) == 19
        before = reader.peers["source"].bytes_in
        for _ in range(20):
            assert reader.round("source").seen.incoming == 1
        assert reader.peers["source"].bytes_in - before < len(data) // 2
