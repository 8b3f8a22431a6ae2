"""A peer's directory, synchronously: where it is, whether it is the right one, what lies in it.

Everything here may hang and may lie; `Peer` runs it in the peer's own pool. The peer entry's
`path` is the other node's *volume* directory as reached from here; its node directory is found
in it by its config. A push never creates `upstream/`, so nothing ever lands on an empty mount
point or in a directory that merely looks similar.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import uuid as uuid_module
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from globofs import limits
from globofs.errors import BadConfig, FormatError, PeerOffline, PeerWrong, printable
from globofs.format.applied import Applied, decode
from globofs.format.codec import encoded_limit
from globofs.format.config import SUFFIXES, parse_foreign
from globofs.format.text import format_time, parse_uuid
from globofs.peerio import files
from globofs.peerio.pool import beat
from globofs.store import staged
from globofs.store.segments import LATEST, is_segment

_CHILDREN_MOST = 10_000  # children of a volume directory that are looked at
_ORIGINS_MOST = 100_000
_SEGMENTS_MOST = 1_000_000
_STAGED_MOST = 1000
_PARTS = ("root", "hashes", "upstream")
_USUAL = "local"  # what `init` calls a node's directory unless told otherwise


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node's config says, read leniently: another version may have written it."""

    uuid: str
    name: str
    path: str
    cacheonly: bool
    directory: str  # the node directory


def parse_facts(data: bytes, directory: str) -> NodeFacts:
    """Facts of a config; unknown keys and odd values are ignored, a missing uuid is `""`."""
    try:
        found = parse_foreign(data.decode("utf-8", "surrogateescape"), f"{directory}/config")
    except BadConfig:
        return NodeFacts("", "", "", False, directory)
    return NodeFacts(found.uuid, found.name, found.path, found.cacheonly, directory)


def find_node(volume: str) -> NodeFacts | None:
    """The node directory in `volume`, or None; `FormatError` when there are several.

    A node directory given itself is taken as well. `OSError` when `volume` cannot be listed, or
    none was found and a config in it cannot be read.
    """
    found: list[NodeFacts] = []
    failed: OSError | None = None
    odd: OSError | None = None
    with os.scandir(volume) as entries:
        names = {entry.name for _, entry in zip(range(_CHILDREN_MOST), entries, strict=False)}
    if "config" in names and any(part in names for part in _PARTS):
        candidates = [volume.rstrip("/") or "/"]
    else:
        names.add(_USUAL)  # a listing may miss entries
        candidates = [os.path.join(volume, name) for name in sorted(names) if name[:1] != "."]
    for directory in candidates:
        try:
            data = files.read_regular(f"{directory}/config", "", limits.CONFIG_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except FormatError as error:
            if any(os.path.isdir(f"{directory}/{part}") for part in _PARTS):
                reason = f"{os.path.basename(directory)}/config: {error.fields['reason']}"
                odd = odd or OSError(errno.EINVAL, reason, directory)
            continue
        except OSError as error:
            failed = failed or error
            continue
        if any(os.path.isdir(f"{directory}/{part}") for part in _PARTS):
            found.append(parse_facts(data, directory))
    if len(found) > 1:
        both = " and ".join(os.path.basename(item.directory) for item in found[:2])
        raise FormatError(what=volume, reason=f"two node directories: {both}")
    failed = failed or odd
    if failed is not None and not found:
        raise failed
    return found[0] if found else None


def block_name(block: bytes) -> str:
    """`98/ea/6e4f…`: where a block lies below `hashes/`, without its suffix."""
    text = block.hex()
    return f"{text[:2]}/{text[2:4]}/{text[4:]}"


class PeerDirectory:
    """One peer's directory. Not thread safe in `locate`, harmless when it races."""

    def __init__(self, name: str, uuid: str, volume: str, now_ns: Callable[[], int]) -> None:
        self.name = name
        self.uuid = uuid
        self.volume = volume
        self._now_ns = now_ns
        self._node = ""
        self._inside = ""
        self._config = b""
        self.facts: NodeFacts | None = None
        self._suffixes: tuple[str, ...] = SUFFIXES
        self._serial = 0

    # --- the right directory ---

    def locate(self) -> str:
        """Find the node directory anew. Raises `PeerOffline` or `PeerWrong`."""
        self._node = ""
        try:
            facts = find_node(self.volume)
        except OSError as error:
            raise PeerOffline(peer=self.name, reason=_why(error, self.volume)) from error
        except FormatError as error:
            raise PeerWrong(peer=self.name, reason=error.message) from error
        if facts is None:
            reason = f"no node in {self.volume}; is it mounted?"
            raise PeerOffline(peer=self.name, reason=reason)
        if facts.uuid != self.uuid:
            reason = f"{self.volume} belongs to node {facts.uuid or 'without a uuid'}"
            reason += self._heir(facts)
            raise PeerWrong(peer=self.name, reason=reason)
        self._inside = os.path.realpath(facts.directory)
        self._config = b""
        self._node = facts.directory
        return facts.directory

    def check(self) -> str:
        """The node directory, its config just read and with the expected uuid.

        Raises `PeerOffline` (nothing there) or `PeerWrong` (another node's).
        """
        for last in (False, True):
            node = self._node or self.locate()
            try:
                data = files.read_regular(f"{node}/config", "", limits.CONFIG_BYTES)
            except (OSError, FormatError) as error:
                if last:
                    reason = _why(error, node) if isinstance(error, OSError) else error.message
                    raise PeerOffline(peer=self.name, reason=reason) from error
                self._node = ""
                continue
            if data == self._config:
                return node
            facts = parse_facts(data, node)
            if facts.uuid == self.uuid:
                self._config, self.facts = data, facts
                return node
            self._node = ""
            if last:
                reason = f"its config now names node {facts.uuid or 'nobody'}{self._heir(facts)}"
                raise PeerWrong(peer=self.name, reason=reason)
        raise AssertionError("unreachable")

    def _heir(self, facts: NodeFacts) -> str:
        """What to say where the node there once had the expected uuid, until its volume was found
        to be a copy. Not followed by itself: the one that kept the uuid may be the one meant."""
        try:
            parse_uuid(facts.uuid)  # it becomes part of a path
            if not os.path.isdir(f"{facts.directory}/upstream/{facts.uuid}/was-{self.uuid}"):
                return ""
        except FormatError:
            return ""
        place = shlex.quote(printable(self.volume))
        return (
            f", which was {self.uuid} until its volume was copied; if this is the one you mean:"
            f" globofs peer remove {self.name} && globofs peer add {self.name} {place}"
        )

    def guarded(self, function: Callable[[str], bytes]) -> bytes:
        """`function(node directory)` between two checks; what it raised gives way to theirs."""
        node = self.check()
        try:
            value = function(node)
        except (OSError, FormatError):
            self.check()
            raise
        self.check()
        return value

    @contextlib.contextmanager
    def _confirmed(self) -> Iterator[None]:
        """What fails with an `OSError` in it fails as a check says, where the peer is not there."""
        try:
            yield
        except OSError:
            self.check()
            raise

    # --- journals ---

    def read_applied(self) -> bytes:
        """The bytes of the peer's `upstream/applied`; `b""` when it has none yet."""

        def read(node: str) -> bytes:
            path = f"{node}/upstream/applied"
            try:
                return files.read_regular(path, self._inside, limits.APPLIED_BYTES)
            except FileNotFoundError:
                return b""

        return self.guarded(read)

    def list_origins(self) -> list[str]:
        """Uuids below the peer's `upstream/` (a listing: a hint)."""
        with self._confirmed():
            names = files.names_in(f"{self.check()}/upstream", _ORIGINS_MOST)
        return [name for name in names if _is_uuid(name)]

    def list_writers(self, origin: str) -> list[str]:
        """Who passed on the journal of `origin` there: uuids below its `via/`."""
        with self._confirmed():
            names = files.names_in(f"{self.check()}/upstream/{origin}/via", _ORIGINS_MOST)
        return [name for name in names if _is_uuid(name)]

    def list_updates(self, origin: str, via: str | None = None) -> list[str]:
        """Names of the segments of a journal there, oldest first, `latest` last.

        `latest` is named whether it was listed or not: only opening it tells.
        """
        with self._confirmed():
            names = files.names_in(f"{self.check()}/{journal_path(origin, via)}", _SEGMENTS_MOST)
        segments = [name for name in names if is_segment(name) and name != LATEST]
        segments.sort(key=lambda name: (len(name), name))
        return [*segments, LATEST]

    def read_updates(
        self, origin: str, via: str | None, name: str, offset: int, limit: int
    ) -> bytes:
        """At most `limit` bytes of a segment; `b""` behind its end or when it is gone."""
        path = f"{self._node or self.check()}/{journal_path(origin, via)}/{name}"
        try:
            with self._confirmed():
                return files.read_piece(path, self._inside, offset, limit)
        except FileNotFoundError:
            return b""

    def read_end(self, origin: str, via: str | None, count: int) -> bytes:
        """The last `count` bytes of `latest`, as far as its size can be believed."""
        path = f"{self.check()}/{journal_path(origin, via)}/latest"
        try:
            with self._confirmed():
                size = files.size_of(path, self._inside)
                return files.read_piece(path, self._inside, max(0, size - count), count)
        except FileNotFoundError:
            return b""

    def append_updates(self, origin: str, via: str | None, data: bytes) -> None:
        """Append `data` (whole frames) to our file of a journal there, durably.

        `via` is None for our own journal, else our uuid. Nothing is sent until it is acknowledged.
        """

        def write(node: str) -> bytes:
            path = f"{node}/{journal_path(origin, via)}"
            try:
                size = files.append(f"{path}/latest", self._inside, data)
            except FileNotFoundError:
                below = ("updates",) if via is None else ("via", via, "updates")
                files.make_directories(f"{node}/upstream", origin, *below)
                size = files.append(f"{path}/latest", self._inside, data)
            if size + len(data) >= limits.SEGMENT_BYTES:
                self._rotate(path)
            return b""

        self.guarded(write)

    def _rotate(self, path: str) -> None:
        """Close `latest` under a name of its own. When in doubt, writing goes on in `latest`."""
        with contextlib.suppress(OSError):
            files.rename_new(f"{path}/latest", f"{path}/{format_time(self._now_ns())}")

    # --- blocks ---

    def read_block(self, block: bytes, size: int) -> tuple[bytes, str] | None:
        """A block as it lies there and its suffix; None when the peer has none.

        `size` is that of the plain bytes: a file much larger than that is not the block.
        """
        node = self._node or self.check()
        limit = encoded_limit(size)
        name = block_name(block)
        for suffix in self._suffixes:
            path = f"{node}/hashes/{name}{suffix}"
            try:
                data = files.read_regular(path, self._inside, limit)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                self.check()
                raise
            self._prefer(suffix)
            return data, suffix
        self.check()
        return None

    def list_staged(self) -> list[tuple[str, int]]:
        """Names and sizes of the peer's complete staged files (a listing: a hint)."""
        with self._confirmed():
            listed = files.sizes_in(f"{self.check()}/staged", _STAGED_MOST)
        return [(name, size) for name, size in listed if staged.named(name) is not None]

    def read_staged(self, name: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes of a staged file; `b""` behind its end or when it is gone."""
        try:
            with self._confirmed():
                path = f"{self._node or self.check()}/staged/{name}"
                return files.read_piece(path, self._inside, offset, limit)
        except FileNotFoundError:
            return b""

    def stat_block(self, block: bytes) -> int | None:
        """Size of a block's file, seen by opening it between two checks; None when absent."""
        node = self.check()
        for suffix in self._suffixes:
            path = f"{node}/hashes/{block_name(block)}{suffix}"
            try:
                size = files.size_of(path, self._inside)
            except (FileNotFoundError, NotADirectoryError, FormatError):
                continue
            except OSError:
                self.check()
                raise
            self.check()
            self._prefer(suffix)
            return size
        return None

    def lacks(self, blocks: Iterable[bytes]) -> list[bytes]:
        """Those of `blocks` that the peer has no file for. One call for many."""
        node = self.check()
        missing = []
        for block in blocks:
            path = f"{node}/hashes/{block_name(block)}"
            if not any(os.path.lexists(path + suffix) for suffix in self._suffixes):
                missing.append(block)
            beat()
        self.check()
        return missing

    def write_block(self, block: bytes, data: bytes, suffix: str) -> None:
        """Put an encoded block into the peer's `hashes/`: temporary name, fsync, rename.

        A block that is there already is left alone.
        """

        def write(node: str) -> bytes:
            name = block_name(block)
            hashes = f"{node}/hashes"
            if any(os.path.lexists(f"{hashes}/{name}{suffix}") for suffix in self._suffixes):
                return b""
            files.make_directories(node, "tmp")
            self._serial += 1
            unique = f"{os.getpid():x}-{id(self):x}-{self._serial:x}-{uuid_module.uuid4().hex[:8]}"
            temporary = f"{node}/tmp/from-peer-{unique}"
            files.create(temporary, self._inside, data)
            try:
                target = f"{hashes}/{name}{suffix}"
                try:
                    files.rename_new(temporary, target)
                except FileNotFoundError:
                    files.make_directories(hashes, name[:2], name[3:5])
                    files.rename_new(temporary, target)
            except OSError as error:
                with contextlib.suppress(OSError):
                    files.unlink(temporary)
                if not isinstance(error, FileExistsError):
                    raise
            return b""

        self.guarded(write)

    def _prefer(self, suffix: str) -> None:
        if self._suffixes[0] != suffix:
            self._suffixes = (suffix, *(other for other in SUFFIXES if other != suffix))


def journal_path(origin: str, via: str | None = None) -> str:
    """Directory of a journal below a node directory: by its node, or as passed on by `via`."""
    if via is None:
        return f"upstream/{origin}/updates"
    return f"upstream/{origin}/via/{via}/updates"


def decode_applied(data: bytes) -> Applied | None:
    """The peer's acknowledgements; None when there are none or they are torn just now."""
    if not data:
        return None
    try:
        return decode(data)
    except FormatError:
        return None


def _is_uuid(name: str) -> bool:
    try:
        return parse_uuid(name) == name
    except FormatError:
        return False


def _why(error: OSError, path: str) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"{path} is not there; is it mounted?"
    return f"{path}: {error.strerror or error}"
