"""command-line.md: the parser of actors/cli."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from actors.cli import installation, parser
from docs.generating.markdown import lower, table


def command_line() -> Iterator[str]:
    """All verbs with their options, as the parser knows them."""
    yield "# Command line"
    yield (
        "`bin/troupe COMMAND [ARGUMENTS]`. The command comes first. Every command takes `--help`, and `--json` for one "
        "JSON envelope on standard output: `schema`, `command`, `outcome`, `data`, `issues`. Answers go to standard "
        "output, talk and errors to standard error."
    )
    yield table(
        ("Exit status", "Meaning"),
        [
            ("0", "ok"),
            ("1", "failed"),
            ("2", "bad usage or configuration"),
            ("3", "not reachable"),
            ("4", "not found"),
            ("5", "timed out"),
            ("6", "refused"),
        ],
    )
    yield table(
        ("Variable", "Meaning"),
        [
            ("`TROUPE__SECTION__KEY`", "overrides `section.key` of the configuration; `--set` wins over it"),
            ("`TROUPE_TOKEN`", "the bearer token that commands send; without it, that of the data folder"),
            ("`TROUPE_PYTHON`", "the Python to build `.venv` with"),
            ("`NO_COLOR`", "no colours"),
        ],
    )
    for name, verb in parser.VERBS.items():
        options = parser.Parser(prog=name, add_help=False, allow_abbrev=False)
        verb.options(options)
        arguments = [action.metavar or action.dest for action in options._actions if not action.option_strings]
        brackets = [f"[{word}]" if _optional(options, word) else word for word in arguments]
        yield f"## {name}"
        yield f"`bin/troupe {' '.join([name, *brackets])}`: {verb.summary}."
        yield table(("Argument", "Meaning"), [_argument(action) for action in options._actions])
    for name, (_, summary) in parser.PASSED_ON.items():
        yield f"## {name}"
        yield f"`bin/troupe {name}`: {summary}."
    yield "## install"
    yield f"`bin/troupe install`: {parser.INSTALL}."
    for name, target in sorted(installation.registered_commands().items()):
        yield f"## {name}"
        what = "arguments" if " " in name else "verbs"
        yield f"`bin/troupe {name} --help` lists its {what}: {lower(installation.summary_of(target))}."
        common = parser.Parser(prog=name, add_help=False)
        parser.common_options(common)
        yield table(("Argument", "Meaning"), [_argument(action) for action in common._actions])


def _optional(options: argparse.ArgumentParser, word: Any) -> bool:
    return any(not a.option_strings and a.nargs == "?" and word in (a.metavar, a.dest) for a in options._actions)


def _argument(action: argparse.Action) -> tuple[str, str]:
    name = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
    takes_value = action.option_strings and action.nargs != 0
    return f"`{name}{f' {action.metavar}' if takes_value else ''}`", action.help or ""
