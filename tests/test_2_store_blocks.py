"""Blocks: durable before they are relied on, verified before anybody sees them."""

from __future__ import annotations

import errno
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import pytest

from globofs import errors, limits
from globofs.format import codec
from globofs.store import staged
from globofs.store.block_files import Raw, decode
from globofs.store.blocks import BlockAbsent, BlockStore
from globofs.store.clock import SYSTEM
from globofs.store.index import Index
from globofs.store.locks import Locks
from tests.helpers_disk import Crash, Fault, Recording, another_boot, run_killed

Made = Callable[..., BlockStore]


def open_store(directory: str | os.PathLike[str]) -> BlockStore:
    """A block store over `directory`, as a new process would open it."""
    place = os.fspath(directory)
    for name in ("hashes", "staged"):
        os.makedirs(os.path.join(place, name), exist_ok=True)
    os.makedirs(os.path.join(place, "tmp"), mode=0o700, exist_ok=True)
    index = Index(os.path.join(place, "index.sqlite"))
    return BlockStore(place, index, Locks(place), SYSTEM)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    made = open_store(tmp_path / "node")
    yield made
    made.index.close()  # type: ignore[attr-defined]


def block(data: bytes) -> tuple[bytes, int, bytes, str]:
    """Id, size, stored form and suffix of a block."""
    stored, suffix = codec.compress(data, "zstd", 1)
    return sha256(data).digest(), len(data), stored, suffix


def some(count: int, size: int = 300, salt: str = "") -> dict[bytes, bytes]:
    """`count` different small blocks by id."""
    every = [(f"{salt}{number:08d}\n" * (size // 9 + 1)).encode()[:size] for number in range(count)]
    return {sha256(data).digest(): data for data in every}


def add(store: BlockStore, blocks: dict[bytes, bytes], *, explode: bool = True) -> None:
    """Commit blocks as `add` does."""
    with store.batch() as batch:
        for data in blocks.values():
            batch.add(*block(data))
        batch.seal()
    if explode:
        store.explode()


LARGE = os.urandom(limits.STAGE_BELOW_BYTES + 1000)


# --- in and out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("explode", [False, True])
def test_what_goes_in_comes_out(store: BlockStore, explode: bool) -> None:
    blocks = some(50) | {sha256(LARGE).digest(): LARGE}
    add(store, blocks, explode=explode)
    for name, data in blocks.items():
        assert store.has(name)
        assert store.get(name, len(data)) == data
    found = dict(store.get_many([(name, len(data)) for name, data in blocks.items()]))
    assert found == blocks
    assert (store.find(next(iter(blocks))) is not None) == explode
    assert store.find(sha256(LARGE).digest()) is not None, "large blocks need no staging"


def test_absent_blocks_are_said_to_be(store: BlockStore) -> None:
    name = sha256(b"nowhere").digest()
    assert not store.has(name)
    with pytest.raises(BlockAbsent):
        store.get(name, 7)
    with pytest.raises(BlockAbsent):
        store.read_raw(name)
    assert list(store.get_many([(name, 7)])) == [(name, None)]


@pytest.mark.parametrize("suffix", [".zst", ".gz", ""])
def test_every_compression_is_read(store: BlockStore, suffix: str) -> None:
    data = b"plain text " * 1000
    method = {".zst": "zstd", ".gz": "gzip", "": "none"}[suffix]
    stored, made = codec.compress(data, method, 6 if method == "gzip" else 1)
    assert made == suffix
    name = sha256(data).digest()
    store.put(name, stored, suffix)
    assert store.get(name, len(data)) == data
    assert store.read_raw(name) == (stored, suffix)
    assert store.find(name) == (store.path_of(name, suffix), suffix)


def test_layout_on_disk_is_the_planned_one(store: BlockStore) -> None:
    data = b"x" * 1000
    add(store, {sha256(data).digest(): data})
    digits = sha256(data).hexdigest()
    assert os.path.isfile(f"{store.hashes}/{digits[:2]}/{digits[2:4]}/{digits[4:]}.zst")
    assert os.listdir(store.tmp) == []


def test_get_many_reads_staged_files_in_order_of_their_offsets(store: BlockStore) -> None:
    blocks = some(100)
    add(store, blocks)
    order = [name for name, _ in store.get_many([(n, len(d)) for n, d in reversed(blocks.items())])]
    assert order == list(blocks)


def test_get_many_does_without_staged_files(store: BlockStore) -> None:
    blocks = some(30)
    add(store, blocks)
    for name in os.listdir(store.staged):
        os.unlink(os.path.join(store.staged, name))
    assert dict(store.get_many([(n, len(d)) for n, d in blocks.items()])) == blocks


# --- skipping what is held ----------------------------------------------------------------------


def test_held_blocks_are_skipped_only_when_their_file_is_there(store: BlockStore) -> None:
    blocks = some(3)
    add(store, blocks)
    gone, cut, fine = blocks
    for file in staged.files(store.staged):
        os.unlink(os.path.join(store.staged, file.name))
    os.unlink(store.path_of(gone, ".zst"))
    os.truncate(store.path_of(cut, ".zst"), 0)
    with store.batch() as batch:
        assert batch.held(list(blocks)) == {fine}
        batch.add(*block(blocks[gone]))
        assert batch.held([gone, cut]) == {gone}


def test_a_block_is_written_once_a_batch(store: BlockStore) -> None:
    name, size, stored, suffix = block(b"twice" * 100)
    with store.batch() as batch:
        assert batch.add(name, size, stored, suffix)
        assert not batch.add(name, size, stored, suffix)
        batch.seal()
    [file] = staged.files(store.staged)
    assert len(list(staged.scan(os.path.join(store.staged, file.name)))) == 1


def test_a_batch_that_only_skips_unsynced_blocks_is_a_barrier(
    tmp_path: Path, store: BlockStore
) -> None:
    data = b"pulled" * 100
    name, size, stored, suffix = block(data)
    with Recording(store.directory) as recording:
        store.put(name, stored, suffix, size)
        store.flush()
        with store.batch() as batch:
            assert batch.held([name]) == {name}
            batch.seal()
    left = recording.model_at(len(recording.ops))
    left.write_out(str(tmp_path / "left"), "power", None)  # type: ignore[arg-type]
    assert open_store(tmp_path / "left").get(name, size) == data


def test_a_batch_that_skips_synced_blocks_costs_no_sync(store: BlockStore) -> None:
    blocks = some(5)
    add(store, blocks)
    with Recording(store.directory) as recording, store.batch() as batch:
        batch.held(list(blocks))
        batch.seal()
    assert recording.ops == []


# --- power loss ---------------------------------------------------------------------------------


def test_after_seal_every_block_survives_power_loss_and_before_none_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAGE_BELOW_BYTES", 500)
    store = open_store(tmp_path / "node")
    blocks = some(4)
    blocks |= {sha256(data).digest(): data for data in (os.urandom(600) for _ in range(6))}
    with Recording(store.directory) as recording:
        with store.batch() as batch:
            for data in blocks.values():
                batch.add(*block(data))
            batch.seal()
            sealed = recording.mark()
        store.explode()
        store.sync_pending()
    assert 0 < sealed < len(recording.ops)
    for crash in recording.crashes(seeds=1, modes=("power", "reorder")):
        with another_boot():
            check_after_crash(crash, tmp_path / "after" / crash.name, blocks, crash.at >= sealed)


def check_after_crash(crash: Crash, place: Path, blocks: dict[bytes, bytes], sealed: bool) -> None:
    """Nothing wrong is handed out; and what was sealed is all there, and gets into place."""
    store = open_store(crash.materialise(place))
    told = f"{crash.mode} before {crash.before}"
    store.rescan()
    for name, data in blocks.items():
        try:
            assert store.get(name, len(data)) == data, told
        except (BlockAbsent, errors.Damaged):
            assert not sealed, f"lost after it was sealed: {told}"
    store.explode()
    for name, data in blocks.items() if sealed else ():
        assert store.find(name) is not None, f"not in hashes/ after explode: {told}"
        assert store.get(name, len(data)) == data, told
    store.index.close()  # type: ignore[attr-defined]


def test_a_few_large_blocks_are_durable_without_syncfs(tmp_path: Path) -> None:
    store = open_store(tmp_path / "node")
    with Recording(store.directory) as recording:
        add(store, {sha256(LARGE).digest(): LARGE}, explode=False)
    assert "syncfs" not in {op.name for op in recording.ops}
    recording.model_at(len(recording.ops)).write_out(
        str(tmp_path / "left"),
        "power",
        None,  # type: ignore[arg-type]
    )
    left = open_store(tmp_path / "left")
    assert left.get(sha256(LARGE).digest(), len(LARGE)) == LARGE


def test_killed_at_any_step_the_next_client_finishes(tmp_path: Path) -> None:
    """With the index as the killed process left it, not rebuilt."""
    blocks = some(8) | {sha256(LARGE).digest(): LARGE}
    at = 0
    while True:
        place = tmp_path / str(at)
        open_store(place).index.close()  # type: ignore[attr-defined]

        def work(place: Path = place) -> None:
            store = open_store(place)
            add(store, blocks)
            store.sync_pending()

        killed = run_killed(work, at)
        store = open_store(place)
        add(store, blocks)  # the same command again succeeds
        for name, data in blocks.items():
            assert store.find(name) is not None
            assert store.get(name, len(data)) == data
        store.index.close()  # type: ignore[attr-defined]
        if not killed:
            break
        at += 1
    assert at > 15


# --- pulled blocks ------------------------------------------------------------------------------


def test_pulled_blocks_are_durable_after_sync_pending(tmp_path: Path, store: BlockStore) -> None:
    blocks = some(5)
    with Recording(store.directory) as recording:
        for data in blocks.values():
            name, size, stored, suffix = block(data)
            store.put(name, stored, suffix, size)
        assert store.sync_due
        assert store.index.synced(blocks) == set(), "not relied on before"
        store.sync_pending()
    assert not store.sync_due
    assert store.index.synced(blocks) == set(blocks)
    model = recording.model_at(len(recording.ops))
    model.write_out(str(tmp_path / "left"), "power", None)  # type: ignore[arg-type]
    left = open_store(tmp_path / "left")
    assert all(left.get(name, len(data)) == data for name, data in blocks.items())


def test_a_failed_sync_is_tried_again(store: BlockStore) -> None:
    name, size, stored, suffix = block(b"pulled" * 50)
    store.put(name, stored, suffix, size)
    with Fault(OSError(errno.EIO, "bad"), "syncfs"), pytest.raises(OSError, match="bad"):
        store.sync_pending()
    assert store.sync_due
    assert store.index.synced([name]) == set()
    store.sync_pending()
    assert store.index.synced([name]) == {name}


# --- damage -------------------------------------------------------------------------------------


def spoil_flip(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    Path(path).write_bytes(data)


def spoil_empty(path: str) -> None:
    os.truncate(path, 0)


def spoil_other(path: str) -> None:
    Path(path).write_bytes(codec.compress(b"other" * 60, "zstd", 1)[0])


def spoil_directory(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


def spoil_fifo(path: str) -> None:
    os.unlink(path)
    os.mkfifo(path)


def spoil_symlink(path: str) -> None:
    os.unlink(path)
    os.symlink("/etc/passwd", path)


def spoil_bomb(path: str) -> None:
    Path(path).write_bytes(codec.compress(bytes(50 << 20), "zstd", 1)[0])


SPOILT = [
    spoil_flip,
    spoil_empty,
    spoil_other,
    spoil_directory,
    spoil_fifo,
    spoil_symlink,
    spoil_bomb,
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def test_a_damaged_block_is_set_aside_and_heals_when_added_again(
    store: BlockStore, spoil: Callable[[str], None]
) -> None:
    data = b"some text of a file\n" * 20
    name = sha256(data).digest()
    add(store, {name: data})
    for file in staged.files(store.staged):
        os.unlink(os.path.join(store.staged, file.name))
    spoil(store.path_of(name, ".zst"))
    with pytest.raises(errors.Damaged) as caught:
        store.get(name, len(data))
    assert name.hex()[4:] in caught.value.message
    assert len(os.listdir(store.damaged)) == 1
    assert name not in store.index.held([name])
    with pytest.raises(BlockAbsent):
        store.get(name, len(data))
    add(store, {name: data})
    assert store.get(name, len(data)) == data


def test_a_staged_copy_stands_in_for_a_damaged_file(store: BlockStore) -> None:
    data = b"some text of a file\n" * 20
    name = sha256(data).digest()
    add(store, {name: data})
    spoil_flip(store.path_of(name, ".zst"))
    assert store.get(name, len(data)) == data
    found = store.find(name)
    assert found is not None, "peers read nothing but `hashes/`"
    assert decode(name, len(data), Raw(Path(found[0]).read_bytes(), found[1], found[0])) == data
    assert store.index.held([name]) == {name}
    assert store.index.unsynced() == [name], "nobody relies on it yet"
    assert len(os.listdir(store.damaged)) == 1


def test_a_damaged_staged_block_is_read_from_its_own_file(store: BlockStore) -> None:
    blocks = some(3)
    add(store, blocks)
    [file] = staged.files(store.staged)
    spoil_flip(os.path.join(store.staged, file.name))
    assert dict(store.get_many([(n, len(d)) for n, d in blocks.items()])) == blocks


# --- trouble ------------------------------------------------------------------------------------


FAILS = {"create": 9, "write": 9, "fsync": 1, "rename": 9, "syncfs": 2, "fsync_dir": 1, "mkdir": 9}
"""How often (9: often) a batch of small and six large blocks does it."""


@pytest.mark.parametrize("op", FAILS)
@pytest.mark.parametrize("skip", [0, 2])
def test_a_full_disk_fails_the_batch_whole_and_a_later_try_succeeds(
    store: BlockStore, op: str, skip: int
) -> None:
    blocks = some(10) | {sha256(LARGE + b"%d" % n).digest(): LARGE + b"%d" % n for n in range(6)}
    with Fault(OSError(errno.ENOSPC, "full"), op, skip=skip) as fault:
        fails = pytest.raises(OSError, match="full")
        # Not every operation happens so often in a batch: then nothing fails.
        with fails if FAILS[op] > skip else nullcontext():
            add(store, blocks, explode=False)
    if fault.raised:
        assert os.listdir(store.tmp) == [], "nothing is left lying about"
        assert not [name for name in os.listdir(store.staged) if name.endswith(".open")]
    add(store, blocks)
    assert all(store.get(name, len(data)) == data for name, data in blocks.items())


def test_an_unsealed_batch_leaves_nothing(store: BlockStore) -> None:
    with store.batch() as batch:
        batch.add(*block(b"small"))
        batch.add(*block(LARGE))
    assert os.listdir(store.tmp) == os.listdir(store.staged) == []
    assert not store.has(sha256(LARGE).digest())


def test_adders_share_and_whoever_evicts_waits_for_them(store: BlockStore) -> None:
    other = Locks(store.directory)
    with (
        store.batch(),
        open_store(store.directory).batch(),
        other.adders.try_exclusive() as had,
    ):
        assert not had
    with other.adders.try_exclusive() as had:
        assert had


def test_threads_may_add_to_one_batch(store: BlockStore) -> None:
    parts = [some(200, salt=f"{number}-") for number in range(4)]
    with store.batch() as batch:

        def work(part: dict[bytes, bytes]) -> None:
            for data in part.values():
                batch.add(*block(data))

        threads = [threading.Thread(target=work, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        batch.seal()
    store.explode()
    for part in parts:
        assert dict(store.get_many([(n, len(d)) for n, d in part.items()])) == part


def test_a_batch_goes_on_after_it_was_sealed(store: BlockStore) -> None:
    first, second = some(5, salt="a"), some(5, salt="b")
    with store.batch() as batch:
        for data in first.values():
            batch.add(*block(data))
        batch.seal()
        for data in second.values():
            batch.add(*block(data))
        batch.seal()
    assert len(staged.files(store.staged)) == 2
    assert all(store.has(name) for name in first | second)


def test_a_long_batch_fills_several_staged_files(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAGE_FILE_BYTES", 2000)
    blocks = {sha256(data).digest(): data for data in (os.urandom(900) for _ in range(10))}
    add(store, blocks)
    assert len(staged.files(store.staged)) >= 4
    assert all(store.get(name, len(data)) == data for name, data in blocks.items())


# --- letting go, rebuilding ---------------------------------------------------------------------


def test_removed_blocks_are_gone_and_need_no_space(store: BlockStore) -> None:
    blocks = {sha256(LARGE).digest(): LARGE}
    add(store, blocks)
    with Fault(OSError(errno.ENOSPC, "full"), "create", "write", "mkdir", times=99):
        assert store.remove(list(blocks)) >= len(LARGE)
    assert not store.holding(list(blocks))


def test_what_is_set_aside_can_come_back(store: BlockStore) -> None:
    data = b"kept" * 100
    name = sha256(data).digest()
    add(store, {name: data})
    for file in staged.files(store.staged):
        os.unlink(os.path.join(store.staged, file.name))
    aside = os.path.join(store.directory, "trash")
    assert store.set_aside(name, aside)
    assert not store.set_aside(name, aside)
    assert not store.has(name)
    assert store.bring_back(name, aside)
    assert not store.bring_back(name, aside)
    assert store.get(name, len(data)) == data


def test_a_deleted_index_is_told_everything_again(store: BlockStore) -> None:
    blocks = some(20) | {sha256(LARGE).digest(): LARGE}
    add(store, blocks)
    more = some(5, salt="staged only")
    add(store, more, explode=False)
    (Path(store.hashes) / "zz").mkdir()
    (Path(store.hashes) / "no block").write_bytes(b"")
    store.index.close()  # type: ignore[attr-defined]
    os.unlink(os.path.join(store.directory, "index.sqlite"))
    again = open_store(store.directory)
    again.rescan()
    assert again.holding([*blocks, *more]) == set(blocks) | set(more)
    assert set(dict(again.iter_held())) == set(blocks)
    assert dict(again.get_many([(n, len(d)) for n, d in more.items()])) == more


def test_a_large_manifest_is_kept_as_a_block(store: BlockStore) -> None:
    text = b"manifest line\n" * 200_000
    store.keep_manifest(sha256(text).digest(), text)
    store.keep_manifest(sha256(text).digest(), text)
    assert store.get(sha256(text).digest(), len(text)) == text


def test_several_processes_add_explode_and_settle_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAGE_CACHE_BYTES", 5000)
    place = tmp_path / "node"
    open_store(place).index.close()  # type: ignore[attr-defined]
    common = some(40, salt="common")

    def work(number: int) -> None:
        store = open_store(place)
        for turn in range(5):
            mine = some(20, salt=f"{number}-{turn}-") | common
            with store.batch() as batch:
                here = batch.held(list(mine))
                for name, data in mine.items():
                    if name not in here:
                        batch.add(*block(data))
                batch.seal()
            store.explode()
            store.sync_pending()
            for name, data in mine.items():
                assert store.get(name, len(data)) == data

    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(number)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ended == [0, 0, 0, 0]
    store = open_store(place)
    for number in range(4):
        for turn in range(5):
            for name, data in some(20, salt=f"{number}-{turn}-").items():
                assert store.find(name) is not None
                assert store.get(name, len(data)) == data
    store.index.close()  # type: ignore[attr-defined]
