"""The doctor's probe: it finds out, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from globofs.peerio import probe
from globofs.store import fsio, mounts


def test_a_local_disk_can_everything(tmp_path: Path) -> None:
    found = probe.probe(str(tmp_path))
    assert found.writable
    assert found.append
    assert found.rename
    assert found.symlink
    assert found.latency_seconds is not None
    assert found.latency_seconds > 0
    assert os.listdir(tmp_path) == []


def test_what_fails_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    found = probe.probe(str(tmp_path))
    assert found.symlink is False
    assert found.hard_link is False
    assert "symlinks: Operation not permitted" in found.problems
    assert os.listdir(tmp_path) == []


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    found = probe.probe(str(tmp_path / "missing"))
    assert not found.writable
    assert found.problems


def test_it_cleans_up_when_the_disk_fills(tmp_path: Path) -> None:
    def full(op: str, args: tuple[object, ...]) -> None:
        if op == "write" and "speed" in str(args[0]):
            raise OSError(28, "No space left on device")

    fsio.observer = full
    try:
        found = probe.probe(str(tmp_path))
    finally:
        fsio.observer = None
    assert found.write_rate is None
    assert any("No space" in text for text in found.problems)
    assert os.listdir(tmp_path) == []


TABLE = rb"""22 1 0:1 / / rw - ext4 /dev/sda1 rw
23 22 0:2 / /home rw shared:1 - ext4 /dev/sda2 rw
24 23 0:3 / /home/me/far\040away rw - fuse.sshfs me@host:/ rw
25 22 0:4 / /mnt/nas rw - nfs4 nas:/ rw
26 22 0:5 / /media/stick rw - fuseblk /dev/sdb1 rw
"""


def test_network_is_told_from_the_table_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(TABLE)
    monkeypatch.setattr(mounts, "_MOUNTS", str(table))
    link = tmp_path / "link"
    link.symlink_to("/mnt/nas/deep")
    asked: list[str] = []
    real = os.readlink

    def watched(path: str) -> str:
        asked.append(path)
        return real(path)

    monkeypatch.setattr(os, "readlink", watched)
    assert mounts.on_network("/home/me/far away/volume")
    assert mounts.on_network("/mnt/nas")
    assert mounts.on_network(str(link))
    assert not mounts.on_network("/home/me")
    assert not mounts.on_network("/media/stick/x")
    assert not mounts.on_network("/mnt/nascent")
    touched = [path for path in asked if path.startswith(("/mnt/nas/", "/home/me/far away"))]
    assert touched == [], "nothing on the network is touched"
