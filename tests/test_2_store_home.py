"""Where a node is at home: kept by a move, lost by every kind of copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from globofs.store import home, libc
from globofs.store.node import Node, create_node, open_node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    with create_node(str(tmp_path / "vol")) as made:
        assert made.at_home()
    return made


def at_home(volume: str | Path) -> bool:
    with open_node(str(volume)) as node:
        return node.at_home()


@pytest.fixture(params=["inode", "born"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to know a file, where the file system of the tests knows them."""
    if request.param == "born":
        status = os.statvfs
        monkeypatch.setattr(home.os, "statvfs", lambda path: _WithoutId(status(path)), raising=True)
    return str(request.param)


class _WithoutId:
    """What a file system tells of itself that has no id."""

    def __init__(self, facts: os.statvfs_result) -> None:
        self.f_fsid = 0
        self.f_flag = facts.f_flag


def test_a_move_and_another_start_change_nothing(by: str, tmp_path: Path) -> None:
    create_node(str(tmp_path / "vol")).close()
    noted = (tmp_path / "vol/local/state/home").read_text()
    assert noted.startswith(by) or noted == "unknown\n"
    os.rename(tmp_path / "vol", tmp_path / "moved")
    subprocess.run(["chmod", "-R", "go-rwx", tmp_path / "moved"], check=True)
    assert at_home(tmp_path / "moved")
    assert (tmp_path / "moved/local/state/home").read_text() == noted


@pytest.mark.parametrize("how", [["cp", "-a"], ["tar"]])
def test_a_copy_is_seen(by: str, tmp_path: Path, how: list[str]) -> None:
    create_node(str(tmp_path / "vol")).close()
    if (tmp_path / "vol/local/state/home").read_text() == "unknown\n":
        pytest.skip("this file system tells neither its id nor when a file was made")
    if how == ["tar"]:
        shutil.make_archive(str(tmp_path / "backup"), "tar", tmp_path / "vol")
        shutil.rmtree(tmp_path / "vol")
        (tmp_path / "new").mkdir()  # so that the numbers of the old files are not used again
        for number in range(40):
            (tmp_path / f"new/{number}").touch()
        shutil.unpack_archive(tmp_path / "backup.tar", tmp_path / "copy", filter="fully_trusted")
    else:
        subprocess.run([*how, tmp_path / "vol", tmp_path / "copy"], check=True)
        assert at_home(tmp_path / "vol")
    assert not at_home(tmp_path / "copy")
    with open_node(str(tmp_path / "copy")) as copy:
        assert home.ELSEWHERE in copy.warnings
        home.note(copy.directory)
        assert copy.at_home(), "it was said that it is"


def test_a_node_of_an_earlier_release_is_at_home_where_it_is_found(node: Node) -> None:
    os.unlink(f"{node.directory}/state/home")
    assert at_home(node.volume)
    assert os.path.exists(f"{node.directory}/state/home")


@pytest.mark.parametrize("left", [b"", b"unknown\n", b"\xff\n"])
def test_where_nothing_is_known_nothing_is_told(node: Node, left: bytes) -> None:
    Path(node.directory, "state/home").write_bytes(left)
    assert at_home(node.volume)


def test_a_number_of_a_device_is_no_id(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """XFS and FAT give the device's, which may be another one after a start."""
    path = f"{node.directory}/state/home"
    facts = _WithoutId(os.statvfs(path))
    facts.f_fsid = os.stat(path).st_dev
    monkeypatch.setattr(home.os, "statvfs", lambda _: facts)
    assert not home.facts(path).startswith("inode")


def test_the_time_of_birth_is_not_that_of_the_last_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    born = libc.birth_ns(str(path))
    os.utime(path, (1, 1))
    path.chmod(0o600)
    assert libc.birth_ns(str(path)) == born
    assert born is None or abs(born - os.stat(path).st_ctime_ns) < 10**10
    assert libc.birth_ns(str(tmp_path / "none")) is None
