"""Which directory is meant: the volume, and in it the one that is this node's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from globofs import errors, limits
from globofs.format.config import NodeConfig, parse_foreign, parse_node
from globofs.store import fsio, mounts

_TELLING: Final = ("root", "hashes", "upstream")


def is_node_directory(path: str) -> bool:
    """Whether `path` has a `config` and something only a node's own directory has."""
    if not os.path.isfile(f"{path}/config"):
        return False
    return any(os.path.isdir(f"{path}/{name}") for name in _TELLING)


def _candidates(
    volume: str, skipped: Callable[[os.DirEntry[str]], bool] | None = None
) -> list[str]:
    """The children of `volume` that look like a node's own directory, by name; nothing is asked
    of those that are `skipped`."""
    with os.scandir(volume) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if entry.name[:1] != "." and not (skipped and skipped(entry)) and entry.is_dir()
        )
    paths = [os.path.join(volume, name) for name in names]
    return [path for path in paths if is_node_directory(path)]


def find_node_directory(volume: str) -> str:
    """The one child of `volume` with `config` and one of `root/`, `hashes/`, `upstream/`.

    Raises NotAVolume where there is no such directory `volume`, and where none or several of its
    children qualify.
    """
    try:
        found = _candidates(volume)
    except FileNotFoundError:
        raise errors.NotAVolume(path=volume, reason="there is no such directory") from None
    except NotADirectoryError:
        raise errors.NotAVolume(path=volume, reason="it is not a directory") from None
    except OSError as error:
        raise errors.from_os_error(error, volume) from error
    if len(found) == 1:
        return found[0]
    if not found:
        reason = "no directory in it has a config and one of root/, hashes/ and upstream/"
    else:
        names = ", ".join(os.path.basename(path) for path in found)
        reason = f"several directories in it look like this node's own: {names}"
    raise errors.NotAVolume(path=volume, reason=reason)


def find_volume(start: str) -> str:
    """The nearest volume at or above the directory `start`. Raises NoVolume.

    What other machines' file systems are mounted beside the way up is not looked at: one that does
    not answer would hold up whoever asks.
    """
    place = os.path.abspath(start)
    remote = mounts.remote_mounts()

    def elsewhere(entry: os.DirEntry[str]) -> bool:
        if entry.is_symlink():
            return bool(remote) and mounts.on_network(entry.path)
        return os.path.join(real, entry.name) in remote

    while True:
        real = os.path.realpath(place)
        try:
            found = [path for path in _candidates(place, elsewhere) if _names_a_uuid(path)]
        except OSError:
            found = []
        if found:
            return place
        above = os.path.dirname(place)
        if above == place:
            raise errors.NoVolume(path=start)
        place = above


def _names_a_uuid(directory: str) -> bool:
    """Whether a directory's config is one of ours: many programs call a file `config`."""
    try:
        parse_foreign(config_text(f"{directory}/config"))
    except (OSError, errors.GlobofsError):
        return False
    return True


def config_text(path: str) -> str:
    """The text of a config of ours. Raises OSError."""
    # What the user made is the user's: a config may be a symlink, as other settings often are.
    place = os.path.realpath(path) if os.path.islink(path) else path
    return fsio.read_file(place, limits.CONFIG_BYTES).decode("utf-8", "surrogateescape")


def locate(where: str) -> tuple[str, str]:
    """Volume directory and node directory that `where` means.

    `where` is a volume, a node's own directory, or a config file: the one in a node's directory,
    or any other whose `path=` names the volume.
    """
    place = os.path.abspath(where)
    if os.path.isfile(place):
        directory = os.path.dirname(place)
        if os.path.basename(place) == "config" and is_node_directory(directory):
            return os.path.dirname(directory), directory
        return _from_config(place)
    if is_node_directory(place):
        return os.path.dirname(place), place
    return place, find_node_directory(place)


def _from_config(path: str) -> tuple[str, str]:
    try:
        config = parse_foreign(config_text(path), path)
    except OSError as error:
        raise errors.from_os_error(error, path) from error
    if not config.path:
        raise errors.BadConfig(path=path, line=1, reason="path= is missing: which volume is it?")
    volume = os.path.abspath(config.path)
    directory = find_node_directory(volume)
    there = read_config(directory).uuid
    if there != config.uuid:
        reason = f"{path} expects the node {config.uuid}, there lies {there}"
        raise errors.NotAVolume(path=volume, reason=reason)
    return volume, directory


def read_config(directory: str) -> NodeConfig:
    """The config of the node in `directory`. Raises BadConfig, DiskError."""
    path = os.path.join(directory, "config")
    try:
        return parse_node(config_text(path), path)
    except OSError as error:
        raise errors.from_os_error(error, path) from error


def original(config: NodeConfig, directory: str) -> str:
    """The volume at a node's `path=`, where another directory than `directory` bears its uuid; ""
    where none does."""
    if not config.path:
        return ""
    try:
        there = find_node_directory(config.path)
        twin = read_config(there).uuid == config.uuid and not os.path.samefile(there, directory)
    except (errors.GlobofsError, OSError):
        return ""
    return config.path if twin else ""


def check_entry_name(name: str) -> None:
    """UsageError unless `name` can be the directory of a node in a volume."""
    encoded = os.fsencode(name)
    bad = not name or name[0] in ".-" or "/" in name or len(encoded) > limits.NAME_BYTES
    if bad or not name.isprintable():
        shown = errors.printable(name)
        raise errors.UsageError(f"{shown!r}: not a name for a node's directory; try server01")
