"""What a restore would do, found out from the index alone (and from the target, when it goes
out of the volume): never by asking a peer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from globofs.errors import NoSuchPath, NotAFile, UnsafeTarget, UsageError, printable
from globofs.events import Problem
from globofs.format import names
from globofs.format.text import format_time
from globofs.store.gc_pause import gc_paused
from globofs.store.heads import winner
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.versions import by_ids
from globofs.store.views import Block, Version
from globofs.sync._sources import came_from, still_as_added
from globofs.sync._versions import heads_at, live_at, parents_of
from globofs.sync.results import Action, PlanItem, RestorePlan
from globofs.sync.suggest import no_such_path

Wanted = tuple[bytes, Version]


def plan_restore(
    node: Node,
    paths: Sequence[bytes],
    *,
    version: Version | None = None,
    at: int | None = None,
    to: str | None = None,
    delete: bool = False,
    force: bool = False,
) -> RestorePlan:
    """The plan for `restore` with the same arguments (product.md's rules).

    A path that cannot be restored is a problem; raises NoSuchPath, NoSuchVersion where it is the
    only one, UsageError for `version` with several paths or with `at`.
    """
    if version is not None and (at is not None or len(paths) != 1):
        raise UsageError("--version goes with one file, and not with --at")
    if to is not None and _within(to, node.volume):
        raise UsageError(f"{printable(to)}: lies in the volume itself; restore without --to")
    asked = _Asked(node, View(node), version, at, to is not None)
    with gc_paused():
        return _plan(asked, paths, to, delete, force)


def _plan(
    asked: _Asked, paths: Sequence[bytes], to: str | None, delete: bool, force: bool
) -> RestorePlan:
    problems: list[Problem] = []
    found: list[tuple[bytes, list[Wanted]]] = []
    for path in _outermost(paths):
        try:
            found.append((path, asked.wanted(path)))
        except NoSuchPath as error:
            if len(paths) == 1:
                raise
            problems.append(Problem(path, error.message.partition(": ")[2]))
    if to is None:
        items = [item for path, wanted in found for item in _inside(asked, path, wanted, delete)]
    else:
        base, placed = _places(to, found)
        items = list(_outside(base, placed, delete, force))
        to = base
    words = _words(paths, asked.version, asked.at, delete)
    return _total(asked, items, to, force, words, problems)


def plan_back(
    node: Node,
    paths: Sequence[bytes],
    *,
    version: Version | None = None,
    at: int | None = None,
) -> RestorePlan:
    """The plan for `restore_back`: `paths` as they were, each in the folder it came from.

    Raises UsageError where one came from no folder of this machine, else as `plan_restore`.
    """
    if version is not None and (at is not None or len(paths) != 1):
        raise UsageError("--version goes with one file, and not with --at")
    asked = _Asked(node, View(node), version, at, True)
    placed: list[tuple[str, Wanted]] = []
    for path in _outermost(paths):
        place = came_from(node, path)
        if place is None:
            raise UsageError(f"{printable(path) or '/'}: came from no folder of this machine")
        for where, wanted in asked.wanted(path):
            rest = os.fsdecode(where[len(path) :])
            placed.append((place + rest, (where, wanted)))
    base = os.path.commonpath([os.path.dirname(place) for place, _ in placed])
    skip = len(base.rstrip("/")) + 1
    relative = ((place[skip:], wanted) for place, wanted in placed)
    items = [_unless_same(item) for item in _outside(base, relative, False, True)]
    return _total(asked, items, base, True, _words(paths, version, at, False), [])


def beside(node: Node, paths: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """For each of `paths` that lies in its folder now: what to add, and below which directory."""
    for path in _outermost(paths):
        place = came_from(node, path)
        if place is None or not os.path.lexists(place):
            continue
        if os.path.isdir(place) and not os.path.islink(place):
            yield place + "/", path
        else:
            yield place, names.parent(path)


def _unless_same(item: PlanItem) -> PlanItem:
    """What has the size and time of the version already is not replaced."""
    version = item.version
    if item.action != "replace" or item.target is None or version is None:
        return item
    info = os.lstat(item.target)
    as_version = (version.size, version.mtime) == (info.st_size, info.st_mtime_ns)
    return item._replace(action="same") if version.kind == "file" and as_version else item


def plan_here(node: Node, back: RestorePlan) -> RestorePlan:
    """The same versions as a plan of `plan_back` has, made current in the volume."""
    view = View(node)
    items: list[PlanItem] = []
    standing = heads_at(view, [item.path for item in back.items])
    for item in back.items:
        if item.version is None or item.action == "skip":
            continue
        entry = view.entry(item.path)
        there = view.version_by_id(entry.version) if entry is not None and entry.version else None
        items.append(_inside_item(item.path, item.version, there, standing[item.path]))
    asked = _Asked(node, view, None, None, False)
    return _total(asked, items, None, False, back.args[: back.args.index("--to")], [])


def safe_to_replace(node: Node, back: RestorePlan) -> RestorePlan:
    """`back` without what would lose something: a file on disk that is not in the volume as it
    lies there. Versions are those the volume has now, so that later edits descend from them."""
    view = View(node)
    items: list[PlanItem] = []
    problems = list(back.problems)
    for item in back.items:
        there = item.target if item.action == "replace" and item.version is not None else None
        if there and os.path.lexists(there) and not still_as_added(node, item.path, there):
            reason = "what lies there could not be added first; it is left alone"
            items.append(item._replace(action="skip", reason=reason))
            problems.append(Problem(item.path, reason))
            continue
        entry = view.entry(item.path)
        now = view.version_by_id(entry.version) if entry is not None and entry.version else None
        current = (
            now is not None and item.version is not None and now.content == item.version.content
        )
        items.append(item._replace(version=now) if current else item)
    return replace(back, items=tuple(items), problems=tuple(problems))


@dataclass
class _Asked:
    """The question: which moment, and the views to answer it from."""

    node: Node
    now: View
    version: Version | None
    at: int | None
    out: bool
    then: View = field(init=False)

    def __post_init__(self) -> None:
        self.then = View(self.node, self.at) if self.at is not None else self.now

    def wanted(self, path: bytes) -> list[Wanted]:
        """What should be at `path` and below, in path order."""
        if self.version is not None:
            entry = self.now.entry(path)
            whole = entry is not None and entry.kind == "directory"
            if whole and self.version.kind in ("directory", "deleted"):
                text = f"{printable(path)}: is a directory; --at TIME brings back all of it"
                raise NotAFile(text, path=printable(path))
            # As it is now: it may have been pruned since it was looked at.
            return [(path, self.now.version_by_id(self.version.id) or self.version)]
        if self.at is None:
            shown = self._shown(path)
            if shown:
                return shown
        try:
            entries = live_at(self.then, path)
        except NoSuchPath:
            if self.at is not None:
                raise
            return self._last_life(path)
        known = by_ids(self.node.index, (entry.version for entry in entries if entry.version))
        found = ((entry.path, known.get(entry.version or b"")) for entry in entries)
        return [(where, version) for where, version in found if version is not None]

    def _shown(self, path: bytes) -> list[Wanted]:
        """What is now at `path` and below, as far as a version names it."""
        top = self.now.entry(path) if path else None
        own = [top.version] if top is not None and top.version else []
        known = by_ids(self.node.index, own)
        found = [(path, known[version]) for version in own if version in known]
        if top is None or top.kind == "directory":
            found += [(one.path, one) for one in self.now.shown_below(path)]
        return found

    def _last_life(self, path: bytes) -> list[Wanted]:
        """What was at `path` and below before the operation that deleted it."""
        newest = next(
            (v for v in self.now.history_below(path, -1) if v.kind == "deleted" and v.head), None
        )
        if newest is None:
            raise no_such_path(self.now, path)
        found: list[Wanted] = []
        made = self.now.versions_of_operation(newest.operation, below=path)
        lost = [one for one in made if one.kind == "deleted"]
        known = by_ids(self.node.index, {parent for gone in lost for parent in gone.parents})
        for gone in lost:
            before = [known[parent] for parent in gone.parents if parent in known]
            alive = [v for v in before if v.kind != "deleted"]
            if alive:
                found.append((gone.path, winner(alive)))
        if not found:
            raise NoSuchPath(path=path, hint="; nothing is known of what it was")
        return sorted(found, key=lambda pair: pair[0].split(b"/"))


def _within(path: str, directory: str) -> bool:
    real, top = os.path.realpath(path), os.path.realpath(directory)
    return real == top or real.startswith(top + "/")


def _outermost(paths: Sequence[bytes]) -> list[bytes]:
    """`paths` without doubles and without those that lie below another."""
    unique = list(dict.fromkeys(paths))
    return [p for p in unique if not any(q != p and names.is_below(p, q) for q in unique)]


def _words(
    paths: Sequence[bytes], version: Version | None, at: int | None, delete: bool
) -> tuple[str, ...]:
    words = [os.fsdecode(path) or "/" for path in paths]
    if version is not None:
        words += ["--version", format_time(version.time)]
    if at is not None:
        words += ["--at", format_time(at)]
    return (*words, "--delete") if delete else tuple(words)


# --- in the volume ----------------------------------------------------------------------------


def _inside(asked: _Asked, path: bytes, wanted: list[Wanted], delete: bool) -> Iterator[PlanItem]:
    now = asked.now
    # Looked at first: what comes between the two looks is then none of the parents.
    standing = heads_at(now, [where for where, _ in wanted])
    own = now.entry(path) if path else None
    current = {entry.path: entry for entry in now.walk(path)}
    if own is not None:
        current[path] = own
    shown = [current[where].version for where, _ in wanted if where in current]
    known = by_ids(asked.node.index, (version for version in shown if version))
    for where, version in wanted:
        entry = current.get(where)
        there = known.get(entry.version) if entry is not None and entry.version else None
        yield _inside_item(where, version, there, standing[where])
    if not delete:
        return
    kept = {where for where, _ in wanted}
    later = [one for where, one in current.items() if where not in kept and one.version]
    seen = parents_of(now, later)
    for entry in sorted(later, key=lambda one: one.path.split(b"/"), reverse=True):
        if entry.kind != "deleted":
            parents = seen[entry.path]
            yield PlanItem(entry.path, "delete", reason="was made later", parents=parents)


def _inside_item(
    path: bytes, version: Version, there: Version | None, standing: tuple[bytes, ...]
) -> PlanItem:
    if version.pruned:
        return PlanItem(path, "skip", version, reason="that version was pruned")
    absent = there is None or there.kind == "deleted"
    if version.kind == "deleted":
        return PlanItem(path, "same" if absent else "delete", version, parents=standing)
    if there is not None and there.content == version.content:
        return PlanItem(path, "same", version)
    return PlanItem(path, "create" if absent else "replace", version, parents=standing)


# --- out of the volume ------------------------------------------------------------------------


def _places(
    to: str, found: Sequence[tuple[bytes, list[Wanted]]]
) -> tuple[str, list[tuple[str, Wanted]]]:
    """The directory that is written below, and where in it each thing goes."""
    single = len(found) == 1 and len(found[0][1]) == 1 and found[0][1][0][0] == found[0][0]
    one_file = single and found[0][1][0][1].kind in ("file", "symlink")
    target = os.path.abspath(to)
    if one_file and not to.endswith("/") and not os.path.isdir(target):
        return os.path.dirname(target), [(os.path.basename(target), found[0][1][0])]
    if os.path.lexists(target) and not os.path.isdir(target):
        raise UnsafeTarget(path=to, reason="is not a directory")
    placed: list[tuple[str, Wanted]] = []
    taken: dict[bytes, bytes] = {}
    for path, wanted in found:
        top = names.parent(path)
        name = names.name(path)
        if taken.setdefault(name, path) != path:
            raise UsageError(
                f"{printable(path)} and {printable(taken[name])} would both become "
                f"{printable(name)} there; restore them one by one"
            )
        skip = len(top) + 1 if top else 0
        placed += [(os.fsdecode(where[skip:]), (where, version)) for where, version in wanted]
    return target, placed


def _outside(
    base: str, placed: Iterable[tuple[str, Wanted]], delete: bool, force: bool
) -> Iterator[PlanItem]:
    look = _Look(base)
    kept: set[str] = set()
    tops: dict[str, None] = {}
    begin = os.path.join(base, "")
    for relative, (path, version) in placed:
        kept.add(relative)
        target = begin + relative
        if version.kind == "deleted":
            yield PlanItem(path, "skip", version, target, "it is the record of a deletion")
            continue
        if version.pruned:
            yield PlanItem(path, "skip", version, target, "that version was pruned")
            continue
        if version.kind == "directory":
            tops.setdefault(relative.split("/")[0])
        action, reason = look.at(relative, version, force)
        yield PlanItem(path, action, version, target, reason)
    if delete:
        for top in tops:
            yield from _extra(base, top, kept, force)


class _Look:
    """What lies in the target already; directories are looked at once."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._directories: dict[str, str] = {"": "there" if os.path.isdir(base) else "absent"}

    def _directory(self, relative: str) -> str:
        known = self._directories.get(relative)
        if known is None:
            above = self._directory(relative.rpartition("/")[0])
            known = above if above != "there" else self._stat_directory(relative)
            self._directories[relative] = known
        return known

    def _stat_directory(self, relative: str) -> str:
        try:
            mode = os.lstat(os.path.join(self._base, relative)).st_mode
        except FileNotFoundError:
            return "absent"
        return "there" if stat.S_ISDIR(mode) else "unsafe"

    def at(self, relative: str, version: Version, force: bool) -> tuple[Action, str]:
        """What would happen to `relative`, and why where it is skipped."""
        above = self._directory(relative.rpartition("/")[0])
        if above == "unsafe":
            return "skip", "a symlink or file lies where its directory goes"
        if above == "absent":
            return "create", ""
        place = os.path.join(self._base, relative)
        try:
            info = os.lstat(place)
            target = os.readlink(place) if stat.S_ISLNK(info.st_mode) else None
        except FileNotFoundError:
            return "create", ""
        if version.kind == "symlink" and target == os.fsdecode(version.target) and not force:
            return "same", "it leads where that of the version does"
        return self._existing(info, version, force)

    def _existing(self, info: os.stat_result, version: Version, force: bool) -> tuple[Action, str]:
        directory = stat.S_ISDIR(info.st_mode)
        if version.kind == "directory":
            return ("same", "") if directory else ("skip", "a file lies where the directory goes")
        if directory:
            return "skip", "a directory lies where it goes"
        if (
            version.kind == "file"
            and stat.S_ISREG(info.st_mode)
            and (info.st_size, info.st_mtime_ns) == (version.size, version.mtime)
            and not force
        ):
            return "same", "size and time are those of the version"
        return ("replace", "") if force else ("skip", "exists already; --force overwrites it")


def _extra(base: str, top: str, kept: set[str], force: bool) -> Iterator[PlanItem]:
    """What lies below a restored directory and was not there then, deepest first."""
    above = {one[:at] for one in kept for at, char in enumerate(one) if char == "/"}
    for directory, below, files in os.walk(os.path.join(base, top), topdown=False):
        relative = os.path.relpath(directory, base)
        for name in [*files, *below]:
            inner = f"{relative}/{name}"
            if inner in kept or inner in above:
                continue
            action: Action = "delete" if force else "skip"
            reason = "was not there then" if force else "was not there then; --force deletes it"
            yield PlanItem(os.fsencode(inner), action, None, os.path.join(base, inner), reason)


# --- the sums -----------------------------------------------------------------------------------


def _total(
    asked: _Asked,
    items: list[PlanItem],
    to: str | None,
    force: bool,
    words: tuple[str, ...],
    problems: list[Problem],
) -> RestorePlan:
    active = [item for item in items if item.action in ("create", "replace", "delete")]
    writes = [item for item in active if item.version is not None and item.action != "delete"]
    lacking: dict[Block, str] = {}
    if to is not None:
        for item in writes:
            version = item.version
            if version is not None and version.missing:
                for block, held in asked.now.blocks_of(version):
                    if not held:
                        lacking.setdefault(block, version.node)
    problems += [
        Problem(item.path, item.reason) for item in items if item.action == "skip" and item.reason
    ]
    outside = sum(item.action in ("replace", "delete") for item in active) if to else 0
    return RestorePlan(
        items=tuple(items),
        files=sum(item.version is None or item.version.kind != "directory" for item in active),
        bytes=sum(item.version.size for item in writes if item.version is not None),
        fetch_blocks=len(lacking),
        fetch_bytes=sum(block.size for block in lacking),
        sources=_expected(asked.node, lacking),
        outside_overwrites=outside,
        to=to,
        force=force,
        args=(*words, "--to", to) if to is not None else words,
        problems=tuple(problems),
    )


def _expected(node: Node, lacking: dict[Block, str]) -> tuple[tuple[str, int], ...]:
    """Who should have the missing blocks: the node that wrote them, else a keeper."""
    own = node.uuid
    keepers = [n for n in node.index.nodes() if not n.cacheonly and not n.retired and n.uuid != own]
    fallback = keepers[0].name or keepers[0].uuid[:8] if keepers else "nobody known"
    sums: dict[str, int] = {}
    for block, writer in lacking.items():
        name = (node.index.node_name(writer) or writer[:8]) if writer != own else fallback
        sums[name] = sums.get(name, 0) + block.size
    return tuple(sorted(sums.items(), key=lambda pair: -pair[1]))
