"""Pull: verified before anyone sees it, from whoever has it, and never held up by one peer."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from globofs import limits
from globofs.errors import ContentMissing, Interrupted
from globofs.events import Problem
from globofs.peerio.directory import PeerDirectory, block_name
from globofs.peerio.pool import Call, PeerPool
from globofs.store.query import View
from globofs.sync.pull import FileReader, Puller, Wanted
from tests.helpers_engine import until
from tests.helpers_peer import Site, sites


@pytest.fixture
def three(tmp_path: Path) -> Iterator[tuple[Site, Site, Site]]:
    """`c` has peers `a` and `b`; all three know the same versions, `a` and `b` hold them."""
    with sites(tmp_path, "a", "b", "c", inline=False) as (a, b, c):
        for site in (a, b, c):
            for other in (a, b, c):
                if site is not other:
                    site.knows(other)
        yield a, b, c


DATA = os.urandom(700_000)
PIECE = 50_000


def spread(a: Site, b: Site, c: Site, path: str = "file", data: bytes = DATA) -> None:
    """`a` writes, all hear of it, `b` reads it all."""
    a.write(path, data, piece=PIECE)
    for _ in range(2):
        a.sync()
        b.sync()
        c.sync()
    assert b.read(path) == data
    b.node.blocks.sync_pending()


def blocks(data: bytes = DATA) -> list[bytes]:
    return [sha256(data[at : at + PIECE]).digest() for at in range(0, len(data), PIECE)]


def stored(site: Site, block: bytes) -> Path:
    found = site.node.blocks.find(block)
    assert found is not None
    return Path(found[0])


def test_reading_pulls_keeps_and_counts(three: tuple[Site, Site, Site]) -> None:
    a, b, c = three
    spread(a, b, c)
    assert c.held("file") == [False] * 14
    assert c.read("file") == DATA
    c.node.blocks.sync_pending()
    assert c.held("file") == [True] * 14
    assert c.node.index.synced(blocks()) == set(blocks())
    for other in ("a", "b"):
        os.rename(c.peers[other].path, c.peers[other].path + "-away")
    assert c.read("file") == DATA


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_reader_pulled_is_synced_soon_and_without_its_doing_anything(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """A reader that goes on for days, or pauses. A cache lets go of its copy a minute after it saw
    ours: on a kernel that writes back later than that, a power cut then took the last one."""
    a, b, c = three
    spread(a, b, c)
    monkeypatch.setattr(limits, "PULLED_SYNC_SECONDS", 0.05)
    tried = threading.Event()
    sync = c.node.blocks.sync_pending

    def sync_pending() -> None:
        if fails and not tried.is_set():
            tried.set()
            raise OSError(errno.EIO, "bad")
        sync()

    monkeypatch.setattr(c.node.blocks, "sync_pending", sync_pending)
    version = View(c.node).version(b"file")
    assert version is not None
    with FileReader(c.puller, version) as reader:
        reader.pread(0, 10)
        if fails:
            assert tried.wait(5)
            reader.pread(len(DATA) - 10, 10)
        assert until(lambda: blocks()[0] in c.node.index.synced(blocks()))
    c.puller.close()
    assert c.puller._settling._timer is None


def test_a_wrong_copy_is_named_and_pulled_elsewhere(three: tuple[Site, Site, Site]) -> None:
    a, b, c = three
    spread(a, b, c)
    stored(a, blocks()[3]).write_bytes(b"")
    stored(a, blocks()[5]).write_bytes(os.urandom(PIECE))
    os.unlink(stored(a, blocks()[7]))
    os.mkdir(Path(a.node.hashes()) / block_name(blocks()[7]))
    wanted = [Wanted(block, PIECE, b"file", a.uuid) for block in blocks()]
    done = c.puller.fetch(wanted)
    assert (done.blocks, done.missing) == (14, ())
    named = [problem.reason for problem in done.problems]
    assert any(blocks()[5].hex()[:16] in text and text.startswith("a ") for text in named)
    assert c.read("file") == DATA


def test_peers_are_asked_in_the_order_of_what_they_promise(three: tuple[Site, Site, Site]) -> None:
    """The version's node, then keepers, then who answered last, then the quickest; who is away, or
    has just been overtaken, comes last."""
    _, _, c = three

    def peer(uuid: str, keeps: bool, seconds: float | None, reachable: bool = True) -> Any:
        facts = SimpleNamespace(cacheonly=not keeps)
        return SimpleNamespace(
            uuid=uuid, name=uuid, facts=facts, latency_seconds=seconds, reachable=reachable
        )

    made = [
        peer("away", True, 0.1, reachable=False),
        peer("slow keeper", True, 3.0),
        peer("keeper", True, 2.0),
        peer("answered", False, 9.0),
        peer("quick", False, 0.1),
        peer("writer", False, 9.0),
        peer("overtaken", True, 0.1),
    ]
    puller = Puller(c.node, made)  # type: ignore[arg-type]
    puller._answered = "answered"
    puller._lagging = {"overtaken": SimpleNamespace(done=lambda: False)}  # type: ignore[dict-item]
    puller.paused = lambda name: name == "quick"
    order = ["writer", "keeper", "slow keeper", "answered", "overtaken", "away"]
    assert [one.uuid for one in puller._candidates("writer")] == order
    puller.paused = lambda name: False
    assert [one.uuid for one in puller._candidates("nobody")] == [
        *("keeper", "slow keeper", "answered", "quick", "writer", "overtaken", "away")
    ]


def test_nobody_has_it(three: tuple[Site, Site, Site]) -> None:
    a, _b, c = three
    a.write("only", b"only a has this")
    a.sync()
    c.sync()
    os.rename(a.node.volume, a.node.volume + "-off")
    with pytest.raises(ContentMissing) as found:
        c.read("only")
    assert "only" in found.value.message
    assert a.node.config.name in found.value.message, "it says who should have it"
    os.rename(a.node.volume + "-off", a.node.volume)
    assert c.read("only") == b"only a has this"


def test_the_rest_is_pulled_when_one_block_is_nowhere(three: tuple[Site, Site, Site]) -> None:
    a, b, c = three
    spread(a, b, c)
    for site in (a, b):
        os.unlink(stored(site, blocks()[2]))
    done = c.puller.fetch([Wanted(block, PIECE, b"file", a.uuid) for block in blocks()])
    assert done.blocks == 13
    assert [item.id for item in done.missing] == [blocks()[2]]
    again = c.puller.fetch([Wanted(block, PIECE, b"file", a.uuid) for block in blocks()])
    assert (again.already, again.blocks) == (13, 0), "what is here is not pulled again"


def slow_reads(monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> threading.Event:
    """Every read of a block at peer `name` takes `seconds`, until the event is set."""
    real, release = PeerDirectory.read_block, threading.Event()

    def slow(self: PeerDirectory, block: bytes, size: int) -> tuple[bytes, str] | None:
        if self.name == name:
            release.wait(seconds)
        return real(self, block, size)

    monkeypatch.setattr(PeerDirectory, "read_block", slow)
    return release


def test_a_slow_peer_is_overtaken(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = three
    spread(a, b, c)
    release = slow_reads(monkeypatch, "a", 30)  # the preferred one: it wrote the file
    begun = time.monotonic()
    assert c.read("file") == DATA
    assert time.monotonic() - begun < 8
    release.set()


def test_a_hanging_peer_alone_ends_in_an_error_and_the_peer_is_stuck(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = three
    spread(a, b, c)
    os.rename(b.node.volume, b.node.volume + "-off")
    release = slow_reads(monkeypatch, "a", 60)
    monkeypatch.setattr(limits, "PEER_CALL_SECONDS", 0.5)
    begun = time.monotonic()
    with pytest.raises(ContentMissing):
        c.read("file")
    assert time.monotonic() - begun < 5
    assert c.peers["a"].state().state == "stuck"
    release.set()
    until = time.monotonic() + 5
    while c.peers["a"].state().state == "stuck" and time.monotonic() < until:
        time.sleep(0.02)
    assert c.read("file") == DATA


def test_one_flight_a_block_whoever_asks(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = three
    spread(a, b, c)
    counted: list[bytes] = []
    real = PeerDirectory.read_block

    def count(self: PeerDirectory, block: bytes, size: int) -> tuple[bytes, str] | None:
        counted.append(block)
        time.sleep(0.05)
        return real(self, block, size)

    monkeypatch.setattr(PeerDirectory, "read_block", count)
    answers: list[bytes] = []

    def ask() -> None:
        answers.append(c.puller.get(blocks()[0], PIECE, b"file", a.uuid))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [DATA[:PIECE]] * 8
    assert counted == [blocks()[0]]


def test_sixteen_pulls_are_in_flight(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = three
    data = os.urandom(20 * 1000)
    a.write("many", data, piece=1000)
    a.sync()
    c.sync()
    os.rename(b.node.volume, b.node.volume + "-off")
    inside, most, guard = 0, 0, threading.Lock()
    real = PeerDirectory.read_block

    def count(self: PeerDirectory, block: bytes, size: int) -> tuple[bytes, str] | None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        time.sleep(0.1)
        try:
            return real(self, block, size)
        finally:
            with guard:
                inside -= 1

    monkeypatch.setattr(PeerDirectory, "read_block", count)
    wanted = [
        Wanted(sha256(data[at : at + 1000]).digest(), 1000, b"many", a.uuid)
        for at in range(0, len(data), 1000)
    ]
    assert c.puller.fetch(wanted).blocks == 20
    assert most >= 16


def test_bytes_in_flight_are_bounded(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = three
    spread(a, b, c)
    monkeypatch.setattr(limits, "PULL_BYTES_IN_FLIGHT", 3 * PIECE)
    most = 0
    real = c.puller.join

    def watch(wanted: Wanted, event: threading.Event) -> object:
        nonlocal most
        flight = real(wanted, event)
        most = max(most, c.puller._bytes)
        return flight

    monkeypatch.setattr(c.puller, "join", watch)
    assert c.puller.fetch([Wanted(block, PIECE, b"", a.uuid) for block in blocks()]).blocks == 14
    assert most <= 3 * PIECE
    assert c.puller._bytes == 0
    assert c.puller._flights == {}


def test_random_access_and_reading_ahead(three: tuple[Site, Site, Site]) -> None:
    a, b, c = three
    spread(a, b, c)
    version = View(c.node).version(b"file")
    assert version is not None
    with FileReader(c.puller, version) as reader:
        assert reader.pread(0, 10) == DATA[:10]
        assert reader.pread(49_990, 20) == DATA[49_990:50_010]
        assert reader.pread(120_000, 200_000) == DATA[120_000:320_000]
        assert reader.pread(699_990, 100) == DATA[699_990:]
        assert reader.pread(700_000, 1) == b""
        assert reader.pread(5_000_000, 1) == b""
    assert c.puller._flights == {}
    assert c.puller._bytes == 0


def test_who_waits_for_a_silent_peer_holds_up_no_other_reader_and_gives_up(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = three
    spread(a, b, c)
    stored(b, blocks()[2]).unlink()
    release = slow_reads(monkeypatch, "a", 30)
    version = View(c.node).version(b"file")
    assert version is not None
    errors: list[ContentMissing] = []
    with FileReader(c.puller, version, patience=1.5) as reader:

        def read() -> None:
            try:
                reader.pread(2 * PIECE, PIECE)
            except ContentMissing as error:
                errors.append(error)

        waits = threading.Thread(target=read)
        waits.start()
        assert reader.pread(5 * PIECE, PIECE) == DATA[5 * PIECE : 6 * PIECE]
        assert waits.is_alive()
        waits.join(8)
    assert "a: no answer for 1.5 s" in errors[0].message
    release.set()


def test_cancelling_is_quick_and_leaves_what_came(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = three
    spread(a, b, c)
    first = blocks()[0]
    c.puller.get(first, PIECE)
    os.rename(b.node.volume, b.node.volume + "-off")
    release = slow_reads(monkeypatch, "a", 30)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begun = time.monotonic()
    done = c.puller.fetch(
        [Wanted(block, PIECE, b"", a.uuid) for block in blocks()], cancelled=stop.is_set
    )
    assert time.monotonic() - begun < 2
    assert done.already == 1
    with pytest.raises(Interrupted):
        c.puller.get(blocks()[1], PIECE, cancelled=lambda: True)
    release.set()


def test_a_damaged_block_of_ours_is_pulled_again(three: tuple[Site, Site, Site]) -> None:
    a, b, c = three
    spread(a, b, c)
    c.read("file")
    c.node.blocks.sync_pending()
    stored(c, blocks()[4]).write_bytes(b"rot")
    assert c.read("file") == DATA
    assert any(isinstance(event, Problem) and event.warning for event in c.events)


def test_a_read_only_node_reads_and_keeps_nothing(three: tuple[Site, Site, Site]) -> None:
    from globofs.store.node import open_node

    a, b, c = three
    spread(a, b, c)
    c.close()
    before = {path for path in c.directory.rglob("*") if "index" not in path.name}
    looking = Site(open_node(c.node.volume, readonly=True), inline=False)
    looking.node.catch_up()
    assert looking.read("file") == DATA
    looking.close()
    assert {path for path in c.directory.rglob("*") if "index" not in path.name} == before


# --- many small blocks, from the staged files of who wrote them ------------------------------------

GRAIN = 2_000
SAND = os.urandom(100 * GRAIN)


@pytest.fixture
def sand(three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch) -> Sand:
    """`c` knows of a hundred small blocks that `a` wrote in one commit, and counts what it reads
    one by one."""
    a, _b, c = three
    a.write("sand", SAND, piece=GRAIN)
    a.sync()
    c.sync()
    return Sand(a, c, monkeypatch)


class Sand:
    def __init__(self, a: Site, c: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.a, self.c = a, c
        self.single: list[bytes] = []
        read_block = PeerDirectory.read_block

        def counted(directory: PeerDirectory, block: bytes, size: int) -> object:
            self.single.append(block)
            return read_block(directory, block, size)

        monkeypatch.setattr(PeerDirectory, "read_block", counted)
        grains = [SAND[at : at + GRAIN] for at in range(0, len(SAND), GRAIN)]
        self.ids = [sha256(grain).digest() for grain in grains]

    def staged(self) -> Path:
        found = list(Path(self.a.node.directory, "staged").iterdir())
        assert len(found) == 1
        return found[0]

    def pull(self) -> None:
        done = self.c.puller.fetch([Wanted(i, GRAIN, b"sand", self.a.uuid) for i in self.ids])
        assert (done.blocks, done.bytes, done.missing, done.problems) == (100, len(SAND), (), ())
        assert self.c.held("sand") == [True] * 100
        assert self.c.node.index.synced(self.ids) == set(self.ids)
        assert self.c.read("sand") == SAND


def test_many_small_blocks_come_from_a_staged_file(sand: Sand) -> None:
    sand.pull()
    assert sand.single == []


def test_a_staged_file_of_several_pieces_is_read_to_its_end(
    sand: Sand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globofs.sync._shelf._PIECE_BYTES", 7_777)
    sand.pull()
    assert sand.single == []


def test_what_a_staged_file_has_not_is_pulled_one_by_one(sand: Sand) -> None:
    staged = sand.staged()
    data = bytearray(staged.read_bytes())
    for number in (20, 50):  # a grain that rots, a frame that does
        at = data.index(sand.ids[number].hex().encode())
        data[at + (100 if number == 20 else 3)] ^= 1
    staged.write_bytes(data[: -GRAIN // 2])  # and the last is cut
    sand.pull()
    assert set(sand.single) == {sand.ids[20], sand.ids[50], sand.ids[99]}


def test_without_staged_files_everything_is_pulled_one_by_one(sand: Sand) -> None:
    sand.staged().unlink()
    sand.pull()
    assert set(sand.single) == set(sand.ids)


def test_a_staged_file_of_other_things_is_left_after_a_look(
    sand: Sand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globofs.sync._shelf._PIECE_BYTES", 10_000)
    other = os.urandom(400 * GRAIN)
    sand.a.write("other", other, piece=GRAIN)
    looked: list[tuple[str, int]] = []
    read_staged = PeerDirectory.read_staged

    def counted(directory: PeerDirectory, name: str, offset: int, limit: int) -> bytes:
        looked.append((name, offset))
        return read_staged(directory, name, offset, limit)

    monkeypatch.setattr(PeerDirectory, "read_staged", counted)
    sand.pull()
    assert sand.single == []
    largest = looked[0][0]
    assert [offset for name, offset in looked if name == largest] == [0]


def test_what_calls_itself_a_staged_file_and_has_no_end_is_left_after_a_look(
    sand: Sand, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = sand.staged().parent / "1.000000000.done"
    endless.touch()
    os.truncate(endless, 1 << 40)
    offsets: list[int] = []
    read_staged = PeerDirectory.read_staged

    def counted(directory: PeerDirectory, name: str, offset: int, limit: int) -> bytes:
        if name == endless.name:
            offsets.append(offset)
            assert offset < 1 << 25, "it goes on and on"
        return read_staged(directory, name, offset, limit)

    monkeypatch.setattr(PeerDirectory, "read_staged", counted)
    sand.pull()
    assert (offsets, sand.single) == ([0], [])


@pytest.mark.parametrize("others", [True, False])
def test_a_slow_staged_file_is_left_where_somebody_else_may_be_quicker(
    sand: Sand, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    if not others:
        sand.c.node.remove_peer_entry("b")
        sand.c.peers.reload()
    waited: list[float] = []
    really = PeerPool.wait

    def wait(pool: PeerPool, call: Call[object], timeout: float | None = None) -> bool:
        if timeout is None:
            return really(pool, call)
        waited.append(timeout)
        return False

    monkeypatch.setattr(PeerPool, "wait", wait)
    sand.pull()
    assert (waited, len(sand.single)) == (([1.0], 100) if others else ([], 0))


def test_a_staged_file_that_is_slow_is_waited_for_while_its_peer_answers_other_calls(
    sand: Sand, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = PeerPool.wait
    slow = [True, True, True]

    def wait(pool: PeerPool, call: Call[object], timeout: float | None = None) -> bool:
        if timeout is not None and slow:
            slow.pop()
            pool.answered = time.monotonic() + 1
            return False
        return really(pool, call, timeout)

    monkeypatch.setattr(PeerPool, "wait", wait)
    sand.pull()
    assert (slow, sand.single) == ([], [])


def test_who_cancels_does_not_wait_for_a_staged_file_that_hangs(
    sand: Sand, monkeypatch: pytest.MonkeyPatch
) -> None:
    sand.c.node.remove_peer_entry("b")  # nobody else to ask instead
    sand.c.peers.reload()
    asked, answer = threading.Event(), threading.Event()
    read_staged = PeerDirectory.read_staged

    def hangs(directory: PeerDirectory, name: str, offset: int, limit: int) -> bytes:
        asked.set()
        assert answer.wait(20), "whoever waits for it waits too long"
        return read_staged(directory, name, offset, limit)

    monkeypatch.setattr(PeerDirectory, "read_staged", hangs)
    wanted = [Wanted(i, GRAIN, b"sand", sand.a.uuid) for i in sand.ids]
    done = sand.c.puller.fetch(wanted, cancelled=asked.is_set)
    assert done.blocks == 0
    assert not answer.is_set()
    (left,) = [thread for thread in threading.enumerate() if thread.name == "globofs-shelf"]
    answer.set()
    left.join(20)
    assert sand.c.held("sand") == [False] * 100, "it keeps nothing behind the back of who is gone"


def test_large_blocks_come_beside_what_a_staged_file_gives(
    sand: Sand, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = os.urandom(limits.STAGE_BELOW_BYTES)
    sand.a.write("large", large, piece=len(large))
    begun, in_time = threading.Event(), []
    read_staged, read_block = PeerDirectory.read_staged, PeerDirectory.read_block

    def late(directory: PeerDirectory, name: str, offset: int, limit: int) -> bytes:
        in_time.append(begun.wait(5))
        return read_staged(directory, name, offset, limit)

    def told(directory: PeerDirectory, block: bytes, size: int) -> object:
        begun.set()
        return read_block(directory, block, size)

    monkeypatch.setattr(PeerDirectory, "read_staged", late)
    monkeypatch.setattr(PeerDirectory, "read_block", told)
    wanted = [Wanted(i, GRAIN, b"sand", sand.a.uuid) for i in sand.ids]
    other = Wanted(sha256(large).digest(), len(large), b"large", sand.a.uuid)
    done = sand.c.puller.fetch([*wanted, other])
    assert (done.blocks, done.missing, set(in_time)) == (101, (), {True})
    assert sand.single == [other.id]


def test_what_keeps_a_block_of_a_staged_file_from_being_kept_is_raised(
    sand: Sand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(sand.c.node.blocks, "put", full)
    with pytest.raises(OSError, match="no room"):
        sand.c.puller.fetch([Wanted(i, GRAIN, b"sand", sand.a.uuid) for i in sand.ids])
    assert sand.c.held("sand") == [False] * 100
