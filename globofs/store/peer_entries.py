"""The peers a volume names: one directory beside the node's own each, with a `config`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from globofs import errors
from globofs.format.config import PeerConfig, parse_peer, render_peer, set_key
from globofs.store import fsio
from globofs.store.find import check_entry_name, config_text

if TYPE_CHECKING:
    from globofs.store.parts import NodeParts


class PeerEntry(NamedTuple):
    """A peer as this volume names it: the directory beside ours, and its config."""

    name: str
    config: PeerConfig
    directory: str


def entries(node: NodeParts, problems: list[errors.BadConfig] | None = None) -> list[PeerEntry]:
    """The peers this volume names, by name.

    An entry whose config is bad raises BadConfig, or goes into `problems` where given.
    """
    found: list[PeerEntry] = []
    for name in sorted(os.listdir(node.volume)):
        directory = os.path.join(node.volume, name)
        path = os.path.join(directory, "config")
        if name[:1] == "." or directory == node.directory:
            continue
        try:
            config = parse_peer(config_text(path), path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            bad = errors.BadConfig(path=path, line=1, reason=error.strerror or str(error))
            _raise_or_keep(bad, problems)
            continue
        except errors.BadConfig as error:
            _raise_or_keep(error, problems)
            continue
        found.append(PeerEntry(name, config, directory))
    return found


def entry(node: NodeParts, name: str) -> PeerEntry:
    """The peer of that name or uuid. Raises NoSuchPeer."""
    known_ones = entries(node, [])
    for one in known_ones:
        if name in (one.name, one.config.uuid):
            return one
    known = ", ".join(one.name for one in known_ones) or "none"
    raise errors.NoSuchPeer(name=name, known=known)


def add(node: NodeParts, name: str, config: PeerConfig) -> PeerEntry:
    """Name a peer. Raises PeerExists for a name or node that is there, UsageError for us."""
    node.writable()
    check_entry_name(name)
    if config.uuid == node.uuid:
        raise errors.UsageError(f"{errors.printable(config.path)}: that is this node itself")
    for known in entries(node, []):
        if known.config.uuid == config.uuid:
            there = f"{errors.printable(config.path)}: the node there is a peer already"
            raise errors.PeerExists(f"{there}, called {errors.printable(known.name)}")
    directory = os.path.join(node.volume, name)
    if os.path.lexists(directory):
        raise errors.PeerExists(name=name)
    text = render_peer(config)
    fsio.mkdir(directory)
    fsio.write_atomic(os.path.join(directory, "config"), os.fsencode(text), durable=True)
    fsio.fsync_dir(node.volume)
    return PeerEntry(name, config, directory)


def change(
    node: NodeParts, name: str, *, path: str | None = None, send: bool | None = None
) -> PeerEntry:
    """Change a peer's entry; comments in its config stay. Raises NoSuchPeer, BadConfig."""
    node.writable()
    found = entry(node, name)
    file = os.path.join(found.directory, "config")
    text = config_text(file)
    if path is not None:
        text = set_key(text, "path", path)
    if send is not None:
        text = set_key(text, "send", "yes" if send else "no")
    config = parse_peer(text, file)
    fsio.write_atomic(file, os.fsencode(text), durable=True)
    return PeerEntry(found.name, config, found.directory)


def remove(node: NodeParts, name: str) -> PeerEntry:
    """Forget a peer; what its journal brought stays. Raises NoSuchPeer."""
    node.writable()
    found = entry(node, name)
    fsio.unlink(os.path.join(found.directory, "config"))
    if not os.listdir(found.directory):
        fsio.rmdir(found.directory)
    fsio.fsync_dir(node.volume)
    return found


def _raise_or_keep(error: errors.BadConfig, problems: list[errors.BadConfig] | None) -> None:
    if problems is None:
        raise error
    problems.append(error)
