"""The UI mounts and unmounts, and shows what is open through a mount."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from globofs.mount.place import MountError
from globofs.store.intent import Living
from globofs.tui import mounting
from globofs.tui.screens.dialogs import Choice
from globofs.volume import Volume
from tests.helpers_mount import mounted, mounted_at, needs_fuse
from tests.helpers_story import make_nodes, until
from tests.test_8_tui_screens import bench


@pytest.mark.fuse
@needs_fuse[1]
def test_what_is_mounted_and_open_is_told(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    volume: Any = SimpleNamespace(
        directory=str(at.volume), node=SimpleNamespace(directory=str(at.node))
    )
    assert mounting.living(volume) == []
    place = tmp_path / "m"
    with mounted(at, place):
        with open(place / "open one", "w"):
            until(lambda: mounting.living(volume) == [Living(str(place), (b"open one",))], 10)
            rows = [told(choice) for choice in mounting.choices(volume, "")]
            assert rows == [f"unmount {place}  1 open", "  open one"]
        until(lambda: mounting.living(volume) == [Living(str(place), ())], 10)
    assert mounting.living(volume) == []
    mounting.run_command(volume, "mount", str(place), "--background")
    assert mounted_at(place)
    mounting.run_command(volume, "umount", str(place))
    assert not mounted_at(place)
    with pytest.raises(mounting.CommandFailed, match="no volume is mounted there"):
        mounting.run_command(volume, "umount", str(place))


def told(choice: Choice) -> str:
    (cell,) = choice.cells
    return "".join(text for text, _ in cell)


def test_a_place_typed_is_judged_before_it_is_mounted_on(tmp_path: Path) -> None:
    (at,) = make_nodes(tmp_path, "node")
    (tmp_path / "m").mkdir()
    with Volume.open(str(at.volume)) as volume:
        for name, what in (("m", "mount on"), ("new/below", "make and mount on")):
            (row,) = mounting.choices(volume, str(tmp_path / name))
            assert row.value == (what.split()[0], str(tmp_path / name))
            assert told(row) == f"{what} {tmp_path / name}"
        for name, why in (
            ("", "it contains the volume"),
            ("node", "it lies in the volume"),
            ("node/new", "it lies in the volume"),
            ("node/local/config", "it is not a directory"),
            ("node/local/config/new", "is not a directory"),
        ):
            rows = mounting.choices(volume, str(tmp_path / name))
            assert [row.value for row in rows] == [None] * len(rows), "Enter leaves it shown"
            assert why in " ".join(" ".join(map(told, rows)).split())


async def test_a_key_mounts_and_unmounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(volume: object, path: str) -> None:
        if path.endswith("bad"):
            raise MountError(path=path, reason="it lies in the volume")

    asked: list[tuple[str, ...]] = []
    for check in ("check_place", "check_new"):
        monkeypatch.setattr(f"globofs.mount.place.{check}", judge)
    mounts = [Living("/mnt/v", (b"a",))]
    monkeypatch.setattr(mounting, "living", lambda volume: mounts)
    monkeypatch.setattr(mounting, "_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(mounting, "run_command", lambda volume, *args: asked.append(args))
    async with bench() as at:
        await at.keys("M")
        rows = [row for row in at.rows("pick-list") if row.strip()]
        assert "unmount /mnt/v  1 open" in rows[0]
        assert rows[1].strip() == "a"
        mounts[0] = Living("/mnt/v", (b"a", b"b"))
        await at.until(lambda: any(row.strip() == "b" for row in at.rows("pick-list")))
        await at.keys("down", "enter")
        assert at.rows("pick-list"), "a name is no answer"
        await at.keys("up", "enter")
        assert asked == [("umount", "/mnt/v")]
        assert "Unmounted /mnt/v" in at.toasts()
        place = str(tmp_path / "new")
        for _ in range(2):
            await at.keys("M")
            at.screen.query_one("#pick-input").value = place
            await at.settle()
            await at.keys("enter")
            assert asked.pop() == ("mount", place, "--background")
            assert f"Mounted on {place}" in at.toasts()
            assert (tmp_path / "new").is_dir()
        await at.keys("M")
        at.screen.query_one("#pick-input").value = "/bad"
        await at.settle()
        await at.keys("enter")
        assert any("it lies in the volume" in row for row in at.rows("pick-list"))
        assert asked == [("umount", "/mnt/v")]
