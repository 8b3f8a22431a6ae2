"""The demo with the UI: build the past, let the others begin, look."""

from __future__ import annotations

import os
import sys

from globofs.demo.build import build
from globofs.demo.live import Company
from globofs.demo.stage import Stage


def show(stage: Stage) -> int:
    """Open the UI on the laptop of three nodes; the others go on living meanwhile."""
    from globofs.tui.app import run

    sys.stderr.write(f"making a laptop, a nas and a cabin in {stage.directory} ...\n")
    for site in build(stage).values():
        site.close()  # the UI and the others open them in the present
    company = Company(stage.directory)
    stage.at_end(company.stop)
    try:
        return run(os.path.join(stage.directory, "laptop"), on_start=company.start)
    finally:
        company.stop()
