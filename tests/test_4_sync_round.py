"""Rounds: what they cost, what they say of a peer, and the command `sync`."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from globofs import limits
from globofs.errors import (
    ContentMissing,
    JoinVolumes,
    Locked,
    NoSuchPeer,
    PeerOffline,
    PeerWrong,
    Unsupported,
    UsageError,
)
from globofs.events import Note, Problem
from globofs.format.manifest import Block
from globofs.peerio.directory import PeerDirectory
from globofs.store import fsio
from globofs.store.commit import Draft
from globofs.sync import evict, peering, prune
from globofs.sync.results import Policy, failed
from globofs.sync.round import PeerMemory, sync, sync_round
from tests.helpers_node import FixedClock
from tests.helpers_peer import Site, sites, tree

HOUSE = Path(__file__).resolve().parent.parent


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    with sites(tmp_path, "a", "b") as (a, b):
        a.knows(b)
        b.knows(a)
        yield a, b


IDLE = """
import sys
from tests.helpers_peer import Site
from globofs.store.node import open_node
site = Site(open_node(sys.argv[1]))
site.node.catch_up()
for _ in range(4):
    site.round("b")
print("MARK begin", flush=True)
import os
os.write(2, b"MARK")
from globofs.sync.round import sync_round
done = sync_round(site.node, site.peers["b"], site.memories["b"])
os.write(2, b"MARK")
assert done.seen.state == "online" and done.seen.outgoing == 0, done
"""


@pytest.mark.skipif(
    subprocess.run(["which", "strace"], capture_output=True).returncode != 0, reason="no strace"
)
def test_an_idle_round_costs_a_handful_of_calls(tmp_path: Path) -> None:
    with sites(tmp_path, "a", "b", "c", "d", "e", "f") as made:
        a, b = made[:2]
        for other in made[1:]:
            a.knows(other)
            other.knows(a)
        for site in made:
            for number in range(20):
                site.write(f"{site.node.name}/{number}", b"x")
        for _ in range(3):
            for site in made:
                site.sync()
        assert tree(a) == tree(b)
        a.close()
        b.node.catch_up()
        trace = tmp_path / "trace"
        done = subprocess.run(
            ["strace", "-f", "-o", str(trace), sys.executable, "-c", IDLE, a.node.volume],
            cwd=HOUSE,
            env={**os.environ, "PYTHONPATH": str(HOUSE)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    marked = re.split(r'write\(2, "MARK", 4\).*\n', trace.read_text())
    assert len(marked) == 3
    calls = [line for line in marked[1].splitlines() if "clock_gettime" not in line]
    assert 0 < len(calls) < 50, "\n".join(calls)


def test_an_offline_peer_is_narrated_and_none_at_all_is_a_failure(tmp_path: Path) -> None:
    with sites(tmp_path, "a", "b", "c") as (a, b, c):
        a.knows(b)
        a.knows(c)
        a.write("one", b"1")
        os.rename(b.node.volume, b.node.volume + "-off")
        done = a.sync()
        states = {seen.peer: seen.state for seen in done.peers}
        assert states == {"b": "offline", "c": "online"}
        assert done.problems
        assert not failed(done.problems)
        os.rename(c.node.volume, c.node.volume + "-off")
        assert failed(a.sync().problems)


def test_a_peer_that_is_another_volume_is_a_failure(pair: tuple[Site, Site]) -> None:
    """Scenario 20."""
    a, b = pair
    config = b.directory / "config"
    config.write_text(config.read_text().replace(b.uuid, "ea8192ee-593f-437f-af60-90d213995480"))
    done = a.sync()
    assert done.peers[0].state == "wrong"
    assert "ea8192ee" in done.peers[0].reason
    assert failed(done.problems)


def test_a_read_only_peer_still_gives(pair: tuple[Site, Site]) -> None:
    """Scenario 19."""
    a, b = pair
    b.write("from-b", b"2")
    a.write("from-a", b"1")

    def refuse(op: str, args: tuple[object, ...]) -> None:
        if b.node.volume in str(args[0]):
            raise OSError(30, "Read-only file system", str(args[0]))

    fsio.observer = refuse
    try:
        done = a.sync()
    finally:
        fsio.observer = None
    assert done.peers[0].state == "readonly"
    assert done.received > 0
    assert not failed(done.problems)
    assert b"from-b" in a.paths()


def test_our_own_full_disk_is_said_and_nothing_is_lost(pair: tuple[Site, Site]) -> None:
    a, b = pair
    b.write("from-b", b"2")

    def full(op: str, args: tuple[object, ...]) -> None:
        if op == "write" and "/via/" in str(args[0]):
            raise OSError(28, "No space left on device", str(args[0]))

    fsio.observer = full
    try:
        results = [a.round("b") for _ in range(3)]
    finally:
        fsio.observer = None
    assert any("No space" in p.reason for result in results for p in result.problems)
    for _ in range(3):
        a.round("b")
    assert tree(a) == tree(b)


@pytest.mark.parametrize("damage", [b"", b"globofs-applied 1\n", b"\0" * 100, b"end 0\n", None])
def test_a_torn_or_missing_applied_is_not_yet(
    pair: tuple[Site, Site], damage: bytes | None
) -> None:
    a, b = pair
    a.write("one", b"1")
    a.round("b")
    b.node.catch_up()
    applied = b.directory / "upstream" / "applied"
    whole = applied.read_bytes()
    a.round("b")
    if damage is None:
        applied.unlink()
    else:
        applied.write_bytes(damage)
    done = a.round("b")
    assert done.seen.state == "online"
    applied.write_bytes(whole)
    assert a.round("b").seen.outgoing == 0
    b.node.catch_up()
    assert tree(a) == tree(b)


def test_a_hanging_peer_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PEER_CALL_SECONDS", 0.5)
    release = threading.Event()
    real = PeerDirectory.read_applied

    def hang(self: PeerDirectory) -> bytes:
        if self.name == "b":
            release.wait(30)
        return real(self)

    with sites(tmp_path, "a", "b", "c", inline=False) as (a, b, c):
        a.knows(b)
        a.knows(c)
        c.knows(a)
        a.write("one", b"1")
        monkeypatch.setattr(PeerDirectory, "read_applied", hang)
        begun = time.monotonic()
        done = a.sync()
        assert time.monotonic() - begun < 5
        assert {seen.peer: seen.state for seen in done.peers} == {"b": "stuck", "c": "online"}
        assert failed(done.problems)
        c.sync()
        assert c.paths() == [b"one"]
        release.set()
        until = time.monotonic() + 5
        while a.peers["b"].state().state == "stuck" and time.monotonic() < until:
            time.sleep(0.02)
        assert not failed(a.sync().problems)


def test_one_process_syncs_a_node_at_a_time(pair: tuple[Site, Site]) -> None:
    a, _ = pair
    inside, leave = threading.Event(), threading.Event()

    def lead() -> None:
        with a.node.locks.sync.exclusive():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=lead)
    other.start()
    inside.wait(5)
    try:
        with pytest.raises(Locked):
            sync(a.node, a.peers, deadline=0.2)
    finally:
        leave.set()
        other.join()
    assert not failed(a.sync().problems)


def test_a_killed_commands_records_go_out_in_the_end(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    import globofs.store.commit as commit

    a, b = pair
    monkeypatch.setattr(commit, "finish", lambda *_, **__: None)
    a.write("staged", b"2" * 1000)
    monkeypatch.undo()
    for _ in range(3):
        a.round("b")
    b.node.catch_up()
    assert b.paths() == [b"staged"]


def test_two_rounds_with_one_peer_find_it_in_any_state(pair: tuple[Site, Site]) -> None:
    """Whatever a peer's directory holds, a round ends in words, never in a traceback."""
    a, b = pair
    a.write("one", b"1")
    for name in ("upstream", "config", "hashes", "upstream/applied"):
        path = b.directory / name
        moved = b.directory / "moved"
        existed = path.exists()
        if existed:
            os.rename(path, moved)
        path.mkdir()
        result = sync_round(a.node, a.peers["b"], PeerMemory())
        assert result.seen.reason or result.seen.state == "online"
        for child in sorted(path.rglob("*"), reverse=True):
            child.rmdir() if child.is_dir() else child.unlink()
        path.rmdir()
        if existed:
            os.rename(moved, path)
    assert a.round("b").seen.state == "online"


def test_keepers_pull_what_caches_wrote(tmp_path: Path) -> None:
    with sites(tmp_path, "cache", cacheonly=True) as (cache,), sites(tmp_path, "keeper") as (keep,):
        cache.knows(keep)
        keep.knows(cache)
        data = os.urandom(100_000)
        cache.write("photo", data)
        cache.sync()
        done = keep.sync(pull=True)
        assert done.blocks == 1
        assert keep.held("photo") == [True]
        assert keep.node.index.synced(list(keep.node.index.held_blocks()))


# --- peers by name ----------------------------------------------------------------------------


def test_peer_add_reads_the_uuid(tmp_path: Path) -> None:
    with sites(tmp_path, "a", "b") as (a, b):
        made = peering.peer_add(a.node, "server01", b.node.volume, send=True)
        assert (made.name, made.uuid, made.path) == ("server01", b.uuid, b.node.volume)
        assert made.send
        assert [item.name for item in peering.peer_list(a.node)] == ["server01"]
        a.peers.reload()
        assert a.peers["server01"].send
        with pytest.raises(UsageError):
            peering.peer_add(a.node, "again", b.node.volume)
        with pytest.raises(UsageError):
            peering.peer_add(b.node, "myself", b.node.volume)
        with pytest.raises(PeerOffline):
            peering.peer_add(b.node, "nowhere", str(tmp_path / "nowhere"))
        with pytest.raises(PeerOffline):
            peering.peer_add(b.node, "empty", str(tmp_path))
        changed = peering.peer_set(a.node, "server01", send=False)
        assert not changed.send
        with pytest.raises(PeerWrong):
            peering.peer_set(a.node, "server01", path=a.node.volume)
        peering.peer_remove(a.node, "server01")
        assert peering.peer_list(a.node) == []
        with pytest.raises(NoSuchPeer):
            peering.peer_remove(a.node, "server01")


def test_a_node_directory_given_as_path_is_understood(tmp_path: Path) -> None:
    with sites(tmp_path, "a", "b") as (a, b):
        made = peering.peer_add(a.node, "b", b.node.directory)
        assert made.path == b.node.volume


def test_two_volumes_with_files_are_joined_only_when_asked_for(tmp_path: Path) -> None:
    with sites(tmp_path, "a", "b") as (a, b):
        a.write("same", b"mine")
        a.write("only-a", b"1")
        b.write("same", b"yours")
        b.write("only-b", b"1")
        b.write("gone", b"1")
        b.delete("gone")
        with pytest.raises(JoinVolumes) as asked:
            peering.peer_add(a.node, "b", b.node.volume)
        assert "2 files there, 2 here" in asked.value.message
        assert "1 path on both sides (same)" in asked.value.message
        assert peering.peer_list(a.node) == []
        told: list[object] = []
        peering.peer_add(a.node, "b", b.node.volume, yes=True, emit=told.append)
        assert any("they become one" in str(one) and "--yes" not in str(one) for one in told)
        a.peers.reload()
        a.sync()
        assert set(a.paths()) == {b"same", b"only-a", b"only-b"}
        peering.peer_add(b.node, "a", a.node.volume)  # now they share a history


def test_files_of_nodes_behind_the_one_that_is_joined_are_counted(tmp_path: Path) -> None:
    """What it fetched lies in `via/` there, where its own journal does not."""
    with sites(tmp_path, "a", "b", "c") as (a, b, c):
        a.write("same", b"mine")
        c.write("same", b"theirs")
        c.write("only-c", b"1")
        b.knows(c)
        b.sync()
        assert b.paths() == [b"only-c", b"same"]
        with pytest.raises(JoinVolumes) as asked:
            peering.peer_add(a.node, "b", b.node.volume)
        assert "2 files there, 1 here" in asked.value.message
        assert "1 path on both sides (same)" in asked.value.message


def test_an_empty_volume_joins_without_a_word(tmp_path: Path) -> None:
    with sites(tmp_path, "a", "b") as (a, b):
        b.write("one", b"1")
        told: list[object] = []
        peering.peer_add(a.node, "b", b.node.volume, emit=told.append)
        b.knows(a)
        assert told == []
        assert [one.name for one in peering.peer_list(a.node)] == ["b"]


def test_what_was_seen_is_remembered_for_the_next_command(pair: tuple[Site, Site]) -> None:
    a, b = pair
    assert peering.peer_list(a.node)[0].reason == "not looked at yet"
    a.sync()
    seen = peering.peer_list(a.node)[0]
    assert seen.state == "online"
    assert seen.last_seen
    os.rename(b.node.volume, b.node.volume + "-off")
    a.sync()
    seen = peering.peer_list(a.node)[0]
    assert seen.state == "offline"
    assert "mounted" in seen.reason
    assert seen.last_seen, "when it was last there"
    a.node.state.pause("b")
    assert peering.peer_list(a.node)[0].state == "paused"


def test_retiring_a_node_is_a_record(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.sync()
    b.sync()
    assert peering.peer_retire(a.node, "b") == b.uuid
    a.node.catch_up()
    assert [info.retired for info in a.node.index.nodes() if info.uuid == b.uuid] == [True]
    with pytest.raises(UsageError):
        peering.peer_retire(a.node, a.uuid)
    with pytest.raises(UsageError):
        peering.peer_retire(a.node, "nobody")
    assert not [event for event in a.events if isinstance(event, Problem)]


# --- manifests over 1 MiB ---------------------------------------------------------------------


def huge(site: Site, path: bytes, count: int = 16_000) -> bytes:
    """A version of so many blocks that its manifest is a block itself; one of them is held."""
    real = site.write("real", b"the only block that is here")
    assert real
    held = next(iter(site.node.index.held_blocks()))
    size = site.node.index.block_size(held)
    assert size
    listed = tuple(Block(sha256(b"%d" % n).digest(), 1) for n in range(count))
    draft = Draft(path, "file", count + size, 0o644, blocks=(Block(held, size), *listed))
    with site.node.operation("add") as operation:
        return operation.commit([draft])[0].version_id


def test_a_large_manifest_is_pulled_before_its_version_shows(pair: tuple[Site, Site]) -> None:
    a, b = pair
    version = huge(a, b"big")
    a.sync()
    b.sync()
    assert b.node.index.one("SELECT pending FROM version WHERE id = ?", (version,)) == (1,)
    words = "manifests of large files of a are missing here"  # and who knows what it needs
    with pytest.raises(Unsupported, match=words):
        prune.prune(b.node, Policy(keep_last=1))
    assert words in prune.collect(b.node).waiting[0]
    b.sync(pull=True)
    assert b.node.index.one("SELECT pending FROM version WHERE id = ?", (version,)) == (0,)
    assert prune.collect(b.node).waiting == ()
    assert b.node.blocks.has(version)
    assert version not in set(evict._candidates(b.node, b"")), "a manifest never goes"
    assert tree(a) == tree(b)
    assert len(b.held("big")) == 16_001


def test_a_large_manifest_is_given_to_a_server_that_cannot_reach_back(tmp_path: Path) -> None:
    with sites(tmp_path, "laptop", "server") as (laptop, server):
        laptop.knows(server, send=True)
        server.node.catch_up()
        huge(laptop, b"big")
        laptop.sync()
        server.node.catch_up()
        assert tree(laptop) == tree(server)
        assert server.held("big")[:2] == [True, False], "and so are the blocks that are there"


def test_a_paused_peer_is_left_alone(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("one", b"1")
    a.node.state.pause("b")
    done = a.sync()
    assert (done.sent, done.peers[0].state) == (0, "paused")
    assert not failed(done.problems)
    a.node.state.resume("b")
    assert a.sync().sent > 0
    assert b.node.catch_up() is None


def test_a_read_in_vain_stays_wanted_until_a_sync_brings_it(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("one", b"content")
    a.sync()
    b.sync()
    os.rename(a.node.volume, a.node.volume + "-off")
    with pytest.raises(ContentMissing):
        b.read("one")
    assert [wish.kind for wish in b.node.state.wanted()] == ["version"]
    os.rename(a.node.volume + "-off", a.node.volume)
    b.sync(pull=True)
    assert b.held("one") == [True]
    assert b.node.state.wanted() == []


def test_what_comes_from_one_peer_goes_on_to_the_others_in_one_command(tmp_path: Path) -> None:
    with sites(tmp_path, "hub", "source", "sink") as (hub, source, sink):
        hub.knows(source)
        hub.knows(sink)
        source.write("one", b"1")
        done = hub.sync()
        assert done.received > 0
        assert done.relayed == done.received
        sink.node.catch_up()
        assert sink.paths() == [b"one"]


def test_what_came_stands_in_root_when_the_command_ends(pair: tuple[Site, Site]) -> None:
    a, b = pair
    a.write("docs/one", b"1")
    a.sync()
    b.sync()
    assert (b.directory / "root" / "docs" / "one" / "versions" / "latest").is_file()
    assert b.sync().received == 0


def test_an_entry_with_our_own_uuid_is_never_written_to(pair: tuple[Site, Site]) -> None:
    """A volume copied by hand, each naming the other: both have one uuid."""
    a, b = pair
    entry = Path(a.node.volume) / "b" / "config"
    entry.write_text(entry.read_text().replace(b.uuid, a.uuid))
    config = b.directory / "config"
    config.write_text(config.read_text().replace(b.uuid, a.uuid))
    a.peers.reload()
    a.write("one", b"1")
    before = sorted(path for path in b.directory.rglob("*"))
    done = a.sync()
    assert done.peers[0].state == "wrong"
    assert failed(done.problems)
    assert sorted(path for path in b.directory.rglob("*")) == before


def test_one_bad_entry_does_not_keep_the_others_from_syncing(pair: tuple[Site, Site]) -> None:
    a, b = pair
    bad = Path(a.node.volume) / "typo"
    bad.mkdir()
    (bad / "config").write_text("uuid=nonsense\npath=/x\n")
    a.peers.reload()
    a.write("one", b"1")
    done = a.sync()
    assert done.sent > 0
    assert any("typo" in problem.reason for problem in done.problems)
    b.node.catch_up()
    assert b.paths() == [b"one"]


@pytest.mark.parametrize(("minutes", "told"), [(9, 0), (11, 1), (60 * 24 * 365, 1)])
def test_a_clock_that_is_ahead_is_told_once(tmp_path: Path, minutes: int, told: int) -> None:
    """Its versions sort as the newest until ours has come as far: whoever wonders why was told."""
    ahead = FixedClock(
        FixedClock().now + minutes * 60 * limits.SECOND_NS + limits.SECOND_NS, tick=1000
    )
    with (
        sites(tmp_path, "a", clock=FixedClock(tick=1000)) as (a,),
        sites(tmp_path, "b", clock=ahead) as (b,),
    ):
        a.knows(b)
        b.knows(a)
        for text in (b"1", b"2"):
            b.write("file", text)
            a.sync()
            b.sync()
        words = f"the clock of b ({b.uuid}) is {minutes:,} minutes ahead"
        said = [e.reason for e in a.events if isinstance(e, Problem) and words in e.reason]
        assert len(said) == told
        assert not [e for e in b.events if isinstance(e, Problem) and "clock" in e.reason]


# --- what a sync waits for ------------------------------------------------------------------------


@pytest.fixture
def pinned(tmp_path: Path) -> Iterator[Site]:
    """`b`, with threads, keeps everything; `a` told it of a file, of which it has nothing yet."""
    with sites(tmp_path, "a", "b", inline=False) as (a, b):
        a.knows(b)
        b.knows(a)
        b.node.state.pin(b"")
        a.write("file", os.urandom(100_000))
        a.sync()
        yield b


def on_reading(monkeypatch: pytest.MonkeyPatch, look: Callable[[], object]) -> list[object]:
    """What `look` says whenever a block is read at a peer."""
    seen: list[object] = []
    read_block = PeerDirectory.read_block

    def looked(directory: PeerDirectory, block: bytes, size: int) -> object:
        seen.append(look())
        return read_block(directory, block, size)

    monkeypatch.setattr(PeerDirectory, "read_block", looked)
    return seen


def test_content_comes_before_root_is_built(pinned: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    latest = pinned.directory / "root" / "file" / "versions" / "latest"
    seen = on_reading(monkeypatch, latest.exists)
    done = pinned.sync(pull=True)
    assert (seen, done.blocks, latest.exists()) == ([False], 1, True)
    assert Note("1 block held and durable; building root/") in pinned.events


def test_root_is_built_beside_a_pull_that_takes_long(
    pinned: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globofs.sync.round._HEAD_START_SECONDS", 0.0)
    latest = pinned.directory / "root" / "file" / "versions" / "latest"

    def wait() -> bool:
        end = time.monotonic() + 10
        while not latest.exists() and time.monotonic() < end:
            time.sleep(0.01)
        return latest.exists()

    seen = on_reading(monkeypatch, wait)
    assert (pinned.sync(pull=True).blocks, seen) == (1, [True])


def test_root_is_built_where_what_came_cannot_be_kept(
    pinned: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(pinned.node.blocks, "put", full)
        with pytest.raises(OSError, match="no room"):
            pinned.sync(pull=True)
    assert (pinned.directory / "root" / "file" / "versions" / "latest").exists()
    assert pinned.sync(pull=True).blocks == 1


def test_a_sync_that_is_told_to_end_while_it_pulls_leaves_root_to_the_next(
    pinned: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = pinned.directory / "root" / "file" / "versions" / "latest"
    seen = on_reading(monkeypatch, lambda: True)
    done = sync(pinned.node, pinned.peers, pinned.puller, cancelled=lambda: bool(seen))
    assert (done.interrupted, latest.exists()) == (True, False)
    pinned.sync(pull=True)
    assert (latest.exists(), pinned.held("file")) == (True, [True])
