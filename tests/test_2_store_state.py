"""State: small text files that survive torn lines, several clients and their own history."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globofs.store.locks import Lock
from globofs.store.state import (
    LineFile,
    Pauses,
    SourceEntry,
    State,
    Wish,
    parse_entry,
    signature,
    source_key,
)
from tests.helpers_disk import Recording

ODD = [b"plain", b"with blank", b"new\nline", b"100%", b"\xff\xfe", "ü".encode(), b"a/b c/d"]


def open_state(tmp_path: Path) -> State:
    return State(str(tmp_path / "state"))


def line_file(place: Path) -> LineFile:
    return LineFile(str(place / "state" / "file"), Lock(str(place), "state"))


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    assert (state.wanted(), state.pins(), state.source_keys()) == ([], [], [])
    assert state.pauses() == Pauses(False, frozenset(), frozenset())
    assert os.listdir(tmp_path) == [], "asking makes no files"


def test_pins_are_kept_across_restarts(tmp_path: Path) -> None:
    for path in [*ODD, b""]:
        assert open_state(tmp_path).pin(path)
        assert not open_state(tmp_path).pin(path)
    assert open_state(tmp_path).pins() == [*ODD, b""]
    assert open_state(tmp_path).unpin(ODD[1])
    assert not open_state(tmp_path).unpin(ODD[1])
    assert ODD[1] not in open_state(tmp_path).pins()


def test_wishes(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    wishes = [Wish("mirror", path) for path in ODD]
    wishes += [Wish("history", b""), Wish("version", id=bytes(range(32)))]
    state.want(wishes)
    state.want(wishes[:3])
    assert open_state(tmp_path).wanted() == wishes
    state.unwant([*wishes[1:], Wish("mirror", b"never")])
    assert open_state(tmp_path).wanted() == wishes[:1]


def test_pauses(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    assert state.pause("server 01")
    assert not state.pause("server 01")
    state.pause(b"a path")
    state.pause()
    assert state.pauses() == Pauses(True, frozenset({"server 01"}), frozenset({b"a path"}))
    assert state.resume("server 01")
    assert not state.resume("server 01")
    assert state.pauses() == Pauses(True, frozenset(), frozenset({b"a path"}))
    assert state.resume()
    assert state.pauses() == Pauses(False, frozenset(), frozenset())


def test_a_source_remembers_what_the_folder_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    info = os.lstat(tmp_path / "file")
    key = source_key("/home/me/Photos", b"Pictures")
    source = open_state(tmp_path).source(key)
    source.name("/home/me/Photos", b"Pictures")
    version = bytes(range(32))
    lines = {path: f"{signature('file', info)} {version.hex()}" for path in ODD}
    source.change(lines)
    again = open_state(tmp_path).source(key)
    assert again.folder() == ("/home/me/Photos", b"Pictures")
    assert again.load() == lines
    entry = parse_entry(again.load()[ODD[0]])
    assert entry == SourceEntry(
        "file",
        7,
        info.st_mtime_ns,
        info.st_ctime_ns,
        info.st_ino,
        info.st_mode & 0o7777,
        version,
    )
    assert again.load()[ODD[0]].startswith(signature("file", info) + " ")
    again.change({ODD[0]: None})
    assert set(again.load()) == set(ODD[1:])
    assert open_state(tmp_path).source_keys() == [key]


def test_a_change_of_anything_changes_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1")
    before = signature("file", os.lstat(path))
    path.chmod(0o600)
    assert signature("file", os.lstat(path)) != before
    (tmp_path / "new").write_bytes(b"1")
    os.utime(tmp_path / "new", ns=(os.lstat(path).st_mtime_ns,) * 2)
    os.chmod(tmp_path / "new", 0o644)
    os.replace(tmp_path / "new", path)
    assert signature("file", os.lstat(path)) != before


def test_a_line_that_means_nothing_is_passed_over(tmp_path: Path) -> None:
    """A flipped bit in one of them keeps nobody from the others."""
    state = open_state(tmp_path)
    state.want([Wish("mirror", b"a"), Wish("version", id=bytes(32))])
    state.pin(b"a b")
    state.pause(b"a b")
    state.pause("nas")
    source = state.source(source_key("/home/me", b""))
    source.name("/home/me", b"")
    source.change({b"a b": "x"})
    nonsense = b"%zz yes\n/%zz yes\nversion:zz yes\nversion:00 yes\nmirror:%1 yes\npath:%g yes\n\xff\xfe 1\n"
    for directory, _, names in os.walk(state.directory):
        for name in names:
            with open(os.path.join(directory, name), "ab") as file:
                file.write(nonsense)
    again = open_state(tmp_path)
    assert again.wanted() == [Wish("mirror", b"a"), Wish("version", id=bytes(32))]
    assert again.pins() == [b"a b"]
    assert again.pauses() == Pauses(False, frozenset(["nas"]), frozenset([b"a b"]))
    held = again.source(source.key)
    assert held.load()[b"a b"] == "x"
    assert held.folder() == ("/home/me", b"")
    with open(os.path.join(state.directory, "sources", source.key), "ab") as file:
        file.write(b"//folder %zz %zz\n")
    assert held.folder() is None
    held.name("/home/me", b"")
    assert held.folder() == ("/home/me", b"")


@pytest.mark.parametrize(
    "line", ["", "file 1 2 3", "file 1 2 3 4 5 00", "fifo 1 2 3 4 5 00", "file x 2 3 4 5 00"]
)
def test_a_damaged_entry_is_an_error_not_a_guess(line: str) -> None:
    with pytest.raises(ValueError):
        parse_entry(line)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c", "d"]), st.none() | st.sampled_from(["1", "2 3", "4"])
        ),
        max_size=12,
    )
)
def test_a_file_is_the_sum_of_its_changes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, str | None]]
) -> None:
    place = tmp_path_factory.mktemp("state")
    expected: dict[str, str] = {}
    for change in changes:
        line_file(place).change(change, durable=False)
        for key, value in change.items():
            if value is None:
                expected.pop(key, None)
            else:
                expected[key] = value
    assert line_file(place).load() == expected


def test_a_torn_last_line_is_none_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    file = line_file(tmp_path)
    file.change({"a": "1", "b": "2"})
    with open(file.path, "ab") as raw:
        raw.write(b"b 99")
    assert file.load() == {"a": "1", "b": "2"}
    file.change({"c": "3"})
    assert file.load() == {"a": "1", "b": "2", "c": "3"}
    assert Path(file.path).read_bytes() == b"a 1\nb 2\nc 3\n"


def test_a_file_that_is_mostly_history_is_written_anew(tmp_path: Path) -> None:
    file = line_file(tmp_path)
    file.change({"kept": "1"}, durable=False)
    for number in range(12):
        file.change({f"{number}-{n}": "x" for n in range(100)}, durable=False)
        file.change({f"{number}-{n}": None for n in range(100)}, durable=False)
    assert file.load() == {"kept": "1"}
    assert Path(file.path).read_bytes().count(b"\n") < 1300


def test_whatever_change_reported_survives_power_loss(tmp_path: Path) -> None:
    file = line_file(tmp_path)
    file.change({"first": "0"})
    place = tmp_path / "state"
    with Recording(place) as recording:
        marks = []
        for number in range(3):
            file.change({f"key{number}": "value", "last": str(number)})
            marks.append(recording.mark())
        file.replace({"only": "this"})
        end = recording.mark()
    for crash in recording.crashes(seeds=4):
        left = crash.materialise(tmp_path / "after" / crash.name)
        found = LineFile(os.path.join(left, "file"), Lock(str(tmp_path), "state")).load()
        told = f"{crash.mode} before {crash.before}"
        if crash.at >= end:
            assert found == {"only": "this"}, told
        elif found != {"only": "this"}:
            assert found.get("first") == "0", told
            for number, mark in enumerate(marks):
                if crash.at >= mark:
                    assert found[f"key{number}"] == "value", told


def _pin_many(directory: str, number: int) -> None:
    state = State(directory)
    for n in range(20):
        state.pin(b"%d-%d" % (number, n))


def test_several_clients_lose_nothing_of_each_other(tmp_path: Path) -> None:
    directory = str(tmp_path / "state")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_pin_many, args=(directory, n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(State(directory).pins()) == sorted(
        b"%d-%d" % (number, n) for number in range(3) for n in range(20)
    )
