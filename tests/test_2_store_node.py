"""Nodes: found where they are, refused where they are not, opened in no time."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from globofs import errors
from globofs.format.config import PeerConfig
from globofs.store import explode, fsio, mounts
from globofs.store.node import (
    Node,
    create_node,
    find_node_directory,
    find_volume,
    locate,
    open_node,
)
from tests.helpers_disk import Fault, Recording

OTHER = "22222222-2222-4222-8222-222222222222"
EXAMPLE = "68d25a11-a34a-4bbb-a29e-c9bd06ff8c53"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    create_node(str(path), name="laptop").close()
    return path


def by_hand(
    place: Path, name: str = "local", *, below: str = "hashes", uuid: str = EXAMPLE
) -> Path:
    """A node's directory as a person makes it from the plan."""
    directory = place / name
    (directory / below).mkdir(parents=True)
    (directory / "config").write_text(f"uuid={uuid}\npath={place}/ # as in the plan\n")
    return directory


# --- making -------------------------------------------------------------------------------------


def test_a_new_node_has_the_planned_layout(tmp_path: Path) -> None:
    with create_node(
        str(tmp_path / "v"), local="here", name="laptop", compression="zstd:9"
    ) as node:
        assert sorted(os.listdir(tmp_path / "v")) == ["here"]
        made = set(os.listdir(node.directory))
        assert made >= {"config", "root", "hashes", "upstream", "staged", "state", "tmp"}
        assert os.path.isdir(f"{node.directory}/upstream/{node.uuid}/updates")
        assert (node.name, node.config.level, node.config.chunking) == ("laptop", 9, "cdc")
        assert node.config.path == str(tmp_path / "v")
        assert not node.readonly
        assert node.warnings == ()
        assert os.stat(node.tmp()).st_mode & 0o077 == 0, "temporary files are private"
    with open_node(str(tmp_path / "v")) as again:
        assert again.config == node.config


def test_every_setting_reaches_the_config(tmp_path: Path) -> None:
    with create_node(
        str(tmp_path / "v"),
        name="n",
        blocksize=65536,
        chunking="fixed",
        compression="none",
        cacheonly=True,
        cachetime=1800.0,
    ) as node:
        config = node.config
    assert (config.blocksize, config.chunking, config.compression) == (65536, "fixed", "none")
    assert (config.cacheonly, config.cachetime_seconds) == (True, 1800.0)


def test_a_volume_is_a_directory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.NotEmpty):
        create_node(str(tmp_path))
    assert os.listdir(tmp_path) == ["file"]
    (tmp_path / "empty").mkdir()
    create_node(str(tmp_path / "empty")).close()
    with pytest.raises(errors.NotEmpty):
        create_node(str(tmp_path / "empty"), local="second")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "-rf", "x" * 256, "a\nb"])
def test_a_bad_name_for_the_node_makes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.UsageError):
        create_node(str(tmp_path / "v"), local=name)
    assert not (tmp_path / "v").exists()


def test_a_bad_setting_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.BadConfig, match="zstd"):
        create_node(str(tmp_path / "v"), compression="lzma")
    assert not (tmp_path / "v").exists()


def test_a_node_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volume.mkdir()
    with Recording(volume) as recording:
        create_node(str(volume), name="laptop").close()
    made = 0
    for crash in recording.crashes(seeds=2):
        left = crash.materialise(tmp_path / "after" / crash.name)
        try:
            open_node(left).close()
        except errors.NotAVolume:
            assert crash.at < len(recording.ops), crash.mode
            create_node(left, name="again").close()  # what was left does not stand in the way
            assert os.listdir(left) == ["local"]
        else:
            made += 1
    assert made


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with (
        Fault(OSError(errno.ENOSPC, "No space left on device"), "write"),
        pytest.raises(errors.DiskError, match="No space left"),
    ):
        create_node(str(tmp_path / "v"))


# --- finding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["root", "hashes", "upstream"])
def test_the_plans_example_opens(tmp_path: Path, below: str) -> None:
    directory = by_hand(tmp_path, below=below)
    peer = tmp_path / "server01.alaska.example.com"
    peer.mkdir()
    (peer / "config").write_text(f"uuid={OTHER}\npath=/network/remote/server01.alaska/\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "a file").touch()
    assert find_node_directory(str(tmp_path)) == str(directory)
    with open_node(str(tmp_path)) as node:
        assert node.uuid == EXAMPLE
        assert node.config.chunking == "fixed"
        assert node.warnings == (), "a trailing slash is no other place"
        [entry] = node.peer_entries()
        assert (entry.name, entry.config.uuid) == ("server01.alaska.example.com", OTHER)


def test_none_or_two_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(errors.NotAVolume, match="there is no such directory"):
        open_node(str(tmp_path / "nowhere"))
    with pytest.raises(errors.NotAVolume, match="no directory in it has a config"):
        open_node(str(tmp_path))
    by_hand(tmp_path, "one")
    by_hand(tmp_path, "two")
    with pytest.raises(errors.NotAVolume, match="one, two"):
        open_node(str(tmp_path))


@pytest.mark.parametrize("where", ["", "local", "local/config", "elsewhere.conf", "link"])
def test_every_way_to_name_a_volume(tmp_path: Path, volume: Path, where: str) -> None:
    shutil.copy(volume / "local" / "config", volume / "elsewhere.conf")
    (volume / "link").symlink_to("local/config")
    assert locate(str(volume / where)) == (str(volume), str(volume / "local"))


def test_a_peers_config_opens_the_volume_it_names(tmp_path: Path, volume: Path) -> None:
    other = tmp_path / "other"
    with create_node(str(other)) as node, open_node(str(volume)) as ours:
        entry = ours.add_peer_entry("desk", PeerConfig(node.uuid, str(other)))
        assert locate(f"{entry.directory}/config") == (str(other), node.directory)
        (other / "local" / "config").write_text(f"uuid={OTHER}\n")
        with pytest.raises(errors.NotAVolume, match=OTHER):
            locate(f"{entry.directory}/config")


def test_the_nearest_volume_above_is_found(volume: Path) -> None:
    deep = volume / "local" / "root" / "a" / "b"
    deep.mkdir(parents=True)
    for place in (volume, volume / "local", deep):
        assert find_volume(str(place)) == str(volume)
    inner = deep / "inner"
    create_node(str(inner)).close()
    assert find_volume(str(inner / "local")) == str(inner)


def test_what_may_hang_beside_the_way_up_is_not_looked_at(
    tmp_path: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server mounted beside where somebody works, which does not answer any more."""
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    shutil.copytree(volume / "local", home / "server", symlinks=True)
    assert find_volume(str(home / "work")) == str(home)
    (home / "link").symlink_to(home / "server")
    real = os.path.realpath(home)
    table = tmp_path / "mountinfo"
    table.write_text(
        f"22 1 0:1 / / rw - ext4 /dev/a rw\n23 22 0:2 / {real}/server rw - nfs4 s:/ rw\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", str(table))
    asked: list[str] = []
    isfile = os.path.isfile
    monkeypatch.setattr(os.path, "isfile", lambda path: asked.append(path) or isfile(path))
    with pytest.raises(errors.NoVolume):
        find_volume(str(home / "work"))
    assert [path for path in asked if path.startswith((f"{home}/server", f"{home}/link"))] == []


def test_other_programs_configs_are_not_ours(tmp_path: Path) -> None:
    directory = tmp_path / "repository"
    (directory / "hashes").mkdir(parents=True)
    (directory / "config").write_text("[core]\n\tbare = true\n")
    with pytest.raises(errors.NoVolume):
        find_volume(str(directory))


def test_a_moved_volume_works_and_says_so(tmp_path: Path, volume: Path) -> None:
    shutil.move(volume, tmp_path / "moved")
    with open_node(str(tmp_path / "moved")) as node:
        [warning] = node.warnings
        assert f"path={volume}" in warning
        node.change_config("path", str(tmp_path / "moved"))
        assert node.warnings == ()
    with open_node(str(tmp_path / "moved")) as node:
        assert node.warnings == ()
    (tmp_path / "link").symlink_to("moved")
    with open_node(str(tmp_path / "link")) as node:
        assert node.warnings == (), "another name of the same place"


def test_a_path_that_lies_on_another_machine_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that died does not answer, and an engine looks ten times a second."""
    far = str(tmp_path / "far")
    asked: list[str] = []
    realpath = os.path.realpath

    def noted(path: str) -> str:
        asked.append(path)
        return realpath(path)

    with create_node(str(tmp_path / "vol")) as node:
        node.change_config("path", f"{far}/vol")
        monkeypatch.setattr(mounts, "on_network", lambda path: path.startswith(far))
        monkeypatch.setattr(os.path, "realpath", noted)
        [warning] = node.warnings
    assert f"path={far}/vol" in warning
    assert not [path for path in asked if path.startswith(far)]


def test_a_bad_config_names_file_and_line(volume: Path) -> None:
    config = volume / "local" / "config"
    config.write_text(config.read_text() + "blocksise=1M\n")
    with pytest.raises(
        errors.BadConfig, match=r"local/config:\d+: unknown key 'blocksise'.*blocksize"
    ):
        open_node(str(volume))


@pytest.mark.timeout(10)
def test_a_fifo_for_a_config_hangs_nobody(tmp_path: Path) -> None:
    (tmp_path / "local" / "root").mkdir(parents=True)
    os.mkfifo(tmp_path / "local" / "config")
    with pytest.raises(errors.GlobofsError):
        open_node(str(tmp_path))


# --- read only ----------------------------------------------------------------------------------


def test_asked_for_read_only(volume: Path) -> None:
    with open_node(str(volume), readonly=True) as node:
        assert (node.readonly, node.readonly_reason) == (True, "asked for")
        for change in (
            lambda: node.add_peer_entry("a", PeerConfig(OTHER, "/x")),
            lambda: node.change_config("name", "b"),
            node.writable,
        ):
            with pytest.raises(errors.ReadOnlyVolume):
                change()


def test_a_directory_that_may_not_be_written_opens_read_only(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)
    with open_node(str(volume)) as node:
        assert node.readonly_reason == "no permission to write there"


# --- peers --------------------------------------------------------------------------------------


def test_peers_come_change_and_go(tmp_path: Path, volume: Path) -> None:
    with open_node(str(volume)) as node:
        node.add_peer_entry("desk", PeerConfig(OTHER, "/net/desk"))
        assert [entry.name for entry in node.peer_entries()] == ["desk"]
        assert node.peer_entry(OTHER).name == "desk"
        with pytest.raises(errors.PeerExists):
            node.add_peer_entry("desk", PeerConfig(EXAMPLE, "/other"))
        with pytest.raises(errors.PeerExists, match="desk"):
            node.add_peer_entry("again", PeerConfig(OTHER, "/net/desk"))
        with pytest.raises(errors.UsageError, match="this node itself"):
            node.add_peer_entry("me", PeerConfig(node.uuid, str(volume)))
        config = volume / "desk" / "config"
        config.write_text(config.read_text() + "# in the cellar\n")
        changed = node.set_peer_entry("desk", path="/net/new", send=True)
        assert (changed.config.path, changed.config.send) == ("/net/new", True)
        assert "# in the cellar" in config.read_text()
        assert node.peer_entries() == [changed]
        node.remove_peer_entry("desk")
        assert node.peer_entries() == []
        assert not (volume / "desk").exists()
        with pytest.raises(errors.NoSuchPeer, match="there is none"):
            node.remove_peer_entry("desk")
    assert find_node_directory(str(volume)) == str(volume / "local")


def test_a_bad_peer_does_not_hide_the_others(volume: Path) -> None:
    with open_node(str(volume)) as node:
        node.add_peer_entry("good", PeerConfig(OTHER, "/x"))
        (volume / "bad").mkdir()
        (volume / "bad" / "config").write_text("path=/x\n")
        (volume / "worse").mkdir()
        os.mkfifo(volume / "worse" / "config")
        problems: list[errors.BadConfig] = []
        assert [entry.name for entry in node.peer_entries(problems)] == ["good"]
        assert len(problems) == 2
        with pytest.raises(errors.BadConfig, match="uuid= is missing"):
            node.peer_entries()


def test_what_lies_in_a_peers_directory_is_not_deleted_with_its_entry(volume: Path) -> None:
    with open_node(str(volume)) as node:
        node.add_peer_entry("desk", PeerConfig(OTHER, "/x"))
        (volume / "desk" / "notes").write_text("mine")
        node.remove_peer_entry("desk")
        assert os.listdir(volume / "desk") == ["notes"]
        assert node.peer_entries() == []


# --- life ---------------------------------------------------------------------------------------


def test_a_new_identity_has_a_journal_of_its_own(volume: Path) -> None:
    with open_node(str(volume)) as node:
        node.change_config("uuid", OTHER)
        assert node.uuid == OTHER == node.journal.own
        assert os.path.isdir(node.updates(OTHER))


def test_temporary_files_nobody_writes_are_deleted(volume: Path) -> None:
    """Scenario 5."""
    with open_node(str(volume)) as node:
        old, new = Path(node.tmp(), "old"), Path(node.tmp(), "new")
        old.touch()
        new.touch()
        os.utime(old, (1, 1))
        assert explode.sweep(node.blocks) == 1
        assert os.listdir(node.tmp()) == ["new"]


def test_closing_makes_pulled_blocks_durable(volume: Path) -> None:
    node = open_node(str(volume))
    with Recording(volume) as recording:
        node.blocks.put(bytes(32), b"data", "")
        node.close()
        node.close()
    assert "syncfs" in [op.name for op in recording.ops]


@pytest.mark.skipif(shutil.which("strace") is None, reason="counts system calls with strace")
def test_opening_costs_a_handful_of_system_calls(tmp_path: Path, volume: Path) -> None:
    script = (
        "import os\nfrom globofs.store.node import open_node\n"
        f"open_node({str(volume)!r}).close()\n"
        "os.stat('/begin')if 0 else None\ntry: os.stat('/begin')\nexcept OSError: pass\n"
        f"open_node({str(volume)!r}).close()\n"
        "try: os.stat('/end')\nexcept OSError: pass\n"
    )
    trace = tmp_path / "trace"
    subprocess.run(["strace", "-o", trace, sys.executable, "-c", script], check=True)
    lines = trace.read_text().split('"/begin"')[1].split('"/end"')[0].splitlines()
    assert len(lines) < 30


def test_opening_loads_nothing_heavy() -> None:
    script = (
        "import sys\nimport globofs.store.node\n"
        "heavy = {'ctypes', 'zstandard', 'concurrent.futures', 'asyncio', 'textual', 'mfusepy',\n"
        "         'pyfastcdc', 'multiprocessing', 'socket', 'subprocess'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_parts_of_a_node_are_where_format_md_says(volume: Path) -> None:
    with open_node(str(volume)) as node:
        assert isinstance(node, Node)
        local = str(volume / "local")
        assert node.root() == f"{local}/root"
        assert node.hashes() == f"{local}/hashes" == node.blocks.hashes
        assert node.upstream() == f"{local}/upstream"
        assert node.upstream(OTHER) == f"{local}/upstream/{OTHER}"
        assert node.updates(OTHER) == f"{local}/upstream/{OTHER}/updates"
        assert node.updates(OTHER, EXAMPLE) == f"{local}/upstream/{OTHER}/via/{EXAMPLE}/updates"
        assert node.staged() == f"{local}/staged" == node.blocks.staged
        assert node.run() == f"{local}/run"
    assert fsio.observer is None
