"""The volume as ordinary files, mounted for real."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from globofs.mount.place import MountError, check_place
from globofs.volume import Volume
from tests.helpers_mount import Mounted, mounted, mounted_at, needs_fuse
from tests.helpers_story import At, make_nodes, tree_of, until

pytestmark = needs_fuse


@pytest.fixture
def mount(tmp_path: Path):  # type: ignore[no-untyped-def]
    (at,) = make_nodes(tmp_path, "node")
    with mounted(at, tmp_path / "m") as made:
        yield made


def versions(at: At, path: str) -> int:
    return len(at("log", path, "--json").json)


def test_what_is_written_is_read_and_recorded(mount: Mounted) -> None:
    m, at = mount.place, mount.at
    (m / "notes.txt").write_text("one\n")
    with open(m / "notes.txt", "a") as file:
        file.write("two\n")
    (m / "notes.txt").chmod(0o640)
    os.utime(m / "notes.txt", ns=(0, 1_234_567_890_123_456_789))
    assert (m / "notes.txt").read_text() == "one\ntwo\n"
    until(lambda: at("cat", "notes.txt", expect=None).out == "one\ntwo\n", 10)
    (row,) = at("ls", "notes.txt", "--json").json
    assert row["size"] == 8
    assert os.stat(m / "notes.txt").st_mtime_ns == 1_234_567_890_123_456_789
    assert os.stat(m / "notes.txt").st_mode & 0o7777 == 0o640


def test_an_editor_that_saves_by_rename_keeps_history(mount: Mounted) -> None:
    m, at = mount.place, mount.at
    for text in ("first", "second", "third"):
        (m / ".notes.swp").write_text(text)
        os.rename(m / ".notes.swp", m / "notes")
        until(lambda text=text: at("cat", "notes", expect=None).out == text, 10)
    assert versions(at, "notes") == 3
    assert at.paths() == {"notes"}, "the temporary name never became a file of the volume"


def test_a_write_in_the_middle_and_a_truncate(mount: Mounted) -> None:
    path = mount.place / "data"
    content = bytearray(os.urandom(3_000_000))
    path.write_bytes(content)
    with open(path, "r+b") as file:
        file.seek(1_500_000)
        file.write(b"x" * 1000)
        file.truncate(2_500_000)
        file.seek(4_000_000)
        file.write(b"end")
    content[1_500_000:1_501_000] = b"x" * 1000
    expected = bytes(content[:2_500_000]) + bytes(1_500_000) + b"end"
    assert path.read_bytes() == expected
    until(lambda: mount.at("cat", "data", expect=None).raw == expected, 15)


def test_names_as_posix_says(mount: Mounted) -> None:
    m = mount.place
    (m / "a/b").mkdir(parents=True)
    (m / "a/b/file").write_text("x")
    with pytest.raises(OSError) as caught:
        (m / "a").rmdir()
    assert caught.value.errno == errno.ENOTEMPTY
    with pytest.raises(FileExistsError):
        (m / "a").mkdir()
    with pytest.raises(FileExistsError):
        os.open(m / "a/b/file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with pytest.raises(NotADirectoryError):
        (m / "a/b/file/below").write_text("no")
    with pytest.raises(IsADirectoryError):
        os.unlink(m / "a") if os.geteuid() else os.open(m / "a", os.O_WRONLY)
    with pytest.raises(FileNotFoundError):
        (m / "no/such").write_text("x")
    with pytest.raises(OSError) as caught:
        os.rename(m / "a", m / "a/b/inside")
    assert caught.value.errno == errno.EINVAL
    os.rename(m / "a", m / "moved")
    assert (m / "moved/b/file").read_text() == "x"
    os.symlink("moved/b/file", m / "link")
    assert (m / "link").read_text() == "x"
    assert os.readlink(m / "link") == "moved/b/file"
    name = os.fsdecode(b"not \xff utf-8")
    (m / name).write_text("bytes")
    assert name in os.listdir(m)
    with pytest.raises(OSError) as caught:
        (m / ("n" * 256)).write_text("long")
    assert caught.value.errno == errno.ENAMETOOLONG
    assert os.pathconf(m, "PC_NAME_MAX") == 255
    shutil.rmtree(m / "moved")
    assert sorted(os.listdir(m)) == sorted(["link", name])


def test_an_open_file_outlives_its_name(mount: Mounted) -> None:
    path = mount.place / "gone"
    with open(path, "w+b") as file:
        file.write(b"still here")
        file.flush()
        os.unlink(path)
        assert os.fstat(file.fileno()).st_size == 10
        file.seek(0)
        assert file.read() == b"still here"
        assert os.listdir(mount.place) == []
    time.sleep(0.6)
    assert mount.at.paths() == set()


def test_a_shared_mapping_reads(mount: Mounted) -> None:
    path = mount.place / "mapped"
    path.write_bytes(bytes(range(256)) * 100)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert view[25_599] == 255


def test_time_lies_below_dot_globofs(mount: Mounted) -> None:
    m, at = mount.place, mount.at
    (m / "d").mkdir()
    (m / "d/f").write_text("old")
    until(lambda: at("cat", "d/f", expect=None).out == "old", 10)
    (row,) = at("log", "d/f", "--json").json
    moment = row["version"]
    (m / "d/f").write_text("new")
    (m / "d/g").write_text("later")
    until(lambda: versions(at, "d/f") == 2, 10)
    assert ".globofs" not in os.listdir(m)
    past = m / ".globofs/at" / moment
    assert (past / "d/f").read_text() == "old"
    assert os.listdir(past / "d") == ["f"]
    assert sorted(p.read_text() for p in (m / ".globofs/versions/d/f").iterdir()) == ["new", "old"]
    with pytest.raises(OSError) as caught:
        (past / "d/f").write_text("no")
    assert caught.value.errno == errno.EROFS
    assert (m / ".globofs/missing").read_text() == ""


def test_a_moment_ahead_keeps_what_was_there_when_it_came(mount: Mounted) -> None:
    m, at = mount.place, mount.at
    (m / "f").write_text("before")
    until(lambda: at("cat", "f", expect=None).out == "before", 10)
    moment = time.time_ns() + 2 * 10**9
    place = m / f".globofs/at/{moment // 10**9}.{moment % 10**9:09d}/f"
    assert place.read_text() == "before"
    until(lambda: time.time_ns() > moment, 10)
    (m / "f").write_text("after")
    until(lambda: at("cat", "f").out == "after", 10)
    until(lambda: (m / ".globofs/at/0s ago/f").read_text() == "after", 5)
    assert place.read_text() == "before"


def test_unchanged_content_makes_no_version(mount: Mounted) -> None:
    path = mount.place / "same"
    path.write_text("same")
    until(lambda: mount.at("cat", "same", expect=None).out == "same", 10)
    path.write_text("same")
    time.sleep(1)
    assert versions(mount.at, "same") == 1


@pytest.mark.parametrize("how", ["closed", "synced"])
def test_killed_mounts_lose_nothing_closed_or_synced(tmp_path: Path, how: str) -> None:
    (at,) = make_nodes(tmp_path, "node")
    m = tmp_path / "m"
    with mounted(at, m) as mount:
        (m / "old").write_bytes(b"0123456789" * 300_000)
        until(lambda: len(at("cat", "old", expect=None).raw) == 3_000_000, 15)
        if how == "closed":
            (m / "d").mkdir()
            for number in range(30):
                (m / f"d/{number}").write_text(f"{number}")
            with open(m / "old", "r+b") as file:
                file.seek(2_000_000)
                file.write(b"changed")
        else:
            file = open(m / "open", "wb")
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        mount.kill()
    if how == "synced":
        with contextlib.suppress(OSError):
            file.close()
    with mounted(at, m):
        if how == "synced":
            assert (m / "open").read_bytes() == b"kept"
        else:
            assert {int(p.read_text()) for p in (m / "d").iterdir()} == set(range(30))
            assert (m / "old").read_bytes()[2_000_000:2_000_007] == b"changed"
    operations = [row["verb"] for row in at("log", "--operations", "--json").json]
    assert "recover" in operations
    at.verify()


def test_unmounting_a_dead_mount_records_what_it_had_not(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    m = tmp_path / "m"
    with mounted(at, m) as mount:
        (m / "closed").write_text("kept")
        m.stat()  # the kernel answers for what just died, for a second
        os.killpg(mount.process.pid, signal.SIGKILL)
        mount.process.communicate()
        said = at("mount", str(m), expect=1)
        assert "a mount that died lies there; `globofs umount` takes it away" in said.err
        for said in (At(m)("ls", expect=None), at("add", str(m), expect=1)):
            assert said.status == 1
            assert "a mount that died lies there; `globofs umount` takes it away" in said.err
        said = at("umount", str(m))
        assert "recovered" in said.err
        assert "recovered" in (at.node / "run/mount.log").read_text()
        assert at.read("closed") == b"kept"
        assert not mounted_at(m)


def test_cat_makes_a_mirror(tmp_path: Path) -> None:
    here, there = make_nodes(tmp_path, "here", "there")
    source = tmp_path / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "large").write_bytes(os.urandom(4_000_000))
    for number in range(20):
        (source / f"sub/{number}").write_text(str(number) * 100)
    here("add", str(source))
    there("sync")
    here("sync")
    with mounted(there, tmp_path / "m"):
        command = "shopt -s globstar; cat -- **/* > /dev/null 2>&1 || true"
        subprocess.run(["bash", "-c", command], cwd=tmp_path / "m", check=True)
        assert there("status", "--json").json["blocks_missing"] == 0
        here.volume.rename(tmp_path / "away")
        assert (tmp_path / "m/tree/large").read_bytes() == (source / "large").read_bytes()


def test_a_block_that_nobody_holds_is_an_error_of_that_read_alone(tmp_path: Path) -> None:
    here, there = make_nodes(tmp_path, "here", "there")
    config = there.node / "config"
    config.write_text(config.read_text() + "readtimeout=1s\n")
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        here("add", str(tmp_path / name))
    here("sync")
    there("sync")
    assert there.read("one") == b"one"
    shutil.rmtree(here.volume)
    with mounted(there, tmp_path / "m"):
        began = time.monotonic()
        with pytest.raises(OSError) as caught:
            (tmp_path / "m/two").read_bytes()
        assert caught.value.errno == errno.EIO
        assert time.monotonic() - began < 10
        assert (tmp_path / "m/one").read_text() == "one"
        assert "two" in (tmp_path / "m/.globofs/missing").read_text()


def test_changes_from_elsewhere_appear(tmp_path: Path) -> None:
    here, there = make_nodes(tmp_path, "here", "there")
    with mounted(there, tmp_path / "m"):
        (tmp_path / "news").write_text("from here")
        here("add", str(tmp_path / "news"))
        here("sync")
        until(lambda: (tmp_path / "m/news").exists(), 6)
        assert (tmp_path / "m/news").read_text() == "from here"
        (tmp_path / "m/answer").write_text("from there")
        until(lambda: here("cat", "answer", expect=None).out == "from there", 15, every=0.3)


def test_signals_unmount_with_everything_recorded(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    for sign in (signal.SIGTERM, signal.SIGINT):
        with mounted(at, tmp_path / "m") as mount:
            (tmp_path / "m" / sign.name).write_text("last words")
            mount.process.send_signal(sign)
            mount.process.communicate(timeout=20)
        assert at.read(sign.name) == b"last words"
        assert not mounted_at(tmp_path / "m")


def test_the_kernel_reads_further_ahead_where_it_may_be_told(mount: Mounted) -> None:
    """Which only root may; without it the mount is as good, reading large files is slower."""
    device = mount.place.stat().st_dev
    file = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    wanted = "512" if os.access(file, os.W_OK) else "128"
    until(lambda: file.read_text().strip() == wanted, 10)


def test_places_that_are_refused(tmp_path: Path) -> None:
    at, other = make_nodes(tmp_path, "node", "other")
    inside = at.volume / "inside"
    inside.mkdir()
    (tmp_path / "link").symlink_to(inside)
    refused = {
        inside: f"it lies in the volume {at.volume}",
        tmp_path: f"it contains the volume {at.volume}, which would be hidden",
        tmp_path / "link": f"it lies in the volume {at.volume}",
        tmp_path / "missing": "no such directory; make it",
        at.node / "config": "not a directory",
        other.volume: f"it lies in the volume {other.volume}",
    }
    for place, why in refused.items():
        said = at("mount", str(place), expect=1)
        assert f"{place}: cannot be mounted on: " in said.err
        assert why in said.err
    said = at("umount", str(tmp_path), expect=2)
    assert "no volume is mounted there" in said.err


def test_nothing_of_the_volume_may_be_hidden_by_another_name(tmp_path: Path) -> None:
    bound, deep = tmp_path / "bound", tmp_path / "deep"
    bound.mkdir()
    deep.mkdir()
    at, _ = make_nodes(tmp_path, "node", "deep/other")
    with Volume.open(str(at.volume)) as volume:
        if os.geteuid() == 0:
            subprocess.run(["mount", "--bind", str(at.volume), str(bound)], check=True)
            try:
                for place in (bound, bound / "local"):
                    with pytest.raises(MountError, match="it lies in the volume"):
                        check_place(volume, str(place))
            finally:
                subprocess.run(["umount", str(bound)], check=True)
        with pytest.raises(MountError, match="of a peer, which would be hidden"):
            check_place(volume, str(deep))


def test_in_the_background(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    (tmp_path / "m").mkdir()
    at("mount", str(tmp_path / "m"), "--background")
    try:
        (tmp_path / "m/f").write_text("x")
    finally:
        at("umount", str(tmp_path / "m"))
    assert at.read("f") == b"x"


def test_two_mounts_see_each_other(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    with mounted(at, tmp_path / "one"), mounted(at, tmp_path / "two"):
        (tmp_path / "one/d").mkdir()
        said = at("mount", str(tmp_path / "one/d"), expect=1)
        assert "it lies in a mount of this volume" in said.err
        (tmp_path / "one/f").write_text("hello")
        until(lambda: (tmp_path / "two/f").exists(), 5)
        assert (tmp_path / "two/f").read_text() == "hello"
        names = [file.read_text() for file in (at.node / "run").glob("*.json")]
        assert len([text for text in names if '"label":"mount"' in text]) == 2, "others see who"


def run_in(place: Path, script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=place, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_git_works(mount: Mounted, tmp_path: Path) -> None:
    run_in(
        mount.place,
        """
        git init -q repo && cd repo
        git config user.name a && git config user.email a@b
        for n in 1 2 3; do seq $n 2000 > file$n; git add .; git commit -qm $n; done
        git gc -q && git fsck --strict
        git clone -q . ../clone && cd ../clone && git log --oneline | wc -l
        """,
    )
    assert (mount.place / "clone/file3").exists()


def test_sqlite_works_with_a_journal_and_with_wal(mount: Mounted) -> None:
    for mode in ("delete", "wal"):
        database = sqlite3.connect(mount.place / f"{mode}.db")
        assert database.execute(f"PRAGMA journal_mode={mode}").fetchone()[0] == mode
        database.execute("CREATE TABLE t (a)")
        with database:
            database.executemany("INSERT INTO t VALUES (?)", ((n,) for n in range(2000)))
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        database.close()
        again = sqlite3.connect(mount.place / f"{mode}.db")
        assert again.execute("SELECT sum(a) FROM t").fetchone()[0] == 1_999_000
        again.close()


def test_archives_round_trip(mount: Mounted, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for number in range(50):
        (source / f"sub/{number}").write_bytes(os.urandom(2000))
        os.utime(source / f"sub/{number}", ns=(0, 10**18 + number))
    (source / "link").symlink_to("sub/1")
    (source / "script").write_text("#!/bin/sh\n")
    (source / "script").chmod(0o755)
    run_in(mount.place, f"tar --format=posix -C {source} -cf - . | (mkdir t && tar -C t -xf -)")
    run_in(mount.place, f"cp -a {source} c")
    expected = {key: value for key, value in tree_of(source).items() if value[0] != "dir"}
    for copy in ("t", "c"):
        found = tree_of(mount.place / copy)
        assert {key: value for key, value in found.items() if value[0] != "dir"} == expected
    until(lambda: mount.at("log", "c/script", expect=None).status == 0, 10)
    assert versions(mount.at, "c/script") == 1
