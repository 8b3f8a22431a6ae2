"""Records that nobody has any more: they went with a node that was retired.

Each node that lacks numbers of a retired node's journal, or the large manifest that such a record
is of, says so in its own, once, and also when another says it. What all who are left have said,
with nothing missing before it, nobody can bring any more: it is given up, and does not stop a prune
or an eviction. Whoever has such a record says nothing and passes it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from globofs.errors import plural, printable
from globofs.events import Emit, Note, Problem, ignore
from globofs.format import kinds
from globofs.limits import GAPS_MAX
from globofs.store.catchup import positions
from globofs.store.commit import Operation
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.sync._journals import has
from globofs.sync._spans import Spans


def waited_for(node: Node) -> dict[str, str]:
    """The nodes that have to agree before anything goes for good, with the names they have here.

    A peer that has written nothing yet counts, too: it may hold and restore what it heard.
    """
    nodes = {info.uuid: info for info in node.index.nodes()}
    peers = {entry.config.uuid: entry.name for entry in node.peer_entries([])}
    found = {}
    for uuid in sorted({*nodes, *peers, *node.journal.origins()}):
        info = nodes.get(uuid)
        if info is None or not info.retired:
            found[uuid] = (info.name if info is not None else "") or peers.get(uuid) or uuid[:8]
    return found


def tell(node: Node, *, emit: Emit = ignore) -> int:
    """Say which records of retired nodes this one lacks, as far as it matters and was not said;
    how many they are. Not where the node may be there twice: its other self may have them."""
    retired = _retired(node)
    if not retired or node.readonly:
        return 0
    said = _said(node)
    here, missing = _here(node), _missing(node)
    lacking: dict[str, Spans] = {}
    for origin in retired:
        asked = missing.get(origin, Spans())
        for theirs in said.values():
            asked = asked.plus(theirs.get(origin, Spans()))
        own = said.get(node.uuid, {}).get(origin, Spans())
        left = asked.minus(here.get(origin, Spans())).minus(own)
        if left:
            lacking[origin] = left
    if not lacking or not node.at_home():
        return 0
    with Operation(node, "lost", emit=emit) as operation:
        for of, left in lacking.items():
            operation.record(
                *[kinds.LostRecord(of, tuple(some)) for some in chunks(left, GAPS_MAX)]
            )
    count = sum(left.count() for left in lacking.values())
    names = ", ".join(sorted(printable(retired[origin]) for origin in lacking))
    records = f"{plural(count, 'record')} of {names}, gone for good,"
    emit(Note(f"{records} {'is' if count == 1 else 'are'} not here; others are asked"))
    return count


def come_back(node: Node, *, emit: Emit = ignore) -> int:
    """Where this node was retired, say that it is there: it is waited for again from then on. How
    often it was. Not where it may be there twice: its other self may be the one that is gone."""
    if node.readonly or node.uuid not in _retired(node) or not node.at_home():
        return 0
    sql = (
        "SELECT origin, seq FROM event r WHERE kind = 'retire' AND fields = 'node=' || ?1"
        " AND NOT EXISTS(SELECT 1 FROM event b WHERE b.kind = 'back' AND b.origin = ?1"
        " AND b.fields = 'of=' || r.origin || ':' || r.seq) ORDER BY origin, seq"
    )
    said = node.index.rows(sql, (node.uuid,))
    with Operation(node, "back", emit=emit) as operation:
        operation.record(*[kinds.BackRecord(origin, seq) for origin, seq in said])
    names = ", ".join(sorted({node.index.node_name(origin) or origin[:8] for origin, _ in said}))
    text = (
        f"{printable(names)} had said that this node is gone for good: it says that it is not, and"
        " is waited for again. Old versions may have gone with their data meanwhile"
    )
    emit(Problem(b"", text, warning=True))
    return len(said)


def given_up(node: Node) -> dict[str, Spans]:
    """By retired node: the numbers of its journal that all who are left lack. Not those that came
    since it was said: what is here is not nowhere."""
    retired = _retired(node)
    if not retired:
        return {}
    said, here = _said(node), _here(node)
    found: dict[str, Spans] = {}
    for origin in retired:
        lost = said.get(node.uuid, {}).get(origin, Spans()).minus(here.get(origin, Spans()))
        for uuid in waited_for(node):
            lost = lost.both(said.get(uuid, {}).get(origin, Spans()))
        if lost:
            found[origin] = lost
    return found


def unknown(node: Node) -> str:
    """Why it is not known what all versions are made of, in a sentence; "" where it is."""
    missing = _missing(node)
    given = given_up(node) if missing else {}
    for origin, numbers in missing.items():
        left = numbers.minus(given.get(origin, Spans()))
        if left:
            return _why_unknown(node, origin, left)
    return ""


def _why_unknown(node: Node, origin: str, left: Spans) -> str:
    name = node.index.node_name(origin) or origin[:8]
    what = (
        "manifests of large files"
        if not left.minus(_numbers(_pending(node, origin)))
        else "records"
    )
    if origin not in _retired(node):
        return f"{what} of {name} are missing here; `globofs sync` fetches them"
    said = _said(node)
    others = [
        word
        for uuid, word in waited_for(node).items()
        if left.minus(said.get(uuid, {}).get(origin, Spans()))
    ]
    return (
        f"{what} of {name}, which is gone for good, are missing here, and"
        f" {', '.join(others)} {'has' if len(others) == 1 else 'have'} not yet said that"
        f" {'it lacks' if len(others) == 1 else 'they lack'} them, too; `globofs sync` asks"
    )


def _here(node: Node) -> dict[str, Spans]:
    """By node: the records of its journal that are here, with all that they stand for; also those
    whose large manifest came just now, and was not looked into yet."""
    return {
        origin: has(position).minus(_numbers(_pending(node, origin), node.blocks.has))
        for origin, position in positions(node).items()
    }


def _missing(node: Node) -> dict[str, Spans]:
    """By node: the numbers of its journal that are known of, and of which something is lacking."""
    found = {}
    for origin, position in positions(node).items():
        lacking = Spans(position.gaps).plus(_numbers(_pending(node, origin)))
        if lacking:
            found[origin] = lacking
    return found


def _pending(node: Node, origin: str) -> list[tuple[int, bytes]]:
    """The records of a journal whose large manifest is not known: number, and what it is called."""
    sql = "SELECT seq, id FROM version WHERE pending = 1 AND origin = ? ORDER BY seq"
    return node.index.rows(sql, (origin,))


def _numbers(
    pending: list[tuple[int, bytes]], but: Callable[[bytes], bool] = lambda _: False
) -> Spans:
    return Spans([(seq, seq) for seq, manifest in pending if not but(manifest)])


def _retired(node: Node) -> dict[str, str]:
    return {info.uuid: info.name or info.uuid[:8] for info in node.index.nodes() if info.retired}


def _said(node: Node) -> dict[str, dict[str, Spans]]:
    """By node, by retired node: what it said that it lacks, with nothing missing before that."""
    known = positions(node)
    found: dict[str, dict[str, Spans]] = {}
    sql = "SELECT origin, seq, fields FROM event WHERE kind = 'lost'"
    for origin, seq, text in node.index.rows(sql):
        position = known.get(origin)
        if origin == node.uuid or (position is not None and position.gapless >= seq):
            of, spans = _parsed(text)
            before = found.setdefault(origin, {})
            before[of] = before.get(of, Spans()).plus(Spans(spans))
    return found


def _parsed(text: str) -> tuple[str, Iterator[tuple[int, int]]]:
    fields = [line.partition("=") for line in text.split("\n")]
    of = next((value for key, _, value in fields if key == "node"), "")
    return of, (kinds.parse_numbers(value) for key, _, value in fields if key == "numbers")
