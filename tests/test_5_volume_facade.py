"""The facade: opening, looking, reading, and one method a verb."""

from __future__ import annotations

import hashlib
import inspect
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from globofs.errors import (
    ContentMissing,
    NoSuchVersion,
    NotAVolume,
    NotEmpty,
    NoVolume,
    ReadOnlyVolume,
)
from globofs.store.views import OperationKey
from globofs.volume import Volume, peer_paths


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    top = tmp_path / "docs"
    (top / "deep").mkdir(parents=True)
    (top / "a.txt").write_bytes(b"one\n")
    (top / "large").write_bytes(os.urandom(3_000_000))
    (top / "deep/c.txt").write_bytes(b"three\n")
    (top / "empty").touch()
    return top


@pytest.fixture
def volume(tmp_path: Path, docs: Path) -> Iterator[Volume]:
    with Volume.init(str(tmp_path / "v"), name="here", blocksize=64 * 1024) as made:
        made.add([str(docs)])
        yield made


@pytest.fixture
def other(tmp_path: Path, volume: Volume) -> Iterator[Volume]:
    """A node that knows all of `volume` and holds none of it."""
    with Volume.init(str(tmp_path / "w"), name="there") as made:
        made.peer_add("here", volume.directory)
        made.sync()
        yield made


# --- opening ----------------------------------------------------------------------------------


def test_a_volume_is_its_directory_its_config_or_what_is_around(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLOBOFS_VOLUME", raising=False)
    for where in (
        volume.directory,
        f"{volume.directory}/local/config",
        f"{volume.directory}/local",
    ):
        with Volume.open(where) as same:
            assert (same.uuid, same.name, same.directory) == (volume.uuid, "here", volume.directory)
    monkeypatch.chdir(f"{volume.directory}/local/root/docs")
    with Volume.open() as same:
        assert same.uuid == volume.uuid
    monkeypatch.setenv("GLOBOFS_VOLUME", "/nonexistent")
    with pytest.raises(NotAVolume):
        Volume.open()
    monkeypatch.delenv("GLOBOFS_VOLUME")
    monkeypatch.chdir("/")
    with pytest.raises(NoVolume):
        Volume.open()


def test_what_is_no_volume_is_refused(tmp_path: Path, docs: Path) -> None:
    with pytest.raises(NotAVolume):
        Volume.open(str(docs))
    with pytest.raises(NotEmpty):
        Volume.init(str(docs))


def test_closing_twice_is_once(volume: Volume) -> None:
    assert volume.peers is volume.peers
    assert volume.puller is volume.puller
    volume.close()
    volume.close()


def test_read_only(volume: Volume) -> None:
    with Volume.open(volume.directory, readonly=True) as same:
        assert same.readonly
        assert same.status().readonly
        assert same.status().files == 4
        for verb in (
            lambda: same.rm([b"docs"]),
            lambda: same.mv(b"docs", b"x"),
            lambda: same.undo(),
            lambda: same.add(["/etc/hostname"]),
            lambda: same.bump(b"docs"),
        ):
            with pytest.raises(ReadOnlyVolume):
                verb()


def test_where_the_peers_are_is_known_without_opening_anything(
    other: Volume, volume: Volume
) -> None:
    assert peer_paths(other.directory) == [other.directory, volume.directory]


# --- looking ----------------------------------------------------------------------------------


def test_status_counts_what_is_there(volume: Volume, other: Volume) -> None:
    entries = list(volume.view().walk())
    files = [entry for entry in entries if entry.kind != "directory"]
    status = volume.status()
    assert status.files == len(files) == 4
    assert status.bytes == sum(entry.size for entry in files)
    assert (status.blocks_missing, status.bytes_missing, status.conflicts) == (0, 0, 0)
    assert status.versions == len(volume.history_below(b"", limit=10_000))
    lacking = other.status()
    assert lacking.files == 4
    assert lacking.blocks_missing == sum(e.missing for e in other.view().walk() if e.kind == "file")
    assert lacking.bytes_missing == status.bytes
    other.bump(b"docs/large")
    asked = other.status()
    assert asked.wanted_bytes == 3_000_000
    assert 1 < asked.wanted_blocks < asked.blocks_missing


def test_history_follows_a_rename_and_versions_have_names(volume: Volume, docs: Path) -> None:
    (docs / "a.txt").write_bytes(b"two\n")
    volume.add([str(docs)])
    volume.mv(b"docs/a.txt", b"b.txt")
    newest, second, first = volume.history(b"b.txt")
    assert [v.path for v in (newest, second, first)] == [b"b.txt", b"docs/a.txt", b"docs/a.txt"]
    assert volume.history(b"b.txt", limit=1) == [newest]
    assert volume.parse_version(b"b.txt", "-1").id == second.id
    assert volume.parse_version(b"b.txt", first.id.hex()[:10]).id == first.id
    with pytest.raises(NoSuchVersion):
        volume.parse_version(b"b.txt", "-9")
    assert b"".join(volume.read(newest)) == b"two\n"
    assert b"".join(volume.read(first)) == b"one\n"


def test_operations_hold_their_versions(volume: Volume) -> None:
    removed = volume.rm([b"docs/deep"])
    latest, first = volume.operations()
    assert latest.key == removed.operation
    assert {v.path for v in volume.operation_versions(latest.key)} >= {b"docs/deep/c.txt"}
    assert len(volume.operation_versions(first.key, 2)) == 2
    assert volume.operation_versions(OperationKey(volume.uuid, 10**9)) == []
    below = volume.operation_versions(first.key, 2, below=b"docs/deep")
    assert [v.path for v in below] == [b"docs/deep", b"docs/deep/c.txt"]
    assert [one.key for one in volume.operations(below=b"docs/a.txt")] == [first.key]
    assert [one.key for one in volume.operations(before=latest.last)] == [first.key]
    assert volume.view(at=first.last).entry(b"docs/deep/c.txt") is not None
    assert volume.view().entry(b"docs/deep/c.txt") is None


def test_manifests_are_the_bytes_on_disk(volume: Volume) -> None:
    for entry in volume.view().walk():
        if entry.kind != "file":
            continue
        (version,) = volume.history(entry.path)
        text = volume.manifest_text(version)
        assert hashlib.sha256(text).digest() == version.id
        place = Path(volume.directory, "local/root", os.fsdecode(entry.path), "versions/latest")
        assert place.read_bytes() == text


def test_a_hand_made_manifest_is_shown_as_it_was_written(tmp_path: Path) -> None:
    content = b"by hand\n"
    block = hashlib.sha256(content).hexdigest()
    node = tmp_path / "v/local"
    (node / "hashes" / block[:2] / block[2:4]).mkdir(parents=True)
    (node / "hashes" / block[:2] / block[2:4] / block[4:]).write_bytes(content)
    place = node / "root/Photo1/versions"
    place.mkdir(parents=True)
    text = (
        f"kind=file\npath=Photo1\nversion=1348096774.177556349\nsize={len(content)}\n\n"
        f"{block} {len(content)}\nblocks=1\n"
    )
    (place / "1348096774.177556349").write_text(text)
    (place / "latest").write_text(text)
    (node / "config").write_text(
        f"uuid=68d25a11-a34a-4bbb-a29e-c9bd06ff8c53\npath={tmp_path}/v/\ncacheonly=no\ncachetime=30m\n"
    )
    with Volume.open(str(tmp_path / "v")) as volume:
        (version,) = volume.history(b"Photo1")
        assert volume.manifest_text(version) == text.encode()
        assert b"".join(volume.read(version)) == content


def test_real_paths_find_their_place(volume: Volume, docs: Path, tmp_path: Path) -> None:
    assert volume.source_path(str(docs / "a.txt")) == b"docs/a.txt"
    assert volume.source_path(str(docs)) == b"docs"
    assert volume.source_path(str(docs / "never")) is None
    assert volume.source_path("/etc/passwd") is None
    volume.add([f"{docs}/deep/"], to=b"elsewhere")
    assert volume.source_path(str(docs / "deep/c.txt")) == b"elsewhere/c.txt"
    volume.rm([b"elsewhere"])
    assert volume.source_path(str(docs / "deep/c.txt")) == b"elsewhere/c.txt"  # its history


def test_names_of_nodes(volume: Volume, other: Volume) -> None:
    assert volume.node_name(volume.uuid) == "here"
    assert other.node_name(volume.uuid) == "here"
    assert volume.node_name("ea8192ee-593f-437f-af60-90d213995480") == "ea8192ee"


def test_views_may_be_used_from_any_thread(volume: Volume) -> None:
    def look(_: int) -> tuple[int, int, int]:
        return (
            len(list(volume.view().walk())),
            len(volume.history(b"docs/a.txt")),
            volume.status().files,
        )

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(look, range(200))) == {(6, 1, 4)}


# --- content ----------------------------------------------------------------------------------


def test_a_tree_is_never_half_of_one_while_its_index_is_filled_again(volume: Volume) -> None:
    """Whoever saw it so through a mount would take files for deleted."""

    def shown(at: Volume) -> list[bytes]:
        at.node.index.refresh()  # as who watches for changes does
        return [entry.path for entry in at.view().walk(b"")]

    whole = shown(volume)
    assert len(whole) > 3
    with Volume.open(volume.directory) as beside, ThreadPoolExecutor(1) as pool:
        assert shown(beside) == whole
        with beside.node.locks.apply.exclusive():  # as who fills it
            beside.node.index.reset()
            assert not beside.node.index.is_filled()
            seen = pool.submit(shown, volume)
            with pytest.raises(TimeoutError):
                seen.result(0.2)
        assert seen.result() == whole
        assert beside.node.index.is_filled()
        assert shown(beside) == whole


def test_reading_pulls_and_keeps(other: Volume, docs: Path) -> None:
    version = other.view().version(b"docs/large")
    assert version is not None
    assert version.held == "none"
    assert other.read_held(version, 10) is None
    with other.reader(version) as reader:
        wanted = (docs / "large").read_bytes()
        assert reader.size == len(wanted)
        assert reader.pread(1_000_000, 70_000) == wanted[1_000_000:1_070_000]
        assert reader.pread(len(wanted) - 5, 100) == wanted[-5:]
        assert reader.pread(len(wanted), 1) == b""
    assert b"".join(other.read(version)) == wanted
    assert other.read_held(version, 100_000) == wanted[:100_000]
    assert other.read_held(version, 10**9) == wanted
    (again,) = other.history(b"docs/large")
    assert again.held == "all"


def test_what_nobody_has_names_who_should(other: Volume, volume: Volume, tmp_path: Path) -> None:
    os.rename(volume.directory, tmp_path / "gone")
    try:
        version = other.view().version(b"docs/a.txt")
        assert version is not None
        with pytest.raises(ContentMissing) as caught:
            b"".join(other.read(version))
        assert "here should" in caught.value.message
        assert caught.value.exit_code == 3
    finally:
        os.rename(tmp_path / "gone", volume.directory)


def test_empty_files_and_cancelled_reads(volume: Volume) -> None:
    empty = volume.view().version(b"docs/empty")
    assert empty is not None
    assert b"".join(volume.read(empty)) == b""
    assert volume.read_held(empty, 100) == b""


# --- verbs ------------------------------------------------------------------------------------

VERBS = [
    "add",
    "rm",
    "mv",
    "plan_restore",
    "restore",
    "undo",
    "redo",
    "resolve",
    "diff",
    "sync",
    "mirror",
    "verify",
    "pin",
    "unpin",
    "evict",
    "copies",
    "prune",
    "why",
    "pause",
    "resume",
    "retry",
    "bump",
    "peer_add",
    "peer_list",
    "peer_set",
    "peer_remove",
    "peer_retire",
    "find",
]


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_documented_and_can_be_heard_and_cancelled(name: str) -> None:
    verb = getattr(Volume, name)
    assert inspect.getdoc(verb)
    known = inspect.signature(verb).parameters
    quick = {"plan_restore", "pause", "resume", "retry", "bump", "find", "peer_list", "peer_set",
             "peer_remove", "peer_add", "peer_retire"}  # fmt: skip
    if name not in quick:
        assert {"emit", "cancelled"} <= set(known)


def test_looking_touches_no_peer(other: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views and figures come from this node's own directory, even when every peer hangs."""
    opened: list[str] = []
    real = os.open

    def watched(path: object, *args: object, **options: object) -> int:
        opened.append(os.fsdecode(path) if isinstance(path, str | bytes) else str(path))
        return real(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", watched)
    other.status()
    list(other.view().walk())
    other.history(b"docs/a.txt")
    other.operations()
    other.conflicts()
    other.find("a")
    other.peer_list()
    other.plan_restore([b"docs"], to="/nonexistent")
    there = os.path.dirname(other.directory) + "/v"
    assert not [path for path in opened if path.startswith(there)]


def test_two_clients_of_one_node_write_side_by_side(volume: Volume, tmp_path: Path) -> None:
    """Every add of every client is one operation, and none is lost."""
    errors: list[BaseException] = []

    def client(number: int) -> None:
        try:
            with Volume.open(volume.directory) as mine:
                source = tmp_path / f"s{number}"
                source.mkdir()
                for turn in range(4):
                    (source / "same").write_text(f"{number} {turn}")
                    mine.add([f"{source}/"], to=b"shared%d" % (number % 2))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    volume.node.catch_up()
    assert volume.view().entry(b"shared0/same") is not None
    assert len(volume.operations()) == 17
