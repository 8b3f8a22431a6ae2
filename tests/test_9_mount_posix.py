"""What programs may rely on at a mount: open files, appenders, mappings, locks, full disks."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers_mount import Mounted, mounted, needs_fuse
from tests.helpers_story import At, make_nodes, until

pytestmark = needs_fuse


@pytest.fixture
def mount(tmp_path: Path):  # type: ignore[no-untyped-def]
    (at,) = make_nodes(tmp_path, "node")
    with mounted(at, tmp_path / "m") as made:
        yield made


def test_a_tree_with_an_open_file_can_be_removed(mount: Mounted) -> None:
    tree = mount.place / "tree"
    (tree / "sub").mkdir(parents=True)
    with open(tree / "sub/file", "w+") as file:
        file.write("kept")
        file.flush()
        shutil.rmtree(tree)
        assert not tree.exists()
        file.seek(0)
        assert file.read() == "kept"


def test_renamed_over_while_open(mount: Mounted) -> None:
    m = mount.place
    (m / "one").write_text("old")
    (m / "two").write_text("new")
    with open(m / "one") as file:
        os.rename(m / "two", m / "one")
        assert file.read() == "old"
    assert (m / "one").read_text() == "new"
    until(lambda: mount.at("cat", "one", expect=None).out == "new", 10)
    assert mount.at.paths() == {"one"}


def test_a_file_kept_open_for_reading_follows_what_others_write(
    mount: Mounted, tmp_path: Path
) -> None:
    path, source = mount.place / "file", tmp_path / "file"
    source.write_text("one\n")
    mount.at("add", str(source))
    until(path.exists, 10)
    with open(path, buffering=1) as kept:
        assert kept.read() == "one\n"
        source.write_text("one\ntwo\n")
        mount.at("add", str(source))
        until(lambda: path.read_text() == "one\ntwo\n", 10)
        until(lambda: kept.read() == "two\n", 10)
        mount.at("rm", "file")
        until(lambda: not path.exists(), 10)
        kept.seek(0)
        assert kept.read() == "one\ntwo\n"


def test_two_processes_append(mount: Mounted) -> None:
    path = mount.place / "log"
    script = (
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "for n in range(300): os.write(fd, (sys.argv[2] * 20 + '\\n').encode())\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, str(path), who]) for who in "ab"]
    assert [one.wait(60) for one in both] == [0, 0]
    lines = path.read_text().splitlines()
    assert sorted(lines) == ["a" * 20] * 300 + ["b" * 20] * 300


def test_a_shared_mapping_writes(mount: Mounted) -> None:
    path = mount.place / "mapped"
    path.write_bytes(bytes(20_000))
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        view[9_000:9_005] = b"here!"
        view.flush()
    assert path.read_bytes()[9_000:9_005] == b"here!"
    until(lambda: mount.at("cat", "mapped", expect=None).raw[9_000:9_005] == b"here!", 10)


def test_locks_hold_between_processes(mount: Mounted) -> None:
    path = mount.place / "locked"
    path.write_text("x")
    for call in ("flock", "lockf"):
        script = (
            "import fcntl, sys\n"
            "file = open(sys.argv[1], 'r+')\n"
            f"try: fcntl.{call}(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
            "except BlockingIOError: print('busy')\n"
            "else: print('free')\n"
        )
        command = [sys.executable, "-c", script, str(path)]
        import fcntl

        with open(path, "r+") as file:
            getattr(fcntl, call)(file, fcntl.LOCK_EX)
            assert subprocess.check_output(command) == b"busy\n"
        assert subprocess.check_output(command) == b"free\n"


def test_owners_and_times_of_access_as_long_as_it_lives(mount: Mounted) -> None:
    path = mount.place / "file"
    path.write_text("x")
    os.utime(path, ns=(10**18, 2 * 10**18))
    facts = os.stat(path)
    assert (facts.st_atime_ns, facts.st_mtime_ns) == (10**18, 2 * 10**18)
    if os.geteuid() == 0:
        os.chown(path, 1234, -1)
        assert (os.stat(path).st_uid, os.stat(path).st_gid) == (1234, os.getegid())


def test_the_same_content_again_is_modified_now(mount: Mounted) -> None:
    path = mount.place / "file"
    path.write_text("same")
    until(lambda: mount.at("cat", "file", expect=None).out == "same", 10)
    path.unlink()
    before = time.time()
    path.write_text("same")
    time.sleep(2.5)
    assert path.stat().st_mtime >= before - 0.1


def test_being_recorded_is_no_change(mount: Mounted) -> None:
    path = mount.place / "d/file"
    path.parent.mkdir()
    path.write_text("x")

    (path.parent / "empty").mkdir()
    (path.parent / "link").symlink_to("file")

    def facts() -> list[tuple[int, ...]]:
        return [
            (one.st_mode, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
            for one in (found.lstat() for found in (path.parent, *sorted(path.parent.iterdir())))
        ]

    before = facts()
    until(lambda: mount.at("cat", "d/file", expect=None).out == "x", 10)
    time.sleep(1.5)
    assert facts() == before


def test_what_is_refused(mount: Mounted) -> None:
    m = mount.place
    (m / "file").write_text("x")
    with pytest.raises(OSError) as caught:
        os.link(m / "file", m / "link")
    assert caught.value.errno in (errno.EPERM, errno.ENOTSUP)
    with pytest.raises(OSError) as caught:
        os.mkfifo(m / "fifo")
    assert caught.value.errno == errno.EPERM
    with pytest.raises(OSError) as caught:
        os.setxattr(m / "file", "user.x", b"y")
    assert caught.value.errno == errno.ENOTSUP
    (m / "other").write_text("y")
    paths = [os.fsencode(m / name) for name in ("file", "other")]
    for flag, code in ((1, errno.EEXIST), (2, errno.EINVAL)):
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.renameat2(-100, paths[0], -100, paths[1], flag) == -1
        assert ctypes.get_errno() == code
    assert sorted(os.listdir(m)) == ["file", "other"]


def test_many_threads_read_one_file(mount: Mounted) -> None:
    content = os.urandom(5_000_000)
    path = mount.place / "data"
    path.write_bytes(content)
    until(lambda: mount.at("cat", "data", expect=None).raw == content, 20)
    opened = mount.at.node / "state/open"  # the scratch file goes when the content is not in it
    until(lambda: not any(one.name.isdigit() for one in opened.glob("*/*")), 10)

    def piece(number: int) -> bool:
        at = number * 7919 * 13 % len(content)
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(fd, 70_000, at) == content[at : at + 70_000]
        finally:
            os.close(fd)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(piece, range(200)))


def test_the_first_byte_comes_before_the_file(tmp_path: Path) -> None:
    here, there = make_nodes(tmp_path, "here", "there")
    (tmp_path / "large").write_bytes(os.urandom(30_000_000))
    here("add", str(tmp_path / "large"))
    here("sync")
    there("sync")
    with mounted(there, tmp_path / "m"):
        with open(tmp_path / "m/large", "rb", buffering=0) as file:
            assert len(file.read(4096)) == 4096
            there("sync")
        (row,) = there("ls", "large", "--json").json
        assert row["held"] == "part"


def test_a_kept_open_file_is_recorded_after_fsync(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    config = at.node / "config"
    config.write_text(config.read_text() + "commit=1s\n")
    with mounted(at, tmp_path / "m"), open(tmp_path / "m/log", "w") as file:
        file.write("first\n")
        file.flush()
        os.fsync(file.fileno())
        until(lambda: at("cat", "log", expect=None).out == "first\n", 10)
        file.write("second\n")
        file.flush()
        time.sleep(1.5)
        assert at("cat", "log").out == "first\n", "not synced, not closed: no version yet"
    assert at.read("log") == b"first\nsecond\n"


def log_of(at: At) -> str:
    path = at.node / "run/mount.log"
    return path.read_text() if path.exists() else ""


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root")
def test_a_full_disk_is_enospc_and_no_half_version(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    tmpfs = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(disk)]
    if subprocess.run(tmpfs, capture_output=True).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        (at,) = make_nodes(disk, "node")
        place = tmp_path / "m"
        with mounted(at, place):
            (place / "small").write_text("fits")
            until(lambda: at("cat", "small", expect=None).out == "fits", 10)
            with pytest.raises(OSError) as caught:
                (place / "large").write_bytes(os.urandom(30_000_000))
            assert caught.value.errno == errno.ENOSPC
            (place / "large").unlink()
            assert (place / "small").read_text() == "fits"
            (place / "after").write_text("space again")
            until(lambda: at("cat", "after", expect=None).out == "space again", 20)
        assert at.paths() == {"small", "after"}
        at.verify()
        with mounted(at, place):
            (place / "large").write_bytes(os.urandom(8_000_000))
            until(lambda: "cannot record what was written: No space" in log_of(at), 10)
            said = at("umount", str(place), expect=1)
            assert "unmounted, but not all that was written is recorded" in said.err
            assert "No space left on device; it lies in " in said.err
        with mounted(at, place):
            assert sorted(os.listdir(place)) == ["after", "small"]
            subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        with mounted(at, place):
            assert (place / "large").stat().st_size == 8_000_000
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_readers_are_not_held_up_by_a_writer(mount: Mounted) -> None:
    m = mount.place
    (m / "read").write_text("still")
    stop = threading.Event()

    def write() -> None:
        piece = os.urandom(1 << 20)
        with open(m / "written", "wb") as file:
            while not stop.is_set() and file.tell() < 100 << 20:
                file.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        slowest = 0.0
        for _ in range(50):
            began = time.monotonic()
            assert (m / "read").read_text() == "still"
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 5
    finally:
        stop.set()
        writer.join()
