"""The right directory, and strangers' input: what a peer's directory may do to us."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from globofs import limits
from globofs.errors import FormatError, PeerError, PeerOffline, PeerReadOnly, PeerWrong
from globofs.format.codec import compress
from globofs.format.manifest import manifest_id
from globofs.peerio.directory import PeerDirectory, block_name, find_node
from globofs.store import fsio
from tests.helpers_peer import Site, sites


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    with sites(tmp_path, "here", "there") as (here, there):
        here.knows(there)
        yield here, there


def node_of(site: Site) -> Path:
    return Path(site.node.directory)


def test_the_node_directory_is_found_below_the_volume(pair: tuple[Site, Site]) -> None:
    here, there = pair
    peer = here.peers["there"]
    peer.check()
    assert peer.state().state == "online"
    assert peer.facts is not None
    assert peer.facts.directory == str(node_of(there))
    # a peer entry over there has a config and nothing else: never mistaken for the node
    there.knows(here)
    assert find_node(there.node.volume) == peer.facts


def test_an_unmounted_disk_is_offline_and_nothing_is_made_there(pair: tuple[Site, Site]) -> None:
    here, there = pair
    peer = here.peers["there"]
    peer.check()
    moved = there.node.volume + "-unmounted"
    os.rename(there.node.volume, moved)
    os.mkdir(there.node.volume)  # the bare mount point
    with pytest.raises(PeerOffline):
        peer.append_updates(here.uuid, None, b"\nrecord")
    assert peer.state().state == "offline"
    assert os.listdir(there.node.volume) == []
    os.rmdir(there.node.volume)
    os.rename(moved, there.node.volume)
    peer.check()
    assert peer.state().state == "online"


def test_another_volume_at_the_path_is_wrong(pair: tuple[Site, Site], tmp_path: Path) -> None:
    here, there = pair
    peer = here.peers["there"]
    peer.check()
    with sites(tmp_path, "other") as (other,):
        os.rename(there.node.volume, there.node.volume + "-away")
        shutil.copytree(other.node.volume, there.node.volume)
        with pytest.raises(PeerWrong, match=other.uuid):
            peer.append_updates(here.uuid, None, b"\nrecord")
        assert peer.state().state == "wrong"
        assert not (node_of(there) / "upstream" / here.uuid).exists()


def test_a_node_directory_that_was_renamed_is_found_again(pair: tuple[Site, Site]) -> None:
    here, there = pair
    peer = here.peers["there"]
    peer.check()
    os.rename(node_of(there), Path(there.node.volume) / "renamed")
    peer.append_updates(here.uuid, None, b"\nrecord")
    latest = Path(there.node.volume) / "renamed" / "upstream" / here.uuid / "updates" / "latest"
    assert latest.read_bytes() == b"\nrecord"


def test_the_disk_goes_away_in_the_middle(pair: tuple[Site, Site]) -> None:
    """The config is read again afterwards: what was not found is then no answer."""
    here, there = pair
    directory = here.peers["there"].directory
    directory.check()
    assert there.node.volume == directory.volume

    def vanish(node: str) -> bytes:
        os.rename(there.node.volume, there.node.volume + "-gone")
        return b"nothing"

    with pytest.raises(PeerOffline):
        directory.guarded(vanish)


def test_a_push_never_makes_upstream(pair: tuple[Site, Site]) -> None:
    here, there = pair
    shutil.rmtree(node_of(there) / "upstream")
    with pytest.raises(PeerError):
        here.peers["there"].append_updates(here.uuid, None, b"\nrecord")
    assert not (node_of(there) / "upstream").exists()


def test_a_push_never_lands_in_a_peer_entry(pair: tuple[Site, Site]) -> None:
    here, there = pair
    there.knows(here, name="entry")
    entry = Path(there.node.volume) / "entry"
    before = sorted(entry.iterdir())
    for place in (entry, entry / "..", Path(there.node.volume) / "nothing"):
        peer = PeerDirectory("there", here.uuid, str(place), here.node.clock.now_ns)
        with pytest.raises((PeerOffline, PeerWrong)):
            peer.append_updates(here.uuid, None, b"\nrecord")
        with pytest.raises((PeerOffline, PeerWrong)):
            peer.write_block(bytes(32), b"x", "")
    assert sorted(entry.iterdir()) == before
    assert not (node_of(there) / "upstream" / here.uuid).exists()


def test_an_entry_that_names_the_peer_is_not_the_peer(pair: tuple[Site, Site]) -> None:
    """The node's own directory is not mounted. What is left in its volume is an entry with the
    very uuid that is looked for, and nothing but a config in it."""
    here, there = pair
    there.knows(here, name="entry")
    entry = Path(there.node.volume) / "entry"
    node_of(there).rename(Path(there.node.volume).parent / "elsewhere")
    peer = PeerDirectory("there", here.uuid, there.node.volume, here.node.clock.now_ns)
    with pytest.raises(PeerOffline):
        peer.append_updates(here.uuid, None, b"\nrecord")
    with pytest.raises(PeerOffline):
        peer.write_block(bytes(32), b"x", "")
    assert [path.name for path in entry.iterdir()] == ["config"]


def test_a_node_of_a_later_release_is_a_peer(pair: tuple[Site, Site]) -> None:
    """Keys nobody here knows, in its config and in our entry for it, do no harm."""
    here, there = pair
    with open(node_of(there) / "config", "a") as config:
        config.write("erasure=7of9\ncacheonly=perhaps\n")
    with open(Path(here.node.volume) / "there" / "config", "a") as config:
        config.write("bandwidth=3M  # a later release knows\n")
    here.peers.reload()
    here.peers["there"].check()
    here.write("file", b"content")
    assert here.sync().problems == ()
    names = os.listdir(node_of(there) / "upstream" / here.uuid / "updates")
    assert names == ["latest"]


def test_a_listing_that_misses_entries_is_a_hint(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    there.write("file", b"content")
    monkeypatch.setattr(os, "listdir", lambda path: [])
    real = os.scandir

    @contextmanager
    def nothing(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as entries:
            yield list(entries) if str(path).startswith(here.node.volume) else []

    monkeypatch.setattr(os, "scandir", nothing)
    peer = PeerDirectory("there", there.uuid, there.node.volume, there.node.clock.now_ns)
    assert peer.check() == there.node.directory
    data = peer.read_updates(there.uuid, None, peer.list_updates(there.uuid)[-1], 0, 1 << 20)
    assert b"kind=version" in data


def test_a_peer_that_is_there_and_fails_is_not_offline(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _there = pair
    here.write("file", b"content")

    def failing(operation: str, args: tuple[object, ...]) -> None:
        if operation == "fsync" and "/there/" in str(args[0]):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(fsio, "observer", failing)
    result = here.round("there")
    assert result.seen.state == "online"
    assert result.seen.reason == "Input/output error"
    assert result.seen.outgoing > 0
    assert [problem.warning for problem in result.problems] == [False]


def test_append_is_one_buffer_and_segments_are_closed(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _there = pair
    peer = here.peers["there"]
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 100)
    for number in range(4):
        peer.append_updates(here.uuid, None, b"\n%d" % number + b"." * 60)
    names = peer.list_updates(here.uuid)
    assert len([name for name in names if name != "latest"]) == 2
    whole = b"".join(peer.read_updates(here.uuid, None, name, 0, 10_000) for name in names)
    assert whole == b"".join(b"\n%d" % number + b"." * 60 for number in range(4))


@pytest.mark.parametrize("what", ["fifo", "symlink", "directory", "socketless-device"])
def test_only_regular_files_are_read(pair: tuple[Site, Site], what: str) -> None:
    here, there = pair
    path = node_of(there) / "upstream" / "applied"
    path.unlink(missing_ok=True)
    if what == "fifo":
        os.mkfifo(path)
    elif what == "symlink":
        path.symlink_to("/etc/passwd")
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((FormatError, PeerError)):
        here.peers["there"].read_applied_bytes()
    done = here.round("there")  # and a round says so instead of failing
    assert done.problems


def test_a_fifo_as_journal_does_not_hang_a_push(pair: tuple[Site, Site]) -> None:
    here, there = pair
    place = node_of(there) / "upstream" / here.uuid / "updates"
    place.mkdir(parents=True)
    os.mkfifo(place / "latest")
    with pytest.raises((FormatError, PeerError)):
        here.peers["there"].append_updates(here.uuid, None, b"\nrecord")


def test_a_symlinked_directory_does_not_lead_out(pair: tuple[Site, Site], tmp_path: Path) -> None:
    here, there = pair
    outside = tmp_path / "outside"
    data = b"secret of this machine" * 10
    block = manifest_id(data)
    name = block_name(block)
    (outside / name).parent.mkdir(parents=True)
    (outside / name).write_bytes(data)
    shutil.rmtree(node_of(there) / "hashes")
    (node_of(there) / "hashes").symlink_to(outside)
    with pytest.raises(FormatError, match="out of the peer"):
        here.peers["there"].read_block(block, len(data))
    shutil.rmtree(node_of(there) / "upstream" / here.uuid, ignore_errors=True)
    (node_of(there) / "upstream" / here.uuid).symlink_to(outside)
    with pytest.raises((FormatError, PeerError)):
        here.peers["there"].append_updates(here.uuid, None, b"\nrecord")
    left = [path for path in outside.rglob("*") if path.is_file() and path.stat().st_size]
    assert left == [outside / name]


def test_an_endless_applied_is_refused(pair: tuple[Site, Site]) -> None:
    here, there = pair
    path = node_of(there) / "upstream" / "applied"
    with open(path, "wb") as file:
        file.truncate(limits.APPLIED_BYTES + 1)
    with pytest.raises(FormatError, match="larger"):
        here.peers["there"].read_applied_bytes()


# --- blocks ---------------------------------------------------------------------------------


def put(site: Site, data: bytes, suffix: str = "", stored: bytes | None = None) -> bytes:
    block = manifest_id(data)
    path = Path(site.node.hashes()) / (block_name(block) + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if stored is None else stored)
    return block


@pytest.mark.parametrize("method", ["zstd", "gzip", "none"])
def test_a_block_is_read_whatever_the_peer_compresses_with(
    pair: tuple[Site, Site], method: str
) -> None:
    here, there = pair
    data = b"some text " * 1000
    stored, suffix = compress(data, method, 6)
    block = put(there, data, suffix, stored)
    assert here.peers["there"].read_block(block, len(data)) == (stored, suffix, data)
    assert here.peers["there"].stat_block(block) == len(stored)
    assert here.peers["there"].read_block(manifest_id(b"other"), 5) is None
    assert here.peers["there"].stat_block(manifest_id(b"other")) is None


def test_a_wrong_copy_is_never_handed_out(pair: tuple[Site, Site]) -> None:
    here, there = pair
    data = b"what it should be"
    block = put(there, data, "", b"what it is, really")
    with pytest.raises(FormatError):
        here.peers["there"].read_block(block, len(data))
    bomb, suffix = compress(bytes(20_000_000), "zstd", 1)
    bombed = put(there, data + b"2", suffix, bomb)
    with pytest.raises(FormatError):
        here.peers["there"].read_block(bombed, len(data) + 1)
    with open(Path(there.node.hashes()) / block_name(block), "r+b") as file:
        file.truncate(10 * limits.GIB)  # sparse: reading it would take all memory
    with pytest.raises(FormatError):
        here.peers["there"].read_block(block, len(data))


def test_a_block_is_written_durably_under_a_new_name(pair: tuple[Site, Site]) -> None:
    here, there = pair
    seen: list[tuple[str, tuple[object, ...]]] = []
    data = b"block for a peer that cannot reach back"
    block = manifest_id(data)
    fsio.observer = lambda op, args: seen.append((op, args))
    try:
        here.peers["there"].write_block(block, data, "")
    finally:
        fsio.observer = None
    path = str(Path(there.node.hashes()) / block_name(block))
    assert Path(path).read_bytes() == data
    operations = [op for op, _ in seen if op in ("create", "write", "fsync", "rename")]
    assert operations[:4] == ["create", "write", "fsync", "rename"]
    assert all(args[0] != path for op, args in seen if op in ("create", "write"))
    assert os.listdir(node_of(there) / "tmp") == []
    before = os.stat(path).st_ino
    here.peers["there"].write_block(block, data, "")
    assert os.stat(path).st_ino == before, "one that is there is left alone"


def test_a_full_disk_leaves_nothing_behind(pair: tuple[Site, Site]) -> None:
    here, there = pair
    data = b"too much"

    def full(op: str, args: tuple[object, ...]) -> None:
        if op == "fsync":
            raise OSError(28, "No space left on device")

    fsio.observer = full
    try:
        with pytest.raises(PeerError, match="No space"):
            here.peers["there"].write_block(manifest_id(data), data, "")
    finally:
        fsio.observer = None
    assert os.listdir(node_of(there) / "tmp") == []
    assert here.peers["there"].state().state == "online"


def test_a_read_only_peer_is_said_to_be(pair: tuple[Site, Site]) -> None:
    here, _ = pair

    def refuse(op: str, args: tuple[object, ...]) -> None:
        raise OSError(30, "Read-only file system")

    fsio.observer = refuse
    try:
        with pytest.raises(PeerReadOnly):
            here.peers["there"].append_updates(here.uuid, None, b"\nrecord")
    finally:
        fsio.observer = None
    seen = here.peers["there"].state()
    assert (seen.state, seen.reason) == ("readonly", "Read-only file system")
    here.peers["there"].append_updates(here.uuid, None, b"\nrecord")
    assert here.peers["there"].state().state == "online"


def test_two_nodes_in_one_volume_are_no_peer(tmp_path: Path) -> None:
    with sites(tmp_path, "one", "two") as (one, two):
        shutil.copytree(two.directory, Path(one.node.volume) / "second")
        directory = PeerDirectory("x", one.uuid, one.node.volume, lambda: 0)
        with pytest.raises(PeerWrong, match="two node directories"):
            directory.check()
