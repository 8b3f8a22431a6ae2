"""A volume made by hand from the plan's example."""

from __future__ import annotations

import gzip
import os
from hashlib import sha256
from pathlib import Path

import pytest

from globofs.format import manifest
from globofs.store.node import Node, open_node
from globofs.store.query import View
from tests.helpers_node import FixedClock, file_draft, put, write

UUID = "68d25a11-a34a-4bbb-a29e-c9bd06ff8c53"
PHOTO = "Photos/Trips/Moon/Photo1"
TIMES = ("1348095423.553456124", "1348096774.177556349")


def text_of(*contents: bytes, more: str = "", path: str = PHOTO) -> str:
    lines = [f"{sha256(data).hexdigest()} {len(data)}" for data in contents]
    return f"kind=file\npath={path}\n{more}\n" + "\n".join([*lines, f"blocks={len(lines)}\n"])


def keep(local: Path, data: bytes) -> None:
    name = sha256(data).hexdigest()
    path = local / "hashes" / name[:2] / name[2:4] / f"{name[4:]}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    local = tmp_path / "v" / "local"
    versions = local / "root" / PHOTO / "versions"
    versions.mkdir(parents=True)
    (local / "config").write_text(
        f"uuid={UUID}\npath={tmp_path}/v/ #So that we can just specify a config\n"
        "cacheonly=no\ncachetime=30m\n"
    )
    for data in (b"first", b"half ", b"second"):
        keep(local, data)
    (versions / TIMES[0]).write_text(text_of(b"first"))
    (versions / TIMES[1]).write_text(text_of(b"half ", b"second"))
    (versions / "latest").write_text(text_of(b"half ", b"second"))
    return tmp_path / "v"


def opened(volume: Path, readonly: bool = False) -> Node:
    node = open_node(str(volume), readonly, clock=FixedClock(tick=1000))
    node.catch_up()
    return node


def content(node: Node, path: bytes) -> bytes:
    version = View(node).version(path)
    assert version is not None
    return b"".join(node.blocks.get(b.id, b.size) for b, _ in View(node).blocks_of(version))


def test_it_opens_lists_and_reads(volume: Path) -> None:
    node = opened(volume)
    (photo,) = View(node).children(b"Photos/Trips/Moon")
    assert (photo.path, photo.size, photo.versions, photo.held) == (PHOTO.encode(), 11, 2, "all")
    assert content(node, PHOTO.encode()) == b"half second"
    newest, oldest = View(node).history(PHOTO.encode())
    assert newest.parents == (oldest.id,)
    assert newest.node == UUID
    (operation,) = View(node).operations()
    assert (operation.verb, operation.versions, operation.interrupted) == ("adopt", 2, False)
    node.close()


def test_manifests_are_journaled_verbatim_and_stay_as_they_are(volume: Path) -> None:
    before = {p: p.read_bytes() for p in volume.rglob("versions/*")}
    node = opened(volume)
    assert {p: p.read_bytes() for p in volume.rglob("versions/*")} == before
    texts = [
        f.record.payload for f in node.journal.read_from(UUID, 0) if f.record.kind == "version"
    ]
    assert texts == [text_of(b"first").encode(), text_of(b"half ", b"second").encode()]
    assert node.journal.last().seq > 2
    records = node.journal.last().seq
    node.close()
    os.unlink(volume / "local" / "index.sqlite")
    node = opened(volume)
    assert node.journal.last().seq == records, "taken over once, not again"
    assert content(node, PHOTO.encode()) == b"half second"
    node.close()


def test_it_goes_on_like_any_other(volume: Path) -> None:
    node = opened(volume)
    put(node, PHOTO.encode(), b"third")
    assert [v.size for v in View(node).history(PHOTO.encode())] == [5, 11, 5]
    assert len(View(node).heads(PHOTO.encode())) == 1
    names = sorted(os.listdir(volume / "local" / "root" / PHOTO / "versions"))
    assert len(names) == 4
    node.close()


def test_a_latest_that_is_no_version_is_one(volume: Path) -> None:
    latest = volume / "local" / "root" / PHOTO / "versions" / "latest"
    latest.write_text(text_of(b"second"))
    os.utime(latest, ns=(1_400_000_000 * 10**9, 1_400_000_000 * 10**9))
    node = opened(volume)
    assert content(node, PHOTO.encode()) == b"second"
    newest, *_ = View(node).history(PHOTO.encode())
    assert newest.time == 1_400_000_000 * 10**9
    assert newest.id == manifest.manifest_id(text_of(b"second").encode())
    node.close()


def test_only_a_latest(volume: Path) -> None:
    place = volume / "local" / "root" / "Spreadsheets" / "Spreadsheet1" / "versions"
    place.mkdir(parents=True)
    named = text_of(b"first", more=f"version={TIMES[0]}\n", path="Spreadsheets/Spreadsheet1")
    (place / "latest").write_text(named)
    node = opened(volume)
    assert content(node, b"Spreadsheets/Spreadsheet1") == b"first"
    assert (place / TIMES[0]).read_text() == named
    node.close()


def test_reading_only_leaves_no_trace(volume: Path) -> None:
    before = sorted(str(p) for p in volume.rglob("*"))
    node = opened(volume, readonly=True)
    assert content(node, PHOTO.encode()) == b"half second"
    assert len(View(node).history(PHOTO.encode())) == 2
    node.close()
    assert sorted(str(p) for p in volume.rglob("*")) == before


def test_what_cannot_be_read_is_said_and_the_rest_taken(volume: Path) -> None:
    versions = volume / "local" / "root" / PHOTO / "versions"
    (versions / "1348096775.000000000").write_text("kind=file\nnonsense")
    (versions / "notes.txt").write_text("mine")
    said: list[object] = []
    node = open_node(str(volume), clock=FixedClock(tick=1000))
    node.catch_up(said.append)
    reasons = [str(event) for event in said if "left out" in str(event)]
    assert len(reasons) == 1
    assert "1348096775" in reasons[0]
    assert len(View(node).history(PHOTO.encode())) == 2
    node.close()


def test_a_killed_adoption_is_resumed(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from globofs.store import commit

    with monkeypatch.context() as patch:
        patch.setattr(commit.Operation, "close", lambda self: None)
        real = commit.Operation.commit_verbatim

        def half(self: commit.Operation, manifests: object) -> int:
            first = next(iter(manifests))  # type: ignore[call-overload]
            real(self, [first])
            raise KeyboardInterrupt

        patch.setattr(commit.Operation, "commit_verbatim", half)
        with pytest.raises(KeyboardInterrupt):
            opened(volume)
    node = opened(volume)
    assert content(node, PHOTO.encode()) == b"half second"
    newest, oldest = View(node).history(PHOTO.encode())
    assert newest.parents == (oldest.id,)
    node.close()


def test_a_normal_volume_adopts_nothing(tmp_path: Path) -> None:
    from tests.helpers_node import deliver, new_node

    one, two = new_node(tmp_path / "a"), new_node(tmp_path / "b", "beta")
    put(one, b"x", b"1")
    deliver(one, two)
    two.finish()
    assert (Path(two.root()) / "x" / "versions" / "latest").exists()
    two.close()
    os.unlink(os.path.join(two.directory, "index.sqlite"))
    two = opened(Path(two.volume))
    assert two.journal.last().seq == 0, "what others wrote is not taken for our own"
    write(two, file_draft(b"y"))
    one.close()
    two.close()
