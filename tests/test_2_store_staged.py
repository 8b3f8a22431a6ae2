"""Staged files: one sequential file a batch, its name tells how far it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from globofs import limits
from globofs.store import explode, staged
from globofs.store.blocks import BlockStore
from globofs.store.clock import SYSTEM, boot_id
from globofs.store.staged import StagedReader, StagedWriter
from tests.helpers_disk import Fault, another_boot
from tests.test_2_store_blocks import add, block, open_store, some


class FrozenClock:
    """It is always the same moment."""

    def now_ns(self) -> int:
        return 1_348_096_774_177_556_349

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    made = open_store(tmp_path / "node")
    yield made
    made.index.close()  # type: ignore[attr-defined]


def write(directory: Path, *blocks: bytes, suffix: str = "") -> str:
    """A sealed staged file; its path."""
    writer = StagedWriter(str(directory), SYSTEM)
    for data in blocks:
        writer.add(sha256(data).digest(), len(data), data, suffix)
    writer.seal()
    return str(directory / writer.base)


def states(store: BlockStore) -> list[str]:
    return [file.state for file in staged.files(store.staged)]


def test_the_frames_are_the_documented_ones(tmp_path: Path) -> None:
    path = write(tmp_path, b"hello", b"world!", suffix=".gz")
    first, second = sha256(b"hello").hexdigest(), sha256(b"world!").hexdigest()
    assert Path(path).read_bytes() == (
        f"globofs-block {first} 5 5 .gz\nhello\nglobofs-block {second} 6 6 .gz\nworld!\n".encode()
    )


def test_rows_say_where_the_bytes_are(tmp_path: Path) -> None:
    blocks = [os.urandom(n) for n in (1, 100, 70_000, 5)]
    writer = StagedWriter(str(tmp_path), SYSTEM)
    for data in blocks:
        writer.add(sha256(data).digest(), len(data), data, "")
    assert os.listdir(tmp_path) == [f"{writer.base}.open"]
    writer.seal()
    reader = StagedReader(str(tmp_path))
    for row, data in zip(writer.blocks, blocks, strict=True):
        assert (row.id, row.size, row.suffix) == (sha256(data).digest(), len(data), "")
        assert reader.read(writer.base, row.offset, row.length) == data
    assert list(staged.scan(str(tmp_path / writer.base))) == writer.blocks
    assert staged.first(str(tmp_path / writer.base)) == writer.blocks[0]


def test_the_first_block_is_found_behind_damage(tmp_path: Path) -> None:
    writer = StagedWriter(str(tmp_path), SYSTEM)
    for data in (b"one", b"two"):
        writer.add(sha256(data).digest(), len(data), data, "")
    writer.seal()
    path = tmp_path / writer.base
    path.write_bytes(b"G" + path.read_bytes()[1:])
    assert staged.first(str(path)) == writer.blocks[1]


def test_names_never_collide_even_when_the_clock_stands(tmp_path: Path) -> None:
    clock = FrozenClock()
    writers = [StagedWriter(str(tmp_path), clock) for _ in range(3)]
    writers[0].seal()
    os.rename(tmp_path / writers[0].base, tmp_path / f"{writers[0].base}.done")
    writers[1].seal()
    os.rename(tmp_path / writers[1].base, tmp_path / f"{writers[1].base}.{boot_id()}")
    writers.append(StagedWriter(str(tmp_path), clock))
    assert len({writer.base for writer in writers}) == 4
    assert writers[0].base == "1348096774.177556349"
    assert [file.state for file in staged.files(str(tmp_path))] == ["done", boot_id()]


def test_other_files_are_none_of_ours(tmp_path: Path) -> None:
    for name in ("README", "12.5", "1.000000001.open", "x.000000001", ".1.000000001"):
        (tmp_path / name).touch()
    assert staged.files(str(tmp_path)) == []
    assert staged.leftovers(str(tmp_path)) == [str(tmp_path / "1.000000001.open")]
    assert staged.files(str(tmp_path / "nowhere")) == []


def test_a_scan_finds_what_lies_behind_damage(tmp_path: Path) -> None:
    blocks = [b"%03d" % n * 50 for n in range(5)]
    path = write(tmp_path, *blocks)
    data = bytearray(Path(path).read_bytes())
    starts = [b.offset for b in staged.scan(path)]
    data[starts[1] - 40] = 0  # in a header
    Path(path).write_bytes(data[:-30])  # and the last one cut
    problems: list[int] = []
    found = [b.offset for b in staged.scan(path, problems.append)]
    assert found == [starts[0], starts[2], starts[3]]
    assert len(problems) == 2


def test_a_scan_of_garbage_ends(tmp_path: Path) -> None:
    path = tmp_path / "1.000000001"
    for garbage in (b"", b"\0" * 9_000_000, b"globofs-block " * 1000, os.urandom(1 << 20)):
        path.write_bytes(garbage)
        assert list(staged.scan(str(path))) == []
    huge = b"globofs-block " + b"0" * 64 + b" 5 999999999 -\nhello\n"
    path.write_bytes(huge)
    assert list(staged.scan(str(path))) == []


def test_a_scan_crosses_its_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "_WINDOW", 300)
    blocks = [os.urandom(n) for n in (1, 250, 299, 300, 301, 1000, 7, 120)]
    path = write(tmp_path, *blocks)
    assert [b.id for b in staged.scan(path)] == [sha256(data).digest() for data in blocks]


def test_a_failed_write_can_be_tried_again_without_shifting_anything(tmp_path: Path) -> None:
    blocks = [os.urandom(400_000) for _ in range(6)]
    writer = StagedWriter(str(tmp_path), SYSTEM)
    with Fault(OSError(errno.ENOSPC, "full"), "write") as fault:
        for data in blocks:
            try:
                writer.add(sha256(data).digest(), len(data), data, "")
            except OSError:
                continue
    assert fault.raised
    writer.seal()
    reader = StagedReader(str(tmp_path))
    for row in writer.blocks:
        data = reader.read(writer.base, row.offset, row.length)
        assert data is not None
        assert sha256(data).digest() == row.id


def test_a_file_goes_through_its_states(store: BlockStore) -> None:
    add(store, some(5), explode=False)
    assert states(store) == [""]
    assert store.explode() == 5
    assert states(store) == [boot_id()]
    assert store.explode() == 0
    store.sync_pending()
    assert states(store) == ["done"]
    with another_boot():
        assert store.explode() == 0


def test_after_another_boot_an_unsynced_file_is_exploded_again(store: BlockStore) -> None:
    blocks = some(5)
    add(store, blocks)
    lost = next(iter(blocks))
    os.unlink(store.path_of(lost, ".zst"))  # what a power loss does to it
    with another_boot():
        assert store.explode() == 5
    assert store.find(lost) is not None


def test_an_unfinished_explosion_is_finished_by_the_next(store: BlockStore) -> None:
    blocks = some(20)
    add(store, blocks, explode=False)
    with (
        Fault(OSError(errno.ENOSPC, "full"), "write", skip=7),
        pytest.raises(OSError, match="full"),
    ):
        store.explode()
    assert states(store) == [""]
    assert 0 < sum(store.find(name) is not None for name in blocks) < 20
    assert store.explode() == 20
    assert all(store.find(name) is not None for name in blocks)


def test_many_blocks_are_exploded_by_two_threads(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explode, "_ALONE", 50)
    blocks = some(300)
    add(store, blocks)
    assert all(store.find(name) is not None for name in blocks)
    assert os.listdir(store.tmp) == []


@pytest.mark.parametrize("skip", [10, 299])
def test_an_error_in_either_thread_is_reported(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch, skip: int
) -> None:
    monkeypatch.setattr(explode, "_ALONE", 50)
    blocks = some(300)
    add(store, blocks, explode=False)
    with (
        Fault(OSError(errno.EIO, "bad"), "rename", skip=skip),
        pytest.raises(OSError, match="bad"),
    ):
        store.explode()
    assert states(store) == [""]
    assert os.listdir(store.tmp) == []


def test_a_directory_in_a_blocks_place_is_set_aside(store: BlockStore) -> None:
    blocks = some(3)
    name = next(iter(blocks))
    path = store.path_of(name, ".zst")
    os.makedirs(path)
    (Path(path) / "x").touch()
    add(store, blocks)
    assert store.get(name, len(blocks[name])) == blocks[name]
    assert os.path.isfile(path)
    assert len(os.listdir(store.damaged)) == 1


def test_the_read_cache_is_bounded_and_the_oldest_goes_first(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAGE_CACHE_BYTES", 3000)
    every: dict[bytes, bytes] = {}
    for number in range(6):
        blocks = {sha256(data).digest(): data for data in (os.urandom(300) for _ in range(3))}
        add(store, blocks)
        every |= blocks
        newest = staged.files(store.staged)[-1]
        assert newest.state in (boot_id(), "done"), f"round {number}"
    sizes = [
        os.path.getsize(os.path.join(store.staged, f.name)) for f in staged.files(store.staged)
    ]
    assert sum(sizes) <= 3000
    assert len(sizes) >= 2
    known = {file for (file,) in store.index.db.execute("SELECT DISTINCT file FROM staged")}
    assert known == {file.base for file in staged.files(store.staged)}
    assert all(store.get(name, len(data)) == data for name, data in every.items())


def test_nothing_that_is_not_durable_elsewhere_is_dropped(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAGE_CACHE_BYTES", 0)
    add(store, some(5), explode=False)
    with Fault(OSError(errno.EIO, "bad"), "syncfs"), pytest.raises(OSError, match="bad"):
        store.explode()
    assert len(staged.files(store.staged)) == 1
    store.sync_pending()
    assert staged.files(store.staged) == []


def test_a_reader_finds_a_file_under_its_new_name(store: BlockStore) -> None:
    add(store, some(1), explode=False)
    [file] = staged.files(store.staged)
    reader = StagedReader(store.staged)
    assert reader.has(file.base)
    store.explode()
    assert reader.has(file.base)
    store.sync_pending()
    assert reader.has(file.base)
    assert reader.read(file.base, 0, 10**6) is None, "too short"
    os.unlink(os.path.join(store.staged, f"{file.base}.done"))
    assert not reader.has(file.base)
    assert reader.read(file.base, 0, 1) is None


def test_what_killed_clients_left_is_deleted_while_nobody_adds(store: BlockStore) -> None:
    left = Path(store.staged, "1348096774.177556349.open")
    old, new = Path(store.tmp, "old"), Path(store.tmp, "new")
    for path in (left, old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    with store.batch() as batch:
        batch.add(*block(b"being written"))
        store.explode()
        assert left.exists(), "somebody adds"
        batch.seal()
    assert store.explode() == 1
    assert not left.exists()
    assert os.listdir(store.tmp) == ["new"]


def test_a_piece_is_split_into_whole_frames_wherever_it_is_cut() -> None:
    blocks = [os.urandom(size) for size in (1, 500, 3, 2000)]
    frames = [staged.header(sha256(b).digest(), len(b), len(b), "") + b + b"\n" for b in blocks]
    whole = b"rubbish" + frames[0] + frames[1] + staged.MARK + frames[2] + b"\n" * 300 + frames[3]
    for cut in range(len(whole)):
        found: list[bytes] = []
        rest = b""
        for piece in (whole[:cut], whole[cut:]):
            data = rest + piece
            told, used = staged.split(data)
            found += [data[one.offset : one.offset + one.length] for one in told]
            rest = data[used:]
        assert found == blocks, cut
