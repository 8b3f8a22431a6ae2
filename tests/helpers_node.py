"""A node on disk and short ways to write to it, for the tests of the store's upper half."""

from __future__ import annotations

import os
import subprocess
from hashlib import sha256
from pathlib import Path

from globofs.format.manifest import Block
from globofs.store.commit import Committed, Draft
from globofs.store.node import Node, create_node, open_node


class FixedClock:
    """A clock that stands still until it is moved; `tick` is added at every look."""

    def __init__(self, now: int = 1_700_000_000 * 10**9, tick: int = 0) -> None:
        self.now = now
        self.tick = tick

    def now_ns(self) -> int:
        self.now += self.tick
        return self.now

    def monotonic(self) -> float:
        return self.now / 1e9

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def new_node(path: Path, name: str = "alpha", clock: FixedClock | None = None) -> Node:
    node = create_node(str(path), name=name, clock=clock or FixedClock(tick=1000))
    node.catch_up()
    return node


def reopen(node: Node, readonly: bool = False) -> Node:
    node.close()
    made = open_node(node.volume, readonly, clock=node.clock)
    made.catch_up()
    return made


def block_of(data: bytes) -> Block:
    return Block(sha256(data).digest(), len(data))


def file_draft(path: bytes, data: bytes = b"x", **more: object) -> Draft:
    blocks = (block_of(data),) if data else ()
    return Draft(path, "file", len(data), 0o644, 5, b"", blocks, **more)  # type: ignore[arg-type]


def gone(path: bytes, **more: object) -> Draft:
    return Draft(path, "deleted", **more)  # type: ignore[arg-type]


def write(node: Node, *drafts: Draft, contents: tuple[bytes, ...] = ()) -> list[Committed]:
    """One operation with these drafts; `contents` are blocks to be kept before."""
    with node.operation("add", ["x"]) as operation:
        if contents:
            with node.blocks.batch() as batch:
                for data in contents:
                    batch.add(sha256(data).digest(), len(data), data, "")
                batch.seal()
        return operation.commit(drafts)


def put(node: Node, path: bytes, data: bytes) -> Committed:
    """A file of one block, kept."""
    return write(node, file_draft(path, data), contents=(data,) if data else ())[0]


def deliver(source: Node, target: Node) -> None:
    """What a push would do: the files of the source's own journal, as they are."""
    there = target.updates(source.uuid)
    os.makedirs(there, exist_ok=True)
    subprocess.run(["cp", "-a", f"{source.updates(source.uuid)}/.", there], check=True)
    target.catch_up()
