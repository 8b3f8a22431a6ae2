"""Conflicts: the paths with several different heads, and how one is settled.

Settling makes a version whose parents are all heads, so that every node that receives it sees
one head again.
"""

from __future__ import annotations

import os
import time as _time
from collections.abc import Mapping, Sequence
from typing import Final

from globofs.errors import NoSuchVersion, UsageError
from globofs.events import Problem
from globofs.format import names
from globofs.limits import NAME_BYTES, SECOND_NS
from globofs.store.commit import Draft
from globofs.store.heads import rank, winner
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.versions import by_ids
from globofs.store.views import Block, Version
from globofs.sync._store_file import store_file
from globofs.sync._versions import draft_of
from globofs.sync.results import Conflict, EditResult
from globofs.sync.suggest import no_such_path

ANCESTORS_MAX: Final = 20_000  # versions looked at for a common one


def conflicts(node: Node, below: bytes = b"") -> list[Conflict]:
    """Every path at or below `below` whose heads differ, in path order."""
    view = View(node)
    paths = [path for path in view.conflicts() if names.is_below(path, below)]
    found = (conflict_at(view, path) for path in paths)
    return [conflict for conflict in found if conflict is not None]


def conflict_at(view: View, path: bytes) -> Conflict | None:
    """The conflict at `path`, None where there is none."""
    sides = sorted(view.heads(path), key=rank, reverse=True)
    if not sides:
        return None
    return Conflict(path, sides[0], tuple(sides))


def common_version(node: Node, sides: Sequence[Version]) -> Version | None:
    """The newest version that all `sides` were made from; None where there is none.

    A side that the others were made from is its own answer. Goes through renames.
    """
    reached: list[dict[bytes, Version]] = []
    for side in sides:
        known = {side.id: side}
        edge = [side]
        while edge and len(known) < ANCESTORS_MAX:
            wanted = {parent for version in edge for parent in version.parents}
            wanted |= {version.from_id for version in edge if version.from_id is not None}
            found = by_ids(node.index, wanted - known.keys())
            known |= found
            edge = list(found.values())
        reached.append(known)
    if not reached:
        return None
    shared = set(reached[0]).intersection(*reached[1:])
    alive = [reached[0][id] for id in shared if not reached[0][id].pruned]
    return max(alive, key=lambda version: version.time, default=None)


def resolve(
    node: Node,
    paths: Sequence[bytes],
    *,
    version: bytes | Mapping[bytes, bytes] | None = None,
    with_file: str | None = None,
    keep_both: bool = False,
) -> EditResult:
    """Settle the conflicts at `paths`, in one operation.

    Exactly one of: `version`, the id of the side that stays (one path), or such an id for each
    path; `with_file`, a file on disk that is the merged content (one path); `keep_both`, where
    every losing side goes on under the name `name (node, time).ext`. A path that is no conflict
    is left as it is, which is a problem where other content was asked for. Raises UsageError,
    NoSuchPath, NoSuchVersion.
    """
    node.writable()
    if sum((version is not None, with_file is not None, keep_both)) != 1:
        raise UsageError("say one of --version, --with and --keep-both")
    if isinstance(version, bytes):
        version = dict.fromkeys(paths[:1], version)
    chosen = version or {}
    if len(paths) != 1 and not keep_both and any(path not in chosen for path in paths):
        raise UsageError("one side or one file can settle one path only")
    view = View(node)
    open_paths = set(view.conflicts())
    problems: list[Problem] = []
    settled: list[Conflict] = []
    for path in paths:
        conflict = conflict_at(view, path)
        if conflict is None:
            raise no_such_path(view, path)
        if path in open_paths:
            settled.append(conflict)
        else:
            problems.append(Problem(path, "is not in conflict", warning=keep_both))
    if not settled:
        return EditResult(skipped=tuple(paths), problems=tuple(problems))
    args = _args(paths, chosen, with_file)
    with node.operation("resolve", args) as operation, node.blocks.batch() as batch:
        drafts: list[Draft] = []
        for conflict in settled:
            if keep_both:
                drafts += _both(node, view, conflict)
            elif with_file is not None:
                parents = tuple(side.id for side in conflict.sides)
                drafts.append(store_file(node, batch, conflict.path, with_file, parents))
            else:
                drafts += _one_side(view, conflict, chosen[conflict.path])
        batch.seal()
        made = [one for one in operation.commit(drafts) if not one.skipped]
    return EditResult(
        versions=len(made),
        operation=operation.key if made else None,
        paths=tuple(one.draft.path for one in made),
        skipped=tuple(problem.path for problem in problems),
        problems=tuple(problems),
    )


def _args(
    paths: Sequence[bytes], chosen: Mapping[bytes, bytes], with_file: str | None
) -> tuple[str, ...]:
    named = tuple(map(os.fsdecode, paths))
    if chosen:
        pairs = zip(named, (chosen[path].hex() for path in paths), strict=True)
        return tuple(word for path, id in pairs for word in (path, "--version", id))
    if with_file is not None:
        return (*named, "--with", with_file)
    return (*named, "--keep-both")


def _one_side(view: View, conflict: Conflict, chosen: bytes) -> list[Draft]:
    side = next((side for side in conflict.sides if side.id == chosen), None)
    if side is None:
        raise NoSuchVersion(path=conflict.path, version=chosen.hex()[:16])
    return [_merge(view, conflict, side)]


def _merge(view: View, conflict: Conflict, side: Version) -> Draft:
    """`side` again, as the child of all sides; recorded although its content is a head's."""
    parents = tuple(side.id for side in conflict.sides)
    if side.kind == "deleted":
        return Draft(path=conflict.path, kind="deleted", parents=parents)
    return draft_of(side, _blocks(view, side), conflict.path, parents=parents)


def _blocks(view: View, version: Version) -> list[Block]:
    return [block for block, _ in view.blocks_of(version)]


def _both(node: Node, view: View, conflict: Conflict) -> list[Draft]:
    """The winner stays; each other content goes on beside it under a name that says whose."""
    drafts = []
    contents = {conflict.winner.content}
    for side in conflict.sides[1:]:
        if side.kind == "deleted" or side.content in contents:
            continue
        contents.add(side.content)
        path = beside(view, conflict.path, node.index.node_name(side.node) or side.node[:8], side)
        blocks = _blocks(view, side)
        drafts.append(draft_of(side, blocks, path, from_path=side.path, from_id=side.id))
    return [*drafts, _merge(view, conflict, winner(conflict.sides))]


def beside(view: View, path: bytes, node_name: str, side: Version) -> bytes:
    """A free name `name (node, time).ext` for the losing `side`.

    The time is UTC: two nodes that settle the same conflict choose the same name.
    """
    directory, name = names.parent(path), names.name(path)
    stem, dot, extension = name.rpartition(b".")
    if not stem:
        stem, dot, extension = name, b"", b""
    when = _time.strftime("%Y-%m-%d %H.%M.%S", _time.gmtime(side.time // SECOND_NS))
    label = node_name.replace("/", "-").encode("utf-8", "surrogateescape")[:80]
    for attempt in range(1, 1000):
        again = b" %d" % attempt if attempt > 1 else b""
        tail = b" (" + label + b", " + when.encode() + b"Z)" + again + dot + extension
        found = names.join(directory, stem[: NAME_BYTES - 1 - len(tail)] + tail)
        entry = view.entry(found)
        if entry is None or entry.kind == "deleted":
            return found
        held = view.version_by_id(entry.version)
        if held is not None and held.content == side.content:
            return found
    return names.join(directory, side.id.hex().encode())
