"""What a user does wrong, what is not there, what breaks: one sentence, the right status."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from globofs.cli import main as main_module
from globofs.cli import usage
from globofs.errors import Interrupted
from globofs.store import fsio
from tests.helpers_cli import COMMAND, ENVIRONMENT, Shell, make, run, tree


@pytest.fixture
def at(tmp_path: Path) -> Shell:
    shell = make(tmp_path / "v", "n")
    shell("add", tree(tmp_path / "docs", {"a.txt": "one\n", "b.txt": "two\n"}))
    return shell


@pytest.mark.parametrize("choices", ["'add', 'set'", "add, set"])
def test_choices_are_told_whether_or_not_python_quotes_them(choices: str) -> None:
    message = f"argument WHAT: invalid choice: 'st' (choose from {choices})"
    said = usage.in_words(message, argparse.ArgumentParser())
    assert said == "st: none of add, set; did you mean set?"


USAGE = [
    (["frobnicate"], "frobnicate: no such command (see `globofs --help`)"),
    (["lss"], "did you mean `globofs ls`?"),
    (["--frob"], "--frob: no such option"),
    (["-C"], "-C wants a volume directory or a config file"),
    (["ls", "--frob"], "--frob: no such option (see `globofs ls --help`)"),
    (["ls", "--dele"], "--dele: no such option"),
    (["cat"], "PATH is missing"),
    (["add"], "SRC is missing"),
    (["mv", "a"], "NEW is missing"),
    (["peer"], "add|list|set|remove|retire is missing"),
    (["peer", "frob"], "frob: none of add, list, set, remove, retire"),
    (["peer", "set", "x"], "nothing to set: give --path or --send"),
    (["peer", "set", "x", "--send", "maybe"], "--send wants yes or no, not 'maybe'"),
    (["cat", "a", "--version", "1", "--at", "now"], "not both"),
    (["ls", "--at", "soon"], 'soon: not a time; try 2026-11-23T18:00, "yesterday 18:00"'),
    (["ls", "a//b"], "a//b: not a path in a volume"),
    (["ls", "a/../../b"], "not a path in a volume"),
    (["ls", "x" * 256], "not a path in a volume"),
    (["add", "x", "--to", "../y"], "not a path in a volume"),
    (["add", ""], "a source may not be empty"),
    (["log", "-n", "-3"], "--limit wants a number that is not negative"),
    (["log", "-n", "many"], "wants a number, not many"),
    (["verify", "--sample", "0"], "0: not a share; try 5%"),
    (["verify", "--sample", "nan"], "nan: not a share; try 5%"),
    (["prune"], "say what to keep"),
    (["prune", "--keep-last", "-1"], "--keep-last wants a number that is not negative"),
    (["prune", "--keep-within", "7"], "7: not a length of time; try 30m, 12h or 7d"),
    (["resolve", "a"], "say one of --version, --with, --keep-both"),
    (["restore", "docs", "--version", "1", "--at", "now"], "not both"),
    (["restore", "docs", "--force"], "--force is for --to"),
    (["restore", "docs", "docs/a.txt", "--version", "-1"], "--version restores one file"),
    (["restore", "docs", "--to", ""], "--to wants a place to write to"),
    (["rm", "/"], "the whole volume is not deleted"),
    (["mv", "/", "x"], "the volume itself cannot be renamed"),
    (["undo", "x"], "x: not an operation; `globofs log --operations` shows them"),
    (["undo", "ffffffff:3"], "no node, or several, whose name or uuid begins so"),
    (["watch", "/nonexistent-folder"], "not a directory"),
    (["watch", "/tmp", "--poll", "often"], "often: not a length of time"),
    (["completion", "tcsh"], "tcsh: none of bash, zsh, fish"),
    (["peer", "add", "bad/name", "."], "not a name for a node's directory"),
    (["umount", "/"], "no volume is mounted there"),
]


@pytest.mark.parametrize(("words", "sentence"), USAGE, ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else None)  # fmt: skip
def test_wrong_usage_is_2(at: Shell, words: list[str], sentence: str) -> None:
    ran = run(*words) if words[0] == "-C" else run("-C", at.volume, *words)
    assert ran.status == 2, ran
    assert sentence in ran.err
    assert ran.out == ""
    assert ran.err.startswith("globofs: ")
    assert ran.err.count("\n") == 1


FAILURES = [
    (["cat", "nope"], "nope: no such file or directory in the volume"),
    (["cat", "DOCS/a.txt"], "no such file or directory in the volume"),
    (["ls", "Docs"], "did you mean docs?"),
    (["cat", "docs"], "docs: is a directory, not a file"),
    (["cat", "/"], "/: is a directory, not a file"),
    (["log", "nope"], "nope: no such file"),
    (["diff", "nope"], "nope: no such file"),
    (["restore", "nope"], "nope: no such file"),
    (["rm", "nope"], "nope: no such file"),
    (["mv", "nope", "x"], "nope: no such file"),
    (["mv", "docs/a.txt", "docs/b.txt"], "exists already in the volume"),
    (["pin", "nope"], "nope: no such file"),
    (["mirror", "nope"], "nope: no such file"),
    (["why", "nope"], "nope: no such file"),
    (["copies", "nope"], "nope: no such file"),
    (
        ["cat", "docs/a.txt", "--version", "99"],
        "docs/a.txt: no version 99; `globofs log` lists them",
    ),
    (["cat", "docs/a.txt", "--version", "-7"], "docs/a.txt: no version -7"),
    (["redo"], "nothing of this node to redo"),
]


@pytest.mark.parametrize(("words", "sentence"), FAILURES, ids=lambda v: " ".join(v) if isinstance(v, list) else None)  # fmt: skip
def test_failures_are_1(at: Shell, words: list[str], sentence: str) -> None:
    ran = at(*words, expect=1)
    assert sentence in ran.err
    assert ran.out == ""


REPORTING = [words for words, _ in [*USAGE[:12], *FAILURES] if words[0] != "cat"]


@pytest.mark.parametrize("words", REPORTING, ids=str)
def test_errors_as_json(at: Shell, words: list[str]) -> None:
    ran = run("-C", at.volume, "--json", *words) if words[0] != "-C" else run("--json", "-C")
    error = json.loads(ran.err)
    assert set(error) == {"error", "code", "path"}
    assert error["code"] == error["code"].lower()
    assert ran.status in (1, 2)


def test_json_errors_name_code_and_path(at: Shell) -> None:
    error = json.loads(at("log", "nope", "--json", expect=1).err)
    assert (error["code"], error["path"]) == ("no-such-path", "nope")
    error = json.loads(at("ls", "--at", "x", "--json", expect=2).err)
    assert (error["code"], error["path"]) == ("bad-time", None)
    error = json.loads(at("cat", "docs/a.txt", "--json", expect=2).err)
    assert error["error"] == "`globofs cat` has no --json"


def test_control_characters_in_arguments_never_come_back(at: Shell) -> None:
    evil = "\x1b]0;owned\x07\n\x1b[31m"
    for words in (["ls", evil], [evil], ["cat", evil], ["ls", "--at", evil], ["ls", f"--{evil}"],
                  ["peer", "remove", evil], ["undo", evil], ["verify", "--sample", evil],
                  ["pause", evil], ["watch", evil], ["restore", evil, "--to", evil],
                  ["peer", "add", "n", evil], ["add", evil], ["prune", "--keep-within", evil],
                  ["peer", "set", "x", "--send", evil], ["-C", evil, "ls"]):  # fmt: skip
        ran = at(*words, expect=run("-C", at.volume, *words).status)
        assert ran.status in (1, 2), words
        assert "\x1b" not in ran.err + ran.out, words
        assert "\x07" not in ran.err + ran.out, words


def test_no_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOBOFS_VOLUME", raising=False)
    monkeypatch.chdir(tmp_path)
    ran = run("ls")
    assert ran.status == 2
    assert "no volume here or above; name one with -C or $GLOBOFS_VOLUME" in ran.err
    assert run("-C", tmp_path / "nope", "ls").status == 2
    assert "not a GloboFS volume" in run("-C", tmp_path, "ls").err
    monkeypatch.setenv("GLOBOFS_VOLUME", str(tmp_path / "gone"))
    assert run("status").status == 2


def test_a_bad_config_names_file_line_and_nearest_key(at: Shell) -> None:
    config = at.volume / "local/config"
    text = config.read_text()
    config.write_text(text + "cachetme=30m\n")
    ran = at("ls", expect=2)
    line = text.count("\n") + 1
    assert f"{config}:{line}: " in ran.err
    assert "cachetime" in ran.err


def test_a_full_disk_is_said_with_the_files_name(
    at: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs/a.txt").write_text("changed\n")

    def full(op: str, args: tuple[object, ...]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]) if args else None)

    monkeypatch.setattr(fsio, "observer", full)
    ran = at("add", tmp_path / "docs", expect=1)
    assert "No space left on device" in ran.err
    assert "a.txt" in ran.err
    monkeypatch.setattr(fsio, "observer", None)
    at("add", tmp_path / "docs")
    assert at("cat", "docs/a.txt").raw == b"changed\n"


def test_a_volume_that_cannot_be_written_can_be_read(at: Shell) -> None:
    """Root may write wherever modes forbid it, so the disk itself is read only here."""
    where, command = shlex.quote(str(at.volume)), f"{shlex.join(COMMAND)} -C"
    alone = f"mount --bind {where} {where} && mount -o remount,bind,ro {where}"
    line = f"{alone} && {command} {where} ls; {command} {where} rm docs; exit $?"
    enter = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace of mounts can be made here")
    done = subprocess.run(
        [*enter, "sh", "-c", line], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.stdout == "docs/\n"
    assert "opened read only: the file system is read only" in done.stderr
    assert done.returncode == 1
    assert at("ls").lines == ["docs/"]


def test_mistakes_of_our_own_are_a_sentence_and_with_debug_a_traceback(
    at: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_command: object) -> object:
        def handler(_context: object) -> int:
            raise ZeroDivisionError("of all things")

        return handler

    monkeypatch.setattr(main_module, "_handler", broken)
    with pytest.raises(AssertionError, match="of all things"):  # the helper's own check
        run("-C", at.volume, "ls")
    monkeypatch.setenv("GLOBOFS_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run("-C", at.volume, "ls")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted()])
def test_interrupted_is_130(
    at: Shell, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def interrupted(_command: object) -> object:
        def handler(_context: object) -> int:
            raise error

        return handler

    monkeypatch.setattr(main_module, "_handler", interrupted)
    ran = at("ls", expect=130)
    assert "interrupted; what was reported is safe" in ran.err


def test_the_ui_wants_a_terminal(at: Shell) -> None:
    assert "no terminal" in at("ui", expect=1).err


def test_no_command_without_a_terminal_prints_help() -> None:
    ran = run()
    assert ran.status == 2
    assert ran.err.startswith("usage: globofs")


def test_missing_extras_say_what_to_install(
    at: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mfusepy", None)
    ran = at("mount", tmp_path, expect=1)
    assert "pip install 'globofs[mount]'" in ran.err
