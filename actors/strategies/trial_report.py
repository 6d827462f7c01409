"""What a strategy's author is shown: problems, parameters, signals, a summary, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final, TextIO

import msgspec

from actors.strategies.bar_files import time_text
from actors.strategies.sandbox.wire import BarInput, Level, ParameterInfo, Problem, Ready, WireSignal
from actors.strategies.trial import Figures

FAILED: Final = 1
KEPT: Final = 1000
"""Signals that an answer holds; `--signals` writes all of them."""
EVERY_S: Final = 0.2


def rejected(file: Path, problems: Sequence[Problem]) -> tuple[str, dict[str, Any], int]:
    """Each problem as `FILE:LINE:COLUMN: what [rule]`; the same for programs; the exit status."""
    lines = [f"{_place(file, problem)}: {problem.message} [{problem.rule}]" for problem in problems]
    found = [
        {
            "file": str(file),
            "line": problem.line,
            "column": problem.column,
            "rule": problem.rule,
            "field": problem.field,
            "message": problem.message,
        }
        for problem in problems
    ]
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return "\n".join([*lines, count]), {"file": str(file), "accepted": False, "problems": found}, FAILED


def _place(file: Path, problem: Problem) -> str:
    place = str(file)
    if problem.line:
        place += f":{problem.line}"
        if problem.column:
            place += f":{problem.column}"
    return f"{place}: {problem.field}" if problem.field and not problem.message.startswith(problem.field) else place


def accepted(file: Path, ready: Ready) -> str:
    """What the strategy is, and what can be set."""
    lines = [f"{file}: accepted; {ready.name}, contract {ready.contract}, told of {', '.join(ready.handles)}"]
    lines.append(f"sees {ready.lookback} bars; {'keeps' if ready.keeps_state else 'keeps no'} state")
    if ready.parameters:
        values = msgspec.json.decode(ready.values)
        rows = [(each.name, _kind(each), _json(values.get(each.name)), each.description) for each in ready.parameters]
        lines += ["", _table(("parameter", "kind", "value", "meaning"), rows)]
    lines += [f"log: {line.level}: {line.text}" for line in ready.logs]
    return "\n".join(lines)


def _kind(parameter: ParameterInfo) -> str:
    if parameter.choices:
        return f"one of {', '.join(parameter.choices)}"
    bounds = {"from": parameter.least, "to": parameter.most}
    return " ".join([parameter.kind, *(f"{word} {bound}" for word, bound in bounds.items() if bound)])


def described(file: Path, ready: Ready) -> dict[str, Any]:
    """The same for programs."""
    return {
        "file": str(file),
        "accepted": True,
        "problems": [],
        "name": ready.name,
        "contract": ready.contract,
        "handles": list(ready.handles),
        "lookback": ready.lookback,
        "keeps_state": ready.keeps_state,
        "parameters": [_parameter(each) for each in ready.parameters],
        "values": msgspec.json.decode(ready.values),
        "logs": [{"level": line.level, "text": line.text} for line in ready.logs],
    }


def _parameter(info: ParameterInfo) -> dict[str, Any]:
    bounds = {"default": info.default, "least": info.least, "most": info.most}
    return {
        "name": info.name,
        "kind": info.kind,
        **{name: json.loads(text) for name, text in bounds.items() if text},
        **({"choices": [json.loads(text) for text in info.choices]} if info.choices else {}),
        "description": info.description,
    }


class Told:
    """What comes of a run while it goes: signals are kept and written, progress and logs are talk."""

    def __init__(self, lines: TextIO | None, *, quiet: bool) -> None:
        """`lines`: where all signals are written, as JSON. `quiet`: neither progress nor logs are shown."""
        self.kept: list[dict[str, Any]] = []
        self._lines = lines
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._open = False
        self._next = monotonic() + EVERY_S

    def signal(self, signal: WireSignal, bar: BarInput) -> None:
        """A signal, at this bar."""
        found = signal_data(signal, bar)
        self.kept.append(found)
        # The newest are kept: those that are shown, and that an answer holds.
        if len(self.kept) > 2 * KEPT:
            del self.kept[:-KEPT]
        if self._lines is not None:
            self._lines.write(_json(found) + "\n")

    def log(self, level: Level, text: str) -> None:
        """A line that the strategy has logged."""
        if not self._quiet:
            self.end()
            print(f"{level}: {text}", file=sys.stderr)

    def progress(self, figures: Figures) -> None:
        """Some more bars are done: a terminal shows it, over and over in one line."""
        if self._live and monotonic() >= self._next:
            self._next = monotonic() + EVERY_S
            text = f"\r\x1b[K{figures.bars} bars, {figures.signals} signals"
            print(text, end="", file=sys.stderr, flush=True)
            self._open = True

    def end(self) -> None:
        """What comes next begins a line."""
        if self._open:
            print(file=sys.stderr, flush=True)
            self._open = False

    def table(self, most: int) -> list[str]:
        """The newest signals for people."""
        del self.kept[:-KEPT]
        shown = self.kept[-most:] if most > 0 else []
        if not shown:
            return []
        rows = [
            (each["time"], each["symbol"], each["action"], f"{each['confidence']:g}", f"{each['price']:g}", _rest(each))
            for each in shown
        ]
        return [_table(("time", "symbol", "action", "confidence", "price", "more"), rows), ""]


def _rest(signal: dict[str, Any]) -> str:
    usual = ("time", "symbol", "timeframe", "action", "confidence", "price", "defaulted")
    return " ".join(f"{name}={_short(value)}" for name, value in signal.items() if name not in usual)


def _short(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float) else _json(value)


def signal_data(signal: WireSignal, bar: BarInput) -> dict[str, Any]:
    """A signal for programs: when and at which price it was given, and what the strategy has said of it."""
    found: dict[str, Any] = {
        "time": time_text(bar.now),
        "symbol": signal.symbol,
        "timeframe": bar.timeframe,
        "action": signal.action,
        "confidence": signal.confidence,
        "price": bar.close,
    }
    told = msgspec.structs.asdict(signal)
    usual = {"order_type": "MARKET", "time_in_force": "GTC", "metadata": "", "defaulted": ()}
    for name, value in told.items():
        if name not in found and name != "index" and value is not None and value != usual.get(name):
            found[name] = msgspec.json.decode(value) if name == "metadata" else value
    return found


def summary(file: Path, figures: Figures, ended: str, *, interrupted: bool) -> Iterator[str]:
    """The lines behind the signals. `ended`: why the worker is gone, if it is."""
    for failure in figures.failures:
        place = f"{file}:{failure.line}" if failure.line else str(file)
        yield f"{place}: {failure} (at the bar of {time_text(failure.bar.start)})"
    if ended:
        span = figures.handed
        at = f", in the bars from {time_text(span[0].start)} to {time_text(span[1].start)}" if span else ""
        yield f"{file}: {ended}{at}"
    data = figures.as_data()
    actions = ", ".join(f"{action} {count}" for action, count in sorted(figures.actions.items()))
    yield f"{figures.bars} bars, {figures.signals} signals{f': {actions}' if actions else ''}"
    if figures.defaulted:
        left_out = ", ".join(f"{name} {count} times" for name, count in sorted(figures.defaulted.items()))
        yield f"left out by the strategy: {left_out}"
    if figures.bars:
        memory = f"{figures.memory / 1048576:.1f} MiB, " if figures.memory else ""
        yield (
            f"{data['us_per_bar']:.0f} us per bar, {data['cpu_s']:.2f} s of processor time, {memory}"
            f"{figures.elapsed:.2f} s in all"
        )
    if figures.metrics:
        yield "metrics: " + ", ".join(f"{name} {value:g}" for name, value in figures.metrics.items())
    if figures.logs or figures.cut:
        yield f"{figures.logs} log lines" + (f", {figures.cut} bytes of log cut" if figures.cut else "")
    if interrupted:
        yield "interrupted"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
