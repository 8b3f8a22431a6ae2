"""Real programs' own tests on a mount. The short ones always, all of them with `-m soak`.

What a mount does not promise (README, "The mount") is named in `NOT_PROMISED`: a failure that is
not in that list is a fault.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import suites
from tests.helpers_mount import mounted, needs_fuse
from tests.helpers_story import make_nodes

pytestmark = needs_fuse

NOT_PROMISED = {
    "test_hardlink_to (test.test_pathlib.PathTest.test_hardlink_to)",
    "test_hardlink_to (test.test_pathlib.PosixPathTest.test_hardlink_to)",
    "test_pipe (test.test_tarfile.TestExtractionFilters.test_pipe)",
}
PROGRAMS = {
    "git": ("git",),
    "sqlite": ("sqlite3",),
    "archives": ("tar", "rsync", "cpio", "zip", "unzip"),
    "fio": ("fio",),
    "stress": ("stress-ng",),
}


def on_a_mount(tmp_path: Path, name: str) -> suites.Outcome:
    missing = [program for program in PROGRAMS.get(name, ()) if not shutil.which(program)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    (at,) = make_nodes(tmp_path, "node")
    with mounted(at, tmp_path / "m"):
        done = suites.SUITES[name](tmp_path / "m")
    at.verify()
    return done


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["git", "sqlite", "archives"])
def test_programs(tmp_path: Path, name: str) -> None:
    done = on_a_mount(tmp_path, name)
    assert not done.failed, done.why
    assert done.passed > 10


@pytest.mark.timeout(300)
def test_the_interpreters_tests_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not suites.interpreter():
        pytest.skip("no Python here has its own tests")
    monkeypatch.setitem(
        suites.SUITES, "python", lambda place: suites.python(place, ["test_tempfile"])
    )
    done = on_a_mount(tmp_path, "python")
    assert not set(done.failed) - NOT_PROMISED
    assert done.passed > 50


@pytest.mark.soak
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", ["python", "fio", "stress"])
def test_long_suites(tmp_path: Path, name: str) -> None:
    if name == "python" and not suites.interpreter():
        pytest.skip("no Python here has its own tests")
    done = on_a_mount(tmp_path, name)
    assert not set(done.failed) - NOT_PROMISED
    assert done.passed > 10
