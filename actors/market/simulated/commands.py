"""`bin/troupe venue`: the simulated venue as a program of its own, and orders for faults to one that runs."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from actors.market.simulated.faults import FACES, KINDS, BadFault, FaceWord, fault_order
from protocols.control import Refused

CONTROL_PORT: Final = 8017
_ASK_S: Final = 10.0
_KALSHI: Final = ("SIM-ALPHA", "SIM-BETA")
_NUMBERS: Final = frozenset({"connection", "count", "rate", "code", "status"})
_FRACTIONS: Final = frozenset({"probability", "seconds", "retry_after"})


def venue(arguments: Sequence[str], configuration: object = None) -> tuple[str, dict[str, Any]] | int:
    """Run the simulated venue until Ctrl-C, or (`inject`, `clear`, `faults`) tell one that runs to misbehave.

    Raises Refused for what cannot be, ConnectionError where no venue answers.
    """
    if arguments[:1] == ["inject"]:
        return _inject(arguments[1:])
    if arguments[:1] == ["clear"]:
        return _clear(arguments[1:])
    if arguments[:1] == ["faults"]:
        return _faults(arguments[1:])
    return _run(arguments)


# -- running ---------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    kinds = "\n".join(
        f"  {kind:<14}{each.summary}\n{'':<16}{' '.join('--' + option.replace('_', '-') for option in each.options)}"
        for kind, each in KINDS.items()
    )
    parser = argparse.ArgumentParser(
        prog="troupe venue",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        description="Run the simulated venue until Ctrl-C: Kalshi, Binance and Coinbase on loopback, all made up.",
        epilog="To one that runs:\n"
        "  troupe venue inject KIND [--option VALUE]   order a fault\n"
        "  troupe venue clear [--id N]                 take faults back\n"
        "  troupe venue faults                         show what is in force\n"
        f"each with --control URL (http://127.0.0.1:{CONTROL_PORT}) or --addresses FILE.\n\n"
        f"Kinds of faults and their options; --venue is one of {', '.join(FACES)}; --count 0: until cleared:\n{kinds}",
    )
    parser.add_argument("--venues", default=",".join(FACES), help="whose protocols to speak (all of them)")
    parser.add_argument("--kalshi-port", type=_port, default=0, metavar="PORT", help="0: any free port")
    parser.add_argument("--binance-port", type=_port, default=0, metavar="PORT")
    parser.add_argument("--usdm-port", type=_port, default=0, metavar="PORT")
    parser.add_argument("--coinbase-port", type=_port, default=0, metavar="PORT")
    parser.add_argument("--control-port", type=_port, default=CONTROL_PORT, metavar="PORT", help=f"({CONTROL_PORT})")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same markets (7)")
    parser.add_argument("--rate", type=float, default=50.0, help="events a second over all markets (50)")
    parser.add_argument("--markets", default="", help="Kalshi's tickers, with commas between, or how many")
    parser.add_argument("--coins", default="BTC,ETH", help="coins of the other faces, or how many (BTC,ETH)")
    parser.add_argument("--levels", type=int, default=4_000, help="levels of a coin's book, both sides (4000)")
    parser.add_argument("--backlog", type=int, default=4_096, help="frames that may wait for a client (4096)")
    parser.add_argument("--key-file", default="", help="the PEM that Kalshi's clients sign with; made if not there")
    parser.add_argument("--play", default="", metavar="FILE", help="serve this recording instead of made-up markets")
    parser.add_argument("--speed", type=float, default=1.0, help="of --play: 10 is ten times as fast, 0 flat out (1)")
    parser.add_argument("--addresses", default="", metavar="FILE", help="write where everything is to a file, as JSON")
    parser.add_argument("--json", action="store_true", help="print where everything is as JSON")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port between 0 and 65535, got {text!r}")
    return int(text)


def _names(text: str, prefix: str, default: Sequence[str]) -> tuple[str, ...]:
    """`A,B`, or so many numbered ones."""
    if text.isdecimal():
        if not 1 <= int(text) <= 10_000:
            raise Refused("invalid", f"between 1 and 10000 markets, got {text}")
        return tuple(f"{prefix}{number:04d}" for number in range(1, int(text) + 1))
    return tuple(name for name in text.split(",") if name) or tuple(default)


def _run(arguments: Sequence[str]) -> int:
    # What only the program needs, the client commands do without.
    import trio

    from actors.market.simulated.program import Program
    from actors.market.simulated.standin import StandInSettings

    options = _parser().parse_args(arguments)
    faces = () if options.play else tuple(word for word in options.venues.split(",") if word)
    if options.rate < 0 or options.rate > 100_000:
        raise Refused("invalid", f"a rate lies between 0 and 100000, got {options.rate}", "rate")
    if not 2 <= options.levels <= 200_000:
        raise Refused("invalid", f"levels lie between 2 and 200000, got {options.levels}", "levels")
    if options.speed < 0:
        raise Refused("invalid", f"a speed is 0 or more, got {options.speed}", "speed")
    try:
        settings = StandInSettings(
            faces=cast("tuple[FaceWord, ...]", faces),
            markets=_names(options.markets, "SIM-", _KALSHI),
            coins=_names(options.coins, "C", ()),
            seed=options.seed,
            rate=options.rate,
            levels=options.levels,
            backlog=options.backlog,
            ports={
                "kalshi": options.kalshi_port,
                "binance": options.binance_port,
                "binance-usdm": options.usdm_port,
                "coinbase": options.coinbase_port,
                "control": options.control_port,
            },
            control=True,
        )
    except ValueError as error:
        raise Refused("invalid", str(error)) from None
    program = Program(settings, options.key_file, options.play, options.speed)

    async def run() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with program.serving() as addresses:
                _tell(addresses, options.addresses, as_json=options.json)
                await anext(signals)

    trio.run(run)
    return 0


def _tell(addresses: dict[str, Any], file: str, *, as_json: bool) -> None:
    if file:
        # Whoever waits for the file never sees half of it.
        aside = Path(f"{file}.new")
        aside.write_text(json.dumps(addresses, indent=2) + "\n")
        aside.replace(file)
    if as_json:
        print(json.dumps(addresses), flush=True)
        return
    for each in addresses["venues"]:
        print(f"{each['venue']:<13} {each['url']}   REST {each['rest_url']}")
    if addresses.get("key_file"):
        print(f"{'key':<13} {addresses['key_id']} in {addresses['key_file']}")
    print(f"{'control':<13} {addresses['control']}", flush=True)
    print("everything here is made up, and marked synthetic; Ctrl-C ends it", file=sys.stderr, flush=True)


# -- talking to one that runs ------------------------------------------------------------------------------------


def _client(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"troupe venue {name}", allow_abbrev=False)
    parser.add_argument("--control", default="", metavar="URL", help=f"(http://127.0.0.1:{CONTROL_PORT})")
    parser.add_argument("--addresses", default="", metavar="FILE", help="the file that the venue wrote")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    return parser


def _inject(arguments: Sequence[str]) -> tuple[str, dict[str, Any]] | int:
    parser = _client("inject")
    parser.add_argument("kind", metavar="KIND", help=f"one of {', '.join(KINDS)}; see troupe venue --help")
    for option in dict.fromkeys(option for each in KINDS.values() for option in each.options):
        kind = int if option in _NUMBERS else float if option in _FRACTIONS else str
        parser.add_argument(f"--{option.replace('_', '-')}", type=kind, default=None)
    options = vars(parser.parse_args(arguments))
    given = {
        name: value
        for name, value in options.items()
        if name not in ("control", "addresses", "json") and value is not None
    }
    try:
        fault_order(given)
    except BadFault as error:
        raise Refused("invalid", str(error), error.field) from None
    answer = _ask(options, "POST", "/sim/faults", given)
    count = answer["connections"]
    return f"{answer['kind']}: {count} connection{'' if count == 1 else 's'}", answer


def _clear(arguments: Sequence[str]) -> tuple[str, dict[str, Any]] | int:
    parser = _client("clear")
    parser.add_argument("--id", type=int, default=0, help="only this one; see troupe venue faults")
    options = vars(parser.parse_args(arguments))
    answer = _ask(options, "DELETE", f"/sim/faults?id={options['id'] or ''}", None)
    return f"{answer['cleared']} taken back", answer


def _faults(arguments: Sequence[str]) -> tuple[str, dict[str, Any]] | int:
    options = vars(_client("faults").parse_args(arguments))
    answer = _ask(options, "GET", "/sim/faults", None)
    lines = [f"{each['id']:>4}  {each['kind']}  hit {each['hits']} times" for each in answer["faults"]]
    lines += [f"clock of {venue}: wrong by {seconds:g} s" for venue, seconds in answer["clocks"].items()]
    lines += [f"{word}: connection {number}" for word in ("silent", "slow") for number in answer[word]]
    return "\n".join(lines) or "nothing is in force", answer


def _ask(options: dict[str, Any], method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """The control port's answer. Raises Refused with its words, ConnectionError where there is none."""
    control = options["control"] or f"http://127.0.0.1:{CONTROL_PORT}"
    if options["addresses"]:
        control = _control_in(Path(options["addresses"]))
    if not control.startswith("http://"):
        raise Refused("invalid", f"expected --control as http://HOST:PORT, got {control!r}", "control")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{control.rstrip('/')}{path}", data, method=method)  # noqa: S310 http is checked
    try:
        with urllib.request.urlopen(request, timeout=_ASK_S) as answer:  # noqa: S310 http is checked
            return cast("dict[str, Any]", json.load(answer))
    except urllib.error.HTTPError as error:
        told = json.load(error)["error"]
        raise Refused(told["code"], told["message"], told["field"]) from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise ConnectionError(f"no simulated venue answers at {control}: {error}") from None


def _control_in(file: Path) -> str:
    # The venue may be about to write it.
    for _ in range(100):
        if file.exists():
            break
        time.sleep(0.1)
    try:
        return str(json.loads(file.read_text())["control"])
    except (OSError, ValueError, KeyError):
        raise Refused("invalid", f"{file} is no file that a simulated venue has written", "addresses") from None
