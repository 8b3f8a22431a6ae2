"""Push: exactly what the peer lacks, once, and again when it was lost."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs import limits
from globofs.format.kinds import NoteRecord
from globofs.format.record import Found, scan
from globofs.peerio.peer import Peer
from globofs.store import fsio
from globofs.store.query import View
from globofs.sync._spans import Spans
from tests.helpers_peer import Site, sites, tree


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    with sites(tmp_path, "a", "b") as (a, b):
        a.knows(b)
        b.knows(a)
        yield a, b


def lying(writer: Site, at: Site, origin: str = "") -> list[int]:
    """Numbers of the records of `writer` that lie at `at`, in order of the files."""
    origin = origin or writer.uuid
    place = at.directory / "upstream" / origin
    place = place / "updates" if origin == writer.uuid else place / "via" / writer.uuid / "updates"
    found: list[int] = []
    names = sorted(os.listdir(place)) if place.exists() else []
    for name in names:
        for item in scan((place / name).read_bytes()):
            if isinstance(item, Found):
                found.append(item.record.seq)
    return found


def test_what_is_pushed_arrives_and_nothing_is_sent_twice(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("one", b"1")
    first = a.round("b")
    assert first.sent > 0
    assert first.seen.outgoing == first.sent, "lying there is not delivered"
    for _ in range(5):  # the clients of b sleep
        again = a.round("b")
        assert again.sent == 0
        assert again.seen.outgoing == first.sent
    assert lying(a, b) == list(range(1, first.sent + 1))
    b.node.catch_up()
    done = a.round("b")
    assert done.seen.outgoing == 0
    assert tree(a) == tree(b)


def test_a_new_process_does_not_send_again_what_lies_there(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("one", b"1")
    sent = a.round("b").sent
    again = a.reopened()
    assert again.round("b").sent == 0
    again.write("two", b"2")
    assert again.round("b").sent > 0
    numbers = lying(again, b)
    assert numbers == sorted(set(numbers))
    assert len(numbers) > sent
    again.close()


def test_a_torn_append_is_healed(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("one", b"1")
    a.round("b")
    latest = b.directory / "upstream" / a.uuid / "updates" / "latest"
    whole = latest.read_bytes()
    latest.write_bytes(whole[:-40])  # power went at the peer
    fresh = a.reopened()
    assert fresh.round("b").sent == 1
    b.node.catch_up()
    assert tree(fresh) == tree(b)
    assert fresh.round("b").seen.outgoing == 0
    fresh.close()


def test_a_failed_append_is_looked_at_before_it_is_repeated(pair: tuple[Site, Site]) -> None:
    """fsync said no, yet the bytes are there: they are not sent twice."""
    a, b = pair
    a.write("one", b"1")
    failed = threading.Event()

    def refuse(op: str, args: tuple[object, ...]) -> None:
        if op == "fsync" and a.uuid in str(args[0]) and b.node.volume in str(args[0]):
            failed.set()
            raise OSError(5, "Input/output error")

    fsio.observer = refuse
    try:
        done = a.round("b")
    finally:
        fsio.observer = None
    assert failed.is_set()
    assert done.problems
    assert a.round("b").sent == 0
    numbers = lying(a, b)
    assert numbers == sorted(set(numbers))
    assert numbers


def test_a_damaged_record_is_a_gap_and_sent_again(pair: tuple[Site, Site]) -> None:
    a, b = pair
    for number in range(4):
        a.write(f"file{number}", b"%d" % number)
    a.round("b")
    latest = b.directory / "upstream" / a.uuid / "updates" / "latest"
    data = bytearray(latest.read_bytes())
    at = data.index(b"path=file1")
    data[at + 5] ^= 1
    latest.write_bytes(data)
    b.node.catch_up()
    assert b"file1" not in b.paths()
    assert b"file3" in b.paths(), "what follows is not stopped"
    healed = a.reopened()
    assert healed.round("b").sent == 1
    b.node.catch_up()
    assert tree(healed) == tree(b)
    assert healed.round("b").seen.outgoing == 0
    healed.close()


def test_a_peer_restored_from_a_backup_is_sent_what_it_lost(
    pair: tuple[Site, Site], tmp_path: Path
) -> None:
    a, b = pair
    a.write("one", b"1")
    a.round("b")
    b.node.catch_up()
    a.round("b")
    backup = {
        path: path.read_bytes() for path in (b.directory / "upstream").rglob("*") if path.is_file()
    }
    a.write("two", b"2")
    a.round("b")
    b.node.catch_up()
    assert a.round("b").seen.outgoing == 0
    b.close()
    for path in list((b.directory / "upstream").rglob("*")):
        if path.is_file() and path not in backup:
            path.unlink()
    for path, data in backup.items():
        path.write_bytes(data)
    for name in os.listdir(b.directory):
        if name.startswith("index.sqlite"):
            os.unlink(b.directory / name)
    restored = b.reopened()
    restored.node.catch_up()
    assert restored.paths() == [b"one"]
    assert a.round("b").sent > 0
    restored.node.catch_up()
    assert tree(a) == tree(restored)
    restored.close()


def test_records_lost_from_the_file_while_unacknowledged_are_noticed_in_time(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    a.write("one", b"1")
    sent = a.round("b").sent
    os.unlink(b.directory / "upstream" / a.uuid / "updates" / "latest")
    assert a.round("b").sent == 0, "it is not looked at in every round"
    later = a.node.clock.monotonic() + 1000
    monkeypatch.setattr(type(a.node.clock), "monotonic", lambda self: later, raising=False)
    assert a.round("b").sent == sent


def test_a_big_queue_goes_in_buffers_and_segments(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    monkeypatch.setattr(limits, "PUSH_BUFFER_BYTES", 4000)
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 20_000)
    with a.node.operation("add") as operation:
        from globofs.store.commit import Draft

        operation.commit(Draft(b"d/%05d" % n, "file", if_changed=False) for n in range(300))
    sizes: list[int] = []

    def watch(op: str, args: tuple[object, ...]) -> None:
        if op == "write" and b.node.volume in str(args[0]) and "updates" in str(args[0]):
            sizes.append(len(args[2]))  # type: ignore[arg-type]

    fsio.observer = watch
    try:
        done = a.round("b")
    finally:
        fsio.observer = None
    assert done.sent == a.node.journal.last().seq > 300
    assert len(sizes) > 20
    assert max(sizes) <= 4001
    assert len(os.listdir(b.directory / "upstream" / a.uuid / "updates")) > 3
    b.node.catch_up()
    assert tree(a) == tree(b)
    fresh = a.reopened()
    assert fresh.round("b").sent == 0
    fresh.close()


@pytest.mark.parametrize(("rate", "largest"), [(100_000, 256 << 10), (100_000_000, 4 << 20)])
def test_an_append_is_of_what_the_line_carries_in_a_second(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch, rate: int, largest: int
) -> None:
    """At 100 kB/s one of 4 MiB would take longer than a peer may be silent."""
    a, _b = pair
    with a.node.operation("add") as operation:
        operation.record(*[NoteRecord("x" * 10_000) for _ in range(1000)])
    now = a.node.clock.monotonic()
    monkeypatch.setattr(type(a.node.clock), "monotonic", lambda self: now, raising=False)
    append = Peer.append_updates
    sizes: list[int] = []

    def timed(peer: Peer, origin: str, via: str | None, data: bytes) -> None:
        nonlocal now
        now += len(data) / rate
        sizes.append(len(data))
        append(peer, origin, via, data)

    monkeypatch.setattr(Peer, "append_updates", timed)
    a.round("b")
    assert sum(sizes) > 10_000_000
    assert largest * 0.9 < max(sizes) <= largest + 1


def test_only_records_whose_blocks_stand_in_hashes_go_out(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    a.write("safe", b"1")
    import globofs.store.commit as commit

    monkeypatch.setattr(commit, "finish", lambda *_, **__: None)  # killed before exploding
    a.write("staged", b"2" * 1000)
    monkeypatch.undo()
    a.round("b")
    b.node.catch_up()
    assert b.paths() == [b"safe"]
    a.node.finish()
    a.round("b")
    b.node.catch_up()
    assert b.paths() == [b"safe", b"staged"]
    assert b.read("staged") == b"2" * 1000


def test_send_writes_the_blocks_first(tmp_path: Path) -> None:
    with sites(tmp_path, "laptop", "server") as (laptop, server):
        laptop.knows(server, send=True)  # the server cannot reach back: it has no entry
        server.node.catch_up()
        order: list[str] = []
        blocks = set[object]()

        def watch(op: str, args: tuple[object, ...]) -> None:
            if server.node.volume in str(args[0]):
                if op == "rename" and "/hashes/" in str(args[1]):
                    blocks.add(args[1])
                    order.append("block")
                if op == "write" and "/updates/" in str(args[0]):
                    order.append("records")

        fsio.observer = watch
        try:
            laptop.write("photo", bytes(range(256)) * 5000, piece=300_000)
            laptop.round("server")
        finally:
            fsio.observer = None
        assert order[-1] == "records"
        assert len(blocks) == 5
        server.node.catch_up()
        assert server.held("photo") == [True] * 5, "what was given is noticed"
        assert server.read("photo") == bytes(range(256)) * 5000
        assert View(server.node).entry(b"photo") is not None


def test_an_offline_peer_keeps_its_queue(pair: tuple[Site, Site]) -> None:
    a, b = pair
    os.rename(b.node.volume, b.node.volume + "-off")
    for number in range(20):
        a.write(f"f{number}", b"%d" % number)
        assert a.round("b").seen.state == "offline"
    os.rename(b.node.volume + "-off", b.node.volume)
    assert a.round("b").sent == a.node.journal.last().seq >= 40
    b.node.catch_up()
    assert tree(a) == tree(b)


# --- the arithmetic of ranges -----------------------------------------------------------------


def test_spans_are_sets() -> None:
    import random

    chance = random.Random(7)
    for _ in range(300):
        left, right = set[int](), set[int]()
        a, b = Spans(), Spans()
        for numbers, spans in ((left, a), (right, b)):
            for _ in range(chance.randrange(6)):
                low = chance.randrange(1, 30)
                high = low + chance.randrange(-1, 6)
                spans.add(low, high)
                numbers.update(range(low, high + 1))
        flat = lambda spans: {n for low, high in spans for n in range(low, high + 1)}  # noqa: E731
        assert flat(a) == left
        assert flat(a.minus(b)) == left - right
        assert flat(a.both(b)) == left & right
        assert a.count() == len(left)
        assert all((n in a) == (n in left) for n in range(40))
        ranges = list(a)
        assert all(x[1] + 1 < y[0] for x, y in itertools.pairwise(ranges))


def test_a_long_sleepers_file_is_not_read_again_and_again(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = pair
    for number in range(20):
        a.write(f"f{number}", b"%d" % number)
    a.round("b")
    now = a.node.clock.monotonic()
    peer = a.peers["b"]
    for step in range(1, 6):
        monkeypatch.setattr(
            type(a.node.clock), "monotonic", lambda self, at=now + 1000 * step: at, raising=False
        )
        before = peer.bytes_in
        assert a.round("b").sent == 0
        assert peer.bytes_in == before, "its end shows that it is as we left it"
