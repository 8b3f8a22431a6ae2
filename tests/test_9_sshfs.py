"""Peers reached through a real sshfs and a real sshd."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers_cli import Inside, make
from tests.helpers_sshd import Machine, Sshfs, machines, needs_sshd
from tests.helpers_story import At, until

pytestmark = needs_sshd

MB = 1_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machines(tmp_path_factory.mktemp("ssh"), "server") as made:
        yield made[0]


def nodes(directory: Path, *names: str) -> list[Inside]:
    return [Inside(make(directory / name, name).volume) for name in names]


def write(at: At, directory: Path, name: str, size: int) -> bytes:
    data = os.urandom(size)
    source = directory / "sources" / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(data)
    at("add", str(source))
    return data


def quiet(at: At) -> None:
    """A second look finds nothing to do."""
    at("sync")
    report = at("sync", "--json").json
    assert (report["sent"], report["received"], report["problems"]) == (0, 0, [])


def blocks_in(at: At) -> int:
    return sum(len(files) for _, _, files in os.walk(at.node / "hashes"))


def test_three_nodes_one_behind_sshfs_that_dies_in_mid_transfer(
    tmp_path: Path, server: Machine
) -> None:
    """`far` is reached through sshfs by both others, and reaches nobody. Its mount is killed while
    it is read from, everything goes on without it, and then the rest of it comes."""
    one, two, far = nodes(tmp_path, "one", "two", "far")
    with Sshfs(server, far.volume, tmp_path / "mnt") as mount:
        for at, other in ((one, two), (two, one)):
            at("peer", "add", other.volume.name, str(other.volume))
            at("peer", "add", "far", str(mount.place))
        large = write(far, tmp_path, "large", 40 * MB)
        small = write(one, tmp_path, "small", 2000)
        for at in (one, two, far, one):
            at("sync")
        assert {"large", "small"} <= far.paths()
        transfer = one.start("mirror")
        until(lambda: blocks_in(one) > 3 or transfer.poll() is not None, 20)
        mount.kill()
        _, err = transfer.communicate(timeout=40)
        assert b"Traceback" not in err
        assert transfer.returncode in (0, 1, 3)
        mine = write(one, tmp_path, "meanwhile", 3 * MB)
        said = one("sync")
        assert "far: offline" in said.err
        assert two("sync").status == 0
        assert two.read("meanwhile") == mine
        mount.unmount()
        assert os.listdir(mount.place) == []
        one("sync")
        assert os.listdir(mount.place) == [], "nothing lands on an empty mount point"
        mount.mount()
        assert "far: online" in one("sync").err
        assert one("mirror").status == 0
        assert one.read("large") == large
        far("sync")
        assert "1 of its blocks is not here" in far("cat", "small", expect=3).err
        assert two.read("small") == small
        assert far.paths() == one.paths() == two.paths()
        for at in (one, two, far):
            at.verify()
        quiet(one)
        quiet(two)


def test_a_server_that_cannot_reach_back(tmp_path: Path, server: Machine) -> None:
    """The laptop writes its blocks there; with the laptop gone the server's node reads all."""
    laptop, nas = nodes(tmp_path, "laptop", "nas")
    with Sshfs(server, nas.volume, tmp_path / "mnt") as mount:
        laptop("peer", "add", "nas", str(mount.place))
        before = write(laptop, tmp_path, "before", 3 * MB)  # not sent by itself
        laptop("sync")
        assert "before" in nas.paths()
        assert "laptop should have it" in nas("cat", "before", expect=3).err
        assert laptop("mirror", "--to", "nas", "--json").json["bytes"] == 3 * MB
        laptop("peer", "set", "nas", "--send", "yes")
        after = write(laptop, tmp_path, "after", 2 * MB)
        laptop("sync")
        quiet(laptop)
    laptop.volume.rename(tmp_path / "off")
    assert nas.read("before") == before
    assert nas.read("after") == after
    assert nas("status", "--json").json["blocks_missing"] == 0
    nas.verify()
    theirs = write(nas, tmp_path, "theirs", MB)
    (tmp_path / "off").rename(laptop.volume)
    with Sshfs(server, nas.volume, tmp_path / "mnt"):
        laptop("sync")
        assert laptop.read("theirs") == theirs
        assert laptop.paths() == nas.paths()
        quiet(laptop)
    laptop.verify()


def test_a_peer_that_may_only_be_read(tmp_path: Path, server: Machine) -> None:
    """Everything comes, nothing goes, and that is said; writable again, the rest goes."""
    mine, theirs = nodes(tmp_path, "mine", "theirs")
    data = write(theirs, tmp_path, "published", 3 * MB)
    with Sshfs(server, theirs.volume, tmp_path / "mnt", "ro") as mount:
        mine("peer", "add", "theirs", str(mount.place))
        mine("sync")
        assert mine.read("published") == data
        written = write(mine, tmp_path, "mine", 1000)
        said = mine("sync")
        assert "readonly" in said.err
        assert "Read-only file system" in said.err
        assert theirs.paths() == {"published"}
        assert mine("status", "--json").json["peers"][0]["state"] == "readonly"
    with Sshfs(server, theirs.volume, tmp_path / "mnt"):
        mine("peer", "set", "theirs", "--send", "yes")
        mine("sync")
        assert theirs.read("mine") == written
        quiet(mine)
    for at in (mine, theirs):
        at.verify()


def test_a_volume_of_its_own_on_sshfs(tmp_path: Path, server: Machine) -> None:
    """Not how it is meant, but it works: a node whose own directory lies behind sshfs."""
    (tmp_path / "there").mkdir()
    with Sshfs(server, tmp_path / "there", tmp_path / "mnt") as mount:
        at = At(mount.place / "volume")
        at("init", str(at.volume))
        data = write(at, tmp_path, "file", 3 * MB)
        assert at.read("file") == data
        at.verify()
    copied = At(tmp_path / "copied")
    shutil.copytree(tmp_path / "there/volume", copied.volume, symlinks=True)
    assert copied.read("file") == data
