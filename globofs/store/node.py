"""One node's directory: found, opened, made. Opening reads a few names and one config, no more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from globofs import errors, limits
from globofs.events import Emit, ignore
from globofs.format.config import (
    NodeConfig,
    PeerConfig,
    parse_node,
    render_node,
    set_key,
)
from globofs.store import fsio, home, peer_entries
from globofs.store.clock import SYSTEM, Clock
from globofs.store.find import (
    check_entry_name,
    find_node_directory,
    find_volume,
    locate,
    read_config,
)
from globofs.store.host import claim
from globofs.store.locks import Lock
from globofs.store.parts import NodeParts
from globofs.store.peer_entries import PeerEntry

if TYPE_CHECKING:
    from globofs.store.commit import Operation

__all__ = [
    "Node",
    "PeerEntry",
    "create_node",
    "find_node_directory",
    "find_volume",
    "locate",
    "open_node",
]
_MAKING: Final = ".globofs-init-"


# --- opening and making -------------------------------------------------------------------------


def open_node(where: str, readonly: bool = False, clock: Clock = SYSTEM) -> Node:
    """The node at `where` (volume directory or config file). Nothing is scanned.

    A volume that may not be written, or that another machine writes, is opened read only. Raises
    NoVolume, NotAVolume, BadConfig.
    """
    volume, directory = locate(where)
    reason = "asked for" if readonly else _why_not_writable(directory)
    config = read_config(directory)
    let_go = None
    if not reason:
        reason, let_go = claim(directory, Lock(directory, "host"))
    if not reason:
        home.settle(directory)
    node = Node(volume, directory, config, clock, reason)
    node.let_go = let_go
    return node


def _why_not_writable(directory: str) -> str:
    if os.access(directory, os.W_OK | os.X_OK):
        return ""
    try:
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            return "the file system is read only"
    except OSError as error:
        return error.strerror or "it does not answer"
    return "no permission to write there"


def create_node(
    volume: str,
    local: str = "local",
    name: str | None = None,
    *,
    uuid: str | None = None,
    clock: Clock = SYSTEM,
    blocksize: int = limits.BLOCK_SIZE_DEFAULT,
    chunking: str = "cdc",
    compression: str = "zstd",
    cacheonly: bool = False,
    cachetime: float | None = None,
) -> Node:
    """Make a node in the directory `volume` and open it: whole, or not at all.

    `compression` may carry a level (`zstd:9`), `cachetime` is in seconds. Raises NotEmpty where
    something lies there, BadConfig for a senseless setting, `UsageError` for a bad name.
    """
    check_entry_name(local)
    volume = os.path.abspath(volume)
    own = uuid or _new_uuid()
    config = NodeConfig(
        uuid=own,
        path=volume,
        name=name or os.uname().nodename or "node",
        cacheonly=cacheonly,
        cachetime_seconds=cachetime,
        blocksize=blocksize,
    )
    text = set_key(render_node(config), "chunking", chunking)
    text = set_key(text, "compression", compression)
    parse_node(text, os.path.join(volume, local, "config"))
    try:
        fsio.mkdirs(volume)
        _clear_leftovers(volume)
        making = os.path.join(volume, _MAKING + own)
        fsio.mkdir(making)
        for below in ("root", "hashes", "staged", "state", "lock", "run"):
            fsio.mkdir(os.path.join(making, below))
        fsio.mkdir(os.path.join(making, "tmp"), 0o700)
        fsio.mkdirs(os.path.join(making, "upstream", own, "updates"))
        fsio.write_new(os.path.join(making, "config"), os.fsencode(text))
        fsio.syncfs(making)
        directory = os.path.join(volume, local)
        fsio.rename(making, directory)
        fsio.fsync_dir(volume)
    except OSError as error:
        raise errors.from_os_error(error, error.filename or volume) from error
    return open_node(volume, clock=clock)


def _new_uuid() -> str:
    from uuid import uuid4  # slow to load, and only `init` needs it

    return str(uuid4())


def _clear_leftovers(volume: str) -> None:
    """Delete what a killed `init` left; NotEmpty when anything else lies there."""
    left = os.listdir(volume)
    if any(not name.startswith(_MAKING) for name in left):
        raise errors.NotEmpty(path=volume)
    for name in left:
        for place, directories, files in os.walk(os.path.join(volume, name), topdown=False):
            for file in files:
                fsio.unlink(os.path.join(place, file))
            for below in directories:
                fsio.rmdir(os.path.join(place, below))
        fsio.rmdir(os.path.join(volume, name))


class Node(NodeParts):
    """One node of a volume, on this machine, and what is done with it as a whole."""

    # --- peers ------------------------------------------------------------------------------

    def peer_entries(self, problems: list[errors.BadConfig] | None = None) -> list[PeerEntry]:
        """The peers this volume names, by name; see `peer_entries.entries`."""
        return peer_entries.entries(self, problems)

    def peer_entry(self, name: str) -> PeerEntry:
        """The peer of that name or uuid. Raises NoSuchPeer."""
        return peer_entries.entry(self, name)

    def add_peer_entry(self, name: str, config: PeerConfig) -> PeerEntry:
        """Name a peer. Raises PeerExists for a name or node that is there, UsageError for us."""
        return peer_entries.add(self, name, config)

    def set_peer_entry(
        self, name: str, *, path: str | None = None, send: bool | None = None
    ) -> PeerEntry:
        """Change a peer's entry; comments in its config stay. Raises NoSuchPeer, BadConfig."""
        return peer_entries.change(self, name, path=path, send=send)

    def remove_peer_entry(self, name: str) -> PeerEntry:
        """Forget a peer; what its journal brought stays. Raises NoSuchPeer."""
        return peer_entries.remove(self, name)

    # --- writing and reading ----------------------------------------------------------------

    def catch_up(self, emit: Emit = ignore) -> None:
        """Bring the index up to what lies in `upstream/`, and to what was laid out by hand."""
        from globofs.store.catchup import catch_up

        catch_up(self, emit=emit)
        if self.index.meta("adopted") is None:
            from globofs.store.adopt import adopt, needs_adoption

            if needs_adoption(self):
                adopt(self, emit=emit)
            self.index.set_meta("adopted", 1)

    def operation(
        self,
        verb: str,
        args: Sequence[str | bytes] = (),
        *,
        late: bool = False,
        emit: Emit = ignore,
    ) -> Operation:
        """An operation to commit versions with: `with node.operation("add", args) as op: ...`"""
        from globofs.store.commit import Operation

        self.writable()
        if self.index.meta("adopted") is None:
            self.catch_up(emit)  # what was laid out by hand comes before the first write
        return Operation(self, verb, args, late=late, emit=emit)

    def finish(self, *, emit: Emit = ignore) -> None:
        """Explode staged blocks, build `root/`, acknowledge: what the end of a command does."""
        from globofs.store.commit import finish

        finish(self, emit=emit)
