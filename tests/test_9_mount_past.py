"""What a mount shows of the past costs what is looked at, not what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from globofs.limits import SECOND_NS
from globofs.mount.past import TOP, Past
from globofs.speech import exact_time, rfc3339, version_number
from globofs.store.query import View
from globofs.store.views import Version
from globofs.volume import Volume
from tests.helpers_story import make_nodes


def test_who_looks_at_each_version_reads_the_history_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (at,) = make_nodes(tmp_path, "node")
    file = tmp_path / "file"
    with Volume.open(str(at.volume)) as volume:
        for number in range(6):
            file.write_bytes(b"x" * (number + 1))
            volume.add([str(file)])
        past = Past(volume)
        place = TOP + b"/versions/file"
        listing = past.find(place).listing
        assert listing is not None
        names = [name for name, _ in listing()]
        read: list[bytes] = []
        real = volume.history

        def history(path: bytes) -> list[Version]:
            read.append(path)
            return real(path)

        monkeypatch.setattr(volume, "history", history)
        sizes = [past.find(place + b"/" + name).attributes.size for name in names]
        assert sizes == [6, 5, 4, 3, 2, 1]
        assert len(read) == 1
        file.write_bytes(b"x" * 7)
        volume.add([str(file)])
        newest = next(iter(past.find(place).listing()))[0]  # type: ignore[misc]
        assert past.find(place + b"/" + newest).attributes.size == 7


def test_moments_are_listed_as_times_that_show_the_tree_just_after_each_operation(
    tmp_path: Path,
) -> None:
    (at,) = make_nodes(tmp_path, "node")
    file = tmp_path / "file"
    with Volume.open(str(at.volume)) as volume:
        past = Past(volume)
        for number in range(4):
            file.write_bytes(b"x" * (number + 1))
            volume.add([str(file)])
            past.find(TOP + b"/at")
        listing = past.find(TOP + b"/at").listing
        assert listing is not None
        names = [name for name, _ in listing()]
        assert names == sorted(names)
        found = [past.find(TOP + b"/at/" + name) for name in names]
        assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", one) for one in names)
        sizes = [past.find(TOP + b"/at/" + name + b"/file").attributes.size for name in names]
        assert sizes == [1, 2, 3, 4]
        times = [version.time for version in reversed(volume.history(b"file"))]
        for place, when in zip(found, times, strict=True):
            assert 0 <= place.attributes.mtime - when <= SECOND_NS


def test_a_version_is_found_by_number_prefix_and_time(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    file = tmp_path / "file"
    with Volume.open(str(at.volume)) as volume:
        for size in (1, 2):
            file.write_bytes(b"x" * size)
            volume.add([str(file)])
        past = Past(volume)
        new, old = volume.history(b"file")
        place = TOP + b"/versions/file/"
        assert past.find(place[:-1]).attributes.mtime == new.time
        assert past.find(TOP + b"/versions").attributes.mtime >= new.time
        for name, size in (
            (version_number(old.time), 1),
            (rfc3339(old.time), 1),
            ("-1", 1),
            (exact_time(new.time), 2),
            ("now", 2),
        ):
            assert past.find(place + name.encode()).attributes.size == size
        for name in ("then", "2001-01-01", "now/below"):
            with pytest.raises(FileNotFoundError):
                past.find(place + name.encode())


def test_what_is_missing_is_looked_for_again_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (at,) = make_nodes(tmp_path, "node")
    with Volume.open(str(at.volume)) as volume:
        past = Past(volume)
        looks: list[int] = []
        real, clock = volume.view, [1000.0]

        def view() -> View:
            looks.append(1)
            return real()

        monkeypatch.setattr(volume, "view", view)
        monkeypatch.setattr("globofs.mount.past.time.monotonic", lambda: clock[0])
        for _ in range(3):
            assert past.find(TOP + b"/missing").text == b""
            clock[0] += 10
        assert len(looks) == 1
        (tmp_path / "file").write_text("x")
        volume.add([str(tmp_path / "file")])
        past.find(TOP + b"/missing")
        assert len(looks) == 2
