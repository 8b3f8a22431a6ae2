"""`verify`: damage is found, repaired where that is possible, and gone at the second look."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from globofs.store.commit import Draft
from globofs.sync import _verify_views
from globofs.volume import Volume
from tests.helpers_verbs import Bench, bench

__all__ = ["bench"]


@pytest.fixture
def full(bench: Bench) -> Bench:
    bench.put("big", os.urandom(2_000_000))
    bench.put("d/small", "text\n" * 100)
    bench.add()
    return bench


def own_file(bench: Bench, path: str, number: int = 0) -> Path:
    block, _ = bench.volume.blocks(bench.shown(path))[number]
    found = bench.volume.node.blocks.find(block.id)
    assert found is not None
    return Path(found[0])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def drop_staged(bench: Bench) -> None:
    for name in os.listdir(bench.volume.node.staged()):
        os.unlink(f"{bench.volume.node.staged()}/{name}")


def test_sound_is_silent(full: Bench) -> None:
    result = full.volume.verify()
    assert (result.damaged, result.missing, result.problems) == (0, 0, ())
    assert result.checked > 5


def test_a_damaged_block_stays_damage_until_it_is_back(full: Bench) -> None:
    path = own_file(full, "docs/big")
    good = path.read_bytes()
    flip(path)
    first = full.volume.verify()
    assert (first.damaged, first.repaired, first.remaining) == (1, 0, 1)
    assert first.problems[0].path == b"docs/big"
    assert not path.exists()
    assert full.volume.verify().remaining == 1, "set aside is not mended"
    path.write_bytes(good)
    full.volume.node.blocks.rescan()
    assert full.volume.verify().damaged == 0


def test_add_of_the_same_content_mends_it(full: Bench) -> None:
    flip(own_file(full, "docs/big"))
    assert full.volume.verify().damaged == 1
    full.add(checksum=True)
    assert full.volume.verify().damaged == 0


def test_a_block_that_vanished_is_damage_one_never_held_is_not(full: Bench) -> None:
    drop_staged(full)
    own_file(full, "docs/d/small").unlink()
    result = full.volume.verify()
    assert (result.damaged, result.missing) == (1, 1)
    assert full.volume.verify().damaged == 1
    block, _ = full.volume.blocks(full.shown("docs/big"))[0]
    with full.volume.node.locks.adders.exclusive():
        full.volume.node.blocks.remove([block.id])
    again = full.volume.verify()
    assert (again.damaged, again.missing) == (1, 2)


def test_repair_takes_the_staged_copy(full: Bench) -> None:
    flip(own_file(full, "docs/d/small"))
    result = full.volume.verify(repair=True)
    assert (result.damaged, result.repaired) == (1, 1)
    assert full.volume.verify().damaged == 0
    assert full.content("docs/d/small") == b"text\n" * 100


def test_a_file_whose_staged_copy_alone_is_left_is_gone_and_comes_back(full: Bench) -> None:
    """Peers read nothing but `hashes/`, and staged files go: seed 1234 of the simulated world."""
    path = own_file(full, "docs/d/small")
    path.unlink()
    first = full.volume.verify()
    assert (first.damaged, first.remaining) == (1, 1)
    assert b"docs/d/small" in [problem.path for problem in first.problems]
    assert full.volume.verify(repair=True).repaired == 1
    assert path.exists()
    again = full.volume.verify()
    assert (again.damaged, again.missing, again.problems) == (0, 0, ())


def test_repair_pulls_from_a_peer(full: Bench, tmp_path: Path) -> None:
    other = Volume.init(str(tmp_path / "other"), name="other")
    other.peer_add("home", full.volume.directory, yes=True)
    full.volume.peer_add("other", other.directory, yes=True)
    other.sync()
    other.mirror()
    other.close()
    drop_staged(full)
    for name in ("docs/big", "docs/d/small"):
        flip(own_file(full, name))
    result = full.volume.verify(repair=True)
    assert (result.damaged, result.repaired) == (2, 2)
    assert full.volume.verify().damaged == 0


def test_damaged_manifests_are_built_again(full: Bench) -> None:
    directory = Path(full.volume.node.root()) / "docs/d/small/versions"
    for path in directory.iterdir():
        flip(path)
    assert full.volume.verify().damaged == 2
    assert full.volume.verify(repair=True).remaining == 0
    assert full.volume.verify().damaged == 0


def replaced(path: Path, how: str) -> None:
    """Something else than what stood there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if how == "file":
        path.write_text("no link and no manifest")
    elif how == "directory":
        path.mkdir()
    elif how != "nothing":
        path.symlink_to(how)


def view(file: Path) -> dict[str, str]:
    """What stands below a file's directory in `root/`."""
    return {
        str(path.relative_to(file)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in file.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("what", ["latest", "version", "link", "hashes", "versions"])
@pytest.mark.parametrize("how", ["nothing", "/etc/hostname", "../nowhere", "file", "directory"])
def test_a_wrong_file_or_link_of_the_view(full: Bench, what: str, how: str) -> None:
    """Missing, pointing elsewhere, dangling, replaced by a file or a directory: found, mended,
    silent, and all is as it was."""
    file = Path(full.volume.node.root()) / "docs/d/small"
    before = view(file)
    assert len(before) == 3
    (link,) = [path for path in (file / "hashes").rglob("*") if path.is_symlink()]
    (version,) = [path for path in (file / "versions").iterdir() if path.name != "latest"]
    spoiled = {"latest": file / "versions/latest", "version": version, "link": link}
    replaced(spoiled.get(what, file / what), how)
    first = full.volume.verify()
    assert first.remaining == first.damaged == (2 if what == "versions" else 1)
    assert {problem.path for problem in first.problems} == {b"docs/d/small"}
    assert full.volume.verify(repair=True).remaining == 0
    again = full.volume.verify()
    assert (again.damaged, again.problems) == (0, ())
    assert view(file) == before


@pytest.mark.parametrize("kind", ["link", "file", "directory"])
@pytest.mark.parametrize(
    "where", ["versions/1.000000000", "hashes/ab/cd/ef.zst", "hashes/x", "hashes/twin"]
)
def test_something_in_the_view_that_no_version_put_there(
    full: Bench, kind: str, where: str
) -> None:
    file = Path(full.volume.node.root()) / "docs/d/small"
    before = view(file)
    (link,) = [path for path in (file / "hashes").rglob("*") if path.is_symlink()]
    extra = link.with_suffix(".odd") if where == "hashes/twin" else file / where
    extra.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        extra.symlink_to(os.readlink(link))
    elif kind == "file":
        extra.write_text("something of somebody's")
    else:
        extra.mkdir()
        (extra / "below").write_text("something of somebody's")
    first = full.volume.verify()
    assert first.remaining == first.damaged == 1
    assert "root/" in first.problems[0].reason
    assert full.volume.verify(repair=True).remaining == 0
    again = full.volume.verify()
    assert (again.damaged, again.problems) == (0, ())
    assert view(file) == before
    kept = [path for path in Path(full.volume.node.blocks.damaged).rglob("*") if path.is_file()]
    assert [path.read_text() for path in kept] == ["something of somebody's"] * (kind != "link")


def test_what_file_managers_and_file_systems_put_there_is_no_damage(full: Bench) -> None:
    node = full.volume.node
    ours = [*Path(node.root()).rglob("*"), *Path(node.blocks.hashes).rglob("*")]
    files = (".DS_Store", "._x", ".nfs0000000000123456", ".fuse_hidden0000000400000001")
    for place in [path for path in ours if path.is_dir()]:
        for name in (*files, "Thumbs.db", "desktop.ini"):
            (place / name).write_text("junk")
        for name in ("lost+found", "@eaDir", ".Trash-1000"):
            (place / name).mkdir()
            (place / name / "x").write_text("junk")
    (result, mended) = full.volume.verify(), full.volume.verify(repair=True)
    assert (result.damaged, result.problems) == (mended.damaged, mended.problems) == (0, ())
    assert (Path(node.root()) / "docs/d/small/versions/Thumbs.db").exists(), "not ours to take away"


def test_what_is_left_of_versions_that_were_never_recorded_is_no_damage(full: Bench) -> None:
    """A power loss took their records, `root/` was built already: row 5 of the crash table."""
    root = Path(full.volume.node.root())
    file = root / "docs/d/small"
    before = view(file)
    text = (file / "versions/latest").read_text()
    version = next(line[8:] for line in text.splitlines() if line.startswith("version="))
    (file / "versions/9.000000000").write_text(text.replace(version, "9.000000000"))
    block, _ = full.volume.blocks(full.shown("docs/big"))[0]
    (link,) = [path for path in root.rglob(block.id.hex()[4:] + "*") if path.is_symlink()]
    other = file / link.relative_to(root / "docs/big")
    other.parent.mkdir(parents=True)
    other.symlink_to("../" + os.readlink(link))
    done = full.volume.verify()
    assert done.damaged == 0
    (problem,) = done.problems
    assert problem.warning
    assert problem.reason.startswith("left of versions that were never recorded: 2 files and links")
    assert full.volume.verify(repair=True).damaged == 0
    assert full.volume.verify().problems == ()
    assert view(file) == before


def test_links_of_older_versions_and_of_blocks_that_are_not_here_are_none_of_that(
    full: Bench,
) -> None:
    full.put("d/small", "another text\n" * 100)
    full.add()
    file = Path(full.volume.node.root()) / "docs/d/small"
    assert len(view(file)) == 5
    drop_staged(full)
    block, _ = full.volume.blocks(full.shown("docs/d/small"))[0]
    with full.volume.node.locks.adders.exclusive():
        full.volume.node.blocks.remove([block.id])
    assert full.volume.verify().problems == ()


def test_a_block_that_came_stored_otherwise_gets_its_link_with_a_repair(full: Bench) -> None:
    """What a link guessed of a block that was not here yet is no damage."""
    path = own_file(full, "docs/d/small")
    plain = full.content("docs/d/small")
    path.unlink()
    path.with_suffix("").write_bytes(plain)
    done = full.volume.verify()
    assert (done.damaged, done.problems) == (0, ())
    assert full.volume.verify(repair=True).damaged == 0
    file = Path(full.volume.node.root()) / "docs/d/small"
    links = [path for path in (file / "hashes").rglob("*") if path.is_symlink()]
    assert [link.read_bytes() for link in links if link.exists()] == [plain]
    assert full.volume.verify().problems == ()


def test_a_lost_journal_record_is_damage(full: Bench) -> None:
    journal = Path(full.volume.node.updates(full.volume.uuid)) / "latest"
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 1
    journal.write_bytes(bytes(data))
    result = full.volume.verify()
    assert result.damaged == 1
    assert any("journal" in problem.reason for problem in result.problems)


def test_an_index_that_forgot_a_block_is_told(full: Bench) -> None:
    block, _ = full.volume.blocks(full.shown("docs/big"))[0]
    full.volume.node.index.mark_missing([block.id])
    result = full.volume.verify()
    assert (result.damaged, result.missing) == (0, 0)


def test_a_sample_reads_less(full: Bench) -> None:
    for n in range(200):
        full.put(f"many/{n}", f"{n}")
    full.add()
    whole = full.volume.verify()
    part = full.volume.verify(sample=0.1)
    assert part.sampled
    assert part.checked < whole.checked


def test_what_others_commit_meanwhile_is_no_damage(full: Bench) -> None:
    """Another client has committed something and not built its place in `root/` yet."""
    with Volume.open(full.volume.directory) as other:
        waiting = [other.node.operation("add", ["late"])]

        def cancelled() -> bool:
            if waiting:
                waiting.pop().commit([Draft(b"late", "directory")])
            return False

        done = full.volume.verify(cancelled=cancelled)
    assert not waiting
    assert (done.damaged, done.problems) == (0, ())


@pytest.mark.parametrize("when", ["before it is looked at", "while it is looked at again"])
def test_what_others_show_instead_meanwhile_is_no_damage(
    full: Bench, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Another client commits a version of a path, and builds it, after its rows were read."""
    twice = when != "before it is looked at"
    wrong = _verify_views._Look.wrong
    (Path(full.volume.node.root()) / "docs/d/small/versions/latest").unlink()
    done: list[bytes] = []
    with Volume.open(full.volume.directory) as other:

        def and_another(look: object, row: object) -> Iterator[tuple[str, str]]:
            path = row.path  # type: ignore[attr-defined]
            if path == b"docs/d/small" and len(done) <= twice:
                with other.node.operation("add", ["small"]) as operation:
                    operation.commit([Draft(path, "symlink", target=b"t%d" % len(done))])
                done.append(path)
            return wrong(look, row)  # type: ignore[arg-type]

        monkeypatch.setattr(_verify_views._Look, "wrong", and_another)
        result = full.volume.verify()
    assert len(done) == 1 + twice
    assert (result.damaged, result.problems) == (0, ())


def test_what_others_let_go_of_meanwhile_is_no_damage(
    full: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, blocks = full.volume.node.index, full.volume.node.blocks
    held = index.held_blocks

    def and_then_one_goes() -> Iterator[bytes]:
        found = list(held())
        yield from found
        blocks.remove(found[:1])

    monkeypatch.setattr(index, "held_blocks", and_then_one_goes)
    assert full.volume.verify().damaged == 0
