"""Stories of one volume on three nodes, told with the real command."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.helpers_story import At, make_nodes, tree_of, until


def blocks_in(at: At) -> int:
    return sum(len(files) for _, _, files in os.walk(at.node / "hashes"))


@pytest.fixture
def three(tmp_path: Path) -> list[At]:
    return make_nodes(tmp_path, "laptop", "nas", "cabin")


def odd_tree(top: Path) -> Path:
    """Every kind of content that must come back bit for bit."""
    (top / "deep/er").mkdir(parents=True)
    (top / "empty directory").mkdir(mode=0o750)
    (top / "empty").touch()
    (top / "binary").write_bytes(bytes(range(256)) * 4000)
    (top / "deep/er/script").write_text("#!/bin/sh\necho hello\n")
    (top / "deep/er/script").chmod(0o755)
    (top / "secret").write_text("quiet")
    (top / "secret").chmod(0o600)
    (top / "link").symlink_to("deep/er/script")
    (top / "dangling").symlink_to("../no/such/thing")
    for name in ("versions", "hashes", "latest", ".globofs", "-rf", "=equals", "Ünïcode ✓"):
        (top / name).write_text(name)
    Path(os.fsdecode(os.fsencode(top) + b"/not \xff utf-8 \n here")).write_bytes(b"\xff\x00")
    os.utime(top / "binary", ns=(1, 1_234_567_890_123_456_789))
    os.utime(top / "empty directory", ns=(1, 987_654_321_000_000_001))
    return top


@pytest.mark.parametrize("chunking", ["cdc", "fixed"])
@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_what_goes_in_comes_out_bit_for_bit(
    tmp_path: Path, chunking: str, compression: str
) -> None:
    source = odd_tree(tmp_path / "source")
    (at,) = make_nodes(tmp_path, "one", chunking=chunking, compression=compression, blocksize="64K")
    at("add", f"{source}/", "--to", "kept")
    at("restore", "kept", "--to", str(tmp_path / "out") + "/")
    assert tree_of(tmp_path / "out" / "kept") == tree_of(source)
    at.verify()


def test_metadata_travels_at_once_and_data_when_read(three: list[At], tmp_path: Path) -> None:
    laptop, nas, cabin = three
    source = tmp_path / "docs"
    source.mkdir()
    (source / "notes.txt").write_text("meet at nine\n")
    (source / "large").write_bytes(os.urandom(3_000_000))
    laptop("add", str(source))
    laptop("sync")
    nas("sync")
    assert (nas.node / "root/docs/notes.txt/versions/latest").is_file()
    assert blocks_in(nas) == 0
    rows = {row["path"]: row for row in nas("ls", "docs", "--json").json}
    assert rows["docs/large"]["held"] == "none"
    assert nas.read("docs/notes.txt") == b"meet at nine\n"
    assert blocks_in(nas) == 1
    mirrored = nas("mirror", "--json").json
    assert mirrored["bytes"] == 3_000_000
    shutil.rmtree(laptop.volume)
    cabin("sync", expect=None)
    assert nas.read("docs/large") == (source / "large").read_bytes()
    assert nas("status", "--json").json["blocks_missing"] == 0


def test_deletes_and_renames_travel(three: list[At], tmp_path: Path) -> None:
    laptop, nas, _ = three
    for name in ("stays", "goes", "moves"):
        (tmp_path / name).write_text(name)
        laptop("add", str(tmp_path / name))
    laptop("rm", "goes")
    laptop("mv", "moves", "moved/here")
    laptop("sync")
    nas("sync")
    assert nas.paths() == {"stays", "moved", "moved/here"}
    assert nas.read("moved/here") == b"moves"
    timeline = nas("log", "moved/here", "--json").json
    assert len(timeline) == 2
    nas("restore", "goes")
    nas("sync")
    laptop("sync")
    assert laptop.read("goes") == b"goes"


def test_concurrent_edits_keep_both_and_agree_on_the_winner(
    three: list[At], tmp_path: Path
) -> None:
    plan = tmp_path / "plan"
    plan.write_text("first\n")
    three[0]("add", str(plan))
    for at in (*three, *three):
        at("sync")
    for at, text in zip(three[:2], ("mine\n", "yours\n"), strict=True):
        plan.write_text(text)
        at("add", str(plan))
    for at in (*three, *three, *three):
        at("sync")
    shown = {at.read("plan") for at in three}
    assert len(shown) == 1
    for at in three:
        (clash,) = at("conflicts", "--json").json
        assert clash["path"] == "plan"
        assert len(clash["sides"]) == 2
        texts = {at("cat", "plan", "--version", side["version"]).raw for side in clash["sides"]}
        assert texts == {b"mine\n", b"yours\n"}
    loser = next(s["version"] for s in clash["sides"] if s["version"] != clash["winner"])
    three[2]("resolve", "plan", "--version", loser)
    for at in (three[2], *three, *three):
        at("sync")
    assert all(at("conflicts", "--json").json == [] for at in three)
    assert {at.read("plan") for at in three} == {b"mine\n", b"yours\n"} - shown


def test_a_peer_that_was_away_gets_everything(three: list[At], tmp_path: Path) -> None:
    laptop, nas, cabin = three
    away = cabin.volume.rename(tmp_path / "unmounted")
    cabin.volume.mkdir()
    for number in range(20):
        (tmp_path / "counter").write_text(f"{number}\n")
        laptop("add", str(tmp_path / "counter"))
    said = laptop("sync")
    assert "offline" in said.err
    assert list(cabin.volume.iterdir()) == [], "nothing may be written to an empty mount point"
    cabin.volume.rmdir()
    away.rename(cabin.volume)
    laptop("sync")
    cabin("sync")
    assert cabin.read("counter") == b"19\n"
    assert len(cabin("log", "counter", "--json").json) == 20
    assert nas("sync").status == 0


def test_relay_through_the_middle(tmp_path: Path) -> None:
    """A knows only B, B knows both, C knows only B."""
    a, b, c = make_nodes(tmp_path, "a", "b", "c", peers=False)
    a("peer", "add", "b", str(b.volume))
    b("peer", "add", "a", str(a.volume))
    b("peer", "add", "c", str(c.volume))
    c("peer", "add", "b", str(b.volume))
    (tmp_path / "word").write_text("passed on")
    a("add", str(tmp_path / "word"))
    for at in (a, b, b, c):
        at("sync")
    assert c.paths() == {"word"}
    b("mirror")
    assert c.read("word") == b"passed on"


def test_one_sided_peer_still_receives(tmp_path: Path) -> None:
    """Adding a peer on one side is enough to receive what it holds."""
    writer, reader = make_nodes(tmp_path, "writer", "reader", peers=False)
    (tmp_path / "page").write_text("read me")
    writer("add", str(tmp_path / "page"))
    reader("peer", "add", "writer", str(writer.volume))
    reader("sync")
    assert reader.read("page") == b"read me"


@pytest.mark.timeout(60)
def test_watching_nodes_see_a_change_within_a_second(tmp_path: Path) -> None:
    left, right = make_nodes(tmp_path, "left", "right")
    with left.running("sync", "--watch"), right.running("sync", "--watch"):
        time.sleep(2)
        versions = right.node / "root/news/versions"
        for number in range(3):
            (tmp_path / "news").write_text(f"{number}\n")
            left("add", str(tmp_path / "news"))
            until(lambda n=number: _version_count(versions) == n + 1, 1.0)
    assert right.read("news") == b"2\n"


def _version_count(versions: Path) -> int:
    return len(list(versions.iterdir())) - 1 if versions.is_dir() else 0


@pytest.mark.timeout(60)
def test_watching_a_folder_records_edits_and_deletions(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "one")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    (folder / "b").write_text("1")
    with at.running("watch", str(folder)):
        until(lambda: at.paths() >= {"folder/a", "folder/b"}, 15)
        (folder / "a").write_text("22")
        (folder / "b").unlink()
        (folder / "c").write_text("3")
        until(lambda: at.paths() == {"folder", "folder/a", "folder/c"}, 15)
        until(lambda: at.read("folder/a") == b"22", 15)


@pytest.mark.timeout(110)
def test_killed_adds_lose_nothing_that_was_reported(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "one")
    source = tmp_path / "many"
    source.mkdir()
    for number in range(400):
        (source / f"{number:03}").write_bytes(os.urandom(500) + str(number).encode())
    (source / "large").write_bytes(os.urandom(5_000_000))
    started = time.monotonic()
    at("add", str(source), "--to", "whole")
    full = time.monotonic() - started
    reported = set(at.paths())
    for step in range(12):
        process = at.start("add", str(source), "--to", f"try{step}")
        time.sleep(full * step / 12)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = at.paths()
        assert now >= reported
        reported = now
        if step % 3 == 2:
            at.verify()
    at("add", str(source), "--to", "after")
    at("restore", "after/many", "--to", str(tmp_path / "out") + "/")
    assert tree_of(tmp_path / "out/many") == tree_of(source)
    at.verify()


@pytest.mark.timeout(110)
def test_killed_syncs_lose_nothing(tmp_path: Path) -> None:
    """Scenario 21."""
    left, right = make_nodes(tmp_path, "left", "right")
    source = tmp_path / "many"
    source.mkdir()
    for number in range(300):
        (source / f"{number:03}").write_bytes(os.urandom(300) + str(number).encode())
    for step in range(8):
        left("add", str(source), "--to", f"round{step}")
        for at, wait in ((left, 0.15 + step * 0.05), (right, 0.15 + step * 0.06)):
            process = at.start("sync")
            time.sleep(wait)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    for at in (left, right, left, right):
        at("sync")
    assert right.paths() == left.paths()
    right("mirror")
    left.verify()
    assert right.verify()["missing"] == 0


@pytest.mark.timeout(120)
def test_eight_processes_on_one_node(tmp_path: Path) -> None:
    one, two = make_nodes(tmp_path, "one", "two")
    for writer in range(3):
        folder = tmp_path / f"w{writer}"
        folder.mkdir()
        for number in range(60):
            (folder / f"{number}").write_text(f"{writer} {number}\n")
    (tmp_path / "seed").write_text("seed\n")
    one("add", str(tmp_path / "seed"))
    writers = [one.start("add", str(tmp_path / f"w{writer}")) for writer in range(3)]
    syncers = [one.start("sync"), one.start("sync"), two.start("sync")]
    readers = [one.start("cat", "seed"), one.start("ls", "-R")]
    for process in (*writers, *syncers, *readers):
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err.decode()
        assert b"Traceback" not in err
    for at in (one, two, one, two):
        at("sync")
    expected = {f"w{writer}/{number}" for writer in range(3) for number in range(60)}
    assert one.paths() >= expected
    assert two.paths() >= expected
    assert two.read("w2/59") == b"2 59\n"
    one.verify()


def test_moving_a_volume_does_not_break_it(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "here")
    (tmp_path / "file").write_text("content")
    at("add", str(tmp_path / "file"))
    moved = At(at.volume.rename(tmp_path / "there"))
    assert moved.read("file") == b"content"
    link = next(path for path in (moved.node / "root").rglob("*") if path.is_symlink())
    assert link.exists(), "the links to blocks are relative"


def test_a_restored_node_hears_a_peer_before_it_speaks_for_itself_again(tmp_path: Path) -> None:
    """What it agreed to in the life that the backup does not know of still holds: what nobody keeps
    for it any more it makes no version of."""
    one, two = make_nodes(tmp_path, "one", "two")
    for text in ("old", "new"):
        (tmp_path / "file").write_text(text)
        one("add", str(tmp_path / "file"))
    shutil.copytree(one.volume, tmp_path / "backup", symlinks=True)
    (tmp_path / "later").write_text("after the backup")
    one("add", str(tmp_path / "later"))
    one("sync")
    two("sync")
    one("sync")
    shutil.rmtree(one.volume)
    shutil.copytree(tmp_path / "backup", one.volume, symlinks=True)
    away = two.volume.rename(tmp_path / "unplugged")
    assert "none of its peers (two) could tell" in one("doctor", "--moved", expect=1).err
    assert len(one("status", "--json").json["warnings"]) == 1
    assert one.paths() == {"file"}
    away.rename(two.volume)
    one("doctor", "--moved")
    assert one("status", "--json").json["warnings"] == []
    assert one.paths() == {"file", "later"}


def test_who_has_no_peer_any_more_says_so(tmp_path: Path) -> None:
    one, two = make_nodes(tmp_path, "one", "two")
    (tmp_path / "file").write_text("content")
    one("add", str(tmp_path / "file"))
    shutil.copytree(one.volume, tmp_path / "moved", symlinks=True)
    shutil.rmtree(one.volume)
    shutil.rmtree(two.volume)
    moved = At(tmp_path / "moved")
    moved("doctor", "--force", expect=2)
    moved("doctor", "--moved", expect=1)
    moved("doctor", "--moved", "--force")
    assert moved("status", "--json").json["warnings"] == []
