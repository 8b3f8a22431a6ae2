"""Checking the view in `root/`: manifests and links."""

from __future__ import annotations

import errno
import os
import re
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from globofs.errors import FormatError, from_os_error, plural
from globofs.events import Cancelled, Emit, Progress
from globofs.format.config import SUFFIXES
from globofs.format.manifest import decode, manifest_id
from globofs.format.names import to_disk
from globofs.format.text import format_time
from globofs.limits import MANIFEST_BYTES
from globofs.store import fsio
from globofs.store.node import Node
from globofs.store.portions import chunks, marks
from globofs.store.tree import build_tree
from globofs.store.tree_files import LINK_BLOCKS, NO_LINKS, REFUSED_NAME
from globofs.store.tree_names import LeftOut, TreeNames
from globofs.store.versions import blocks_of
from globofs.sync._verify_blocks import Tell

PAGE: Final = 1000
_STALE: Final = "made before the block came"
_DIGITS: Final = re.compile("[0-9a-f]{64}")
_FOREIGN: Final = re.compile(r"\.|(Thumbs\.db|[Dd]esktop\.ini|lost\+found|@eaDir)\Z")
"""What file managers and file systems put anywhere, and our own temporary files."""


@dataclass
class TreeReport:
    """Manifests and links looked at; the files in `root/` that are not what they should be; those
    that nothing put there; those left of versions whose records a power loss took; and whether
    blocks came stored otherwise than their links had guessed. The last two are no damage.
    """

    checked: int = 0
    bad: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    stale: bool = False


def check_tree(
    node: Node, choose: Callable[[], bool], tell: Tell, emit: Emit, cancelled: Cancelled
) -> TreeReport:
    """Compare `root/` with the versions that should stand there."""
    look = _Look(node)
    report = TreeReport()
    odd: list[_Row] = []
    for row in _rows(node):
        if cancelled():
            break
        if row.pruned or not choose():
            continue
        report.checked += 1
        if report.checked % PAGE == 0:
            emit(Progress("verify", "root/", files=report.checked))
        taken = look.names.taken(to_disk(row.path))
        if taken:
            look.left_out.taken(row.path, taken)
        elif any(look.wrong(row)):
            odd.append(row)
        elif row.shown == row.row:
            _check_extra(look, row, report, tell)
    if odd and not node.readonly:
        node.finish()  # another client committed them just now, and has not built them yet
    for row in odd:
        if look.refused(row):
            continue
        now, wrong = _settled(look, row)
        for path, reason in wrong:
            report.bad.append(path)
            tell(row.path, reason)
        if now is not None and now.shown == now.row:
            _check_extra(look, now, report, tell)
    report.stale = look.stale
    if report.left:
        count, first = len(report.left), os.path.relpath(report.left[0], node.directory)
        what = plural(count, "file or link", "files and links")
        reason = f"left of versions that were never recorded: {what} in root/"
        tell(
            b"",
            f"{reason}, {first} the first; `globofs verify --repair` takes them away",
            warning=True,
        )
    for said in look.left_out.sentences():
        tell(said.path, said.reason, warning=True)
    return report


def _settled(look: _Look, row: _Row) -> tuple[_Row | None, list[tuple[str, str]]]:
    """A version as the index has it by now, and what is wrong with it: nobody made another one
    the version that is shown, or let this one go, while that was looked at."""
    now = _row_of(look.node, row.version)
    while now is not None and not now.pruned:
        wrong = list(look.wrong(now))
        before, now = now, _row_of(look.node, row.version)
        if not wrong or now == before:
            return now, wrong
    return None, []


def _check_extra(look: _Look, row: _Row, report: TreeReport, tell: Tell) -> None:
    for path, reason in look.extra(row):
        if not reason:
            report.left.append(path)
        elif path not in report.bad:
            report.extra.append(path)
            tell(row.path, reason)


class _Row(NamedTuple):
    row: int
    version: bytes
    path: bytes
    time: int
    shown: int
    pruned: int
    no: int  # of its path


_ROW: Final = (
    "SELECT v.row, v.id, p.path, v.time, p.shown, v.pruned, p.no FROM version v"
    " JOIN path p ON p.no = v.path WHERE v.pending = 0 AND "
)


def _rows(node: Node) -> Iterator[_Row]:
    last = 0
    sql = f"{_ROW}v.row > ? ORDER BY v.row LIMIT ?"
    while rows := node.index.rows(sql, (last, PAGE)):
        yield from map(_Row._make, rows)
        last = rows[-1][0]


def _row_of(node: Node, version: bytes) -> _Row | None:
    found = node.index.one(f"{_ROW}v.id = ?", (version,))
    return None if found is None else _Row._make(found)


def _id_of(path: str) -> bytes:
    try:
        return manifest_id(fsio.read_file(path, MANIFEST_BYTES))
    except OSError:
        return b""


class _Look:
    """Looks at single versions in `root/`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.names = TreeNames(node.root(), node.index)
        self.left_out = LeftOut()
        self.stale = False
        self._links_work: bool | None = None

    def _directory(self, row: _Row) -> str:
        return f"{self.node.root()}/{to_disk(row.path)}"

    def wrong(self, row: _Row) -> Iterator[tuple[str, str]]:
        """The files of a version that are not as they should be, each with a sentence."""
        directory = self._directory(row)
        name = f"{directory}/versions/{format_time(row.time)}"
        twin = f"{name}-{row.version.hex()[:8]}"
        if row.version not in (_id_of(name), _id_of(twin)):
            which = twin if os.path.lexists(twin) else name
            yield which, f"its manifest {format_time(row.time)} in root/ is damaged or missing"
        if row.shown == row.row:
            latest = f"{directory}/versions/latest"
            if _id_of(latest) != row.version:
                yield latest, "its `latest` in root/ is damaged or missing"
            if self.node.config.links:
                yield from self._wrong_links(row, directory)

    def refused(self, row: _Row) -> bool:
        """Whether the disk cannot hold a path: what it refuses to make is no damage."""
        directory = self._directory(row)
        try:
            try:
                os.lstat(directory)
            except FileNotFoundError:
                if not self.node.readonly:
                    fsio.mkdirs(directory)
        except OSError as error:
            if error.errno in REFUSED_NAME and error.errno != errno.ENOTDIR:
                self.left_out.refused(row.path, error)
                return True
        return False

    # --- links ------------------------------------------------------------------------------

    def _wrong_links(self, row: _Row, directory: str) -> Iterator[tuple[str, str]]:
        """Each block of the version shown has a link to where it is, or would be, in `hashes/`."""
        blocks = blocks_of(self.node.index, row.row)
        if len(blocks) > LINK_BLOCKS:
            return
        up = "../" * (to_disk(row.path).count("/") + 5) + "hashes"
        for block, held in blocks:
            found = self.node.blocks.find(block.id) if held else None
            suffix = self.node.blocks.own_suffix if found is None else found[1]
            name = block.id.hex()
            stored = f"{name[:2]}/{name[2:4]}/{name[4:]}"
            what = self._link(f"{directory}/hashes/{stored}", f"{up}/{stored}", suffix)
            if what == _STALE:
                self.stale |= found is not None
            elif what:
                yield (
                    f"{directory}/hashes/{stored}{suffix}",
                    f"its link to block {name[:16]} {what}",
                )

    def _link(self, link: str, target: str, suffix: str) -> str:
        """What is the matter with a link; "" where nothing is."""
        try:
            there = os.readlink(link + suffix)
        except FileNotFoundError:
            others = [one for one in SUFFIXES if os.path.islink(link + one)]
            if any(_leads(link + one) == target + one for one in others):
                return _STALE  # made before the block came, in another form
            return "is missing" if others or self._links() else ""
        except OSError as error:
            if error.errno in NO_LINKS:  # made, but not to be read: sshfs with some servers
                return ""
            return "is no link" if error.errno == errno.EINVAL else "is missing"
        if there == target + suffix:
            return ""
        with suppress(OSError):
            if os.path.samefile(
                link + suffix, os.path.join(os.path.dirname(link), target + suffix)
            ):
                return ""
        return "leads elsewhere"

    def _links(self) -> bool:
        """Whether this disk has symlinks; where it may not be written, nobody misses any."""
        if self._links_work is None:
            path = os.path.join(self.node.tmp(), fsio.temporary_name())
            try:
                if self.node.readonly:
                    self._links_work = False
                else:
                    self.node.blocks.make_tmp()
                    fsio.symlink("nowhere", path)
                    self._links_work = True
            except OSError as error:
                self._links_work = error.errno not in NO_LINKS
            finally:
                if self._links_work:
                    fsio.remove(path)
        return self._links_work

    # --- what nothing put there -------------------------------------------------------------

    def extra(self, row: _Row) -> Iterator[tuple[str, str]]:
        """The files beside those of a path's versions, each with a sentence; with none what is as
        a version would have made it. What is listed first and asked of the index then is no news.
        """
        directory = self._directory(row)
        manifests = set(_listed(f"{directory}/versions"))
        links: dict[str, list[str]] = {}
        _list_links(f"{directory}/hashes", "", 2, links)
        manifests.discard("latest")
        manifests.discard(format_time(row.time))
        for block, _ in blocks_of(self.node.index, row.row) if links else ():
            _known(links, block.id)
        if manifests or links:
            self._drop_known(row, manifests, links)
        for name in sorted(manifests):
            path = f"{directory}/versions/{name}"
            reason = f"versions/{name} in root/ is none of its versions"
            yield path, "" if _is_manifest(path, row.path) else reason
        for name in (name for names in links.values() for name in names):
            where = os.path.relpath(name, directory)
            right = _is_link(name, to_disk(row.path).count("/") + 5)
            yield name, "" if right else f"{where} in root/ leads to none of its blocks"

    def _drop_known(self, row: _Row, manifests: set[str], links: dict[str, list[str]]) -> None:
        """Take out what belongs to other versions of the path."""
        index = self.node.index
        ids = [bytes.fromhex(digits) for digits in links if _DIGITS.fullmatch(digits)]
        blocks: dict[int, bytes] = {}
        for chunk in chunks(ids):
            blocks.update(
                index.rows(f"SELECT no, id FROM block WHERE id IN ({marks(chunk)})", chunk)
            )
        sql = "SELECT row, id, time, list FROM version WHERE path = ? AND row > ? ORDER BY row LIMIT ?"
        last = 0
        while (manifests or links) and (rows := index.rows(sql, (row.no, last, PAGE))):
            for _, version, time, listed in rows:
                name = format_time(time)
                manifests -= {name, f"{name}-{version.hex()[:8]}"}
                for number in blocks.keys() & set(array("I", listed)[0::2]) if blocks else ():
                    _known(links, blocks.pop(number))
            last = rows[-1][0]


def _is_manifest(where: str, path: bytes) -> bool:
    """Whether a file is the whole manifest of a version of a path."""
    try:
        return decode(fsio.read_file(where, MANIFEST_BYTES), path=path).path == path
    except (OSError, FormatError):
        return False


def _is_link(where: str, depth: int) -> bool:
    """Whether a link in a path's `hashes/` leads to the block whose name it bears."""
    stored = "/".join(where.rsplit("/", 3)[1:])
    return _leads(where) == f"{'../' * depth}hashes/{stored}"


def _leads(link: str) -> str:
    """Where a link leads; "" where that cannot be read."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _list_links(directory: str, digits: str, depth: int, found: dict[str, list[str]]) -> None:
    """Collect what stands below a path's `hashes/`, by the digits that its name spells."""
    for name in _listed(directory):
        path = f"{directory}/{name}"
        if depth and os.path.isdir(path) and not os.path.islink(path):
            _list_links(path, digits + name, depth - 1, found)
        else:
            found.setdefault(digits + name.partition(".")[0], []).append(path)


def _known(links: dict[str, list[str]], block: bytes) -> None:
    """A link by any suffix that a block may have is one of ours."""
    name = block.hex()
    left = [
        path
        for path in links.pop(name, ())
        if not os.path.islink(path) or not path.endswith(tuple(name[4:] + one for one in SUFFIXES))
    ]
    if left:
        links[name] = left


def _listed(directory: str) -> list[str]:
    """What stands in a directory and may be meant for one of ours; nothing where there is none."""
    try:
        return [name for name in os.listdir(directory) if not _FOREIGN.match(name)]
    except OSError:
        return []


def rebuild_tree(node: Node, report: TreeReport, emit: Emit) -> int:
    """Take away what is wrong in `root/` and build it again; how many were mended."""
    try:
        for path in report.bad:
            _clear(node, path)
        for path in (*report.extra, *report.left):
            _set_aside(node, path)
    except OSError as error:
        raise from_os_error(error, error.filename or node.root()) from error
    build_tree(node, everything=True, emit=emit)
    mended = [path for path in report.bad if os.path.lexists(path)]
    return len(mended) + sum(not os.path.lexists(path) for path in report.extra)


def _clear(node: Node, path: str) -> None:
    """Delete a file or link of the view that is wrong; what else stands in its place, or where one
    of its directories should be, is set aside."""
    above = os.path.dirname(path)
    while len(above) > len(node.root()):
        if os.path.lexists(above) and (os.path.islink(above) or not os.path.isdir(above)):
            path = above
        above = os.path.dirname(above)
    if os.path.isfile(path) or not os.path.lexists(path):
        fsio.remove(path)
    else:
        _set_aside(node, path)


def _set_aside(node: Node, path: str) -> None:
    if os.path.islink(path):
        fsio.unlink(path)
    else:
        fsio.rename_making(path, f"{node.blocks.damaged}/root-{fsio.temporary_name()}")
