"""The facade that all faces share: open a volume, look at it, and one short method a verb.

Looking is SQLite only and works from any thread; content is pulled when it is not here. The verbs
stand in families beside this module (`files`, `moving`, `care`); `Volume` is made of them.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from globofs.events import Emit, ignore, never
from globofs.volume.care import CareVerbs
from globofs.volume.files import FileVerbs
from globofs.volume.moving import MovingVerbs

if TYPE_CHECKING:
    from types import TracebackType

    from globofs.errors import NoSuchPath
    from globofs.events import Cancelled
    from globofs.peerio.peers import Peers
    from globofs.snapshots import Status
    from globofs.store.clock import Clock
    from globofs.store.node import Node
    from globofs.store.query import View
    from globofs.store.state import Pauses
    from globofs.store.views import Block, Entry, Operation, OperationKey, Version
    from globofs.sync.pull import FileReader, Puller
    from globofs.sync.results import Conflict

ENVIRONMENT = "GLOBOFS_VOLUME"


class Volume(FileVerbs, MovingVerbs, CareVerbs):
    """One node's volume, open. Usable from any thread; a context manager."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._peers: Peers | None = None
        self._puller: Puller | None = None
        self._making = threading.Lock()

    # --- opening ------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        where: str | None = None,
        *,
        readonly: bool = False,
        clock: Clock | None = None,
        catch_up: bool = True,
        emit: Emit = ignore,
    ) -> Volume:
        """Open the volume at `where` (its directory or a config file), else at
        `$GLOBOFS_VOLUME`, else at or above the current directory. Nothing is scanned; with
        `catch_up` the index is brought up to what lies in `upstream/`.

        Raises NoVolume, NotAVolume, BadConfig.
        """
        from globofs.store.clock import SYSTEM
        from globofs.store.node import find_volume, open_node

        place = where or os.environ.get(ENVIRONMENT) or find_volume(os.getcwd())
        node = open_node(place, readonly=readonly, clock=clock or SYSTEM)
        try:
            if catch_up:
                node.catch_up(emit=emit)
        except BaseException:
            node.close()
            raise
        return cls(node)

    @classmethod
    def init(
        cls,
        volume: str,
        *,
        local: str = "local",
        name: str | None = None,
        blocksize: int | None = None,
        chunking: str | None = None,
        compression: str | None = None,
        cacheonly: bool = False,
        cachetime: float | None = None,
    ) -> Volume:
        """Make a node in the directory `volume` (made if missing; must be empty), and open it."""
        from globofs.store.node import create_node

        settings: dict[str, Any] = {
            "blocksize": blocksize,
            "chunking": chunking,
            "compression": compression,
            "cacheonly": cacheonly or None,
            "cachetime": cachetime,
        }
        given = {key: value for key, value in settings.items() if value is not None}
        return cls(create_node(volume, local=local, name=name, **given))

    def close(self) -> None:
        """End threads and close files. A volume may be closed twice."""
        with self._making:
            peers = self._peers
            self._puller = self._peers = None
        if peers is not None:
            peers.close()
        self.node.close()

    def __enter__(self) -> Volume:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- who and where ------------------------------------------------------------------------

    @property
    def uuid(self) -> str:
        """This node's uuid."""
        return self.node.config.uuid

    @property
    def name(self) -> str:
        """This node's name, as others show it."""
        return self.node.name

    @property
    def directory(self) -> str:
        """The volume's directory."""
        return self.node.volume

    @property
    def readonly(self) -> bool:
        """Whether nothing can be written here."""
        return bool(self.node.readonly)

    @property
    def peers(self) -> Peers:
        """The peers; made at the first use, which touches none of them."""
        with self._making:
            if self._peers is None:
                from globofs.peerio.peers import Peers

                self._peers = Peers(self.node)
            return self._peers

    @property
    def puller(self) -> Puller:
        """Gets blocks, from here or from peers; made at the first use."""
        peers = self.peers
        with self._making:
            if self._puller is None:
                from globofs.sync.pull import Puller

                self._puller = Puller(self.node, peers)
            return self._puller

    def node_name(self, uuid: str) -> str:
        """How the node `uuid` calls itself; the start of the uuid while that is not known."""
        if uuid == self.uuid:
            return self.name
        return self.node.index.node_name(uuid) or uuid[:8]

    def node_names(self) -> dict[str, str]:
        """How every node that was heard of calls itself, by uuid; this one is among them."""
        return {
            **{node.uuid: node.name or node.uuid[:8] for node in self.node.index.nodes()},
            self.uuid: self.name,
        }

    # --- looking ------------------------------------------------------------------------------

    def view(self, at: int | None = None) -> View:
        """The tree now, or as it was at the moment `at`.

        An index that was thrown away, here or by another client, is filled again first: half of it
        would look as if files had been deleted. Raises OSError, Locked.
        """
        from globofs.store.query import View

        if not self.node.index.is_filled():
            self.node.catch_up()
        return View(self.node, at)

    def history(self, path: bytes, *, limit: int = 0) -> list[Version]:
        """The versions of `path`, newest first, followed through renames; `limit` 0 is all."""
        versions = self.view().history(path, follow=True)
        return versions[:limit] if limit else versions

    def history_below(
        self, path: bytes, *, limit: int = 200, before: int | None = None
    ) -> list[Version]:
        """The versions of everything below a directory, newest first, older than `before`."""
        return self.view().history_below(path, limit, before)

    def operations(
        self, *, limit: int = 200, before: int | None = None, below: bytes = b""
    ) -> list[Operation]:
        """Operations that touched something below `below`, newest first."""
        return self.view().operations(limit, before=before, below=below or None)

    def operation_versions(
        self, key: OperationKey, limit: int = 0, below: bytes = b""
    ) -> list[Version]:
        """What an operation wrote at and below a path, by path; `limit` 0 is all."""
        return self.view().versions_of_operation(key, limit, below)

    def find(self, pattern: str, *, limit: int = 0) -> list[Entry]:
        """What is, or once was, called like `pattern` (shell wildcards, or part of a name)."""
        return list(islice(self.view().find(pattern, deleted=True), limit or None))

    def blocks(self, version: Version) -> list[tuple[Block, bool]]:
        """The blocks of a version in order, and whether each is held here."""
        return self.view().blocks_of(version)

    def parse_version(self, path: bytes, text: str) -> Version:
        """The version of `path` that `text` names: its number, a unique prefix of it or of its
        id, `-1` for the one before the newest. Raises NoSuchVersion, AmbiguousVersion."""
        return self.view().version_by_prefix(path, text)

    def no_such_path(self, path: bytes, when: str = "") -> NoSuchPath:
        """The error for a `path` that is not there, with what may have been meant; `when` says
        which moment was looked at, where it was not now."""
        from globofs.sync.suggest import no_such_path

        return no_such_path(self.view(), path, when)

    def pauses(self) -> Pauses:
        """What is paused until somebody resumes it."""
        return self.node.state.pauses()

    def conflicts(self) -> list[Conflict]:
        """Paths with several different heads."""
        from globofs.sync.resolve import conflicts

        return conflicts(self.node)

    def common_version(self, sides: Sequence[Version]) -> Version | None:
        """The newest version that all these were made from; None where there is none."""
        from globofs.sync.resolve import common_version

        return common_version(self.node, sides)

    def manifest_text(self, version: Version) -> bytes:
        """The manifest of a version, as it was written. Raises ContentMissing while a large one
        is not here."""
        from globofs.store.manifests import manifest_text

        return manifest_text(self.node, version)

    def source_path(self, real: str) -> bytes | None:
        """The volume path of the file at `real` (absolute) on this machine, if a folder that was
        added holds it; of several folders the one with the longest path."""
        found: list[tuple[int, bytes]] = []
        view = self.view()
        for key in self.node.state.source_keys():
            folder = self.node.state.source(key).folder()
            if folder is None or not (real + "/").startswith(os.path.join(folder[0], "")):
                continue
            below = os.fsencode(os.path.relpath(real, folder[0]))
            path = b"/".join(part for part in (folder[1], below) if part and part != b".")
            if view.entry(path, deleted=True) is not None:
                found.append((len(folder[0]), path))
        return max(found)[1] if found else None

    def status(
        self, *, probe: bool = False, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> Status:
        """The volume as it stands here; the engine lays rates and live states over it. With
        `probe` the peers are asked how they are, a few seconds at most."""
        from globofs.sync.why import status

        peers = self.peer_probe(cancelled=cancelled) if probe else self.peer_list()
        return status(self.node, tuple(peers))

    # --- content ------------------------------------------------------------------------------

    def read(
        self, version: Version, *, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> Iterator[bytes]:
        """The content of a version, piece by piece, pulling what is missing, reading ahead.
        Raises ContentMissing where nobody reachable holds a block."""
        return self.puller.iter_version(version, cancelled)

    def reader(self, version: Version, *, patience: float = math.inf) -> FileReader:
        """Random access to the content of a version, for as long as it is open; a read gives up
        when no peer gave a sign of life for `patience` seconds."""
        from globofs.sync.pull import FileReader

        return FileReader(self.puller, version, patience=patience)

    def read_held(self, version: Version, limit: int) -> bytes | None:
        """The first `limit` bytes if they are all here; None otherwise. Touches no peer."""
        pieces: list[bytes] = []
        left = limit
        for block, held in self.blocks(version):
            if left <= 0:
                break
            if not held:
                return None
            piece = self.node.blocks.get(block.id, block.size)
            pieces.append(piece[:left])
            left -= len(piece)
        return b"".join(pieces)


def peer_paths(where: str | None) -> list[str]:
    """The volume directory itself and where its peers are said to be; for whoever must know
    before anything is opened. Reads small local files only. Raises NoVolume, NotAVolume."""
    from globofs.store.node import find_volume, open_node

    place = where or os.environ.get(ENVIRONMENT) or find_volume(os.getcwd())
    with open_node(place, readonly=True) as node:
        return [node.volume, *(entry.config.path for entry in node.peer_entries([]))]
