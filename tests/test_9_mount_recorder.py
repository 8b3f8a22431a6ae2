"""When what was written through a mount is recorded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from globofs.mount import recorder
from globofs.mount.namespace import Namespace
from globofs.mount.recorder import Recorder


@pytest.mark.parametrize(
    ("more", "seconds"),
    [(0, 0.2), (2, 0.6), (1000, 1.0)],
    ids=["one change", "some", "no end of them"],
)
def test_changes_are_gathered_while_there_are_more_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, more: int, seconds: float
) -> None:
    """`more` changes come while the recorder waits, one each time."""
    made = Recorder(cast(Namespace, SimpleNamespace()), "/m", print)
    waits: list[float] = []

    def sleep(time: float) -> None:
        waits.append(time)
        if len(waits) <= more:
            made.ready()

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: round(sum(waits), 6))
    monkeypatch.setattr(recorder, "time", clock)
    made.ready()
    made._gather()
    assert sum(waits) == pytest.approx(seconds)
