"""Who writes through a mount in ways that few programs do, and who is killed while he does."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import threading
from pathlib import Path

import pytest

from tests.helpers_mount import Mounted, mounted, needs_fuse
from tests.helpers_story import make_nodes, until

pytestmark = needs_fuse

MIB = 1 << 20


@pytest.fixture
def mount(tmp_path: Path):  # type: ignore[no-untyped-def]
    (at,) = make_nodes(tmp_path, "node")
    with mounted(at, tmp_path / "m") as made:
        yield made


def test_a_killed_mount_keeps_what_a_file_got_before_and_after_it_was_recorded(
    tmp_path: Path,
) -> None:
    """As a database does that is kept open for days: both changes rest on the same old version."""
    (at,) = make_nodes(tmp_path, "node")
    config = at.node / "config"
    config.write_text(config.read_text() + "commit=1s\n")
    place = tmp_path / "m"
    old = os.urandom(8 * MIB)
    with mounted(at, place) as mount:
        (place / "base").write_bytes(old)
        until(lambda: at("cat", "base", expect=None).raw == old, 15)
        file = open(place / "base", "r+b", buffering=0)
        file.write(b"first")
        os.fsync(file.fileno())
        until(lambda: at("cat", "base", expect=None).raw.startswith(b"first"), 10)
        file.seek(6 * MIB)
        file.write(b"second")
        os.fsync(file.fileno())
        mount.kill()
    with contextlib.suppress(OSError):
        file.close()
    expected = bytearray(old)
    expected[:5] = b"first"
    expected[6 * MIB : 6 * MIB + 6] = b"second"
    with mounted(at, place):
        assert (place / "base").read_bytes() == expected
    at.verify()


def test_a_file_that_is_renamed_over_all_the_time_is_always_there_and_whole(
    mount: Mounted,
) -> None:
    """Programs save so that readers never find less than a whole file."""
    path = mount.place / "saved"
    path.write_text("0")
    ended = threading.Event()
    faults: list[object] = []
    reads: list[str] = []

    def read() -> None:
        while not ended.is_set():
            try:
                (reads if (text := path.read_text()) else faults).append(text)
            except OSError as error:
                if error.errno != errno.ESTALE:  # it was renamed over twice in no time
                    faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(300):
            (mount.place / "saving").write_text(str(number))
            os.rename(mount.place / "saving", path)
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert len(reads) > 100
    assert faults == []


def test_a_shared_mapping_of_a_file_opened_to_append_writes_in_its_place(mount: Mounted) -> None:
    path = mount.place / "log"
    path.write_bytes(b"a" * 8192)
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        with mmap.mmap(fd, 8192) as mapping:
            mapping[:4] = b"mmap"
            mapping.flush()
        os.pwrite(fd, b"tail", 0)
    finally:
        os.close(fd)
    assert path.read_bytes() == b"mmap" + b"a" * 8188 + b"tail"
