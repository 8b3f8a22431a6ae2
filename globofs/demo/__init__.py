"""Three nodes to play with: made from files found on any machine, and kept moving while looked at."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from globofs.demo.show import OpenUi

Say = Callable[[str], None]


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(
    *,
    headless: bool = False,
    keep: str | None = None,
    say: Say = _line,
    open_ui: OpenUi | None = None,
) -> int:
    """Make the demo's nodes and open the UI on one of them, or tell the story as text (also where
    there is no `open_ui`).

    They are made in the directory `keep` and stay there, or in a temporary one that goes. Returns
    the exit status. Raises `NotEmpty` where something lies in `keep`.
    """
    from globofs.demo.stage import Stage

    with Stage(keep) as stage:
        if headless or open_ui is None:
            from globofs.demo.story import tell

            return tell(stage, say)
        from globofs.demo.show import show

        return show(stage, open_ui)
