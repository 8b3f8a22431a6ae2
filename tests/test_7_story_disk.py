"""What lies on disk is what the plan drew, and can be read without us."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers_story import At, make_nodes

FORMAT = (Path(__file__).parent.parent / "globofs/FORMAT.md").read_text()
UUID = "68d25a11-a34a-4bbb-a29e-c9bd06ff8c53"


def recipe(name: str) -> str:
    """A shell example of FORMAT.md, as it stands there."""
    found = re.search(rf"```{name}\n(.*?)```", FORMAT, re.S)
    assert found
    return found[1]


@pytest.mark.parametrize(("compression", "suffix"), [("gzip", ".gz"), ("zstd", ".zst")])
def test_the_tree_of_the_plan(tmp_path: Path, compression: str, suffix: str) -> None:
    (at,) = make_nodes(tmp_path, "one", compression=compression)
    photo = tmp_path / "Photo1"
    photo.write_text("moon " * 1000)
    at("add", str(photo), "--to", "Photos/Trips/Moon")
    photo.write_text("moon again " * 1000)
    at("add", str(photo), "--to", "Photos/Trips/Moon")
    top = at.node / "root/Photos/Trips/Moon/Photo1"
    names = sorted(path.name for path in (top / "versions").iterdir())
    assert names[-1] == "latest"
    assert len(names) == 3
    assert all(re.fullmatch(r"\d+\.\d{9}", name) for name in names[:-1])
    latest = top / "versions/latest"
    assert latest.is_file()
    assert not latest.is_symlink()
    assert latest.read_bytes() == (top / "versions" / names[1]).read_bytes()
    identity = hashlib.sha256(photo.read_bytes()).hexdigest()
    block = Path("hashes") / identity[:2] / identity[2:4] / (identity[4:] + suffix)
    link = top / block
    assert link.is_symlink()
    assert not os.readlink(link).startswith("/")
    assert link.resolve() == (at.node / block).resolve()
    own = re.search(r"uuid=(\S+)", (at.node / "config").read_text())
    assert own
    assert (at.node / "upstream" / own[1] / "updates/latest").is_file()


def hand_made(top: Path) -> At:
    """A volume laid out by hand after the plan's example: no journal, no index."""
    node = top / "by hand" / "local"
    node.mkdir(parents=True)
    (node / "config").write_text(
        f"uuid={UUID}\npath={top}/by hand #So that we can just specify a config\n"
        "cacheonly=no\ncachetime=30m\n"
    )
    file = node / "root/Photos/Cats/Photo1"
    (file / "versions").mkdir(parents=True)
    for time, text in ((1348095423_553456124, b"a kitten"), (1348096774_177556349, b"a cat")):
        identity = hashlib.sha256(text).hexdigest()
        block = node / "hashes" / identity[:2] / identity[2:4] / (identity[4:] + ".gz")
        block.parent.mkdir(parents=True)
        block.write_bytes(gzip.compress(text))
        stamp = f"{time // 10**9}.{time % 10**9:09}"
        manifest = (
            f"kind=file\npath=Photos/Cats/Photo1\nversion={stamp}\nsize={len(text)}\n\n"
            f"{identity} {len(text)}\nblocks=1\n"
        )
        (file / "versions" / stamp).write_text(manifest)
    shutil.copy(file / "versions/1348096774.177556349", file / "versions/latest")
    return At(top / "by hand")


def test_a_volume_made_by_hand_is_adopted(tmp_path: Path) -> None:
    at = hand_made(tmp_path)
    assert at.paths() == {"Photos", "Photos/Cats", "Photos/Cats/Photo1"}
    assert at.read("Photos/Cats/Photo1") == b"a cat"
    assert at("cat", "Photos/Cats/Photo1", "--version", "-1").raw == b"a kitten"
    (tmp_path / "Photo1").write_text("an old cat")
    at("add", str(tmp_path / "Photo1"), "--to", "Photos/Cats")
    timeline = at("log", "Photos/Cats/Photo1", "--json").json
    assert [row["version"] for row in timeline[1:]] == [
        "1348096774.177556349",
        "1348095423.553456124",
    ]
    assert sum(row["head"] for row in timeline) == 1, "each names the one before as its parent"
    journal = (at.node / "upstream" / UUID / "updates/latest").read_bytes()
    assert journal.count(b"kind=file") == 3
    shutil.rmtree(at.node / "root")
    (at.node / "index.sqlite").unlink()
    (at.node / "root").mkdir()
    assert at.read("Photos/Cats/Photo1") == b"an old cat"
    at.verify()


def test_a_version_is_recovered_with_a_shell_alone(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "one", blocksize="64K")
    content = os.urandom(300_000) + b"text that shrinks\n" * 30_000
    (tmp_path / "file").write_bytes(content)
    at("add", str(tmp_path / "file"))
    for directory, manifest in (
        (at.node, "root/file/versions/latest"),
        (at.node / "root/file", "versions/latest"),
    ):
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", recipe("recover")],
            cwd=directory,
            env={**os.environ, "manifest": manifest},
            check=True,
        )
        assert (directory / "recovered").read_bytes() == content
        (directory / "recovered").unlink()


def test_everything_but_blocks_journals_and_state_can_be_deleted(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "one")
    (tmp_path / "a").write_text("1")
    at("add", str(tmp_path / "a"))
    (tmp_path / "a").write_text("2")
    at("add", str(tmp_path / "a"))
    for name in ("root", "lock", "run", "tmp"):
        shutil.rmtree(at.node / name, ignore_errors=True)
    for path in at.node.glob("index.sqlite*"):
        path.unlink()
    (at.node / "upstream/applied").unlink()
    (at.node / "root").mkdir()
    assert at.read("a") == b"2"
    assert len(at("log", "a", "--json").json) == 2
    at("verify", "--repair")
    assert len(list((at.node / "root/a/versions").iterdir())) == 3
    at.verify()
