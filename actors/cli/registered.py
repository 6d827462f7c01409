"""Commands that capabilities bring: `commands = {"verb": "module:function"}` in a capability.py.

The function is called as `function(arguments, configuration)` with what follows the verb and the loaded
configuration; the options that every command has (`--json`, `--config`, `--set`, `--data-dir`) are taken out before.
It returns `(text, data)`, what people read and what programs do, `(text, data, status)` where the answer is one of
failure, or an exit status if it has printed by itself. It knows nothing of this package: it raises `Refused`,
`Unknown`, `TimeoutError` or `ConnectionError`, and the exit status follows from that. For `--help` it is called with
None for the configuration.
"""

from __future__ import annotations

import importlib

from actors.cli.configuration import as_command_error, load
from actors.cli.parser import Parser, common_options
from actors.cli.report import CommandError, Exit, Issue, Report
from protocols.control import Refused, Unknown
from runtime.settings import ConfigurationError


def call_registered(verb: str, target: str, arguments: list[str]) -> Report | int:
    """Run a capability's command. Raises CommandError."""
    common = Parser(prog=f"troupe {verb}", add_help=False, allow_abbrev=False)
    common_options(common)
    namespace, rest = common.parse_known_args(arguments)
    asks_for_help = "--help" in rest or "-h" in rest
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    configuration = None if asks_for_help else load(namespace)
    try:
        answer = function(rest, configuration)
    except ConfigurationError as error:
        raise as_command_error(error) from error
    except (Refused, Unknown, TimeoutError, ConnectionError) as error:
        raise error_of(error) from error
    except SystemExit as ended:
        # An argparse parser of its own: 0 after help, 2 after bad usage, which it has told on standard error.
        if ended.code in (0, None):
            return int(Exit.OK)
        raise CommandError(Exit.USAGE, Issue("usage", f"bad usage; see: troupe {verb} --help")) from ended
    if isinstance(answer, int):
        return answer
    text, data, *status = answer
    return Report(text, data, Exit(status[0]), "error") if status else Report(text, data)


def error_of(error: Exception) -> CommandError:
    """The exit status and the issue that an exception of a capability's command stands for."""
    message = str(error) or type(error).__name__
    if isinstance(error, Refused):
        exits = {"not_found": Exit.NOT_FOUND, "invalid": Exit.USAGE, "expired": Exit.TIMED_OUT}
        return CommandError(exits.get(error.code, Exit.REFUSED), Issue(error.code, error.message, error.field))
    if isinstance(error, Unknown):
        return CommandError(Exit.TIMED_OUT, Issue("unknown", message))
    if isinstance(error, TimeoutError):
        return CommandError(Exit.TIMED_OUT, Issue("timed_out", message))
    return CommandError(Exit.UNREACHABLE, Issue("unreachable", message))
