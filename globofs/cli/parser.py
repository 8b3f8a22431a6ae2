"""The table of commands: words, options, and which module does it. Only the parser of the command
that was given is built, and only its module imported: start-up counts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, NoReturn

from globofs.errors import UsageError, printable

USAGE: Final = "globofs [-C VOLUME|CONFIG] COMMAND [...]"
_AT = "the moment TIME: 2026-11-23T18:00, 'yesterday 18:00', '2h ago', a version's number"
_ID = "a version's number or a unique prefix of it; -1 is the one before the newest"


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` instead of ending the process; its help has a page in the manual."""

    command: Command | None = None

    def error(self, message: str) -> NoReturn:
        """Wrong usage, in one sentence that says where help is."""
        from globofs.cli.usage import in_words

        raise UsageError(f"{in_words(message, self)} (see `{self.prog} --help`)")

    def format_help(self) -> str:
        """The usage, what the command does, its arguments and options, examples."""
        if self.command is not None:
            from globofs.cli import manual

            self.description = manual.description(self.command.name, self.command.does)
            self.epilog = manual.epilog(self.command.name)
        self._positionals.title = "arguments"
        return super().format_help()


class Command(NamedTuple):
    """One command. `family` is the module in `globofs.cli`, `function` its name there."""

    name: str
    does: str
    family: str
    arguments: Callable[[Parser], None]
    function: str = ""  # the name itself, unless it is a Python word
    volume: bool = True  # opens one
    peers: bool = False  # may touch the directory of a peer: runs shielded
    json: bool = True


def _path(parser: Parser, many: str | None = "?", help: str = "a path in the volume") -> None:
    if many == "?":
        parser.add_argument("path", metavar="PATH", nargs="?", default="", help=help)
    elif many == "+":
        parser.add_argument("paths", metavar="PATH", nargs="+", help=help)
    else:
        parser.add_argument("path", metavar="PATH", help=help)


def _dry(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and end")


def _init(parser: Parser) -> None:
    parser.add_argument("directory", metavar="VOLUME", help="an empty or a new directory")
    parser.add_argument(
        "--local",
        metavar="NAME",
        default="local",
        help="name of this node's directory in the volume (local)",
    )
    parser.add_argument("--name", metavar="NODE", help="how others see this node (the host's name)")
    parser.add_argument(
        "--blocksize",
        metavar="SIZE",
        help="average size of a block, 4K to 4M; with --chunking fixed to 64M (1M)",
    )
    parser.add_argument(
        "--chunking",
        choices=("cdc", "fixed"),
        help="blocks cut by content (cdc, the default), or all of one size",
    )
    parser.add_argument(
        "--compression",
        metavar="zstd|gzip|none",
        help="of new blocks (zstd); zstd:9 sets the level",
    )
    parser.add_argument(
        "--cacheonly", action="store_true", help="a cache: data may go again when others hold it"
    )
    parser.add_argument(
        "--cachetime", metavar="SPAN", help="how long unused data stays in a cache: 30m, 12h, 30d"
    )


def _peer(parser: Parser) -> None:
    words = parser.add_subparsers(dest="word", metavar="add|list|set|remove|retire", required=True)

    def word(name: str, does: str) -> argparse.ArgumentParser:
        text = f"{does[0].upper()}{does[1:]}."
        return words.add_parser(name, help=does, description=text, allow_abbrev=False)

    add = word("add", "make a node a peer")
    add.add_argument("name", metavar="NAME", help="what the peer is called here")
    add.add_argument("path", metavar="PATH", help="its volume directory as reached from here")
    add.add_argument(
        "--send", metavar="yes|no", help="also write blocks there (it cannot reach us)"
    )
    add.add_argument("--yes", action="store_true", help="join two volumes that share no history")
    listing = word("list", "the peers and how they are")
    change = word("set", "change where or how")
    change.add_argument("name", metavar="NAME", help="what the peer is called here")
    change.add_argument("--path", metavar="PATH", help="where it is reached now")
    change.add_argument("--send", metavar="yes|no", help="whether blocks are written there")
    remove = word("remove", "forget a peer; what came stays")
    remove.add_argument("name", metavar="NAME", help="what the peer is called here")
    retire = word("retire", "a node is gone for good")
    retire.add_argument("node", metavar="NODE", help="its name or uuid")
    for one in (add, listing, change, remove, retire):
        _common(one)


def _add(parser: Parser) -> None:
    parser.add_argument(
        "sources",
        metavar="SRC",
        nargs="+",
        help="file or folder; SRC/ (with a slash) lands as DIR itself",
    )
    parser.add_argument("--to", metavar="DIR", default="", help="directory in the volume")
    parser.add_argument(
        "--delete", action="store_true", help="record as deleted what SRC once had and has no more"
    )
    parser.add_argument("--checksum", action="store_true", help="read even what looks unchanged")
    parser.add_argument(
        "--exclude", metavar="PATTERN", action="append", default=[], help="gitignore syntax"
    )
    parser.add_argument(
        "--yes", action="store_true", help="also where most of what SRC held would change or go"
    )


def _watch(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a folder of this machine")
    parser.add_argument("--to", metavar="DIR", default="", help="directory in the volume")
    parser.add_argument(
        "--exclude", metavar="PATTERN", action="append", default=[], help="gitignore syntax"
    )
    parser.add_argument("--poll", metavar="SPAN", help="look this often instead of being notified")


def _ls(parser: Parser) -> None:
    _path(parser)
    parser.add_argument("-R", "--recursive", action="store_true", help="everything below")
    parser.add_argument("-l", "--long", action="store_true", help="size, time, versions, held")
    parser.add_argument("--at", metavar="TIME", help=_AT)
    parser.add_argument("--deleted", action="store_true", help="deleted things too")


def _find(parser: Parser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", help="part of a name, or with * ? [..]")
    parser.add_argument("-l", "--long", action="store_true", help="size, time, versions, held")


def _log(parser: Parser) -> None:
    _path(parser)
    parser.add_argument(
        "--operations", action="store_true", help="a row for each command, not for each version"
    )
    parser.add_argument("-n", "--limit", metavar="N", type=int, default=0, help="only the newest N")


def _cat(parser: Parser) -> None:
    _path(parser, None)
    _when(parser)


def _when(parser: Parser) -> None:
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--version", metavar="ID", help=_ID)
    either.add_argument("--at", metavar="TIME", help=_AT)


def _diff(parser: Parser) -> None:
    _path(parser)
    parser.add_argument("--from", dest="old", metavar="ID|TIME", help="default: the one before")
    parser.add_argument("--to", dest="new", metavar="ID|TIME", help="default: now")


def _restore(parser: Parser) -> None:
    _path(parser, "+")
    _when(parser)
    parser.add_argument(
        "--to",
        metavar="TARGET",
        help="out of the volume, into this directory; of one file, also to this name",
    )
    parser.add_argument(
        "--delete", action="store_true", help="also delete what was made after TIME"
    )
    parser.add_argument("--force", action="store_true", help="overwrite files at TARGET")
    _dry(parser)


def _rm(parser: Parser) -> None:
    _path(parser, "+")


def _mv(parser: Parser) -> None:
    parser.add_argument("old", metavar="OLD", help="a path in the volume")
    parser.add_argument("new", metavar="NEW", help="its new path")


def _undo(parser: Parser) -> None:
    parser.add_argument("operation", metavar="OPERATION", nargs="?", help="see log --operations")


def _path_only(parser: Parser) -> None:
    _path(parser, None)


def _none(parser: Parser) -> None:
    """No arguments of its own."""


def _sync(parser: Parser) -> None:
    parser.add_argument("--watch", action="store_true", help="stay, and do it live")


def _mirror(parser: Parser) -> None:
    _path(parser)
    parser.add_argument("--to", metavar="PEER", help="write them to a peer that cannot reach back")
    parser.add_argument("--all-versions", action="store_true", help="old versions too")


def _evict(parser: Parser) -> None:
    _path(parser)
    _dry(parser)


def _pause(parser: Parser) -> None:
    parser.add_argument("what", metavar="PEER|PATH", nargs="?", help="everything, if not given")


def _resolve(parser: Parser) -> None:
    _path(parser, "+")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--version", metavar="ID", help="this side becomes the file; " + _ID)
    how.add_argument(
        "--with",
        dest="with_file",
        metavar="FILE",
        help="the content of this file of yours becomes the file",
    )
    how.add_argument(
        "--keep-both", action="store_true", help="the other side gets a name that says whose it is"
    )


def _verify(parser: Parser) -> None:
    parser.add_argument(
        "--repair", action="store_true", help="set damaged ones aside, and pull them again"
    )
    parser.add_argument(
        "--sample", metavar="SHARE", help="read only so many, chosen at random: 5%%"
    )
    parser.add_argument(
        "--restart", action="store_true", help="read all again where an earlier one was stopped"
    )


def _prune(parser: Parser) -> None:
    parser.add_argument("--keep-last", metavar="N", type=int, default=0, help="the newest N")
    for word, unit in (
        ("hourly", "hours"),
        ("daily", "days"),
        ("weekly", "weeks"),
        ("monthly", "months"),
        ("yearly", "years"),
    ):
        text = f"the newest of each of the last N {unit} that have one"
        parser.add_argument(f"--keep-{word}", metavar="N", type=int, default=0, help=text)
    parser.add_argument("--keep-within", metavar="SPAN", help="everything younger than, as 30d")
    parser.add_argument("--path", metavar="PATH", action="append", default=[], help="below it only")
    _dry(parser)


def _mount(parser: Parser) -> None:
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="a directory outside the volume")
    parser.add_argument("--background", action="store_true", help="return when it is ready")
    parser.add_argument("--readonly", action="store_true", help="nothing can be written there")
    parser.add_argument("--allow-other", action="store_true", help="other users may look")


def _umount(parser: Parser) -> None:
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="where it is mounted")


def _ui(parser: Parser) -> None:
    parser.add_argument("--readonly", action="store_true", help="change nothing, sync nothing")


def _demo(parser: Parser) -> None:
    parser.add_argument("--headless", action="store_true", help="tell the story as text, and end")
    parser.add_argument("--keep", metavar="DIR", help="make the volumes there and leave them")


def _doctor(parser: Parser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", help="look at this place instead")
    parser.add_argument(
        "--moved", action="store_true", help="this volume was moved or restored here, not copied"
    )
    parser.add_argument(
        "--force", action="store_true", help="with --moved: no peer can be heard before"
    )


def _completion(parser: Parser) -> None:
    shells = ("bash", "zsh", "fish")
    parser.add_argument("shell", metavar="SHELL", choices=shells, help="bash, zsh or fish")


_TABLE: Final = (
    Command("init", "make a node in an empty or new directory", "peers", _init, volume=False),
    Command("peer", "add, list, set, remove or retire peers", "peers", _peer, peers=True),
    Command("add", "snapshot files or trees into the volume", "files", _add),
    Command("watch", "keep adding what changes in a folder", "syncing", _watch),
    Command("ls", "list what is in the volume", "listing", _ls),
    Command("find", "find by name, deleted things too", "listing", _find),
    Command("log", "the timeline of a file, or of a directory", "history", _log),
    Command("cat", "write a file's bytes to stdout", "files", _cat, peers=True, json=False),
    Command("diff", "what changed between two versions or moments", "history", _diff, peers=True),
    Command("restore", "make old content current, or write it out", "files", _restore, peers=True),
    Command("rm", "delete; history is kept", "files", _rm),
    Command("mv", "rename a file or directory", "files", _mv),
    Command("undo", "reverse the last operation of this node", "history", _undo),
    Command("redo", "reverse the last undo", "history", _none),
    Command("sync", "push, receive and relay", "syncing", _sync, peers=True),
    Command("mirror", "pull every block, or write them to a peer", "moving", _mirror, peers=True),
    Command("pin", "fetch now and keep, also what comes later", "moving", _path_only, peers=True),
    Command("unpin", "take a pin back", "moving", _path_only),
    Command("evict", "on a cacheonly node: let go what others hold", "moving", _evict, peers=True),
    Command("copies", "who holds the content of a path", "moving", _path_only, peers=True),
    Command("status", "peers, queues, conflicts, missing blocks", "standing", _none, peers=True),
    Command("why", "why something is not here, or not there", "standing", _path_only, peers=True),
    Command("pause", "pause a peer, a path, or everything", "steering", _pause),
    Command("resume", "take a pause back", "steering", _pause),
    Command("retry", "try what failed again, now", "steering", _none),
    Command("bump", "move a path to the front of the queue", "steering", _path_only),
    Command("conflicts", "list what was changed in two places", "history", _none),
    Command("resolve", "settle conflicts", "files", _resolve, peers=True),
    Command("verify", "read and check every block and manifest", "care", _verify, peers=True),
    Command("prune", "let old versions go by a policy", "care", _prune),
    Command("mount", "the volume as ordinary files", "other", _mount, peers=True, json=False),
    Command("umount", "end a mount", "other", _umount, volume=False, json=False),
    Command("ui", "the terminal UI", "other", _ui, peers=True, json=False),
    Command("demo", "three nodes to play with", "other", _demo, volume=False, json=False),
    Command("doctor", "what works here, and what does not", "doctor", _doctor, peers=True),
    Command("completion", "completion for a shell", "other", _completion, volume=False, json=False),
)
COMMANDS: Final = {command.name: command for command in _TABLE}


def _common(parser: argparse.ArgumentParser, volume: bool = True, json: bool = True) -> None:
    """What every command takes; help is silent on what means nothing to this one."""
    where = "which volume" if volume else argparse.SUPPRESS
    parser.add_argument(
        "-C", dest="where", metavar="VOLUME|CONFIG", default=argparse.SUPPRESS, help=where
    )
    text = "JSON on stdout" if json else argparse.SUPPRESS
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=text)


def build(command: Command) -> Parser:
    """The parser of one command."""
    parser = Parser(
        prog=f"globofs {command.name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.command = command
    command.arguments(parser)
    if command.name != "peer":
        _common(parser, command.volume, command.json)
    return parser


class Given(NamedTuple):
    """What stands before the command, and the rest."""

    where: str | None
    json: bool
    name: str | None  # None: no command
    rest: tuple[str, ...]
    wish: str = ""  # "help" or "version"


def split(argv: Sequence[str]) -> Given:
    """Find the command among `argv` and what was said before it. Raises `UsageError`."""
    where: str | None = None
    as_json = False
    words = list(argv)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in ("-h", "--help", "--version"):
            wish = "version" if word == "--version" else "help"
            return Given(where, as_json, None, (), wish)
        if word == "--json":
            as_json = True
        elif word.startswith("-C"):
            where = word[2:] or (words.pop(0) if words else None)
            if not where:
                raise UsageError("-C wants a volume directory or a config file")
        elif word == "--":
            break
        else:
            raise UsageError(f"{printable(word)}: no such option (see `globofs --help`)")
    if not words:
        return Given(where, as_json, None, ())
    return Given(where, as_json or "--json" in words, words[0], tuple(words[1:]))


def find(name: str) -> Command:
    """The command called `name`. Raises `UsageError` that names the nearest."""
    command = COMMANDS.get(name)
    if command is None:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"; did you mean `globofs {near[0]}`?" if near else " (see `globofs --help`)"
        raise UsageError(f"{printable(name)}: no such command{hint}")
    return command


def overview() -> str:
    """What `globofs --help` prints."""
    from globofs.cli import manual

    return manual.overview(USAGE, {command.name: command.does for command in _TABLE})
