"""The demo with the UI: build the past, let the others begin, look."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from globofs.demo.build import build
from globofs.demo.live import Company
from globofs.demo.stage import Stage

OpenUi = Callable[[str, Callable[[], None]], int]
"""Opens the UI on a volume, calls back once it is up, and returns the exit status."""


def show(stage: Stage, open_ui: OpenUi) -> int:
    """Open the UI on the laptop of three nodes; the others go on living meanwhile."""
    sys.stderr.write(f"making a laptop, a nas and a cabin in {stage.directory} ...\n")
    for site in build(stage).values():
        site.close()  # the UI and the others open them in the present
    company = Company(stage.directory)
    stage.at_end(company.stop)
    try:
        return open_ui(os.path.join(stage.directory, "laptop"), company.start)
    finally:
        company.stop()
