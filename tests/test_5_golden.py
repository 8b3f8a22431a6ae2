"""Volumes of format 1, made once (`make_golden`) and kept: every later version opens them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from globofs.volume import Volume
from tests.make_golden import EXPECTED, VOLUMES, read_back

SAID = json.loads(EXPECTED.read_text())


@pytest.fixture
def top(tmp_path: Path) -> Path:
    with tarfile.open(VOLUMES) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path


def journals(volume: Path) -> dict[Path, bytes]:
    found = volume.glob("local/upstream/*/**/updates/*")
    return {path: path.read_bytes() for path in found if path.is_file()}


@pytest.mark.parametrize("name", SAID)
def test_it_says_what_it_said(top: Path, name: str) -> None:
    before = journals(top / name)
    with Volume.open(str(top / name)) as volume:
        assert json.loads(json.dumps(read_back(volume))) == SAID[name]
        checked = volume.verify()
        assert [problem.reason for problem in checked.problems if not problem.warning] == []
        assert checked.damaged == 0
        file = top / "new"
        file.write_bytes(b"and it is written to")
        volume.add([str(file)])
        assert b"".join(volume.read(volume.history(b"new")[0])) == b"and it is written to"
    after = journals(top / name)
    assert before.keys() <= after.keys()
    for path, data in before.items():
        assert after[path].startswith(data), f"{path} was only appended to"


def test_they_go_on_with_each_other(top: Path) -> None:
    with Volume.open(str(top / "one")) as one, Volume.open(str(top / "two")) as two:
        one.resume("two")
        for here, there in ((one, two), (two, one)):
            here.peer_set(there.name, path=str(top / there.name))
        for _ in range(3):
            for volume in (one, two):
                volume.sync()
        assert {e.path: e.version for e in one.view().walk(deleted=True)} == {
            e.path: e.version for e in two.view().walk(deleted=True)
        }
        done = two.mirror()
        assert done.missing == 0
        assert b"".join(two.read(two.history(b"staged")[0])) == b"staged, and nowhere else"
