"""Real disks that are full, out of inodes, read only, or begin in the middle of a source.

Small file systems of their own, mounted by the test, which therefore wants to be root (elsewhere
the same errors are injected: `test_5_crash`, `test_9_hostile`). What a command says names the
file and the reason; what was there stays readable; when there is room the same command succeeds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from globofs.store.index import Index
from globofs.sync import _keepers
from tests.helpers_cli import Shell, make

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """`disk(options)` mounts a tmpfs with them at one place, or mounts that anew with others."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        again = "remount," if os.path.ismount(place) else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "none", str(place)]
        if (
            not shutil.which("mount")
            or subprocess.run(command, stderr=subprocess.DEVNULL).returncode
        ):
            pytest.skip("this user may not mount a tmpfs")
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", str(place)], check=True)


def source(top: Path, count: int, size: int) -> Path:
    folder = top / "docs"
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).write_bytes(os.urandom(size))
    return folder


def whole(at: Shell, folder: Path) -> None:
    """Everything that was added is there, and nothing is damaged."""
    for path in folder.iterdir():
        assert at("cat", f"docs/{path.name}").raw == path.read_bytes()
    assert at("verify", "--json").json["damaged"] == 0


def test_10_no_inodes(disk: Disk, tmp_path: Path) -> None:
    at = make(disk("nr_inodes=120,size=64M") / "v", "small")
    (tmp_path / "first").write_bytes(b"first" * 50_000)
    at("add", tmp_path / "first")
    folder = source(tmp_path, 30, 70_000)
    said = at("add", folder, expect=1).err
    assert "No space left on device" in said
    assert at("cat", "first").raw == b"first" * 50_000
    at("ls")
    disk("nr_inodes=5000,size=64M")
    at("add", folder)
    whole(at, folder)


def fill(path: Path) -> None:
    """Write until not a page is left."""
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass


def test_6_and_7_a_full_disk(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, pruning and evicting go on, without anything to note the first look of two with;
    with what is let go of the same command succeeds."""
    monkeypatch.setattr(_keepers, "SEEN_APART_NS", 300_000_000)
    at = make(disk("size=12M") / "v", "small", "--cacheonly")
    keeper = make(tmp_path / "keeper", "keeper")
    at("peer", "add", "keeper", keeper.volume)
    keeper("peer", "add", "small", at.volume)
    for _ in range(2):
        (tmp_path / "first").write_bytes(os.urandom(2_000_000))
        at("add", "--checksum", tmp_path / "first")
    for node in (at, keeper, at, keeper):
        node("sync")
    keeper("mirror")
    folder = source(tmp_path, 3, 300_000)
    fill(at.volume.parent / "rest")
    assert "No space left on device" in at("add", folder, expect=1).err
    assert at("cat", "first").raw == (tmp_path / "first").read_bytes()
    for words in (("ls",), ("status",), ("log",), ("verify",), ("prune", "--keep-last", "1")):
        at(*words)
    fill(at.volume.parent / "rest")  # what went with an outdated index
    said = at("evict").err
    assert "the disk is full" in said
    assert "MiB let go" in said
    at("add", folder)
    whole(at, folder)
    assert at("cat", "first").raw == (tmp_path / "first").read_bytes()


def test_6_a_full_disk_keeps_nobody_from_restoring_what_others_hold(
    disk: Disk, tmp_path: Path
) -> None:
    at = make(disk("size=8M") / "v", "small")
    keeper = make(tmp_path / "keeper", "keeper")
    at("peer", "add", "keeper", keeper.volume)
    keeper("peer", "add", "small", at.volume)
    folder = source(tmp_path, 3, 300_000)
    keeper("add", folder)
    for node in (keeper, at):
        node("sync")
    fill(at.volume.parent / "rest")
    assert at("cat", "docs/0").raw == (folder / "0").read_bytes()
    said = at("restore", "docs", "--to", tmp_path / "out").err
    assert "where it came from is not noted: No space left on device" in said
    for path in folder.iterdir():
        assert (tmp_path / "out" / "docs" / path.name).read_bytes() == path.read_bytes()


def test_6_a_disk_filled_behind_what_a_peer_brought_can_be_read(disk: Disk, tmp_path: Path) -> None:
    """What cannot be acknowledged is seen all the same, and acknowledged when there is room."""
    place = disk("size=16M")
    at, far = make(place / "v", "small"), make(tmp_path / "far", "far")
    far("peer", "add", "small", at.volume)
    at("peer", "add", "far", far.volume)
    folder = source(tmp_path, 3, 1000)
    far("add", folder)
    far("sync")
    fill(place / "filler")
    assert at("ls", "docs").out.split() == ["0", "1", "2"]
    assert "No space left on device" in at("status").err
    (place / "filler").unlink()
    assert at("status").err == ""
    far("sync")
    assert far("status", "--json").json["peers"][0]["outgoing"] == 0


@pytest.mark.parametrize(
    ("size", "least", "most"), [("1M", 1000, 1000), ("64M", 1001, 2048), ("2G", 16384, 16384)]
)
def test_6_while_an_index_is_filled_its_log_takes_a_part_of_the_room(
    disk: Disk, size: str, least: int, most: int
) -> None:
    """In pages. With a log as large as it likes, an index that has room was kept in memory."""
    index = Index(str(disk(f"size={size}") / "index.sqlite"))
    with index.large_log():
        pages = index.one("PRAGMA wal_autocheckpoint")[0]
    assert least <= pages <= most
    assert index.one("PRAGMA wal_autocheckpoint")[0] == 1000
    index.close()


def test_9_our_own_disk_is_read_only(disk: Disk, tmp_path: Path) -> None:
    """What is there can be read and looked through, also by who has no index; nothing is written,
    and that is said; afterwards all goes on."""
    at = make(disk("size=32M") / "v", "ro")
    folder = source(tmp_path, 3, 100_000)
    at("add", folder)
    (tmp_path / "more").write_bytes(b"more")
    shutil.rmtree(at.volume / "local/run", ignore_errors=True)
    disk("ro,size=32M")
    assert "read only" in at("add", tmp_path / "more", expect=1).err.lower()
    for words in (("ls", "-R"), ("status",), ("log",), ("verify",), ("cat", "docs/0")):
        at(*words)
    assert "read only" in at("sync", expect=1).err.lower()
    disk("rw,size=32M")
    at("add", tmp_path / "more")
    assert at("cat", "more").raw == b"more"
    whole(at, folder)


def test_40_a_mount_point_inside_the_source(disk: Disk, tmp_path: Path) -> None:
    """It is entered, and that is said. Taken away again, what was in it stays in the volume: an
    `add` that may delete asks first where so much is gone."""
    folder = source(tmp_path, 2, 100)
    place = disk("size=1M")
    inside = folder / "stick"
    inside.mkdir()
    subprocess.run(["mount", "--bind", str(place), str(inside)], check=True)
    try:
        for number in range(20):
            (inside / str(number)).write_bytes(b"%d" % number)
        at = make(tmp_path / "v", "v")
        assert "docs/stick: another file system begins here; entered" in at("add", folder).err
        assert len(at("ls", "docs/stick").lines) == 20
    finally:
        subprocess.run(["umount", str(inside)], check=True)
    at("add", folder)
    assert "--yes" in at("add", "--delete", folder, expect=1).err
    assert len(at("ls", "docs/stick").lines) == 20
    assert at("cat", "docs/stick/7").raw == b"7"
