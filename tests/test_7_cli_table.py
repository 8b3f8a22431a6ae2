"""The table of commands, held against the program: every word, option and field of the contract
is there, and every one of them is tried by some test."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from globofs.cli import manual
from globofs.cli.parser import COMMANDS, build
from tests.helpers_cli import make, run, tree
from tests.test_7_cli_contract import FIELDS, PEER

# What scripts and people rely on: extended, never changed.
WORDS = {
    "init": "VOLUME --local --name --blocksize --chunking --compression --cacheonly --cachetime",
    "peer add": "NAME PATH --send --yes",
    "peer list": "",
    "peer set": "NAME --path --send",
    "peer remove": "NAME",
    "peer retire": "NODE",
    "add": "SRC --to --delete --checksum --exclude --yes",
    "watch": "FOLDER --to",
    "ls": "PATH -R -l --at --deleted",
    "find": "PATTERN",
    "log": "PATH --operations",
    "cat": "PATH --version --at",
    "diff": "PATH --from --to",
    "restore": "PATH --version --at --to --delete --dry-run --force",
    "rm": "PATH",
    "mv": "OLD NEW",
    "undo": "OPERATION",
    "redo": "",
    "sync": "--watch",
    "mirror": "PATH --to --all-versions",
    "pin": "PATH",
    "unpin": "PATH",
    "evict": "PATH --dry-run",
    "copies": "PATH",
    "status": "",
    "why": "PATH",
    "pause": "PEER|PATH",
    "resume": "",
    "retry": "",
    "bump": "PATH",
    "conflicts": "",
    "resolve": "PATH --version --with --keep-both",
    "verify": "--repair --sample",
    "prune": "--keep-last --keep-daily --dry-run",
    "mount": "MOUNTPOINT --background",
    "umount": "MOUNTPOINT",
    "ui": "--readonly",
    "demo": "--headless",
    "doctor": "--moved",
    "completion": "SHELL",
}
NOT_REPORTING = {"cat", "mount", "umount", "ui", "demo", "completion"}
LONG_RUNNING = {"watch": "test_watch_adds_until", "sync --watch": "test_sync_watch_moves"}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every command, and every word of `peer`, with its parser."""
    made: dict[str, argparse.ArgumentParser] = {}
    for name, command in COMMANDS.items():
        parser = build(command)
        nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        words = {f"{name} {word}": one for word, one in nested[0].choices.items()} if nested else {}
        made.update(words or {name: parser})
    return made


def words_of(parser: argparse.ArgumentParser) -> set[str]:
    told = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    places = {str(action.metavar) for action in told if not action.option_strings}
    return places | {flag for action in told for flag in action.option_strings}


def test_every_word_of_the_contract_is_there() -> None:
    there = parsers()
    assert set(there) == set(WORDS)
    for name, words in WORDS.items():
        assert set(words.split()) <= words_of(there[name]), name
        as_json = "--json" in words_of(there[name])
        assert as_json == (name.split()[0] not in NOT_REPORTING), name


def test_every_option_is_tried_by_some_test() -> None:
    """A line of a test that names the command and the option together."""
    tests = Path(__file__).parent
    found = [*tests.glob("test_7_*.py"), *tests.glob("test_9_*.py"), *tests.glob("helpers_*.py")]
    lines = [
        set(re.findall(r"[\w-]+", line))
        for path in found
        if path != Path(__file__)
        for line in path.read_text().splitlines()
    ]
    common = {"--help", "--json"}
    for name, parser in parsers().items():
        for action in parser._actions:
            flags = set(action.option_strings)
            if not flags or flags & common or action.help == argparse.SUPPRESS or "-C" in flags:
                continue
            tried = any(set(name.split()) <= line and flags & line for line in lines)
            assert tried or (name, max(flags)) in TRIED, f"{name} {max(flags)}: no test"


def test_help_is_whole() -> None:
    """Every command stands in one group and has a page; every example is understood."""
    grouped = [name for _, names in manual.GROUPS for name in names]
    assert sorted(grouped) == sorted(COMMANDS) == sorted(manual.PAGES)
    for name, page in manual.PAGES.items():
        shown = run(name, "--help").out
        assert shown.startswith(f"usage: globofs {name}")
        assert page.text.split()[-1] in shown
        for example in page.examples:
            assert example in shown
            words = re.findall(r"'[^']*'|\S+", re.split(r"  +|\||\)\"", example)[0])
            words = [word.strip("'") for word in words[words.index("globofs") + 1 :]] if (
                "globofs" in words
            ) else []  # fmt: skip
            if words:
                build(COMMANDS[words[0]]).parse_args(words[1:])


# --- fields of what changes things, as one story ------------------------------------------------

EDIT = "versions operation undone paths skipped problems"
WRITTEN = "files bytes versions deleted same fetched_bytes operation missing problems"
PINS = "path pinned missing_blocks missing_bytes pins problems"
STORY = [
    ("init TOP/new --local here --name x", "volume uuid name warnings"),
    ("add TOP/docs --exclude *.tmp --checksum", "files added changed deleted bytes operation"),
    ("pin docs", f"{PINS} fetched_blocks fetched_bytes"),
    ("unpin docs", PINS),
    ("pause docs", "done path"),
    ("pause nas", "done peer"),
    ("resume", "done peer"),
    ("retry", "done peer"),
    ("bump docs", "done path"),
    ("rm docs/b", EDIT),
    ("undo", EDIT),
    ("redo", EDIT),
    ("undo", EDIT),
    ("mv docs/b docs/c", EDIT),
    ("restore docs/a", WRITTEN),
    ("restore docs --to TOP/out/", WRITTEN),
    ("restore docs --to TOP/out/ --force", WRITTEN),
    ("restore docs --at now --delete --dry-run", "dry_run files bytes items problems"),
    ("resolve docs --keep-both", EDIT),
    ("ls --long", "path held"),
    ("find a --long", "path held"),
    ("mirror --all-versions", "blocks bytes already missing problems"),
    ("mirror docs --to nas", "blocks bytes already missing problems"),
    ("evict docs --dry-run", "blocks bytes waiting next_at dry_run kept problems"),
    ("copies docs", "node name keeper blocks total state reason"),
    ("verify --repair", "checked damaged repaired missing"),
    ("prune --keep-hourly 1 --keep-daily 1 --dry-run", "versions kept blocks bytes problems"),
    ("prune --keep-weekly 1 --keep-monthly 1", "versions kept operation problems"),
    ("prune --keep-yearly 1 --keep-within 1d", "versions kept operation problems"),
    ("prune --keep-last 1 --path docs", "versions kept operation problems"),
    ("doctor", "name path events advice lacks"),
    ("peer set nas --send yes", f"{PEER} send"),
    ("peer set nas --path TOP/w", PEER),
    ("peer list", PEER),
    ("peer remove nas", "removed"),
    ("peer add nas TOP/w --send yes --yes", f"{PEER} send"),
    ("peer retire nas", "retired"),
]
TRIED = {
    *((words.split()[0], word) for words, _ in STORY for word in words.split() if word[0] == "-"),
    ("demo", "--headless"),  # CI's first command
    ("demo", "--keep"),  # test_7_demo_story: the same function
    ("mount", "--allow-other"),  # only root, or with user_allow_other
    ("watch", "--exclude"),  # test_6_engine_folder: the same function
}


def test_fields_of_what_changes_things(tmp_path: Path) -> None:
    at = make(tmp_path / "v", "n", "--cacheonly")
    make(tmp_path / "w", "nas")
    at("peer", "add", "nas", tmp_path / "w")
    tree(tmp_path / "docs", {"a": "1", "b": "2", "no.tmp": "3"})
    for words, fields in STORY:
        line = words.replace("TOP", str(tmp_path)).split()
        at_all = [] if line[0] == "init" else ["-C", str(at.volume)]
        ran = run(*at_all, *line, "--json")
        assert ran.status == 0, (words, ran)
        assert not ran.err, words
        rows = ran.json if isinstance(ran.json, list) else [ran.json]
        assert rows, words
        for row in rows:
            assert set(row) >= set(fields.split()), words


def test_every_report_has_its_fields_held_by_a_row() -> None:
    rows = {words.split()[0] for words, _ in [*FIELDS, *STORY]}
    reporting = {name for name, command in COMMANDS.items() if command.json}
    process = (Path(__file__).parent / "test_7_cli_process.py").read_text()
    for words, test in LONG_RUNNING.items():
        assert test in process, words
    assert reporting - rows == {"watch"}


@pytest.mark.parametrize("name", sorted(NOT_REPORTING))
def test_what_has_no_json_says_so(name: str) -> None:
    ran = run(name, "--json", *{"ui": [], "demo": [], "completion": ["bash"]}.get(name, ["x"]))
    assert ran.status == 2
    assert f"`globofs {name}` has no --json" in ran.err
