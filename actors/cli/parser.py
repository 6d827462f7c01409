"""The command line's grammar: the common verbs, their options, and help that costs no import of a library."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple, NoReturn

from actors.cli import installation
from actors.cli.report import CommandError, Exit, failure

CONTROLS = {
    "kill": "end an actor without asking it; its supervisor restarts it",
    "stop": "stop an actor in order and leave it stopped",
    "start": "start a stopped actor",
    "restart": "stop an actor in order and start it again",
    "pause": "hold back an actor's messages; control goes on",
    "resume": "let a paused actor's messages through again",
}


class Verb(NamedTuple):
    """A common command: where its function is, one line about it, and its options."""

    function: str
    summary: str
    options: Callable[[argparse.ArgumentParser], None]


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are ours: they name the nearest right option, and fit the envelope."""

    def error(self, message: str) -> NoReturn:
        """Raise the usage error that `message` describes."""
        hint = f"see: troupe {self.prog.split()[-1]} --help"
        if message.startswith("unrecognized arguments: "):
            wrong = message.partition(": ")[2].split()[0]
            known = [option for action in self._actions for option in action.option_strings]
            hint = near_miss(wrong, known) or hint
        raise failure(Exit.USAGE, "usage", message, hint=hint)


def near_miss(wrong: str, known: Iterable[str]) -> str | None:
    """The question about the nearest right word, or None where nothing is near."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else None


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON envelope on standard output")


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="override one key of the configuration, as edge.port=0 (repeatable)",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="the node's data folder (node.data_dir)")


def _node(parser: argparse.ArgumentParser, timeout: float = 10.0) -> None:
    _json(parser)
    parser.add_argument("--url", metavar="URL", help="the node's address (default: found in its data folder)")
    parser.add_argument("--config", metavar="CONFIG", help="configuration that names the data folder")
    _settings(parser)
    parser.add_argument(
        "--timeout", type=_seconds, default=timeout, metavar="S", help=f"seconds to wait for an answer ({timeout:.0f})"
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text!r}")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG", help="a TOML file, or the name of one in config/ (default)"
    )


def common_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command has that reads a configuration."""
    _json(parser)
    parser.add_argument("--config", metavar="CONFIG", help="a TOML file, or the name of one in config/")
    _settings(parser)


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", metavar="NAME", help="read the environment variables of a system that Troupe replaces: kalshi"
    )


def _run(parser: argparse.ArgumentParser) -> None:
    _config_argument(parser)
    _profile(parser)
    _settings(parser)
    _json(parser)


def _tree(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", default="/", metavar="PATH", help="show this branch only")
    parser.add_argument("--watch", action="store_true", help="keep the table up to date until Ctrl-C")
    parser.add_argument("--depth", type=_whole, metavar="N", help="levels to show; what is below is summed up")
    parser.add_argument("--limit", type=_whole, default=50, metavar="N", help="children to show per branch (50)")
    parser.add_argument("--every", type=_seconds, default=1.0, metavar="S", help="seconds between two looks (1)")
    _node(parser)


def _watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="PATH|TOPIC", help="an actor's path (begins with /) or a topic")
    parser.add_argument("--count", type=_whole, metavar="N", help="end after N messages")
    _node(parser)


def _control(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the actor's path, as `troupe tree` shows it")
    # The node itself answers after 15 s at the latest: its word is better than our own time-out.
    _node(parser, 20.0)


def _resize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the replicated actor's path")
    parser.add_argument("replicas", type=_whole, metavar="N", help="how many replicas it is to have")
    _node(parser, 20.0)


def _config(parser: argparse.ArgumentParser) -> None:
    _config_argument(parser)
    parser.add_argument("--explain", action="store_true", help="say what every key means, and every old variable")
    _profile(parser)
    _settings(parser)
    _json(parser)


def _cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("up", "down", "status"), metavar="up|down|status", help="what to do with it")
    parser.add_argument("--nodes", type=_whole, metavar="N", help="how many nodes, the head included (2)")
    parser.add_argument("--cpus-per-node", type=_whole, metavar="N", help="processors that each node offers (2)")
    parser.add_argument("--memory-mb", type=_whole, metavar="MIB", help="memory that each node offers (what is free)")
    parser.add_argument("--store-mb", type=_whole, metavar="MIB", help="each node's object store (80)")
    parser.add_argument("--port", type=_whole, metavar="PORT", help="the head's port (0: any that is free)")
    common_options(parser)


def _openapi(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", help="write the document there")
    _node(parser)


VERBS: dict[str, Verb] = {
    "run": Verb("actors.cli.run:run", "run a node until Ctrl-C", _run),
    "tree": Verb("actors.cli.tree:tree", "the supervisor tree: states, restarts and why, mailboxes, rates", _tree),
    "watch": Verb("actors.cli.watch:watch", "live events of an actor, or messages of a topic", _watch),
    **{name: Verb("actors.cli.control:control", text, _control) for name, text in CONTROLS.items()},
    "resize": Verb("actors.cli.control:control", "change how many replicas a replicated actor has", _resize),
    "config": Verb("actors.cli.config:config", "the resolved configuration, and where each value is from", _config),
    "doctor": Verb("actors.cli.doctor:doctor", "check versions, clocks, disk, ports and database", _node),
    "cluster": Verb("actors.cli.cluster:cluster", "a Ray cluster on this machine, for actors placed on Ray", _cluster),
    "openapi": Verb("actors.cli.openapi:openapi", "the HTTP interface as an OpenAPI document", _openapi),
}

PASSED_ON: dict[str, tuple[str, str]] = {
    "test": ("actors.cli.suites:test", "run the tests: troupe test [pytest arguments] [--long]"),
    "bench": ("actors.cli.suites:bench", "run the benchmarks and write benchmarks/RESULTS.md"),
}
"""Verbs whose arguments belong to another program; the two that install an extra on first use."""

INSTALL = "install or update .venv, with extras: troupe install [dev] [bench] [redis] [kafka] [onnx]"

EXAMPLES = """\
examples:
  troupe run                                   start the default troupe; Ctrl-C stops it in order
  troupe run replay --set node.name=lab        a configuration of config/, one key overridden
  troupe tree --watch                          look at it while it runs
  troupe kill /signals/hub                     see it come back
  troupe test tests/runtime -k restart         a part of the tests"""


def usage() -> str:
    """The text of `troupe --help`."""
    groups = [
        ("a node", ["run", "config", "doctor", "openapi"]),
        ("look", ["tree", "watch"]),
        ("control", [*CONTROLS, "resize"]),
        ("more machines than one, in small", ["cluster"]),
    ]
    lines = ["usage: troupe COMMAND [ARGUMENTS]", "", "An actor-based trading runtime.", "", EXAMPLES]
    for title, names in groups:
        lines += ["", f"{title}:", *(f"  {name:<10}{VERBS[name].summary}" for name in names)]
    lines += ["", "the project:"]
    lines += [f"  {name:<10}{summary}" for name, (_, summary) in PASSED_ON.items()]
    lines += [f"  {'install':<10}{INSTALL}"]
    registered = installation.registered_commands()
    if registered:
        lines += ["", "of capabilities:"]
        lines += [f"  {name:<15}{installation.summary_of(target)}" for name, target in sorted(registered.items())]
    lines += [
        "",
        "Every command takes --help, and --json for one JSON envelope on standard output.",
        "exit status: 0 ok, 1 failed, 2 bad usage or configuration, 3 not reachable, 4 not found,",
        "             5 timed out, 6 refused",
    ]
    return "\n".join(lines)


def group_usage(word: str) -> str:
    """The text of `troupe WORD --help` where several commands begin with that word, empty where none does."""
    found = {name: target for name, target in installation.registered_commands().items() if name.startswith(f"{word} ")}
    if not found:
        return ""
    lines = [f"usage: troupe {word} COMMAND [ARGUMENTS]", ""]
    lines += [f"  {name:<18}{installation.summary_of(target)}" for name, target in sorted(found.items())]
    return "\n".join([*lines, "", f"Each takes --help: troupe {sorted(found)[0]} --help"])


def parse(verb: str, arguments: list[str]) -> argparse.Namespace:
    """The arguments of a common verb. Raises CommandError; prints and exits for `--help`."""
    chosen = VERBS[verb]
    parser = Parser(prog=f"troupe {verb}", description=chosen.summary, allow_abbrev=False)
    chosen.options(parser)
    namespace = parser.parse_args(arguments)
    namespace.verb = verb
    return namespace


def unknown_verb(verb: str) -> CommandError:
    """The usage error for a verb that does not exist."""
    known = [*VERBS, *PASSED_ON, "install", *installation.registered_commands()]
    hint = near_miss(verb, known) or "see: troupe --help"
    return failure(Exit.USAGE, "unknown_command", f"there is no command {verb!r}", hint=hint)
