"""Three nodes to play with: made from files found on any machine, and kept moving while looked at."""

from __future__ import annotations

import sys
from collections.abc import Callable

Say = Callable[[str], None]


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(*, headless: bool, keep: str | None = None, say: Say = _line) -> int:
    """Make the demo's nodes and open the UI on one of them, or tell the story as text.

    They are made in the directory `keep` and stay there, or in a temporary one that goes. Returns
    the exit status. Raises `NotEmpty` where something lies in `keep`.
    """
    from globofs.demo.stage import Stage

    with Stage(keep) as stage:
        if headless:
            from globofs.demo.story import tell

            return tell(stage, say)
        from globofs.demo.show import show

        return show(stage)


def run_demo(headless: bool, directory: str | None = None, keep: bool = False) -> int:
    """As `run`: in `directory`, which stays when `keep` is set or it was given."""
    import tempfile

    place = directory or (tempfile.mkdtemp(prefix="globofs-demo-") if keep else None)
    return run(headless=headless, keep=place)
