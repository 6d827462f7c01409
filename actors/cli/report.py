"""What a command answers: its outcome, its data, its issues and its exit status, for people and for programs.

Data goes to standard output, talk to standard error. With `--json` standard output carries one envelope, on
errors too: `{"schema": "troupe.cli/1", "command", "outcome", "data", "issues"}`. Standard library only: help
needs it.
"""

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TextIO

SCHEMA = "troupe.cli/1"

Outcome = Literal["complete", "partial", "error"]


class Exit(enum.IntEnum):
    """The exit status of every command. The numbers are part of the interface and keep their meaning."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    TIMED_OUT = 5
    REFUSED = 6


INTERRUPTED = 130
"""128 + SIGINT, as every shell reports a command ended by Ctrl-C."""


class Issue(NamedTuple):
    """One thing that is wrong: a stable code, the sentence, the field it is about, and what to do next."""

    code: str
    message: str
    field: str | None = None
    hint: str | None = None

    def as_data(self) -> dict[str, str | None]:
        """The issue as it stands in the envelope."""
        return self._asdict()


class CommandError(Exception):
    """A command ends here, with this exit status and these issues."""

    def __init__(self, exit_status: Exit, *issues: Issue) -> None:
        super().__init__("; ".join(issue.message for issue in issues))
        self.exit_status = exit_status
        self.issues = issues


def failure(
    exit_status: Exit, code: str, message: str, *, field: str | None = None, hint: str | None = None
) -> CommandError:
    """The error with a single issue; raise it."""
    return CommandError(exit_status, Issue(code, message, field, hint))


class Report(NamedTuple):
    """The answer of a command that came to its end. `text` is what people read, `data` what programs do."""

    text: str
    data: Any
    exit_status: Exit = Exit.OK
    outcome: Outcome = "complete"
    issues: tuple[Issue, ...] = ()


def envelope(command: str, outcome: Outcome, data: Any, issues: Iterable[Issue]) -> str:
    """One answer for a program, as one line of JSON."""
    document = {
        "schema": SCHEMA,
        "command": command,
        "outcome": outcome,
        "data": data,
        "issues": [issue.as_data() for issue in issues],
    }
    return json.dumps(document, ensure_ascii=False)


def show(report: Report, command: str, *, as_json: bool) -> None:
    """Print an answer; issues of a partial one are talk."""
    if as_json:
        print(envelope(command, report.outcome, report.data, report.issues), flush=True)
        return
    if report.text:
        print(report.text, flush=True)
    show_issues(report.issues, "warning")


def show_error(error: CommandError, command: str, *, as_json: bool) -> None:
    """Print why a command ended."""
    if as_json:
        print(envelope(command, "error", {}, error.issues), flush=True)
    else:
        show_issues(error.issues, "error")


def show_issues(issues: Sequence[Issue], word: str) -> None:
    """Issues as lines on standard error, each with its hint below."""
    colour = "red" if word == "error" else "yellow"
    for issue in issues:
        print(f"{paint(word, colour, sys.stderr)}: {sentence(issue)}", file=sys.stderr)
        if issue.hint:
            print(f"{paint('hint', 'cyan', sys.stderr)}: {issue.hint}", file=sys.stderr)


def sentence(issue: Issue) -> str:
    """What is wrong, beginning with the field where the message does not name it."""
    named = issue.field is None or issue.field.rpartition(".")[2] in issue.message
    return issue.message if named else f"{issue.field}: {issue.message}"


def say(text: str) -> None:
    """Talk: a line for whoever watches, never part of the answer."""
    print(text, file=sys.stderr, flush=True)


_CODES = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "grey": 90}


def has_colour(stream: TextIO) -> bool:
    """Colour only for a terminal, and never under NO_COLOR (no-color.org) or a dumb terminal."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream (standard output) shows colours."""
    if not has_colour(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns for people: left-aligned, two spaces apart, no trailing blanks."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
