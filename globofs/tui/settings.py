"""What the UI remembers between runs: theme, panes, sort, last place, recent volumes.

One JSON file below `$XDG_STATE_HOME/globofs`. Losing it loses nothing but habits, so every error
is swallowed. Reads and writes disk: never call from the UI thread (the bridge's worker does).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

STATE_BYTES: Final = 256 * 1024
RECENT_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class Settings:
    """Habits. Unknown keys of the file are dropped, missing ones take the default."""

    theme: str = "globofs"
    glyphs: str = ""  # "" chooses by terminal
    preset: str = "default"
    sort: str = "name"
    reverse: bool = False
    hidden: bool = True
    deleted: bool = False
    diff_base: str = "before"
    wrap: bool = False  # long lines of a text go on below
    recent: tuple[str, ...] = ()
    places: dict[str, str] = field(default_factory=dict)  # volume uuid: path of the cursor


def state_path(environ: Mapping[str, str] | None = None) -> str:
    """Where habits are kept."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_STATE_HOME") or os.path.join(env.get("HOME", ""), ".local", "state")
    return os.path.join(base, "globofs", "ui.json")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The habits of this user; the defaults where there are none or they cannot be read."""
    try:
        with open(state_path(environ), encoding="utf-8") as file:
            found: Any = json.loads(file.read(STATE_BYTES))
    except (OSError, ValueError):
        return Settings()
    if not isinstance(found, dict):
        return Settings()
    known = Settings()
    for spec in fields(Settings):
        value = found.get(spec.name)
        default = getattr(known, spec.name)
        if spec.name == "recent" and isinstance(value, list):
            value = tuple(str(item) for item in value[:RECENT_MAX])
        if isinstance(value, type(default)):
            known = replace(known, **{spec.name: value})
    return known


def save(settings: Settings, environ: Mapping[str, str] | None = None) -> None:
    """Keep the habits; a full or read-only disk is no reason to complain."""
    path = state_path(environ)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle, name = tempfile.mkstemp(dir=os.path.dirname(path))
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(settings), file, indent=1)
        os.replace(name, path)
    except OSError:
        return


def with_recent(settings: Settings, volume: str) -> Settings:
    """The volume first in the list of recent ones."""
    others = [one for one in settings.recent if one != volume]
    return replace(settings, recent=(volume, *others)[:RECENT_MAX])
