"""Writing to the volume: operations, drafts of versions, and what follows a commit.

A batch of drafts is committed under the lock `journal`: our own journal is caught up first, so
that parents and times are settled on what any client of this node has written; then one append
makes the records durable, and they are applied to the index. Blocks must be durable before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from globofs import errors, limits
from globofs.events import Emit, Note, ignore
from globofs.format import kinds
from globofs.format.manifest import Block, Kind, Manifest, content_of, encode
from globofs.store import fsio, home
from globofs.store.apply_records import Item, load_seen
from globofs.store.catchup import catch_up, catch_up_own, write_applied
from globofs.store.index import HeadInfo, PathInfo
from globofs.store.journal_tail import Last
from globofs.store.portions import chunks, marks
from globofs.store.running import mark_running, unmark_running
from globofs.store.tree import build_tree
from globofs.store.unapplied import Unapplied
from globofs.store.versions import NO_TEXTS, VersionText
from globofs.store.views import OperationKey

if TYPE_CHECKING:
    from types import TracebackType

    from globofs.store.parts import NodeParts


@dataclass(frozen=True, slots=True)
class Draft:
    """A version to be made.

    `parents` are the versions the writer had in hand; `None` means it had none and takes the
    heads of the moment. Heads of the same content as the only parent stand for it. With
    `if_changed` nothing is written when kind, mode, target and blocks are those of the only
    parent.
    """

    path: bytes
    kind: Kind
    size: int = 0
    mode: int = 0
    mtime: int = 0
    target: bytes = b""
    blocks: tuple[Block, ...] = ()
    parents: tuple[bytes, ...] | None = None
    from_path: bytes | None = None
    from_id: bytes | None = None
    source: str = ""
    if_changed: bool = True


class Committed(NamedTuple):
    """What became of a draft. When `skipped`, the version is the one it equals."""

    draft: Draft
    version_id: bytes
    time: int
    skipped: bool


class Verbatim(NamedTuple):
    """A manifest to be journaled as it is: hand-made, or issued again after a fork.

    `parents` are what the record names; `None`: what the manifest says.
    """

    text: bytes
    manifest: Manifest
    parents: tuple[bytes, ...] | None = None
    source: str = ""


_NO_PATH = PathInfo(0, ())
_PERHAPS_LARGE = 1000
"""A manifest of fewer blocks is within its record, however long its header."""


class Operation:
    """One command or action that writes. Use as a context manager, or call `close`.

    Its number is that of its first record, so an operation that wrote nothing leaves no trace.
    """

    def __init__(
        self,
        node: NodeParts,
        verb: str,
        args: Sequence[str | bytes] = (),
        *,
        late: bool = False,
        builds: bool = True,
        emit: Emit = ignore,
    ) -> None:
        """With `late` the index hears of what was committed when the operation ends, or before
        that where it has to: durable, as ever, is what `commit` has returned. One that `builds`
        nothing leaves `root/` to whoever finishes next. Raises ReadOnlyVolume, and Unsupported
        where the clock tells a time that no record can bear."""
        node.writable()
        if not 0 <= node.clock.now_ns() <= limits.TIME_MAX_NS:
            reason = "this machine's clock is set to a time before 1970 or after 2116"
            raise errors.Unsupported(what=verb, reason=reason)
        self.node = node
        self.verb = verb
        self.args = tuple(os.fsencode(arg) if isinstance(arg, str) else arg for arg in args)
        self.number = 0
        self.versions = 0
        self.bytes = 0
        self._origin = node.uuid
        self._emit = emit
        self._closed = False
        self._late = late
        self._builds = builds
        self._unapplied = self._nothing_unapplied()

    @property
    def key(self) -> OperationKey | None:
        """Its name, once it wrote something."""
        return OperationKey(self._origin, self.number) if self.number else None

    def __enter__(self) -> Operation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        # What was committed stays, so the operation is closed with it; the first error counts.
        with contextlib.suppress(Exception):
            self.close()

    # --- writing ----------------------------------------------------------------------------

    def commit(self, drafts: Iterable[Draft]) -> list[Committed]:
        """Make versions of `drafts`, durable when this returns. In batches of one append each.

        OSErrors of the journal pass through: then nothing of that batch was committed.
        """
        done: list[Committed] = []
        for batch in chunks(drafts, limits.BATCH_RECORDS):
            large = any(len(draft.blocks) >= _PERHAPS_LARGE for draft in batch)
            with self._share_of_adders(large), self._journal():
                done += self._commit(batch)
        return done

    def commit_verbatim(self, manifests: Iterable[Verbatim]) -> int:
        """Journal manifests as they are; the number written."""
        count = 0
        for batch in chunks(manifests, limits.BATCH_RECORDS):
            large = any(len(item.text) > limits.MANIFEST_INLINE_BYTES for item in batch)
            with self._share_of_adders(large), self._journal():
                entries: list[tuple[kinds.VersionRecord, Manifest]] = []
                for item in batch:
                    parents = item.manifest.parents if item.parents is None else item.parents
                    node = item.manifest.node or self.node.uuid
                    made = item.manifest._replace(parents=parents, node=node)
                    entry = kinds.VersionRecord.of(made, item.text, item.source)
                    entries.append((entry, made))
                    self._keep_large(entry, item.text)
                self._write(entries)
                count += len(batch)
        return count

    def record(self, *entries: kinds.Entry) -> int:
        """Journal records that are no versions (node, prune, note, ...); the last one's number."""
        with self._journal():
            return self._append([(entry, None, None) for entry in entries])

    def close(self) -> None:
        """Write the closing record, then do what a command does before it exits (`finish`)."""
        if self._closed:
            return
        self._closed = True
        if not self.number:
            self._keep_blocks()
            return
        entries: list[kinds.Entry] = [
            kinds.CloseRecord(self.verb, self.args, self.versions, self.bytes)
        ]
        said = unsaid(self.node)
        if said is not None:
            entries.insert(0, said)
        number = self.number
        try:
            with self._journal():
                if self.number:
                    self._append([(entry, None, None) for entry in entries])
        except BaseException:
            # This process may live on, and what only it knows of others may let go of.
            with contextlib.suppress(Exception):
                self.settle()
            raise
        self.settle()
        unmark_running(self.node, number)
        if self._builds:
            finish(self.node, texts=self._unapplied.texts, emit=self._emit)
        else:
            acknowledge(self.node)

    def _keep_blocks(self) -> None:
        """No version is new, yet a block that was lost may be here again."""
        self.node.blocks.flush()
        try:
            self.node.blocks.explode()
        except OSError as error:
            if not fsio.is_full(error):  # whoever comes when there is room makes up for it
                raise

    def settle(self) -> None:
        """Bring into the index what a `late` operation has committed so far, its blocks first."""
        if self._unapplied.some:
            self.node.blocks.flush()
            self._unapplied.apply()

    # --- inside -----------------------------------------------------------------------------

    def _nothing_unapplied(self) -> Unapplied:
        node = self.node
        return Unapplied(node.index, node.updates(self._origin), self._origin, self._emit)

    def _say(self, text: str) -> None:
        self._emit(Note(text))

    def _share_of_adders(self, large: bool) -> contextlib.AbstractContextManager[None]:
        """For a batch with manifests that become blocks: a share of `adders`, which goes before
        `journal` (see `Locks`), until their records are there."""
        if not large:
            return contextlib.nullcontext()
        return self.node.locks.adders.shared(say=self._say)

    @contextlib.contextmanager
    def _journal(self) -> Iterator[None]:
        with self.node.locks.journal.exclusive(say=self._say):
            self.node.reload()
            if self._origin != self.node.uuid:  # another client found that this was a copy
                self._origin, self.number = self.node.uuid, 0
                self._unapplied = self._nothing_unapplied()
                catch_up(self.node, emit=self._emit)
            elif not self._unapplied.ends_with(self.node.journal.last()):
                self.settle()
                catch_up_own(self.node, emit=self._emit)
            yield

    def _commit(self, drafts: Sequence[Draft]) -> list[Committed]:
        index = self.node.index
        if not self._unapplied.paths.isdisjoint([draft.path for draft in drafts]):
            self.settle()
        infos = index.path_infos([draft.path for draft in drafts])
        bases = self._bases(drafts, infos)
        now = self.node.clock.now_ns()
        several = len({draft.path for draft in drafts}) < len(drafts)
        plan: list[Committed] = []
        entries: list[tuple[kinds.VersionRecord, Manifest]] = []
        for draft in drafts:
            info = infos.get(draft.path, _NO_PATH)
            same = _same(draft, info, bases)
            if same is not None:
                plan.append(Committed(draft, same.id, same.time, True))
                continue
            made = self._manifest(draft, info, bases, now)
            text = encode(made)
            entry = kinds.VersionRecord.of(made, text, draft.source)
            self._keep_large(entry, text)
            entries.append((entry, made))
            plan.append(Committed(draft, entry.manifest, made.version, False))
            if several:
                infos[draft.path] = _after(info, made, entry.manifest)
        if entries:
            self._is_here([done.draft for done in plan if not done.skipped])
            self._write(entries)
        return plan

    def _is_here(self, drafts: Sequence[Draft]) -> None:
        """Raise Unsupported where a node that may be a copy would make versions of blocks that it
        does not hold: nobody knows of it, so nobody keeps them for it."""
        node = self.node
        if node.at_home():
            return
        node.blocks.flush()
        for draft in drafts:
            if not all(node.blocks.has(block.id) for block in draft.blocks):
                lacking = f"{errors.printable(draft.path)} is not all here, and {home.ELSEWHERE}"
                raise errors.Unsupported(what=self.verb, reason=lacking)

    def _manifest(
        self, draft: Draft, info: PathInfo, bases: dict[bytes, HeadInfo], now: int
    ) -> Manifest:
        parents = draft.parents
        if parents is None:
            parents = tuple(head.id for head in info.heads[-limits.PARENTS_MAX :])
        elif len(parents) == 1:
            # Heads that say again what the writer had in hand (an undone deletion, the same file
            # added elsewhere) are no news.
            base = _base(parents[0], info, bases)
            known = base.content if base else b""
            again = [head.id for head in info.heads if known and head.content == known]
            parents = tuple(again[-limits.PARENTS_MAX :]) or parents
        # A stranger's version may bear the last time there is: then another one bears it as well.
        time = min(max(now, info.newest + 1), limits.TIME_MAX_NS)
        return Manifest(
            *(draft.kind, draft.path, time, self.node.uuid, parents),
            *(draft.size, draft.mode, draft.mtime, draft.target, draft.from_path),
            *(draft.from_id, draft.blocks),
        )

    def _bases(
        self, drafts: Sequence[Draft], infos: dict[bytes, PathInfo]
    ) -> dict[bytes, HeadInfo]:
        """The given parents that are no longer heads, to see whether a draft equals its base."""
        heads = {head.id for info in infos.values() for head in info.heads}
        wanted = {
            draft.parents[0]
            for draft in drafts
            if draft.parents is not None and len(draft.parents) == 1
        } - heads
        found: dict[bytes, HeadInfo] = {}
        for chunk in chunks(wanted):
            sql = (
                "SELECT id, row, time, kind, mode, mtime, content FROM version "
                f"WHERE id IN ({marks(chunk)})"
            )
            for row in self.node.index.db.execute(sql, chunk):
                found[row[0]] = HeadInfo(*row)
        return found

    def _keep_large(self, entry: kinds.VersionRecord, text: bytes) -> None:
        """A manifest over 1 MiB is a block; it must be durable before its record. Under a share
        of `adders` that was taken before `journal`."""
        if entry.length > limits.MANIFEST_INLINE_BYTES:
            self.node.blocks.keep_manifest(entry.manifest, text)

    def _write(self, entries: Sequence[tuple[kinds.VersionRecord, Manifest]]) -> None:
        self._append([(entry, entry, manifest) for entry, manifest in entries])
        self.versions += len(entries)
        self.bytes += sum([manifest.size for _, manifest in entries])

    def _append(
        self,
        entries: Sequence[tuple[kinds.Entry, kinds.VersionRecord | None, Manifest | None]],
    ) -> int:
        """Encode, append and, sooner or later, apply records; the last one's number.

        When the append returns they are durable; should applying fail then, whoever catches up
        next applies them.
        """
        node = self.node
        seq, prev = node.journal.last()
        number = self.number or seq + 1
        now = node.clock.now_ns()
        items: list[Item] = []
        frames: list[bytes] = []
        for entry, version, manifest in entries:
            seq += 1
            place = kinds.Place(seq, node.uuid, prev, number, now)
            record, frame, prev = kinds.encode_at(place, entry)
            frames.append(frame)
            items.append(Item(record, prev, version, manifest))
        if not self.number:
            mark_running(node, number)
        try:
            written = node.journal.append(frames, Last(seq, prev))
        except BaseException:
            if not self.number:
                unmark_running(node, number)
            raise
        self.number = number
        self._unapplied.take(items, written)
        if not self._late or self._unapplied.enough:
            self.settle()
        return seq


def unsaid(node: NodeParts) -> kinds.NodeRecord | None:
    """What this node should say of itself; None when its journal says just that."""
    config = node.config
    said = node.index.one("SELECT name, cacheonly, told FROM node WHERE uuid = ?", (node.uuid,))
    if said is not None and said[2] and (said[0], bool(said[1])) == (node.name, config.cacheonly):
        return None
    return kinds.NodeRecord(node.name, config.cacheonly)


def _same(draft: Draft, info: PathInfo, bases: dict[bytes, HeadInfo]) -> HeadInfo | None:
    """The version a draft would merely repeat, if there is one."""
    if not draft.if_changed:
        return None
    if draft.parents is None:
        if not info.heads:
            return _NOTHING if draft.kind == "deleted" else None
        base = info.heads[0] if len(info.heads) == 1 else None
    elif len(draft.parents) == 1:
        base = _base(draft.parents[0], info, bases)
    else:
        base = None
    if base is None or base.kind != draft.kind:
        return None
    content = content_of(draft.kind, draft.mode, draft.target, draft.blocks)
    return base if content == base.content else None


def _base(parent: bytes, info: PathInfo, bases: Mapping[bytes, HeadInfo]) -> HeadInfo | None:
    """The only parent of a draft: a head, or one that was."""
    heads = (head for head in info.heads if head.id == parent)
    return next(heads, None) or bases.get(parent)


_NOTHING = HeadInfo(b"", 0, 0, "deleted", 0, 0, b"")
"""What the deletion of something that never was repeats."""


def _after(info: PathInfo, made: Manifest, version: bytes) -> PathInfo:
    """What is known of a path once `made` is committed; for a later draft of the same batch."""
    kept = tuple(head for head in info.heads if head.id not in made.parents)
    head = HeadInfo(version, 0, made.version, made.kind, made.mode, made.mtime, made.content)
    return PathInfo(made.version, (*kept, head))


def finish(
    node: NodeParts, *, texts: Mapping[bytes, VersionText] = NO_TEXTS, emit: Emit = ignore
) -> None:
    """What every writing command does before it exits: blocks and tree into their places.

    `texts` are those of new versions that the caller knows, by their ids.

    Nothing of it is needed for what was committed to be safe; whoever comes next makes up for
    what a killed command left.
    """
    if node.readonly:
        return
    _place(node)
    build_tree(node, texts, emit=emit)
    write_applied(node)


def acknowledge(node: NodeParts) -> None:
    """The same without `root/`: peers may read what this node wrote."""
    _place(node)
    write_applied(node)


def _place(node: NodeParts) -> None:
    """Put staged blocks into their places: what this node wrote until now may go out."""
    seq = load_seen(node.index.db, node.uuid).received
    node.blocks.flush()
    node.blocks.explode()
    if (node.index.meta("own_ready") or 0) < seq:
        node.index.set_meta("own_ready", seq)
