"""`python -m actors.cli`: find the command, run it, print its answer, exit with its status."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from actors.cli import installation, parser
from actors.cli.report import INTERRUPTED, CommandError, Exit, Report, failure, show, show_error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    try:
        report = execute(arguments)
        if isinstance(report, int):
            return report
        show(report, verb, as_json=as_json)
        return int(report.exit_status)
    except CommandError as error:
        show_error(error, verb, as_json=as_json)
        return int(error.exit_status)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough. What Python would still flush at exit has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except Exception as error:
        traceback.print_exc()
        text = f"unexpected {type(error).__name__}: {error}"
        show_error(failure(Exit.FAILED, "internal", text), verb, as_json=as_json)
        return int(Exit.FAILED)


def execute(arguments: list[str]) -> Report | int:
    """Find and run the command. One that prints by itself returns its exit status. Raises CommandError."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if not arguments:
        print(parser.usage(), file=sys.stderr)
        return int(Exit.USAGE)
    if verb in ("-h", "--help", "help"):
        print(parser.usage())
        return int(Exit.OK)
    if verb in ("-V", "--version"):
        print(f"troupe {installation.version()}")
        return int(Exit.OK)
    if verb in parser.VERBS:
        namespace = parser.parse(verb, rest)
        return _answer(parser.VERBS[verb].function, namespace)
    if verb in parser.PASSED_ON:
        return _answer(parser.PASSED_ON[verb][0], rest)
    if verb.startswith("-"):
        raise failure(Exit.USAGE, "usage", f"the command comes first, then {verb}", hint="see: troupe --help")
    registered = installation.registered_commands()
    if rest and f"{verb} {rest[0]}" in registered:
        verb, rest = f"{verb} {rest[0]}", rest[1:]
    if verb in registered:
        from actors.cli.registered import call_registered

        return call_registered(verb, registered[verb], rest)
    if (group := parser.group_usage(verb)) and (not rest or rest[0] in ("-h", "--help")):
        print(group, file=sys.stdout if rest else sys.stderr)
        return int(Exit.OK if rest else Exit.USAGE)
    below = [word for word in rest[:1] if group and not word.startswith("-")]
    raise parser.unknown_verb(" ".join([verb, *below]))


def _answer(target: str, argument: object) -> Report | int:
    module, _, name = target.partition(":")
    answer = getattr(importlib.import_module(module), name)(argument)
    if not isinstance(answer, Report | int):
        raise TypeError(f"{target} returned {type(answer).__name__}, not a Report or an exit status")
    return answer


if __name__ == "__main__":
    sys.exit(main())
