"""Killed or out of power at every disk operation of every verb, then opened and looked at.

What was reported is there and readable, nothing half-made shows, `verify` is clean, a second
check finds nothing, and the same command succeeds when it is given again. The second half walks
the table of FORMAT.md, section 8, row by row. Every single operation of the long scripts, too:

    GLOBOFS_EVERY_STEP=1 pytest tests/test_5_crash.py -n2 --timeout 0
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from globofs.errors import GlobofsError
from globofs.events import Problem, ignore
from globofs.mount.recorder import open_directory, recover
from globofs.store import explode, fsio
from globofs.store.commit import Operation
from globofs.store.intent import Intent, IntentLog
from globofs.store.node import open_node
from globofs.sync import prune as pruning
from globofs.sync import verify
from globofs.sync.results import Policy
from globofs.volume import Volume
from tests.helpers_disk import Crash, Fault, Recording, another_boot
from tests.helpers_node import FixedClock
from tests.helpers_peer import Site, sites, tree, versions

SMALL = {"a": b"a" * 300, "d/b": b"b" * 900, "d/versions": b"", "big": os.urandom(150_000)}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where that is possible: thousands of syncs of real files take minutes."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="globofs-crash-", dir=memory) as place:
        yield Path(place)


class Promises:
    """Versions that were reported, and after which disk operation."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.made: list[tuple[int, bytes]] = []

    def until(self, at: int) -> list[bytes]:
        return [version for mark, version in self.made if mark <= at]


@contextmanager
def recorded(root: str | Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Promises]:
    """Record what is done below `root`, and when a version was reported as safe."""
    with Recording(root) as recording:
        promises = Promises(recording)
        commit = Operation.commit

        def noting(self: Operation, drafts: object) -> object:
            done = commit(self, drafts)  # type: ignore[arg-type]
            mark = recording.mark()
            promises.made += [(mark, one.version_id) for one in done if not one.skipped]
            return done

        with monkeypatch.context() as patch:
            patch.setattr(Operation, "commit", noting)
            yield promises


def make(top: Path) -> tuple[Volume, Path]:
    """A volume, and a folder of files small and large beside it."""
    folder = top / "docs"
    for name, data in SMALL.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return Volume.init(str(top / "vol"), name="home"), folder


def clean(volume: Volume) -> None:
    """`verify` finds nothing, twice; every version that shows is whole."""
    for _ in range(2):
        heard: list[object] = []
        done = verify.verify(volume.node, None, emit=heard.append)
        bad = [p.reason for p in heard if isinstance(p, Problem) and not p.warning]
        assert (done.damaged, bad) == (0, [])
    for entry in volume.view().walk():
        version = volume.view().version(entry.path)
        if version is not None and version.kind == "file":
            assert sum(map(len, volume.read(version))) == version.size, entry.path


def survive(
    tmp_path: Path,
    promises: Promises,
    again: Callable[[Volume], object],
    *,
    step: int = 1,
    absent: set[bytes] | None = None,
) -> int:
    """Crash everywhere, open, look, do it again; how many crashes that were."""
    count = 0
    for crash in promises.recording.crashes(seeds=1, step=step):
        count += 1
        place = crash.materialise(tmp_path / "crash" / crash.name)
        with ExitStack() as stack:
            if crash.mode != "kill":
                stack.enter_context(another_boot(crash.at))
            try:
                with Volume.open(place) as volume:
                    for version in promises.until(crash.at):
                        found = volume.view().version_by_id(version)
                        assert found is not None, "a reported version is gone"
                        if version not in (absent or ()):
                            assert sum(map(len, volume.read(found))) == found.size
                    clean(volume)
                    again(volume)
                    clean(volume)
            except AssertionError as error:
                raise AssertionError(f"{crash.name}, before {crash.before}: {error}") from error
        shutil.rmtree(place)
    return count


def step_for(promises: Promises, most: int = 25) -> int:
    """All operations of a short script, a part of a long one's unless `GLOBOFS_EVERY_STEP` is set."""
    if "GLOBOFS_EVERY_STEP" in os.environ:
        return 1
    return max(1, len(promises.recording.ops) // most)


def content(volume: Volume, path: bytes) -> bytes:
    version = volume.view().version(path)
    assert version is not None
    return b"".join(volume.read(version))


def test_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios 1, 2."""
    volume, folder = make(tmp_path)
    with recorded(volume.directory, monkeypatch) as promises, volume:
        volume.add([str(folder)])

    def again(found: Volume) -> None:
        found.add([str(folder)])
        for name, data in SMALL.items():
            assert content(found, b"docs/" + name.encode()) == data

    assert survive(tmp_path, promises, again, step=step_for(promises)) > 50


def test_rm_mv_undo_and_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, folder = make(tmp_path)
    with volume:
        volume.add([str(folder)])
        first = volume.view().version(b"docs/a")
        with recorded(volume.directory, monkeypatch) as promises:
            volume.mv(b"docs/d", b"moved")
            volume.rm([b"docs/a"])
            volume.undo()
            volume.restore([b"docs/a"], version=first)

    def again(found: Volume) -> None:
        with suppress(GlobofsError):
            found.mv(b"docs/d", b"moved")
        found.restore([b"docs/a"], version=first)
        assert content(found, b"docs/a") == SMALL["a"]
        assert content(found, b"moved/b") == SMALL["d/b"]

    survive(tmp_path, promises, again, step=step_for(promises))


def test_restoring_out_of_the_volume(tmp_path: Path) -> None:
    """Killed anywhere, no torn file stands under a real name; running it again completes it.
    (Scenario 1.)"""
    volume, folder = make(tmp_path)
    with volume:
        volume.add([str(folder)])
        target = tmp_path / "out"
        target.mkdir()
        with Recording(target) as recording:
            volume.restore([b"docs"], to=str(target))
        whole = {p.relative_to(target): p.read_bytes() for p in target.rglob("*") if p.is_file()}
        assert sorted(whole.values()) == sorted(SMALL.values())
        for crash in recording.crashes(modes=("kill",)):
            place = Path(crash.materialise(tmp_path / "crash" / crash.name))
            for path in place.rglob("*"):
                if path.is_file() and path.relative_to(place) in whole:
                    assert path.read_bytes() == whole[path.relative_to(place)], crash.before
            volume.restore([b"docs"], to=str(place), force=True)
            for name, data in whole.items():
                assert (place / name).read_bytes() == data


def test_prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios 1, 2."""
    volume, folder = make(tmp_path)
    with volume:
        old = set()
        for number in range(3):
            (folder / "a").write_bytes(b"%d" % number * 500)
            volume.add([str(folder)], checksum=True)
            old.add(volume.view().version(b"docs/a").id)  # type: ignore[union-attr]
        with recorded(volume.directory, monkeypatch) as promises:
            volume.prune(Policy(keep_last=1))
            pruning.collect(volume.node, grace_ns=-(10**18))

    def again(found: Volume) -> None:
        found.prune(Policy(keep_last=1))
        pruning.collect(found.node, grace_ns=-(10**18))
        assert content(found, b"docs/a") == b"2" * 500
        assert len(list(found.node.blocks.iter_held())) == 3

    survive(tmp_path, promises, again, step=step_for(promises), absent=old)


def test_recovering_what_a_mount_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount died with a file that was closed; whoever recovers it dies as well, anywhere.
    (Scenarios 1, 2.)"""
    volume, folder = make(tmp_path)
    data = b"saved through a mount " * 20
    with volume:
        volume.add([str(folder)])
        parent = volume.view().version(b"docs/a")
        assert parent is not None
        log = IntentLog(open_directory(volume), "1-dead")
        Path(log.scratch(1)).write_bytes(data)
        log.set(Intent(1, "file", b"docs/a", 0o644, 7, replaces=parent.id, scratch=True))
        log.keep(1)
        log.close(clean=False)
        with recorded(volume.directory, monkeypatch) as promises:
            assert recover(volume, ignore) == (1, 0)

    def again(found: Volume) -> None:
        recover(found, ignore)
        assert content(found, b"docs/a") == data
        assert found.conflicts() == [], "recovered twice, it is the same content"
        assert recover(found, ignore) == (0, 0)
        assert os.listdir(open_directory(found)) == []

    survive(tmp_path, promises, again, step=step_for(promises))


# --- two nodes ----------------------------------------------------------------------------------


def two_survive(tmp_path: Path, promises: Promises, names: list[str], *, step: int) -> int:
    """Both machines stop at once, everywhere; then they sync, and are equal and clean."""
    count = 0
    for crash in promises.recording.crashes(seeds=1, step=step):
        count += 1
        with ExitStack() as stack:
            if crash.mode != "kill":
                stack.enter_context(another_boot(crash.at))
            made = opened(crash, tmp_path, names, stack)
            for _ in range(4):
                for site in made:
                    site.sync(pull=True)
            first, *others = made
            try:
                assert set(promises.until(crash.at)) <= versions(first)
                full = len(promises.until(crash.at)) == len(promises.made)
                for other in others:
                    assert tree(other) == tree(first)
                everything = {b"one", b"two", b"three"}
                here = {path for path in first.paths() if first.read(os.fsdecode(path))}
                assert here == everything or not full, "content is lost"
                assert b"one" in here
                for site in made:
                    verify.verify(site.node, site.puller, repair=True)
                    done = verify.verify(site.node, None)
                    assert done.damaged == 0, done
            except AssertionError as error:
                raise AssertionError(f"{crash.name}, before {crash.before}: {error}") from error
        shutil.rmtree(tmp_path / "crash" / crash.name)
    return count


def opened(crash: Crash, tmp_path: Path, names: list[str], stack: ExitStack) -> list[Site]:
    place = Path(crash.materialise(tmp_path / "crash" / crash.name))
    made = []
    for name in names:
        node = open_node(str(place / name), clock=FixedClock(START, tick=1000))
        node.catch_up()
        for entry in node.peer_entries():
            node.set_peer_entry(entry.name, path=str(place / entry.name))
        site = Site(node)
        stack.callback(site.close)
        made.append(site)
    return made


START = 1_700_000_000 * 10**9


@pytest.mark.parametrize("send", [False, True])
def test_push_receive_and_pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, send: bool) -> None:
    """Scenarios 1, 2, 21."""
    top = tmp_path / "both"
    with sites(top, "a", "b") as (a, b):
        a.knows(b, send=send)
        b.knows(a)
        a.write("one", b"1" * 1000)
        a.sync()
        b.sync()
        with recorded(top, monkeypatch) as promises:
            a.write("two", b"2" * 100_000)
            b.write("three", b"3")
            a.sync(pull=True)
            b.sync(pull=True)
            b.read("two")
            b.node.blocks.sync_pending()
    two_survive(tmp_path, promises, ["a", "b"], step=step_for(promises, 10))


def test_evict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache stops anywhere while it lets go, the keeper with it: the content stays.
    (Scenarios 1, 2.)"""
    from globofs.sync.evict import evict

    top = tmp_path / "both"
    clock = FixedClock(START, tick=1000)
    with sites(top, "cache", cacheonly=True, clock=clock) as (a,), sites(top, "keeper") as (b,):
        a.knows(b)
        b.knows(a)
        for name in ("one", "two", "three"):
            a.write(name, name.encode() * 5000)
        b.write("one", b"one" * 5000)
        for _ in range(3):
            a.sync()
            b.sync(pull=True)
        for name in ("two", "three"):
            b.read(name)
        b.node.blocks.sync_pending()
        evict(a.node, a.peers)
        for _ in range(3):
            a.sync()
            b.sync(pull=True)
        with recorded(top, monkeypatch) as promises:
            evict(a.node, a.peers)
            clock.sleep(61)
            done = evict(a.node, a.peers)
            assert done.blocks > 0, done
    two_survive(tmp_path, promises, ["cache", "keeper"], step=step_for(promises, 10))


# --- the table of FORMAT.md, section 8 -----------------------------------------------------------


def crash_where(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: Callable[[str, tuple[object, ...]], bool],
    mode: str = "kill",
) -> str:
    """One `add`, stopped before the first operation for which `where` holds."""
    volume, folder = make(tmp_path)
    with recorded(volume.directory, monkeypatch) as promises, volume:
        volume.add([str(folder)])
    ops = promises.recording.ops
    at = next(n for n, op in enumerate(ops) if where(op.name, op.args))
    crash = Crash(promises.recording, at, mode, 1)  # type: ignore[arg-type]
    return crash.materialise(tmp_path / "left")


def names_in(path: str, below: str) -> list[str]:
    directory = os.path.join(path, "local", below)
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def is_append(name: str, args: tuple[object, ...]) -> bool:
    return name == "write" and "/updates/latest" in str(args[0])


def blocks_of_journal(place: str) -> int:
    with Volume.open(place) as volume:
        return len(list(volume.view().walk()))


def test_row_1_before_the_staged_file_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`….open` and files in `tmp/`: deleted while nobody adds; nothing was committed."""

    def sealing(name: str, args: tuple[object, ...]) -> bool:
        return name == "rename" and str(args[0]).endswith(".open")

    place = crash_where(tmp_path, monkeypatch, sealing)
    assert [name for name in names_in(place, "staged") if name.endswith(".open")]
    with Volume.open(place) as volume:
        assert list(volume.view().walk()) == []
        volume.node.finish()
        explode.sweep(volume.node.blocks, -(10**9))
        assert names_in(place, "staged") == names_in(place, "tmp") == []
        clean(volume)


def test_row_2_a_complete_staged_file_without_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is exploded; the blocks are held, no version shows, the same `add` writes none again."""
    place = crash_where(tmp_path, monkeypatch, is_append)
    with Volume.open(place) as volume:
        assert list(volume.view().walk()) == []
        volume.node.finish()
        held = {block for block, _ in volume.node.blocks.iter_held()}
        assert len(held) == 3
        assert volume.add([str(tmp_path / "docs")]).stored_bytes == 0
        clean(volume)


def test_row_3_power_lost_while_large_blocks_get_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some names in `hashes/`, each with its whole content."""
    renamed = 0

    def second(name: str, args: tuple[object, ...]) -> bool:
        nonlocal renamed
        renamed += name == "rename" and "/hashes/" in str(args[1])
        return renamed > 0 and name == "fsync_dir"

    for mode in ("power", "reorder"):
        renamed = 0
        place = crash_where(tmp_path / mode, monkeypatch, second, mode)
        with another_boot(), Volume.open(place) as volume:
            clean(volume)
            volume.add([str(tmp_path / mode / "docs")])
            clean(volume)


@pytest.mark.parametrize("mode", ["kill", "power", "reorder"])
def test_row_4_before_the_journal_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """No record, a torn one (its number is used again), or a whole one, which is a commit."""

    def syncing(name: str, args: tuple[object, ...]) -> bool:
        return name == "fsync" and "/updates/latest" in str(args[0])

    place = crash_where(tmp_path, monkeypatch, syncing, mode)
    with another_boot(), Volume.open(place) as volume:
        clean(volume)
        volume.add([str(tmp_path / "docs")])
        assert content(volume, b"docs/a") == SMALL["a"]
        numbers = [f.record.seq for f in volume.node.journal.read_from(volume.uuid, 0)]
        assert numbers == list(range(1, len(numbers) + 1)), "no number is lacking or used twice"
        clean(volume)


def test_row_4_a_page_in_the_middle_of_an_append_is_lost(tmp_path: Path) -> None:
    """Later records of the append are on the disk, an earlier one is not: nobody was told of any
    of them, so all behind the break is torn, and its numbers are used again."""
    volume, folder = make(tmp_path)
    with volume:
        volume.add([str(folder)])
    latest = Path(volume.node.updates(volume.uuid), "latest")
    before = latest.read_bytes()
    last = volume.node.journal.last()
    with Volume.open(volume.directory) as again:
        for name in ("x", "y", "z"):
            (folder / name).write_bytes(name.encode() * 10)
        again.add([str(folder)])
    data = bytearray(latest.read_bytes())
    begin = data.index(b"docs/x", len(before))
    data[begin - 50 : begin + 20] = bytes(70)
    end = data.index(b"kind=close", len(before))
    cut = data.rindex(b"globofs-record", 0, end)
    latest.write_bytes(bytes(data[:cut]).rstrip(b"\n") + b"\n")
    local = Path(volume.node.directory)
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "upstream/applied"):
        (local / name).unlink(missing_ok=True)
    with another_boot(), Volume.open(volume.directory) as found:
        assert found.node.journal.last() == last
        assert found.view().entry(b"docs/z") is None
        found.add([str(folder)])
        assert content(found, b"docs/z") == b"z" * 10
        numbers = [f.record.seq for f in found.node.journal.read_from(found.uuid, 0)]
        assert numbers == list(range(1, len(numbers) + 1))
        clean(found)


def test_row_5_records_beyond_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads the journal from the cursor, applies."""
    volume, folder = make(tmp_path)
    with volume:
        monkeypatch.setattr("globofs.store.unapplied.apply_items", stop)
        with pytest.raises(Stopped):
            volume.add([str(folder)])
        monkeypatch.undo()
    with Volume.open(volume.directory) as again:
        assert content(again, b"docs/a") == SMALL["a"]
        clean(again)


class Stopped(BaseException):
    """The process ended here."""


def stop(*_: object, **__: object) -> None:
    raise Stopped


def test_row_6_an_operation_without_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown as interrupted; undo works on it."""

    def closing(name: str, args: tuple[object, ...]) -> bool:
        return is_append(name, args) and b"kind=close" in args[2]  # type: ignore[operator]

    place = crash_where(tmp_path, monkeypatch, closing)
    shutil.rmtree(Path(place, "local", "run"))  # it names this very process, which lives
    with Volume.open(place) as volume:
        assert volume.operations()[0].interrupted
        clean(volume)
        volume.undo()
        assert volume.view().entry(b"docs/a") is None
        clean(volume)


def test_row_7_in_the_middle_of_exploding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A staged file without a boot id is exploded again."""
    placed = 0

    def second(name: str, args: tuple[object, ...]) -> bool:
        nonlocal placed
        placed += name == "rename" and "/tmp/x" in str(args[0])
        return placed == 2

    place = crash_where(tmp_path, monkeypatch, second)
    assert [name for name in names_in(place, "staged") if name.count(".") == 1]
    with Volume.open(place) as volume:
        assert content(volume, b"docs/a") == SMALL["a"]
        volume.node.finish()
        assert len({block for block, _ in volume.node.blocks.iter_held()}) == 3
        clean(volume)


@pytest.mark.parametrize("mode", ["power", "reorder"])
def test_row_8_exploded_and_power_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A staged file with another boot's id is exploded again: `hashes/` may lack its blocks."""

    def applied(name: str, args: tuple[object, ...]) -> bool:
        return name == "rename" and str(args[1]).endswith("upstream/applied")

    place = crash_where(tmp_path, monkeypatch, applied, mode)
    with another_boot(), Volume.open(place) as volume:
        clean(volume)
        assert content(volume, b"docs/d/b") == SMALL["d/b"]


@pytest.mark.parametrize("mode", ["kill", "power", "reorder"])
def test_rows_9_and_10_in_the_middle_of_building_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """`root/` is built again from `built`, after a power loss too, where files may be torn."""
    written = 0

    def third(name: str, args: tuple[object, ...]) -> bool:
        nonlocal written
        written += name in ("create", "rename") and "/versions/" in str(args)
        return written == 3

    place = crash_where(tmp_path, monkeypatch, third, mode)
    with ExitStack() as stack:
        if mode != "kill":
            stack.enter_context(another_boot())
        with Volume.open(place) as volume:
            clean(volume)
            for name in SMALL:
                latest = Path(volume.node.root(), "docs", name.replace("d/v", "d/=v"))
                assert (latest / "versions" / "latest").is_file()


def test_row_11_the_old_applied(tmp_path: Path) -> None:
    """Peers send again what it does not acknowledge; applying twice changes nothing."""
    with sites(tmp_path, "a", "b") as (a, b):
        a.knows(b)
        a.write("one", b"1")
        a.sync()
        b.node.catch_up()
        applied = Path(b.node.upstream(), "applied")
        old = applied.read_bytes()
        a.write("two", b"2")
        a.sync()
        b.node.catch_up()
        shown = tree(b)
        applied.write_bytes(old)
        a.sync()
        b.node.catch_up()
        b.node.finish()
        assert tree(b) == shown == tree(a)
        assert a.round("b").seen.outgoing == 0


def test_row_12_a_torn_frame_at_the_peer(tmp_path: Path) -> None:
    """Found unacknowledged, sent again on a new line."""
    with sites(tmp_path, "a", "b") as (a, b):
        a.knows(b)
        a.write("one", b"1")
        a.sync()
        latest = Path(b.node.updates(a.uuid), "latest")
        latest.write_bytes(latest.read_bytes()[:-40])
        a.memories.clear()
        a.sync()
        b.node.catch_up()
        assert tree(b) == tree(a)


def test_row_13_receiving_without_the_sync(tmp_path: Path) -> None:
    """Nothing is acknowledged before it is durable here, so the peer sends it again."""
    with sites(tmp_path / "both", "a", "b") as (a, b):
        a.knows(b)
        a.write("one", b"1")
        a.sync()
        with Recording(b.node.volume) as recording:
            b.node.catch_up()
        ops = recording.ops
        sync = next(n for n, op in enumerate(ops) if op.name == "fsync" and a.uuid in str(op))
        said = next(n for n, op in enumerate(ops) if "upstream/applied" in str(op))
        assert sync < said


def test_row_14_a_pulled_block_without_its_content(tmp_path: Path) -> None:
    """Its checksum fails, it is set aside and pulled again."""
    with sites(tmp_path, "a", "b") as (a, b):
        a.knows(b)
        b.knows(a)
        a.write("one", b"1" * 1000)
        a.sync()
        b.node.catch_up()
        b.read("one")
        ((block, suffix),) = list(b.node.blocks.iter_held())
        Path(b.node.blocks.path_of(block, suffix)).write_bytes(b"")
        b.node.index.reset()
        with another_boot():
            again = Site(open_node(b.node.volume))
            again.node.catch_up()
            assert again.read("one") == b"1" * 1000
            again.close()


# --- errors, in words ----------------------------------------------------------------------------


def test_a_failed_commit_that_cannot_be_taken_back_says_so(tmp_path: Path) -> None:
    """The sync fails, closing the segment fails, cutting it off fails: it may show up later, and
    whoever asked is told just that."""
    from globofs.errors import NotTakenBack, from_os_error

    volume, _ = make(tmp_path)

    def failing(name: str, args: tuple[object, ...]) -> None:
        if "/updates/" in str(args[0]) and name in ("fsync", "rename", "truncate"):
            raise OSError(errno.EIO, "Input/output error", str(args[0]))

    with volume:
        fsio.observer = failing
        try:
            with pytest.raises((fsio.NotTakenBack, NotTakenBack)) as caught:
                volume.node.journal.append([b"globofs-record nonsense\n"])
        finally:
            fsio.observer = None
        assert "may show up later" in from_os_error(caught.value).message  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["write", "create", "fsync", "rename", "mkdir", "syncfs"])
def test_a_full_or_failing_disk_at_every_operation(tmp_path: Path, name: str) -> None:
    """Fails whole and says so; the volume stays readable; the same command succeeds later.
    (Scenario 6.)"""
    volume, folder = make(tmp_path)
    with volume:
        volume.add([str(folder)])
        for skip in range(6):
            (folder / "a").write_bytes(b"%d" % skip * 400)
            fault = Fault(OSError(errno.ENOSPC, "No space left on device"), name, skip=skip)
            with fault, suppress(GlobofsError, OSError):
                volume.add([str(folder)], checksum=True)
            volume.node.catch_up()
            clean(volume)
        volume.add([str(folder)], checksum=True)
        assert content(volume, b"docs/a") == b"5" * 400
        clean(volume)


def test_what_was_let_go_of_does_not_come_back_after_a_boot(tmp_path: Path) -> None:
    """A staged file of this boot would be exploded again: it goes before the blocks do."""
    with sites(tmp_path, "a") as (a,):
        a.write("one", b"1" * 100)
        a.write("two", b"2" * 100)
        first, _ = sorted(block for block, _ in a.node.blocks.iter_held())
        with a.node.locks.adders.exclusive():
            a.node.blocks.remove([first])
        with another_boot():
            a.node.blocks.explode()
            a.node.index.reset()
            a.node.catch_up()
            assert not a.node.blocks.has(first)
            assert not a.node.index.is_held(first)
            assert len(list(a.node.blocks.iter_held())) == 1


def test_the_other_blocks_of_a_staged_file_outlive_it(tmp_path: Path) -> None:
    """The only good copy of a block may be a staged one: it is put back before the file goes."""
    with sites(tmp_path, "a") as (a,), a.node.blocks.batch() as batch:
        for data in (b"1" * 100, b"2" * 100):
            from hashlib import sha256

            batch.add(sha256(data).digest(), 100, data, "")
        batch.seal()
        batch.close()
        a.node.blocks.explode()
        first, second = sorted(block for block, _ in a.node.blocks.iter_held())
        os.unlink(a.node.blocks.path_of(second, ""))
        with a.node.locks.adders.exclusive():
            a.node.blocks.remove([first])
        assert len(a.node.blocks.get(second, 100)) == 100
        assert not a.node.blocks.has(first)
