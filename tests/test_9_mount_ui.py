"""The UI mounts and unmounts, and shows what is open through a mount."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from globofs.store.intent import Living
from globofs.tui import mounting
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
            assert mounting.open_words(mounting.living(volume)[0]) == "open: open one"
        until(lambda: mounting.living(volume) == [Living(str(place), ())], 10)
    assert mounting.living(volume) == []
    mounting.run_command(volume, "mount", str(place), "--background")
    assert mounted_at(place)
    mounting.run_command(volume, "umount", str(place))
    assert not mounted_at(place)
    with pytest.raises(mounting.CommandFailed, match="no volume is mounted there"):
        mounting.run_command(volume, "umount", str(place))


async def test_a_key_mounts_and_unmounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(mounting, "living", lambda volume: [Living("/mnt/v", (b"a", b"b"))])
    monkeypatch.setattr(mounting, "run_command", lambda volume, *args: asked.append(args))
    async with bench() as at:
        await at.keys("M")
        (row,) = [row for row in at.rows("pick-list") if "unmount" in row]
        assert "/mnt/v" in row
        assert "open: a, b" in row
        await at.keys("enter")
        assert asked == [("umount", "/mnt/v")]
        assert "Unmounted /mnt/v" in at.toasts()
        await at.keys("M")
        at.screen.query_one("#pick-input").value = str(tmp_path)
        await at.settle()
        await at.keys("enter")
        assert asked[1:] == [("mount", str(tmp_path), "--background")]
        assert f"Mounted on {tmp_path}" in at.toasts()
