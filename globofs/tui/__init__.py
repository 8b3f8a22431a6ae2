"""The terminal UI. Imports Textual, so nothing outside this package may import it eagerly."""

import importlib
import os
from typing import Final

#: How often the screen may be painted. With Textual's own 60, a key that comes just behind another
#: paint waits up to 16.7 ms for its own. A limit only: what does not change is not painted.
PAINTS_PER_SECOND: Final = 120
_NAME: Final = "TEXTUAL_FPS"


def _paint_soon() -> None:
    """Tell Textual, unless its user did, or the terminal is far away: there the milliseconds are
    nothing, while a turned wheel would send more. It reads the environment once, when its
    constants are imported, so programs started from here need not be told."""
    if _NAME in os.environ or "SSH_CONNECTION" in os.environ:
        return
    os.environ[_NAME] = str(PAINTS_PER_SECOND)
    try:
        importlib.import_module("textual.constants")
    finally:
        del os.environ[_NAME]


_paint_soon()
