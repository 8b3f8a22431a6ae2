"""fsio: reading what others wrote without being fooled, writing with every step told."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import threading
from pathlib import Path

import pytest

from globofs.store import fsio
from tests.helpers_disk import Fault, Model, Recording


def tree(root: str | os.PathLike[str]) -> dict[str, object]:
    """Every name below `root` and what it is: file content, link target, None for a directory."""
    found: dict[str, object] = {}
    for place, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(place, name)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = ("->", os.readlink(path))
            else:
                found[relative] = Path(path).read_bytes() if os.path.isfile(path) else None
    return found


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    assert fsio.read_file(str(tmp_path / "a"), len(data)) == data
    assert fsio.read_range(str(tmp_path / "a"), 5, 7) == data[5:12]


def test_a_file_over_the_limit_is_refused_after_limit_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 11)
    with pytest.raises(OSError) as caught:
        fsio.read_file(str(tmp_path / "a"), 10)
    assert caught.value.errno == errno.EFBIG
    os.truncate(tmp_path / "a", 1 << 40)  # sparse: reading it all would take for ever
    with pytest.raises(OSError, match="larger than 10"):
        fsio.read_file(str(tmp_path / "a"), 10)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("what", ["symlink", "fifo", "directory", "socket", "device"])
def test_nothing_but_regular_files_is_opened_and_nothing_hangs(tmp_path: Path, what: str) -> None:
    path = tmp_path / "thing"
    (tmp_path / "target").write_bytes(b"secret")
    if what == "symlink":
        path.symlink_to("target")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "socket":
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's path may only have 107 bytes
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind("thing")
        finally:
            os.chdir(here)
    else:
        path = Path("/dev/zero")
    with pytest.raises(OSError):
        fsio.read_file(str(path), 100)


def test_the_umask_counts_and_private_files_are_private(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        fsio.write_new(str(tmp_path / "a"), b"1")
        fsio.write_atomic(str(tmp_path / "b"), b"2")
        fsio.write_atomic(str(tmp_path / "c"), b"3", mode=0o600)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in "abc"]
    assert modes == [0o640, 0o640, 0o600]


def test_write_new_never_replaces_and_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    fsio.write_new(path, b"first")
    with pytest.raises(FileExistsError):
        fsio.write_new(path, b"second")
    assert Path(path).read_bytes() == b"first"
    with Fault(OSError(errno.ENOSPC, "full"), "write"), pytest.raises(OSError, match="full"):
        fsio.write_new(str(tmp_path / "b"), b"third")
    assert os.listdir(tmp_path) == ["a"]


def test_write_atomic_is_the_old_or_the_new_whatever_fails(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    fsio.write_atomic(path, b"old")
    for name in ("create", "write", "fsync", "rename"):
        with Fault(OSError(errno.EIO, "bad"), name), pytest.raises(OSError, match="bad"):
            fsio.write_atomic(path, b"new", durable=True)
        assert tree(tmp_path) == {"a": b"old"}


def test_write_atomic_survives_power_loss_at_every_step(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / "a").write_bytes(b"old")
    with Recording(root) as recording:
        fsio.write_atomic(str(root / "a"), b"new content", durable=True)
    seen = set()
    for crash in recording.crashes(seeds=6):
        left = crash.materialise(tmp_path / crash.name)
        content = (Path(left) / "a").read_bytes()
        assert content in (b"old", b"new content"), f"{crash.mode} before {crash.before}"
        if crash.at == len(recording.ops):
            assert content == b"new content"
        seen.add(content)
    assert len(seen) == 2


def test_the_disk_model_notices_a_missing_sync(tmp_path: Path) -> None:
    """The model itself: without `durable` the same test would have failed."""
    root = tmp_path / "disk"
    root.mkdir()
    (root / "a").write_bytes(b"old")
    with Recording(root) as recording:
        fsio.write_atomic(str(root / "a"), b"new content", durable=False)
    found = {
        (Path(crash.materialise(tmp_path / crash.name)) / "a").read_bytes()
        for crash in recording.crashes(seeds=10)
    }
    assert found - {b"old", b"new content"}


def test_everything_done_is_told_well_enough_to_do_it_again(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / "before").write_bytes(b"was here")
    path = str(root)
    with Recording(root) as recording:
        fsio.mkdirs(f"{path}/d/e/f")
        fsio.write_new(f"{path}/d/new", b"n" * 1000)
        fsio.append(f"{path}/log", b"one\n")
        fsio.append(f"{path}/log", b"two\n")
        with fsio.Writer(f"{path}/sparse") as writer:
            writer.write(b"head")
            writer.write(memoryview(b"tail"))
            writer.chmod(0o640)
            writer.utime(10**18)
            writer.sync()
            writer.commit(f"{path}/d/sparse")
        fsio.rename(f"{path}/before", f"{path}/d/after")
        fsio.symlink("after", f"{path}/d/link")
        fsio.link(f"{path}/d/after", f"{path}/d/hard")
        fsio.rename_making(f"{path}/d/new", f"{path}/x/y/new")
        fsio.mkdir(f"{path}/gone")
        fsio.rmdir(f"{path}/gone")
        handle = os.open(f"{path}/d", os.O_RDONLY)
        with fsio.Writer("by-handle", dir_fd=handle) as writer:
            writer.write(b"relative")
            writer.commit("named", dir_fd=handle)
        fsio.unlink("hard", dir_fd=handle)
        os.close(handle)
        fsio.remove(f"{path}/not there")
        fsio.syncfs(path)
    model = recording.model_at(len(recording.ops))
    model.write_out(str(tmp_path / "again"), "kill", None)  # type: ignore[arg-type]
    assert tree(tmp_path / "again") == tree(root)
    model.write_out(str(tmp_path / "power"), "power", None)  # type: ignore[arg-type]
    assert tree(tmp_path / "power") == tree(root), "syncfs makes everything durable"
    assert isinstance(model, Model)


def test_an_append_that_hits_a_full_disk_is_cut_off_again(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    fsio.append(path, b"x" * 5000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))  # the kernel writes a part, then fails
    try:
        with pytest.raises(OSError) as caught:
            fsio.append(path, b"y" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert Path(path).read_bytes() == b"x" * 5000


def test_an_append_never_follows_a_symlink_nor_hangs_in_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OSError):
            fsio.append(str(tmp_path / name), b"data")
    assert (tmp_path / "target").read_bytes() == b""


def test_a_new_appended_file_is_durable_with_its_name(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    with Recording(root) as recording:
        fsio.append(str(root / "log"), b"one\n")
        fsio.append(str(root / "log"), b"two\n")
    model = recording.model_at(len(recording.ops))
    model.write_out(str(tmp_path / "left"), "power", None)  # type: ignore[arg-type]
    assert tree(tmp_path / "left") == {"log": b"one\ntwo\n"}


def test_temporary_names_differ_between_threads_and_forks() -> None:
    names: list[str] = []

    def many() -> None:
        names.extend(fsio.temporary_name() for _ in range(500))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 2000
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, fsio.temporary_name().encode())
        os._exit(0)
    os.wait()
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert theirs not in {*names, fsio.temporary_name()}
