from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from runtime.telemetry import TelemetrySettings, actor_logger, open_telemetry, timestamp

MOMENT = 1_767_323_045_000_006_789


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Never:
    def __repr__(self) -> str:
        pytest.fail("was rendered")

    __str__ = __repr__


def lose() -> None:
    raise LookupError("lost")


@contextmanager
def logged(stream: io.StringIO | None = None, **settings: Any) -> Iterator[list[dict[str, Any]]]:
    """The lines that are logged inside the block, filled in at its end."""
    chosen: dict[str, Any] = {"format": "json", **settings}
    lines: list[dict[str, Any]] = []
    written = stream or io.StringIO()
    with open_telemetry(TelemetrySettings(**chosen), stream=written, now=lambda: MOMENT, running_actor=lambda: "/who"):
        yield lines
    lines += map(json.loads, written.getvalue().splitlines())


def test_a_json_line_has_time_level_event_and_the_actors_path_first() -> None:
    stream = io.StringIO()
    with logged(stream) as lines:
        actor_logger("/market/demo").warning("gap", market="KXBTC", count=3)
    assert lines == [
        {
            "ts": "2026-01-02T03:04:05.000006Z",
            "level": "warning",
            "event": "gap",
            "actor": "/market/demo",
            "market": "KXBTC",
            "count": 3,
        }
    ]
    assert stream.getvalue().startswith('{"ts":"2026-01-02T03:04:05.000006Z","level":"warning","event":"gap","actor":')


def test_a_line_that_does_not_say_its_actor_gets_the_running_one() -> None:
    with logged(library_level="info") as lines:
        structlog.get_logger().info("here")
        logging.getLogger("library").info("there")
    assert [line["actor"] for line in lines] == ["/who", "/who"]


def test_lines_below_the_level_are_never_rendered() -> None:
    with logged(level="warning", library_level="debug") as lines:
        log = actor_logger("/a")
        log.debug("no", value=Never())
        log.info("no", value=Never())
        logging.getLogger("library").info("%s", Never())
        log.warning("yes")
    assert [line["event"] for line in lines] == ["yes"]


def test_people_on_a_terminal_get_lines_to_read() -> None:
    stream = Terminal()
    with open_telemetry(TelemetrySettings(), stream=stream, now=lambda: MOMENT):
        actor_logger("/a").info("started", count=2)
    text = stream.getvalue()
    assert "2026-01-02T03:04:05.000006Z" in text
    assert "\x1b[" in text
    assert "started" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_lines_for_people_that_go_into_a_file_have_no_colours_and_end_with_the_traceback() -> None:
    stream = io.StringIO()
    with open_telemetry(TelemetrySettings(format="human"), stream=stream, now=lambda: MOMENT):
        try:
            lose()
        except LookupError:
            actor_logger("/a").exception("crashed")
    assert "\x1b[" not in stream.getvalue()
    lines = stream.getvalue().splitlines()
    assert "error='LookupError: lost'" in lines[0]
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "LookupError: lost"


def test_auto_is_json_where_nobody_reads() -> None:
    stream = io.StringIO()
    with open_telemetry(TelemetrySettings(), stream=stream):
        actor_logger("/a").info("x")
    assert json.loads(stream.getvalue())["event"] == "x"


def test_an_exception_is_an_error_and_a_traceback() -> None:
    with logged() as lines:
        try:
            lose()
        except LookupError as error:
            actor_logger("/a").error("by hand", exc_info=error)
            actor_logger("/a").exception("by method")
            logging.getLogger("library").exception("by library")
        actor_logger("/a").error("none", exc_info=True)
    for line in lines[:3]:
        assert line["error"] == "LookupError: lost"
        assert line["traceback"].endswith("LookupError: lost\n")
        assert "exc_info" not in line
    assert "traceback" not in lines[3]


def test_the_standard_librarys_logging_and_warnings_come_along() -> None:
    with logged() as lines, warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        logging.getLogger("library.part").warning("from %s", "below")
        logging.getLogger("library").log(35, "a level of its own")
        logging.getLogger("library").info("below library_level")
        warnings.warn("careful", stacklevel=1)
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("library.part", "warning"),
        ("library", "warning"),
        ("py.warnings", "warning"),
    ]
    assert lines[0]["event"] == "from below"
    assert "careful" in lines[2]["event"]


def test_secrets_are_hidden_and_the_line_stays_whole() -> None:
    with logged() as lines:
        actor_logger("/a").info(
            "connecting to postgresql://u:hunter2@h/d", token="hunter2", url="wss://v?token=hunter2", left=1
        )
    [line] = lines
    assert "hunter2" not in json.dumps(line)
    assert line["left"] == 1
    assert line["url"] == "wss://v?token=***"


@pytest.mark.parametrize(
    "value", [10**30, object(), {1: 2}, {"a": {3, 4}}, b"\xff", "lone \ud800", {(1, 2): 3}, float("nan"), [Never]]
)
def test_no_value_can_lose_a_line(value: object) -> None:
    with logged() as lines:
        actor_logger("/a").info("odd", value=value)
    assert lines[0]["event"] == "odd"
    assert "value" in lines[0]


def test_a_standard_error_that_has_gone_away_stops_nobody() -> None:
    stream = io.StringIO()
    with open_telemetry(TelemetrySettings(), stream=stream):
        stream.close()
        actor_logger("/a").error("into the void")


def test_what_was_there_before_is_there_again() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    with logged():
        assert (root.handlers, root.level) != before
    assert (root.handlers, root.level) == before
    assert not structlog.is_configured()


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (MOMENT, "2026-01-02T03:04:05.000006Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_a_timestamp_is_utc_to_the_microsecond(nanoseconds: int, text: str) -> None:
    assert timestamp(nanoseconds) == text
