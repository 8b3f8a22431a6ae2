"""Which version is shown: the rules of conflict, one by one."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from globofs.store.heads import differ, heads, winner


class V(NamedTuple):
    id: bytes
    time: int = 1
    node: str = "n"
    kind: str = "file"
    content: bytes = b"same"
    parents: tuple[bytes, ...] = ()


def test_heads_are_what_nothing_descends_from() -> None:
    root, left = V(b"1"), V(b"2", parents=(b"1",))
    right = V(b"3", parents=(b"1",))
    assert heads([root]) == [root]
    assert heads([root, left, right]) == [left, right]
    join = V(b"4", parents=(b"2", b"3"))
    assert heads([root, left, right, join]) == [join]


def test_a_parent_nobody_has_seen_is_no_obstacle() -> None:
    child = V(b"2", parents=(b"1",))
    assert heads([child]) == [child]


def test_an_edit_beats_a_later_deletion() -> None:
    edit, deletion = V(b"1", time=1), V(b"2", time=9, kind="deleted", content=b"gone")
    assert winner([edit, deletion]) is edit


def test_then_the_later_then_the_larger_node_then_the_larger_id() -> None:
    assert winner([V(b"1", time=2), V(b"2", time=1, node="z")]).id == b"1"
    assert winner([V(b"1", node="b"), V(b"2", node="a")]).id == b"1"
    assert winner([V(b"1"), V(b"2")]).id == b"2"


def test_equal_content_is_no_conflict_and_unknown_content_is() -> None:
    assert not differ([V(b"1")])
    assert not differ([V(b"1"), V(b"2", time=5)])
    assert differ([V(b"1"), V(b"2", content=b"other")])
    assert differ([V(b"1", content=b""), V(b"2", content=b"")])


versions = st.lists(
    st.builds(
        V,
        id=st.binary(min_size=1, max_size=1),
        time=st.integers(0, 2),
        node=st.sampled_from("ab"),
        kind=st.sampled_from(("file", "deleted")),
        content=st.sampled_from((b"x", b"y")),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda version: version.id,
)


@given(versions)
def test_every_order_has_the_same_winner(known: list[V]) -> None:
    found = {winner(order) for order in itertools.permutations(known)}
    assert len(found) == 1
