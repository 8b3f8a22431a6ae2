"""`root/`: what a person finds there, and that it can always be built again."""

from __future__ import annotations

import errno
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from globofs.events import Problem
from globofs.format import applied, manifest
from globofs.format.text import format_time
from globofs.store import fsio, tree
from globofs.store.commit import Draft
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.tree import build_tree, settle_tree
from tests.helpers_node import (
    FixedClock,
    block_of,
    deliver,
    file_draft,
    gone,
    new_node,
    put,
    reopen,
    write,
)


@pytest.fixture
def node(tmp_path: Path):
    made = new_node(tmp_path / "v")
    yield made
    made.close()


def listing(node: Node) -> dict[str, bytes]:
    """Every file and link below root/, with what it holds."""
    found: dict[str, bytes] = {}
    for directory, _, names in os.walk(node.root()):
        for name in names:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, node.root())
            if os.path.islink(path):
                found[relative] = os.readlink(path).encode()
            else:
                found[relative] = Path(path).read_bytes()
    return found


def versions_of(node: Node, path: str) -> list[str]:
    return sorted(os.listdir(os.path.join(node.root(), path, "versions")))


def test_it_looks_as_planned(node: Node) -> None:
    first = put(node, b"Photos/Trips/Moon/Photo1", b"one")
    second = put(node, b"Photos/Trips/Moon/Photo1", b"two")
    place = Path(node.root(), "Photos/Trips/Moon/Photo1")
    names = [format_time(first.time), format_time(second.time), "latest"]
    assert versions_of(node, "Photos/Trips/Moon/Photo1") == sorted(names)
    latest = place / "versions" / "latest"
    assert not latest.is_symlink()
    assert sha256(latest.read_bytes()).digest() == second.version_id
    assert manifest.decode(latest.read_bytes()).path == b"Photos/Trips/Moon/Photo1"
    name = sha256(b"two").hexdigest()
    link = place / "hashes" / name[:2] / name[2:4] / name[4:]
    assert link.is_symlink()
    assert link.read_bytes() == b"two"


def test_the_volume_can_be_moved(node: Node, tmp_path: Path) -> None:
    put(node, b"a/b", b"one")
    shutil.copytree(node.volume, tmp_path / "elsewhere", symlinks=True)
    shutil.rmtree(node.volume)
    links = [p for p in Path(tmp_path / "elsewhere").rglob("*") if p.is_symlink()]
    assert [link.read_bytes() for link in links] == [b"one"]


def test_names_that_are_ours_are_escaped(node: Node) -> None:
    for path in (b"versions", b"hashes/latest", b"=x", b"d/versions/f"):
        put(node, path, b"1")
    assert versions_of(node, "=versions")[-1] == "latest"
    assert versions_of(node, "=hashes/latest")[-1] == "latest"
    assert versions_of(node, "==x")[-1] == "latest"
    assert versions_of(node, "d/=versions/f")[-1] == "latest"


def test_built_twice_is_built_once(node: Node) -> None:
    put(node, b"a", b"1")
    put(node, b"a", b"2")
    write(node, gone(b"a"))
    before = listing(node)
    assert build_tree(node) == 0
    assert build_tree(node, everything=True) == 3
    assert listing(node) == before
    shutil.rmtree(node.root())
    os.mkdir(node.root())
    build_tree(node, everything=True)
    assert listing(node) == before


def test_latest_is_the_shown_version_of_a_conflict(node: Node) -> None:
    base = put(node, b"a", b"1")
    winner = put(node, b"a", b"2")
    write(node, gone(b"a", parents=(base.version_id,)))
    latest = Path(node.root(), "a", "versions", "latest").read_bytes()
    assert sha256(latest).digest() == winner.version_id
    assert len(versions_of(node, "a")) == 4


def test_two_versions_of_one_time(tmp_path: Path) -> None:
    one = new_node(tmp_path / "v", clock=FixedClock())
    two = new_node(tmp_path / "w", "beta", clock=FixedClock())
    first, second = put(one, b"a", b"1"), put(two, b"a", b"2")
    assert first.time == second.time
    deliver(two, one)
    build_tree(one)
    name = format_time(first.time)
    assert versions_of(one, "a") == [name, f"{name}-{second.version_id.hex()[:8]}", "latest"]
    texts = [Path(one.root(), "a", "versions", n).read_bytes() for n in versions_of(one, "a")]
    assert sha256(texts[0]).digest() == first.version_id
    assert sha256(texts[1]).digest() == second.version_id
    shown = View(one).version(b"a")
    assert shown is not None
    assert sha256(texts[2]).digest() == shown.id
    before = listing(one)
    build_tree(one, everything=True)
    assert listing(one) == before
    one.close()
    two.close()


def test_after_a_reboot_it_is_built_from_what_was_durable(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(node, b"a", b"1")
    settle_tree(node)
    put(node, b"b", b"2")
    before = listing(node)
    shutil.rmtree(os.path.join(node.root(), "b"))  # what a power loss did
    Path(node.root(), "a/versions/latest").unlink()  # durable: is not looked at again
    assert build_tree(node) == 0
    monkeypatch.setattr(tree, "boot_id", lambda: "another boot")
    assert build_tree(node) == 1
    after = listing(node)
    assert set(before) - set(after) == {"a/versions/latest"}
    assert build_tree(node) == 0


def test_a_torn_manifest_is_replaced(node: Node) -> None:
    done = put(node, b"a", b"1")
    path = Path(node.root(), "a/versions", format_time(done.time))
    whole = path.read_bytes()
    for torn in (b"", whole[:50], bytes(len(whole))):
        path.write_bytes(torn)
        build_tree(node, everything=True)
        assert path.read_bytes() == whole
    assert versions_of(node, "a") == [format_time(done.time), "latest"]


def test_a_lost_index_does_not_build_everything_again(node: Node) -> None:
    put(node, b"a", b"1")
    settle_tree(node)
    node.finish()
    told = applied.decode(Path(node.upstream(), "applied").read_bytes())
    assert told[node.uuid].built == node.journal.last().seq
    node.close()
    os.unlink(os.path.join(node.directory, "index.sqlite"))
    again = reopen(node)
    assert build_tree(again) == 0
    put(again, b"b", b"2")
    assert versions_of(again, "b")[-1] == "latest"
    again.close()


def test_a_name_the_disk_refuses_is_said_and_the_rest_goes_on(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(op: str, args: tuple[object, ...]) -> None:
        if op in ("create", "mkdir") and "/bad" in str(args[0]):
            raise OSError(errno.ENAMETOOLONG, "File name too long", str(args[0]))

    said: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(fsio, "observer", observe)
        operation = node.operation("add")
        operation._emit = said.append
        operation.commit([file_draft(b"bad"), file_draft(b"good")])
        operation.close()
    assert versions_of(node, "good")[-1] == "latest"
    assert [event.path for event in said if isinstance(event, Problem)] == [b"bad"]
    assert View(node).entry(b"bad") is not None


def test_without_symlinks_there_are_no_links(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def observe(op: str, args: tuple[object, ...]) -> None:
        if op == "symlink":
            raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(fsio, "observer", observe)
    put(node, b"a", b"1")
    assert versions_of(node, "a")[-1] == "latest"
    assert not any("hashes" in name for name in listing(node))


def test_a_full_disk_fails_the_build_not_the_commit(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(op: str, args: tuple[object, ...]) -> None:
        if op == "create" and "/root/" in str(args[0]):
            raise OSError(errno.ENOSPC, "No space left on device", str(args[0]))

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "observer", observe)
        with pytest.raises(OSError, match="No space"):
            put(node, b"a", b"1")
    assert View(reopen(node)).entry(b"a") is not None
    node.finish()
    assert versions_of(node, "a")[-1] == "latest"


def several(path: bytes, *pieces: bytes) -> Draft:
    """A file of several blocks."""
    blocks = tuple(block_of(piece) for piece in pieces)
    return Draft(path, "file", sum(map(len, pieces)), 0o644, 5, b"", blocks)


def links_tried(node: Node, monkeypatch: pytest.MonkeyPatch, *pieces: bytes) -> list[str]:
    """The blocks whose links a new version of `a`, made of these, had made or looked for."""
    tried: list[str] = []

    def observe(op: str, args: tuple[object, ...]) -> None:
        if op == "symlink":
            tried.append(str(args[1])[-64:].replace("/", "")[-60:])

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "observer", observe)
        write(node, several(b"a", *pieces), contents=pieces)
    names = {sha256(piece).hexdigest()[4:]: piece.decode() for piece in pieces}
    return [names[name] for name in dict.fromkeys(tried)]  # again where a directory lacked


def linked(node: Node, *pieces: bytes) -> list[str]:
    """Those of these blocks that `a` has links to."""
    names = [(sha256(piece).hexdigest(), piece.decode()) for piece in pieces]
    found = listing(node)
    return [text for n, text in names if f"a/hashes/{n[:2]}/{n[2:4]}/{n[4:]}" in found]


def test_a_new_version_makes_only_the_links_that_its_base_did_not_need(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three, four = b"one", b"two", b"three", b"four"
    assert links_tried(node, monkeypatch, one, two, three) == ["one", "two", "three"]
    # The first that both have is looked for: it stands, so the others are not touched.
    assert links_tried(node, monkeypatch, four, one, two, three) == ["four", "one"]
    assert linked(node, one, two, three, four) == ["one", "two", "three", "four"]


def test_what_was_built_without_links_gets_them_with_its_next_version(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path(node.directory, "config")
    text = config.read_text()
    config.write_text(text + "links=no\n")
    node = reopen(node)
    assert links_tried(node, monkeypatch, b"one", b"two", b"two", b"three") == []
    config.write_text(text)
    node = reopen(node)
    pieces = (b"one", b"two", b"two", b"three")
    assert links_tried(node, monkeypatch, *pieces, b"four") == ["one", "two", "three", "four"]
    node.close()


def test_building_everything_makes_every_link_that_is_gone(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(node, several(b"a", b"one", b"two"), contents=(b"one", b"two"))
    write(node, several(b"a", b"one", b"two", b"three"), contents=(b"three",))
    name = sha256(b"two").hexdigest()
    os.unlink(os.path.join(node.root(), "a", "hashes", name[:2], name[2:4], name[4:]))
    build_tree(node, everything=True)
    assert linked(node, b"one", b"two", b"three") == ["one", "two", "three"]
