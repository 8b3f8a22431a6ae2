"""The files and links of versions below `root/`: what `tree` puts there, system call by call.

Most versions are the first of their path. For those every directory is simply made, and what is
below a directory we just made needs no second look; everything else goes the careful way, which
takes anything that may lie there already: the same, a twin of its time, a torn rest.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from globofs import limits
from globofs.errors import FormatError
from globofs.events import Emit, Problem
from globofs.format import kinds, manifest
from globofs.format.names import to_disk
from globofs.format.text import format_time
from globofs.store import fsio
from globofs.store.tree_names import LeftOut, TreeNames
from globofs.store.versions import VersionText, blocks_of_many, version_texts
from globofs.store.views import Block

if TYPE_CHECKING:
    from globofs.store.parts import NodeParts

LINK_BLOCKS: Final = 10_000
"""A file of more blocks gets no links: nobody follows them by hand."""
PORTION_BLOCKS: Final = 20_000
_ALONE: Final = 200
"""Below so many versions a second thread costs more than it brings."""
REFUSED_NAME: Final = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR)
"""What a disk says of a name that it cannot hold."""
NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NOTHING: Final = VersionText(None, [])


class Row(NamedTuple):
    """A version to be built, and whether its path shows it."""

    row: int
    id: bytes
    path: bytes
    time: int
    shown: int
    origin: str
    seq: int
    blocks: int
    base: int | None  # the version of this path it was made from, if that was built before it


class _Work(NamedTuple):
    """What is to stand where a version belongs; nothing while its manifest is not here."""

    row: Row
    text: bytes | None
    latest: bytes | None  # the manifest of what its path shows
    blocks: Sequence[tuple[Block, bool]]  # each with whether it is on this node
    linked: frozenset[bytes]  # those that its base has as well, and so links to


class Builder:
    """Puts versions into `root/`. Its own methods by one thread, the work by up to two."""

    def __init__(
        self,
        node: NodeParts,
        texts: Mapping[bytes, VersionText],
        emit: Emit,
        *,
        everything: bool = False,
    ) -> None:
        """`texts` are those that the caller knows, by their versions' ids. Problems are told to
        `emit`, by the thread that calls `build`. With `everything` no link is taken for made."""
        self.node = node
        self._everything = everything
        self._given = texts
        self.emit = emit
        self._links = node.config.links
        self._root = node.root()
        self._problems: list[Problem] = []
        self._names = TreeNames(self._root, node.index)
        self._left_out = LeftOut()

    def build(self, rows: Sequence[Row]) -> None:
        """Versions: their manifests, `latest` where they are shown, links to their blocks."""
        for portion in _portions(rows):
            self._build(portion)
        problems, self._problems = self._problems, []
        for problem in problems:
            self.emit(problem)

    def end(self) -> None:
        """Say once what could not be laid out."""
        for problem in self._left_out.sentences():
            self.emit(problem)
        self._left_out = LeftOut()

    def _build(self, rows: Sequence[Row]) -> None:
        given = self._given
        known = version_texts(self.node.index, [row.row for row in rows if row.id not in given])
        known.update((row.row, given[row.id]) for row in rows if row.id in given)
        bases = self._bases(rows)
        works = [self._work(row, known.get(row.row, _NOTHING), bases) for row in rows]
        if len(rows) < _ALONE:
            self._each(works)
        else:
            from concurrent.futures import ThreadPoolExecutor  # slow to load

            # Versions of one path stay in one hand, in their order.
            times = Counter(row.path for row in rows)
            single = [work for work in works if times[work.row.path] == 1]
            half = len(single) // 2
            with ThreadPoolExecutor(1, thread_name_prefix="tree") as pool:
                other = pool.submit(self._each, single[:half])
                self._each(single[half:])
                self._each([work for work in works if times[work.row.path] > 1])
                other.result()

    def _bases(self, rows: Sequence[Row]) -> dict[int, list[Block]]:
        """The blocks of those bases that may share some with what was made of them, by row."""
        if self._everything or not self._links:
            return {}
        bases = {row.base for row in rows if row.base is not None and row.blocks > 1}
        return blocks_of_many(self.node.index, bases)

    def _work(self, row: Row, known: VersionText, bases: Mapping[int, list[Block]]) -> _Work:
        text, latest = self._text(row, known)
        base = bases.get(row.base or 0, ())
        linked = frozenset(block.id for block in base if len(base) <= LINK_BLOCKS)
        return _Work(row, text, latest, known.blocks, linked)

    def _text(self, row: Row, known: VersionText) -> tuple[bytes | None, bytes | None]:
        """A version's manifest, and the one its path shows."""
        text = _journaled(self.node, row.row, row.id) if known.text is None else known.text
        if text is None or row.shown == row.row:
            return text, text
        # A version that lost: `latest` is another, which may have been built before it.
        found = self.node.index.one("SELECT id FROM version WHERE row = ?", (row.shown,))
        if found is None:
            return text, None
        shown = version_texts(self.node.index, (row.shown,)).get(row.shown, _NOTHING).text
        return text, shown or _journaled(self.node, row.shown, found[0])

    def _each(self, works: Sequence[_Work]) -> None:
        for work in works:
            if work.text is None:
                continue
            path = work.row.path
            try:
                relative = to_disk(path)
                taken = self._names.taken(relative)
                if taken:
                    self._left_out.taken(path, taken)
                else:
                    self._one(relative, work, work.text)
            except OSError as error:
                if error.errno not in REFUSED_NAME:
                    raise
                self._left_out.refused(path, error)

    def _one(self, relative: str, work: _Work, text: bytes) -> None:
        directory = f"{self._root}/{relative}"
        fresh = _make(directory)
        versions = f"{directory}/versions"
        if fresh:
            fsio.mkdir(versions)
        _manifest(versions, work.row, text)
        if work.latest is not None:
            _latest(f"{versions}/latest", work.latest)
        if self._links and 0 < len(work.blocks) <= LINK_BLOCKS:
            self._link_all(directory, relative.count("/") + 1, work, fresh)

    def _link_all(self, directory: str, depth: int, work: _Work, fresh: bool) -> None:
        """Links to the blocks of a version, but for those that its base has linked: if the first
        of those is there, all are (they are not where links were switched off then)."""
        blocks = self.node.blocks
        up = "../" * (depth + 4) + "hashes"
        below = f"{directory}/hashes"
        if fresh:
            fsio.mkdir(below)
        made: set[str] = set()
        base_stands = False
        for block, held in dict.fromkeys(work.blocks):
            if base_stands and block.id in work.linked:
                continue
            found = blocks.find(block.id) if held else None
            name = block.id.hex()
            first, second = f"{below}/{name[:2]}", f"{below}/{name[:2]}/{name[2:4]}"
            if fresh and second not in made:
                if first not in made:
                    fsio.mkdir(first)
                fsio.mkdir(second)
                made.update((first, second))
            stored = f"{name[:2]}/{name[2:4]}/{name[4:]}"
            stored += found[1] if found else blocks.own_suffix
            was_there = self._link(f"{up}/{stored}", f"{below}/{stored}")
            if was_there is None:
                return
            base_stands = base_stands or (was_there and block.id in work.linked)

    def _link(self, target: str, link: str) -> bool | None:
        """Whether a link was there already; None, said once, where the disk has no links."""
        try:
            try:
                fsio.symlink(target, link)
            except FileNotFoundError:
                fsio.mkdirs(os.path.dirname(link))
                fsio.symlink(target, link)
        except FileExistsError:
            return True
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if self._links:
                self._links = False
                reason = f"no links to blocks: this file system has no symlinks ({error.strerror})"
                self._problems.append(Problem(b"", reason, warning=True))
            return None
        return False


def _portions(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """`rows` in lists whose blocks fit into memory together (or of one version)."""
    portion: list[Row] = []
    blocks = 0
    for row in rows:
        if portion and blocks + row.blocks > PORTION_BLOCKS:
            yield portion
            portion, blocks = [], 0
        portion.append(row)
        blocks += row.blocks
    if portion:
        yield portion


def _make(directory: str) -> bool:
    """Make a file's directory; whether it was not there before."""
    try:
        return fsio.mkdir(directory)
    except FileNotFoundError:
        fsio.mkdirs(os.path.dirname(directory))
        return fsio.mkdir(directory)


def _manifest(directory: str, row: Row, text: bytes) -> None:
    name = f"{directory}/{format_time(row.time)}"
    try:
        fsio.write_new(name, text)
    except FileNotFoundError:
        fsio.mkdirs(directory)
        _write_checked(name, text, row)
    except FileExistsError:
        _write_checked(name, text, row)


def _latest(path: str, text: bytes) -> None:
    try:
        fsio.write_new(path, text)
    except FileExistsError:
        if _read(path) != text:
            fsio.write_atomic(path, text)


def _journaled(node: NodeParts, row: int, version: bytes) -> bytes | None:
    """The bytes of a manifest that the index cannot make again; `None` while it is not here."""
    found = node.index.one("SELECT origin, seq, pending FROM version WHERE row = ?", (row,))
    if found is None or found[2]:
        return None
    origin, seq, _ = found
    for record in node.journal.read_from(origin, seq - 1):
        if record.record.seq > seq:
            break
        try:
            entry = kinds.VersionRecord.parse(record.record)
        except FormatError:
            continue
        if entry.manifest == version and entry.text:
            return entry.text
    return node.index.read_block(version) if node.index.read_block else None


def _write_checked(name: str, text: bytes, row: Row) -> None:
    """Write a manifest where something may stand: the same, a twin of the time, or a torn one."""
    twin = f"{name}-{row.id.hex()[:8]}"
    try:
        fsio.write_new(name, text)
        return
    except FileExistsError:
        there = _read(name)
    if there == text:
        return
    try:
        manifest.decode(there)
    except FormatError:
        fsio.write_atomic(name, text)
        return
    if _read(twin) != text:
        fsio.write_atomic(twin, text)


def _read(path: str) -> bytes:
    """What stands in a file of the tree; nothing where something odd does."""
    try:
        return fsio.read_file(path, limits.MANIFEST_BYTES)
    except OSError:
        return b""
