"""Completion for bash, zsh and fish, made from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final, NamedTuple

from globofs.cli.parser import COMMANDS, Command, Parser, build

_FILES: Final = ("SRC", "FOLDER", "VOLUME", "MOUNTPOINT", "TARGET", "FILE", "DIR", "VOLUME|CONFIG")
"""What stands for a name on this machine, for which the shell completes files."""


class _Option(NamedTuple):
    flags: tuple[str, ...]
    help: str
    takes: str  # the metavar of its value, "" for none
    choices: tuple[str, ...]


class _Words(NamedTuple):
    """What may follow a command (or two words, as `peer add`)."""

    name: str
    help: str
    options: tuple[_Option, ...]
    words: tuple[str, ...]  # fixed words: choices of an argument, or words of `peer`
    files: bool  # an argument is a file of this machine


def _describe(name: str, does: str, parser: argparse.ArgumentParser) -> _Words:
    options = []
    words: tuple[str, ...] = ()
    files = False
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words = tuple(action.choices)
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            takes = "" if action.nargs == 0 else str(action.metavar or action.dest)
            choices = tuple(map(str, action.choices or ()))
            text = (action.help or "").replace("%%", "%")
            if name == "peer set" and takes == "PATH":
                takes = "DIR"  # on this machine, unlike every other PATH
            options.append(_Option(tuple(action.option_strings), text, takes, choices))
        else:
            words += tuple(map(str, action.choices or ()))
            files = files or str(action.metavar) in _FILES or name == "peer add"
    return _Words(name, does, tuple(options), words, files)


def _nested(parser: Parser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def describe(command: Command) -> Iterator[_Words]:
    """The command itself, then its second words."""
    parser = build(command)
    yield _describe(command.name, command.does, parser)
    for word, nested in _nested(parser).items():
        yield _describe(f"{command.name} {word}", nested.description or "", nested)


def _all() -> list[_Words]:
    return [words for command in COMMANDS.values() for words in describe(command)]


def script(shell: str) -> str:
    """The completion script for `bash`, `zsh` or `fish`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _cases() -> str:
    """The table both bash and zsh look words up in."""
    lines = []
    for words in _all():
        flags = " ".join(flag for option in words.options for flag in option.flags)
        lines.append(
            f"    '{words.name}') flags='{flags}' words='{' '.join(words.words)}'"
            f" files={int(words.files)} ;;"
        )
    return "\n".join(lines)


def _values() -> str:
    lines = []
    seen = set()
    for words in _all():
        for option in words.options:
            for flag in option.flags:
                key = (words.name, flag)
                if not option.takes or key in seen:
                    continue
                seen.add(key)
                if option.choices:
                    lines.append(
                        f"    '{words.name} {flag}') values='{' '.join(option.choices)}' ;;"
                    )
                elif option.takes in _FILES:
                    lines.append(f"    '{words.name} {flag}') values=/files ;;")
                else:
                    lines.append(f"    '{words.name} {flag}') values=/any ;;")
    return "\n".join(lines)


_SHARED: Final = """\
_globofs_table() {
  flags='' words='' files=0
  case "$1" in
%(cases)s
  esac
}
_globofs_values() {
  values=''
  case "$1 $2" in
%(values)s
  esac
}
"""

_BASH: Final = """\
# globofs completion for bash: source it, or put it into bash_completion.d
%(shared)s
_globofs() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local command='' i flags words files values
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      -C) ((i++)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}
         elif [[ $command == peer ]]; then command="peer ${COMP_WORDS[i]}"
         fi ;;
    esac
  done
  COMPREPLY=()
  if [[ $prev == -C ]]; then COMPREPLY=($(compgen -f -- "$cur")); return; fi
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W '%(commands)s -C --help --version --json' -- "$cur")); return
  fi
  _globofs_values "$command" "$prev"
  case $values in
    /files) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    /any) return ;;
    ?*) COMPREPLY=($(compgen -W "$values" -- "$cur")); return ;;
  esac
  _globofs_table "$command"
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$cur"))
  elif [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur"))
  elif [[ $files == 1 ]]; then COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -o filenames -F _globofs globofs"""

_ZSH: Final = """\
#compdef globofs
# globofs completion for zsh: put it as _globofs into a directory of $fpath
%(shared)s
_globofs() {
  local command='' prev=${words[CURRENT-1]} i flags files values
  local -a line=("${words[@]}")
  local words=''
  for ((i = 2; i < CURRENT; i++)); do
    case ${line[i]} in
      -C) ((i++)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=${line[i]}
         elif [[ $command == peer ]]; then command="peer ${line[i]}"
         fi ;;
    esac
  done
  if [[ $prev == -C ]]; then _files; return; fi
  if [[ -z $command ]]; then
    local -a commands=(%(described)s)
    _describe command commands
    return
  fi
  _globofs_values "$command" "$prev"
  case $values in
    /files) _files; return ;;
    /any) return ;;
    ?*) compadd -- ${=values}; return ;;
  esac
  _globofs_table "$command"
  if [[ ${line[CURRENT]} == -* ]]; then compadd -- ${=flags}
  elif [[ -n $words ]]; then compadd -- ${=words}
  elif [[ $files == 1 ]]; then _files
  fi
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then _globofs "$@"; else compdef _globofs globofs; fi"""


def _bash() -> str:
    shared = _SHARED % {"cases": _cases(), "values": _values()}
    return _BASH % {"shared": shared, "commands": " ".join(COMMANDS)}


def _zsh() -> str:
    shared = _SHARED % {"cases": _cases(), "values": _values()}
    described = " ".join(_single(f"{one.name}:{one.does}") for one in COMMANDS.values())
    return _ZSH % {"shared": shared, "described": described}


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish() -> str:
    lines = [
        "# globofs completion for fish: put it as globofs.fish into fish's completions directory",
        "complete -c globofs -f",
        "complete -c globofs -n __fish_use_subcommand -s C -r -d 'which volume'",
    ]
    for command in COMMANDS.values():
        does = _single(command.does)
        lines.append(f"complete -c globofs -n __fish_use_subcommand -a {command.name} -d {does}")
    for words in _all():
        first, _, second = words.name.partition(" ")
        test = f"__fish_seen_subcommand_from {first}"
        if second:
            test += f"; and __fish_seen_subcommand_from {second}"
        head = f"complete -c globofs -n {_single(test)}"
        if words.files:
            lines.append(f"{head} -F")
        if words.words:
            lines.append(f"{head} -a {_single(' '.join(words.words))}")
        lines += [f"{head} {_fish_option(option)}" for option in words.options]
    return "\n".join(lines)


def _fish_option(option: _Option) -> str:
    parts = [
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags
    ]
    if option.choices:
        parts.append(f"-x -a {_single(' '.join(option.choices))}")
    elif option.takes:
        parts.append("-r -F" if option.takes in _FILES else "-x")
    if option.help:
        parts.append(f"-d {_single(option.help)}")
    return " ".join(parts)
