"""One table of keys. Hint bar, help, palette, README and remapping are all made from it.

A context is where a key counts: `files.tree`, `files.versions`, `sync.moves`, ... A key is looked
for in the focused pane's context, then in its mode's (`files`), then in `any`. Two actions for
one key in one context are a mistake that a test finds.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

LISTS: Final = (
    "files.tree", "files.versions", "sync.peers", "sync.moves", "peers", "conflicts.list",
    "conflicts.sides", "log.operations", "log.files", "start", "menu",
)  # fmt: skip
TEXTS: Final = ("files.detail", "conflicts.detail", "log.detail")
MODES: Final = ("files", "sync", "peers", "conflicts", "log")
#: actions that mean the same whatever rows are going to be shown
FREE: Final = frozenset(
    {
        "escape", "quit", "help", "palette", "theme", "redraw", "doctor", "cancel", "mode_files",
        "mode_sync", "mode_peers", "mode_conflicts", "mode_log",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Action:
    """Something a key does. `priority` 1 is the first to get room in the hint bar, 0 none."""

    id: str
    keys: tuple[str, ...]
    contexts: tuple[str, ...]
    label: str  # in the hint bar, one or two words
    help: str  # a sentence for help and palette
    priority: int = 0
    vim: tuple[str, ...] = ()  # further keys of the vim preset
    group: str = "Everywhere"


def _move(
    id: str, keys: tuple[str, ...], label: str, help: str, vim: tuple[str, ...] = ()
) -> Action:
    return Action(id, keys, LISTS + TEXTS, label, help, 0, vim, "Moving")


ACTIONS: Final[tuple[Action, ...]] = (
    _move("up", ("up", "k"), "Up", "One row up"),
    _move("down", ("down", "j"), "Down", "One row down"),
    _move("page_up", ("pageup",), "Page up", "One page up", ("ctrl+u",)),
    _move("page_down", ("pagedown",), "Page down", "One page down", ("ctrl+d",)),
    _move("first", ("home", "g"), "First", "The first row"),
    _move("last", ("end", "G"), "Last", "The last row"),
    Action("out", ("left", "h"), ("files", "conflicts", "log"), "Parent", "Close the directory, go to its parent, or one pane back", 0, (), "Moving"),
    Action("into", ("right", "l"), ("files", "conflicts", "log"), "Open", "Open the directory, or go one pane on", 0, (), "Moving"),
    Action("next_pane", ("tab",), MODES, "Pane", "To the next pane", 24, (), "Moving"),
    Action("previous_pane", ("shift+tab",), MODES, "Back", "To the pane before", 0, (), "Moving"),
    Action("jump", (";",), MODES, "Jump", "A letter on every row; type it to go there, in whatever pane", 0, (), "Moving"),
    Action("mode_files", ("1",), ("any",), "Files", "The tree of the volume", 0, (), "Modes"),
    Action("mode_sync", ("2",), ("any",), "Sync", "What moves between the nodes", 0, (), "Modes"),
    Action("mode_peers", ("3",), ("any",), "Peers", "The other nodes", 0, (), "Modes"),
    Action("mode_conflicts", ("4",), ("any",), "Conflicts", "Files that two nodes changed at once", 0, (), "Modes"),
    Action("mode_log", ("5",), ("any",), "Log", "Every operation, newest first", 0, (), "Modes"),
    # Files
    Action("open", ("enter",), ("files.tree",), "Open", "Open the directory, or go to the file's versions", 1, (), "Files"),
    Action("open_version", ("enter",), ("files.versions",), "Show", "Show the difference this version made; for an operation, go to that moment", 1, (), "Files"),
    Action("restore", ("r",), ("files",), "Restore", "Bring this version back as the newest one; the marked files, or a whole directory, at once", 2, (), "Files"),
    Action("restore_to", ("R",), ("files",), "Restore to…", "Write this version to a directory outside the volume", 21, (), "Files"),
    Action("diff", ("d",), ("files",), "Diff", "What changed in the selected version", 3, (), "Files"),
    Action("diff_base", ("p",), ("files",), "Before/now", "Compare with the version before, or with the newest", 6, (), "Files"),
    Action("compare", ("m",), ("files.versions", "files.detail"), "Compare A", "Take this version as A; then the diff is from A to the one under the cursor", 17, (), "Files"),
    Action("inspect", ("i",), ("files",), "Preview", "Show the content of the selected version", 7, (), "Files"),
    Action("facts", ("I",), ("files",), "Details", "Show version, node, blocks and who should hold them", 0, (), "Files"),
    Action("preview_down", ("J",), ("files.tree", "files.versions"), "Scroll", "Scroll the text beside the list", 0, (), "Files"),
    Action("preview_up", ("K",), ("files.tree", "files.versions"), "Scroll up", "Scroll the text beside the list back", 0, (), "Files"),
    Action("wrap", ("W",), ("files", "conflicts", "log"), "Wrap", "Long lines of the text go on below, or off the edge", 0, (), "Files"),
    Action("mark", ("space",), ("files.tree", "conflicts.list", "sync.moves"), "Mark", "Mark this row and go on; marked rows are acted on together", 5, (), "Files"),
    Action("range", ("v",), ("files.tree", "conflicts.list", "sync.moves"), "Range", "Begin or end a range; moving then takes rows in", 0, (), "Files"),
    Action("range_up", ("shift+up",), ("files.tree", "conflicts.list", "sync.moves"), "Range up", "Take the row above into the range", 0, (), "Files"),
    Action("range_down", ("shift+down",), ("files.tree", "conflicts.list", "sync.moves"), "Range down", "Take the row below into the range", 0, (), "Files"),
    Action("invert", ("*",), ("files.tree", "conflicts.list"), "Invert", "Mark what is not marked beside the cursor", 0, (), "Files"),
    Action("filter", ("/",), ("files", "log", "sync"), "Filter", "Show only what matches; Esc shows all again", 4, (), "Files"),
    Action("find", ("f",), ("files",), "Find", "Find a file anywhere in the volume, deleted ones too", 12, (), "Files"),
    Action("next_match", ("n",), ("files",), "Next", "The next match of the filter", 0, (), "Files"),
    Action("previous_match", ("N",), ("files",), "Previous", "The match before", 0, (), "Files"),
    Action("sort", ("comma",), ("files", "sync"), "Sort", "Choose the order: name, size, time, versions or state", 16, (), "Files"),
    Action("hidden", (".",), ("files",), "Hidden", "Show or hide names that begin with a dot", 0, (), "Files"),
    Action("deleted", ("D",), ("files",), "Deleted", "Show or hide deleted files in the tree", 13, (), "Files"),
    Action("changed", ("c",), ("files",), "Changed", "Only what changed since a moment", 14, (), "Files"),
    Action("travel", ("t",), ("files", "log"), "Time", "See the whole tree as it was at a moment", 8, (), "Time"),
    Action("travel_back", ("[",), ("files", "log"), "Earlier", "One operation back in time", 0, (), "Time"),
    Action("travel_on", ("]",), ("files", "log"), "Later", "One operation on in time", 0, (), "Time"),
    Action("now", ("T",), ("files", "log"), "Now", "Back to the present", 0, (), "Time"),
    Action("add", ("a",), ("files",), "Add", "Take a folder of this machine into the volume", 9, (), "Files"),
    Action("add_again", ("A",), ("files",), "Add again", "Take in what changed in the folder of this machine that this came from", 10, (), "Files"),
    Action("rename", ("f2",), ("files",), "Rename", "Give it another name; its history comes along", 0, (), "Files"),
    Action("delete", ("delete",), ("files",), "Delete", "Delete; the history stays and z brings it back", 18, (), "Files"),
    Action("fetch", ("b",), ("files", "conflicts", "log"), "Fetch", "Bring the content here now", 11, (), "Files"),
    Action("pin", ("B",), ("files",), "Pin", "Keep it here for good, or no longer", 19, (), "Files"),
    Action("open_copy", ("o",), ("files",), "Open", "Open a read-only copy of this version with the system's program, or $GLOBOFS_OPEN", 0, (), "Files"),
    Action("editor", ("E",), ("files",), "Edit a copy", "Open a copy of this version in $EDITOR, or $PAGER where there is none", 0, (), "Files"),
    Action("export", ("e",), ("files",), "Export all", "Write every version of this file into a directory", 0, (), "Files"),
    Action("copy", ("y",), ("files", "log", "peers"), "Copy", "Copy path, name, version or hash to the clipboard", 20, (), "Files"),
    # Sync
    Action("pause", ("P",), ("sync", "peers"), "Pause", "Pause this peer or path, or let it go on", 2, (), "Sync"),
    Action("bump", ("U",), ("sync", "files"), "To the top", "This one before everything else", 3, (), "Sync"),
    Action("retry", ("f5",), ("sync", "peers"), "Try now", "Try what failed again, ask every peer now", 4, (), "Sync"),
    Action("cancel", ("x",), ("any",), "Cancel", "Cancel what this screen began: add, restore, fetch; what is done stays", 0, (), "Everywhere"),
    Action("faults", ("!",), ("sync",), "Only faults", "Show only what failed or waits for a reason", 6, (), "Sync"),
    Action("show_file", ("enter",), ("sync.moves", "log.files"), "Show file", "Go to this file in Files", 1, (), "Sync"),
    Action("show_peer", ("enter",), ("sync.peers",), "Peer", "Go to this peer", 1, (), "Sync"),
    Action("why", ("w",), ("files", "sync", "peers", "conflicts", "log"), "Why?", "Why it is not here, not there, or not moving", 5, (), "Sync"),
    # Peers
    Action("peer_add", ("a",), ("peers",), "Add a peer", "Name another node's volume directory as reached from here", 1, (), "Peers"),
    Action("peer_edit", ("enter", "e"), ("peers",), "Edit", "Change path or direction of the peer", 3, (), "Peers"),
    Action("peer_remove", ("delete",), ("peers",), "Remove", "Forget the peer, or say that its node is gone for good; nothing that came from it is lost", 6, (), "Peers"),
    # Conflicts
    Action("take", ("enter",), ("conflicts",), "Take this side", "Settle: the side under the cursor becomes the file", 1, (), "Conflicts"),
    Action("keep_both", ("a",), ("conflicts",), "Keep both", "Settle: both stay, the other under a name that says whose it is", 2, (), "Conflicts"),
    Action("common", ("p",), ("conflicts",), "Three-way", "Side against side, or what each made of the version both were made from", 4, (), "Conflicts"),
    Action("merge", ("E",), ("conflicts",), "Merge", "Settle in $MERGETOOL or $EDITOR", 3, (), "Conflicts"),
    # Log
    Action("go_moment", ("enter",), ("log.operations",), "Go there", "See the tree just after this operation", 1, (), "Log"),
    Action("revert", ("u",), ("log",), "Undo this", "Reverse this operation; what changed since is left alone", 2, (), "Log"),
    # Start
    Action("choose", ("enter",), ("start", "menu"), "Choose", "Do what the row says", 1, (), "Start"),
    # Everywhere
    Action("undo", ("z",), ("any",), "Undo", "Undo this node's last operation, also after a restart", 10, (), "Everywhere"),
    Action("redo", ("Z",), ("any",), "Redo", "Take the undo back", 0, (), "Everywhere"),
    Action("palette", (":", "ctrl+p"), ("any",), "Commands", "Find a command by typing", 15, (), "Everywhere"),
    Action("help", ("?", "f1"), ("any",), "Keys", "All keys and symbols, searchable", 0, (), "Everywhere"),
    Action("grow", ("+",), MODES, "Larger", "Give the pane the whole screen", 0, (), "Everywhere"),
    Action("shrink", ("_",), MODES, "Smaller", "Give the panes their usual place", 0, (), "Everywhere"),
    Action("mounts", ("M",), ("any",), "Mount", "See the volume as ordinary files in a directory, end that, and what is open through it", 0, (), "Everywhere"),
    Action("commands_log", ("@",), ("any",), "As commands", "What was done here, as the commands that do the same", 0, (), "Everywhere"),
    Action("theme", ("ctrl+t",), ("any",), "Theme", "Dark, light, colour-blind, contrast and more", 0, (), "Everywhere"),
    Action("doctor", ("ctrl+g",), ("any",), "Lag", "How quickly this screen answers, and what it is made of", 0, (), "Everywhere"),
    Action("redraw", ("ctrl+l",), ("any",), "Redraw", "Draw the screen again", 0, (), "Everywhere"),
    Action("escape", ("escape",), ("any",), "Back", "One step out: range, filter, marks, time travel; never quits", 0, (), "Everywhere"),
    Action("quit", ("q", "ctrl+c"), ("any",), "Quit", "Quit; says what still moves. Ctrl-C twice: at once", 22, (), "Everywhere"),
)  # fmt: skip

NAMES: Final = {
    "comma": ",", "question_mark": "?", "slash": "/", "colon": ":", "space": "space",
    "enter": "enter",
}  # fmt: skip
SHOWN: Final = {
    "enter": "Enter", "space": "Space", "escape": "Esc", "up": "↑", "down": "↓", "left": "←",
    "right": "→", "pageup": "PgUp", "pagedown": "PgDn", "home": "Home", "end": "End",
    "tab": "Tab", "shift+tab": "Shift-Tab", "delete": "Del", "comma": ",",
    "shift+up": "Shift-↑", "shift+down": "Shift-↓", "backspace": "Bksp",
}  # fmt: skip


def normal(key: str) -> str:
    """One spelling a key: what `key_of` makes of the terminal's event."""
    return NAMES.get(key, key)


def shown(key: str) -> str:
    """A key as people write it: `Enter`, `Ctrl-P`, `F2`, `r`."""
    if key in SHOWN:
        return SHOWN[key]
    if key.startswith("ctrl+"):
        return "Ctrl-" + key[5:].upper()
    if len(key) > 1 and key[0] == "f" and key[1:].isdigit():
        return key.upper()
    return normal(key)


def key_of(key: str, character: str | None) -> str:
    """The table's spelling of a terminal event."""
    if character and len(character) == 1 and character.isprintable() and character != " ":
        return character
    return key


class Keymap:
    """The keys in force: the table, a preset, and what the user remapped."""

    def __init__(self, actions: Iterable[Action] = ACTIONS) -> None:
        self.actions = {action.id: action for action in actions}
        self._by_key: dict[tuple[str, str], Action] = {}
        for action in self.actions.values():
            for key in action.keys:
                for context in action.contexts:
                    self._by_key[(context, normal(key))] = action
        self._valid: dict[tuple[str, ...], list[Action]] = {}  # asked for ten times a second

    def resolve(self, key: str, contexts: Sequence[str]) -> Action | None:
        """What a key does, the nearest context first."""
        for context in contexts:
            action = self._by_key.get((context, key))
            if action is not None:
                return action
        return None

    def valid(self, contexts: Sequence[str]) -> list[Action]:
        """Actions whose key works in these contexts (not shadowed by a nearer one)."""
        place = tuple(contexts)
        found = self._valid.get(place)
        if found is None:
            found = self._valid[place] = [
                action
                for action in self.actions.values()
                if any(self.resolve(normal(key), contexts) is action for key in action.keys)
            ]
        return found

    def key_for(self, action: Action) -> str:
        """The first key of an action, as people write it; empty when it has none."""
        return shown(action.keys[0]) if action.keys else ""


def clashes(actions: Iterable[Action]) -> list[str]:
    """Every key that two actions claim in one context, as sentences."""
    seen: dict[tuple[str, str], str] = {}
    found = []
    for action in actions:
        for key in action.keys:
            for context in action.contexts:
                place = (context, normal(key))
                other = seen.setdefault(place, action.id)
                if other != action.id:
                    found.append(f"{context}: {shown(key)} is both {other} and {action.id}")
    return found


def preset(name: str, actions: Iterable[Action] = ACTIONS) -> tuple[Action, ...]:
    """The table with a preset's keys: `default`, `vim` (further ones), or `arrows` (arrows and
    named keys move, no letter does)."""
    if name == "arrows":
        return tuple(
            replace(action, keys=tuple(key for key in action.keys if len(key) > 1))
            if action.group == "Moving" and action.id != "jump"
            else action
            for action in actions
        )
    if name == "vim":
        return tuple(replace(action, keys=action.keys + action.vim) for action in actions)
    return tuple(actions)


def remap(
    actions: Sequence[Action], wishes: Mapping[str, tuple[int, str]]
) -> tuple[tuple[Action, ...], list[str]]:
    """Actions with the user's keys, and what is wrong with the wishes (`line` of the file each).

    `wishes`: action id to (line number, blank-separated keys). A bad line changes nothing.
    """
    known = {action.id for action in actions}
    problems: list[str] = []
    changed: dict[str, tuple[str, ...]] = {}
    for id, (line, keys) in wishes.items():
        if id not in known:
            near = difflib.get_close_matches(id, known, 1)
            hint = f"; nearest is {near[0]}" if near else ""
            problems.append(f"line {line}: no action is named {id}{hint}")
            continue
        changed[id] = tuple(normal(key) for key in keys.split())
    result = tuple(replace(a, keys=changed.get(a.id, a.keys)) for a in actions)
    for id in list(changed):
        wrong = [text for text in clashes(result) if f" {id}" in text]
        if wrong:
            problems.append(f"line {wishes[id][0]}: key {wishes[id][1]}: {wrong[0]}")
            del changed[id]
            result = tuple(replace(a, keys=changed.get(a.id, a.keys)) for a in actions)
    return result, problems


def read_wishes(text: str) -> dict[str, tuple[int, str]]:
    """`action = key key` lines of the user's file; `#` begins a comment."""
    wishes: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split(" #")[0].strip()
        if not bare or bare.startswith(("#", "[")) or "=" not in bare:
            continue
        name, _, keys = bare.partition("=")
        wishes[name.strip()] = (number, keys.strip().strip("\"'"))
    return wishes


def load(
    environ: Mapping[str, str] | None = None, preset_name: str = "default"
) -> tuple[Keymap, list[str]]:
    """The keymap of this user: preset, then `keys.conf` of the config directory. Reads disk:
    call before the UI thread starts, or off it."""
    actions = preset(preset_name)
    path = config_path(environ)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(65536)
    except OSError:
        return Keymap(actions), []
    result, problems = remap(actions, read_wishes(text))
    return Keymap(result), [f"{path}: {problem}" for problem in problems]


def config_path(environ: Mapping[str, str] | None = None) -> str:
    """Where a user's keys are: `$XDG_CONFIG_HOME/globofs/keys.conf`."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_CONFIG_HOME") or os.path.join(env.get("HOME", ""), ".config")
    return os.path.join(base, "globofs", "keys.conf")


def table_markdown(actions: Iterable[Action] = ACTIONS) -> str:
    """The key table of README.md."""
    lines = ["| Key | Where | Does |", "| --- | --- | --- |"]
    for action in actions:
        keys = " ".join(f"`{shown(key)}`" for key in dict.fromkeys(map(normal, action.keys)))
        where = action.group
        lines.append(f"| {keys.replace('|', chr(92) + '|')} | {where} | {action.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table_markdown(), end="")
