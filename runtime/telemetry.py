"""Logs: structured lines on standard error, for people on a terminal, as JSON for everything else.

    log = actor_logger("/market/demo/session")
    log.warning("resubscribed", market="KXBTC", gap=3)

    2026-01-02T03:04:05.000006Z warning  resubscribed   actor=/market/demo/session gap=3 market=KXBTC
    {"ts":"2026-01-02T03:04:05.000006Z","level":"warning","event":"resubscribed","actor":"/market/demo/session",...}

A line below the level costs one empty call: its processors never run. The standard library's logging (libraries,
warnings) is routed into the same lines under `logger`; what a library logs while an actor runs carries its path, too.
Tracebacks are in `traceback`, as text: they are for the log and for nobody else. Secrets are hidden.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from time import time_ns
from typing import Any, Literal, TextIO

import msgspec
import structlog

from runtime.redaction import HIDDEN, is_secret, without_passwords

Level = Literal["debug", "info", "warning", "error", "critical"]
SECOND = 1_000_000_000


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the node logs (`[telemetry]`)."""

    level: Level = "info"
    format: Literal["auto", "human", "json"] = "auto"
    """`auto` is human on a terminal and JSON elsewhere."""
    library_level: Level = "warning"
    """From which level on lines of the standard library's logging are taken, if `level` lets them through."""


@contextmanager
def open_telemetry(
    settings: TelemetrySettings = TelemetrySettings(),  # noqa: B008 - frozen
    *,
    stream: TextIO | None = None,
    now: Callable[[], int] = time_ns,
    running_actor: Callable[[], str | None] = lambda: None,
) -> Iterator[None]:
    """Send all logging of this process to `stream` (standard error) for the duration of the block.

    `now` gives wall nanoseconds; `running_actor` the path of the actor in whose task a line is logged, for lines that
    do not say it themselves. Logging is the process's own business, so only one may be open at a time.
    """
    stream = sys.stderr if stream is None else stream
    human = settings.format == "human" or (settings.format == "auto" and stream.isatty())
    render = _HumanLine(colors=human and stream.isatty()) if human else json_line
    floor = _number(settings.level)
    processors = _processors(now, running_actor, render)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(floor),
        logger_factory=_Lines(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers = [_Route()]
    root.setLevel(max(floor, _number(settings.library_level)))
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers = before[0]
        root.setLevel(before[1])
        structlog.reset_defaults()


def actor_logger(path: str) -> Any:
    """The logger of the actor at `path`: a structlog bound logger that writes `actor=path` in every line."""
    return structlog.get_logger("troupe", actor=path)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _processors(
    now: Callable[[], int], running_actor: Callable[[], str | None], render: structlog.typing.Processor
) -> list[structlog.typing.Processor]:
    def stamp(logger: object, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["ts"] = timestamp(now())
        if "actor" not in line and (path := running_actor()):
            line["actor"] = path
        return line

    return [structlog.stdlib.add_log_level, stamp, _exception_as_text, _hide_secrets, render]


def timestamp(nanoseconds: int) -> str:
    """Wall nanoseconds as ISO 8601 in UTC with microseconds."""
    whole, rest = divmod(nanoseconds, SECOND)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _exception_as_text(logger: object, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`exc_info` (True, an exception or a triple) becomes `error` and `traceback`."""
    given = line.pop("exc_info", None)
    if not given:
        return line
    error = given if isinstance(given, BaseException) else (sys.exc_info() if given is True else given)[1]
    if error is not None:
        line.setdefault("error", f"{type(error).__name__}: {error}")
        line["traceback"] = "".join(traceback.format_exception(error))
    return line


def _hide_secrets(logger: object, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What goes by a secret's name, and passwords in addresses."""
    for key, value in line.items():
        if isinstance(value, str) and value:
            line[key] = HIDDEN if is_secret(key, None) else without_passwords(value)
    return line


def json_line(logger: object, method: str, line: MutableMapping[str, Any]) -> str:
    """One JSON object, its time, level, event and actor first. What JSON has no word for is shown by its `repr`."""
    first = {key: line[key] for key in ("ts", "level", "event", "actor") if key in line}
    whole = {**first, **line}
    try:
        return msgspec.json.encode(whole, enc_hook=repr).decode()
    except (TypeError, ValueError, RecursionError, UnicodeError, OverflowError):
        # A key that is no text, an integer of more than 64 bits, a lone surrogate: the line must not be lost.
        plain = {str(key): repr(value) for key, value in whole.items() if key not in first}
        return msgspec.json.encode(_clean({**first, **plain})).decode()


def _clean(line: Mapping[str, Any]) -> dict[str, str]:
    return {
        key.encode("utf-8", "backslashreplace").decode(): str(value).encode("utf-8", "backslashreplace").decode()
        for key, value in line.items()
    }


class _HumanLine:
    """One line for people; a traceback follows on lines of its own."""

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="ts", sort_keys=True, pad_event_to=24)

    def __call__(self, logger: object, method: str, line: MutableMapping[str, Any]) -> str:
        stack = line.pop("traceback", "")
        text = self._render(logger, method, line)
        return f"{text}\n{stack.rstrip()}" if stack else text


class _Lines:
    """Makes the loggers that write: one line, one write, so that lines of threads do not mix."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, *args: object) -> _Lines:
        return self

    def msg(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Standard error has gone away (a closed pipe or terminal). The node goes on.
            return

    debug = info = warning = error = critical = exception = log = fatal = warn = msg


class _Route(logging.Handler):
    """Takes what the standard library's logging lets through."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # structlog knows the five usual levels; a library may log at any number.
            level = min(50, max(10, record.levelno // 10 * 10))
            structlog.get_logger().log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
        except Exception:
            # A library's broken log line is reported as the standard library reports it.
            self.handleError(record)
