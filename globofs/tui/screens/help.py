"""Help: every key of where you are, then all others, then the symbols. Type to find, Enter runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from globofs.tui.face import Face
from globofs.tui.glyphs import Glyphs
from globofs.tui.keys import Action, Keymap, normal, shown
from globofs.tui.screens.dialogs import Choice, PickDialog
from globofs.tui.widgets.paint import Column

COLUMNS: Final = (
    Column("label", "", 14),
    Column("key", "", 10),
    Column("help", "", 0, minimum=20),
)
GAPS_EACH: Final = 3  # letters that may be left out for each letter typed
GROUPS: Final = {
    "files": "Files", "sync": "Sync", "peers": "Peers", "conflicts": "Conflicts", "log": "Log",
    "start": "Start",
}  # fmt: skip


def keys_of(action: Action) -> str:
    """All keys of an action as people write them."""
    return " ".join(dict.fromkeys(shown(normal(key)) for key in action.keys))


def command_choices(app: Face, screen: Any, contexts: Sequence[str]) -> list[Choice]:
    """The actions that work in these contexts, as rows; pale with the reason when they cannot."""
    found = []
    for action in app.keymap.valid(contexts):
        if action.group == "Moving" or action.id in ("escape", "choose"):
            continue
        reason = app.why_not(screen, action.id)
        words = f"{action.help} · not now: {reason}" if reason else action.help
        found.append(
            Choice(
                action.id,
                (((action.label, "strong"),), ((keys_of(action), "key"),), ((words, "muted"),)),
                f"{action.label} {action.help} {action.id}".lower(),
                "faint" if reason else "",
            )
        )
    return found


def best(choices: Sequence[Choice], text: str) -> list[Choice]:
    """Those that match, words first, then letters in order."""
    wanted = text.lower().strip()
    if not wanted:
        return list(choices)
    ranked = []
    for place, choice in enumerate(choices):
        score = rank(wanted, choice.search)
        if score is not None:
            ranked.append((score, place, choice))
    return [choice for _, _, choice in sorted(ranked, key=lambda one: one[:2])]


def rank(wanted: str, text: str) -> int | None:
    """How well a text matches: smaller is better, None not at all. A word that begins so comes
    first, then what contains it, then letters in order that lie close together."""
    at = text.find(wanted)
    if at >= 0:
        return at if at == 0 or not text[at - 1].isalnum() else at + 50
    place, first, gaps = -1, -1, 0
    for letter in wanted:
        if letter == " ":
            continue
        found = text.find(letter, place + 1)
        if found < 0:
            return None
        gaps += found - place - 1 if place >= 0 else 0
        first = found if first < 0 else first
        place = found
    return 200 + gaps + first if gaps <= GAPS_EACH * len(wanted) else None


def legend(glyphs: Glyphs) -> list[tuple[str, str, str]]:
    """Symbols, their style and what they say."""
    return [
        (glyphs.held, "good", "all of the content is on this node"),
        (glyphs.part, "warn", "part of it is; the number says how much"),
        (glyphs.remote, "primary", "none of it is; b brings it here"),
        (glyphs.deleted, "bad", "deleted; its history is kept and can be restored"),
        (glyphs.conflict, "bad", "two nodes changed it at once: mode 4 settles it"),
        (glyphs.pinned, "accent", "pinned: kept here, also what comes later"),
        (glyphs.dot * 3, "accent", "versions: one dot each, + where there are more than six"),
        (glyphs.current, "accent", "the version that the tree shows"),
        (f"{glyphs.down} {glyphs.up}", "good", "received from, sent to other nodes"),
    ]


class HelpDialog(PickDialog):
    """All keys, those of the screen below first."""

    def __init__(self, contexts: Sequence[str], keymap: Keymap) -> None:
        self._contexts = contexts
        self._keymap = keymap
        super().__init__(
            "Keys and symbols",
            COLUMNS,
            self._rows,
            placeholder="type to find a key",
            foot="Enter does it · Esc closes",
        )

    def _rows(self, text: str) -> list[Choice]:
        here = self._keymap.valid(self._contexts)
        ids = {action.id for action in here}
        groups: dict[str, list[Action]] = {}
        for action in here:
            groups.setdefault(action.group, []).append(action)
        for action in self._keymap.actions.values():
            if action.id not in ids:
                groups.setdefault(f"{action.group} (elsewhere)", []).append(action)
        first = GROUPS.get(self._contexts[-2] if len(self._contexts) > 1 else "", "")
        order = sorted(groups, key=lambda name: (name.endswith(")"), name != first, name))
        if text.strip():
            flat = [self._row(action) for name in order for action in groups[name]]
            return best(flat, text)
        rows: list[Choice] = []
        for name in order:
            if name.endswith(")"):
                continue
            rows.append(self._heading(name))
            rows += [self._row(action) for action in groups[name]]
        rows.append(self._heading("Symbols"))
        rows += [
            Choice("", (((symbol, style),), "", ((words, "muted"),)), words)
            for symbol, style, words in legend(self.glyphs)
        ]
        rows.append(self._heading("In other modes"))
        for name in order:
            if name.endswith(")"):
                rows += [self._row(action) for action in groups[name] if action.group != "Moving"]
        return rows

    @staticmethod
    def _heading(name: str) -> Choice:
        return Choice("", (((name, "head strong"),), "", ""), "")

    @staticmethod
    def _row(action: Action) -> Choice:
        return Choice(
            action.id,
            (action.label, ((keys_of(action), "key"),), ((action.help, "muted"),)),
            f"{action.label} {action.help} {keys_of(action)}".lower(),
        )
