"""What `--help` says beyond the options: groups of commands, what each does, examples. Read only
where help is asked for."""

from __future__ import annotations

import textwrap
from typing import Final, NamedTuple

GROUPS: Final = (
    ("Begin", ("init", "peer", "add", "watch")),
    ("Look", ("ls", "find", "log", "cat", "diff", "status", "why", "copies", "conflicts")),
    ("Change", ("restore", "undo", "redo", "rm", "mv", "resolve")),
    ("Move data", ("sync", "mirror", "pin", "unpin", "evict", "pause", "resume", "retry", "bump")),
    ("Look after it", ("verify", "prune", "doctor")),
    ("Other faces", ("ui", "mount", "umount", "demo", "completion")),
)

_WIDTH: Final = 80


class Page(NamedTuple):
    """What help adds to a command: a paragraph, and lines to type."""

    text: str
    examples: tuple[str, ...] = ()


PAGES: Final = {
    "init": Page(
        "A volume is a directory of its own: files go in with `globofs add`. Every machine makes"
        " one, and `globofs peer add` tells each where the others are. Prints the node's uuid.",
        ("globofs init ~/vol", "globofs init ~/vol --name laptop --cacheonly --cachetime 30d"),
    ),
    "peer": Page(
        "A peer is another node's volume directory as reached from here: a path on a disk, over"
        " sshfs or NFS. Adding on one side is enough to receive; added on both, both push.",
        (
            "globofs peer add server ~/server/files",
            "globofs peer add server ~/server/files --send yes    it cannot reach us: bring data",
            "globofs peer retire old-laptop                       nothing waits for it any more",
        ),
    ),
    "add": Page(
        "Each SRC goes in under its own name, at the top or in DIR. Only what changed is read and"
        " stored. Nothing is ever deleted without --delete. What `.globofsignore` names (gitignore"
        " syntax) stays out.",
        ("globofs add ~/Documents", "globofs add ~/Pictures/ --to photos --exclude '*.tmp'"),
    ),
    "watch": Page(
        "Adds the folder, then adds again whenever something in it changes, deletions included,"
        " until Ctrl-C.",
        ("globofs watch ~/Documents",),
    ),
    "ls": Page(
        "The columns of -l: kind and mode, size, when it changed, versions, how much of it is"
        " here, conflicts, name.",
        ("globofs ls -l Documents", "globofs ls -R --at 'yesterday 18:00'"),
    ),
    "find": Page(
        "In the whole volume, by what a name holds or by a pattern.",
        ("globofs find letter", "globofs find '*.jpg' -l"),
    ),
    "log": Page(
        "Newest first: the version's number, when, by which node, size. The number, or how it"
        " begins, is what --version wants elsewhere. By operations: one row for each command, with"
        " the number that `globofs undo` wants.",
        ("globofs log Documents/letter.txt", "globofs log --operations -n 10"),
    ),
    "cat": Page(
        "What is not here is pulled from whoever holds it. Ends with 3 where nobody reachable"
        " does.",
        ("globofs cat Documents/letter.txt --version -1 | less",),
    ),
    "diff": Page(
        "A file: its text line by line, or a summary where it is none. A directory: what was"
        " added (+), changed (~), deleted (-), renamed (>). Without --from and --to, what the last"
        " change did.",
        ("globofs diff Documents/letter.txt", "globofs diff Documents --from '2 days ago'"),
    ),
    "restore": Page(
        "Without --to, old content becomes the newest version in the volume: nothing is lost, and"
        " `globofs undo` takes it back. With --to it is written out of the volume, and nothing"
        " there is overwritten without --force. Works for deleted files and whole directories: a"
        " deleted directory comes back as it was before it was deleted.",
        (
            "globofs restore Documents/letter.txt --version -1",
            "globofs restore Documents --at 'yesterday 18:00' --to ~/copy/",
        ),
    ),
    "rm": Page("In the volume only, and its history stays: `globofs undo` brings it back."),
    "mv": Page(
        "The timeline follows, and no data moves. Into a directory that is there, the name is kept."
    ),
    "undo": Page(
        "Without OPERATION, this node's last one that is not undone yet. What was changed since is"
        " left as it is, and named.",
        ("globofs undo", "globofs undo 17", "globofs undo server:17"),
    ),
    "redo": Page("As long as nothing else was done since."),
    "sync": Page(
        "Tells every peer what was done here, and takes in what they did. Names and history come;"
        " data comes when it is read. A peer that is away is said, and costs nothing.",
        ("globofs sync", "globofs sync --watch    stay, and do it as things happen"),
    ),
    "mirror": Page(
        "Until everything below PATH is here; may be interrupted, and goes on where it was.",
        ("globofs mirror", "globofs mirror Documents --to server"),
    ),
    "pin": Page("Pinned things are fetched now, kept, and fetched again as they change."),
    "unpin": Page("What is here stays, until it is evicted."),
    "evict": Page(
        "Only on a node made with `init --cacheonly`; only what a keeper was seen to hold, twice,"
        " a minute apart. Pinned things stay.",
        ("globofs evict --dry-run",),
    ),
    "copies": Page("How many of its blocks each node holds; peers that can be reached are asked."),
    "status": Page(
        "Peers that can be reached are asked, for a few seconds at most. A peer is `online`,"
        " `offline`, `readonly`, `stuck` (its file system does not answer), `paused`, or `wrong`"
        " (another volume lies there).",
    ),
    "why": Page("For each file: never asked for, queued, peer offline, paused, failed, evicted."),
    "pause": Page(
        "Lasts until `globofs resume`, also across restarts. What is read, or asked for by name, is"
        " fetched all the same."
    ),
    "resume": Page("Without a name, everything that is paused goes on."),
    "retry": Page("Asks the process that syncs this node: `sync --watch`, the UI or a mount."),
    "bump": Page("Wanted before everything else; it is fetched at once where something syncs."),
    "conflicts": Page(
        "Where two nodes changed a file without knowing of each other, both versions are kept and"
        " one is shown. `globofs resolve` settles it.",
    ),
    "resolve": Page(
        "The sides are listed by `globofs conflicts`. With --keep-both, PATH may be a directory:"
        " all conflicts below it.",
        (
            "globofs resolve notes.md --version 1795703082",
            "globofs resolve notes.md --with merged.md",
            "globofs resolve / --keep-both",
        ),
    ),
    "verify": Page(
        "What is damaged is named, and with --repair set aside and pulled again. Ends with 1 while"
        " damage remains; what is merely not here is none. One that was stopped is gone on with by"
        " the next, within seven days.",
        ("globofs verify --repair", "globofs verify --sample 5%"),
    ),
    "prune": Page(
        "A version stays if any rule keeps it; the current ones always do. Data is deleted only"
        " when every node agreed and a grace period is over. Say of a node that is gone for good that"
        " it is: `globofs peer retire NAME`.",
        ("globofs prune --keep-daily 30 --keep-monthly 12 --dry-run",),
    ),
    "mount": Page(
        "Stays until Ctrl-C or `globofs umount`. `.globofs/at/<time>/` in it is the whole tree at"
        " that moment.",
        ("globofs mount ~/mnt --background",),
    ),
    "umount": Page("Returns when everything that was written is recorded."),
    "ui": Page("Syncs while it is open. `?` lists the keys, `q` quits."),
    "demo": Page(
        "A volume of three nodes in a temporary directory, with a history, and the UI on it."
    ),
    "doctor": Page(
        "Tries out the directories of this node and of each peer (or DIR), and says what follows.",
        (
            "globofs doctor",
            "globofs doctor /mnt/disk",
            "globofs doctor --moved    the volume was brought here, and is used nowhere else",
        ),
    ),
    "completion": Page(
        "Prints a script.",
        ('eval "$(globofs completion bash)"    in ~/.bashrc',),
    ),
}


def description(name: str, does: str) -> str:
    """The paragraphs at the top of a command's help."""
    return "\n".join([f"{does[0].upper()}{does[1:]}.", "", textwrap.fill(PAGES[name].text, _WIDTH)])


def epilog(name: str) -> str:
    """The examples at the end of a command's help."""
    lines = [f"  {line}" for line in PAGES[name].examples]
    return "\n".join(["examples:", *lines]) if lines else ""


def overview(usage: str, does: dict[str, str]) -> str:
    """What `globofs --help` prints."""
    width = max(map(len, does))
    lines = [f"usage: {usage}", "", "One versioned tree of files on several nodes."]
    for title, names in GROUPS:
        lines += ["", f"{title}:", *(f"  {name:<{width}}  {does[name]}" for name in names)]
    lines += [
        "",
        "The volume: -C, else $GLOBOFS_VOLUME, else the nearest one at or above the current",
        "directory. `globofs COMMAND --help` tells more; --json makes reports machine-readable.",
        "`globofs` alone opens the terminal UI.",
        "",
        "PATH counts from the volume's root; the real path of a file in a folder that was added",
        "will do as well. TIME: 2026-11-23T18:00, 'yesterday 18:00', '2h ago', 'monday', a",
        "version's number, or whatever a screen shows.",
        "",
        "Exit status: 0 done; 1 failed, or part of it; 2 wrong usage or config; 3 content that",
        "no reachable peer holds now; 130 interrupted.",
    ]
    return "\n".join(lines)
