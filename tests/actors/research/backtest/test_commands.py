from __future__ import annotations

import hashlib
import http.server
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.research.backtest.command_options import grid_of
from actors.research.backtest.commands import backtest
from protocols.control import Refused
from tests.actors.research.backtest.test_jobs import csv_of_bars

HERE = "tests.actors.research.backtest.strategies"


class Desk:
    """A folder with bars, and the command over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "bars.csv"
        self.data.write_bytes(csv_of_bars(160))

    def section(self, name: str) -> Any:
        return SimpleNamespace(data_dir=str(self.folder / "node"))

    def __call__(self, strategy: str, *more: str) -> tuple[Any, ...]:
        arguments = [strategy, "--data", str(self.data), "--market", "A", "--tick", "0.01", "--lot", "1", *more]
        return backtest(arguments, self)  # type: ignore[arg-type,return-value]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_run_is_told_as_text_and_as_data_and_written_where_it_is_wanted(desk: Desk) -> None:
    page, orders = desk.folder / "out.html", desk.folder / "orders.jsonl"
    parquet = desk.folder / "parquet"
    text, data = desk(
        "moving_average_cross",
        "-p", "interval=1d", "-p", "fast=3", "-p", "slow=9", "--bracket", "--fee", "0.001/0.0005",
        "--from", "2022-01-20", "--to", "2022-05-01", "--size", "0.5", "--seed", "3",
        "--report", str(page), "--orders", str(orders), "--parquet", str(parquet),
    )  # fmt: skip
    assert "Sharpe Ratio" in text
    assert "pessimistic" in text
    assert data["run"]["parameters"]["fast"] == 3
    assert data["spec"]["fills"]["bracket"] == ""
    assert data["spec"]["market"]["maker_fee"] == "0.0005"
    assert [each["bracket"] for each in data["brackets"]] == ["optimistic", "as set", "pessimistic"]
    assert hashlib.sha256(orders.read_bytes()).hexdigest() == data["run"]["order_hash"]
    assert page.read_text().startswith("<!")
    assert len(list(parquet.iterdir())) == 3
    assert json.dumps(data)


def test_what_else_could_have_been_of_a_walk_forward_is_of_its_stitched_tests(desk: Desk) -> None:
    page = desk.folder / "out.html"
    more = ("-p", "interval=1d", "--optimise", "fast=2|3,slow=4|5", "--walk-forward", "2/1/1", "--warm-up", "20")
    text, data = desk("moving_average_cross", *more, "--monte-carlo", "50", "--report", str(page))
    assert data["run"]["methodology"] == "walk_forward"
    assert data["walk_forward"]["windows"]
    found = {each["method"]: each for each in data["monte_carlo"]["methods"]}
    assert found["permutation"]["reason"] == ""
    assert found["synthetic_paths"]["reason"], "no one strategy ran over all of it"
    assert "WINDOW" in text
    assert "METHOD" in text
    assert data["run"]["order_hash"] == desk("moving_average_cross", *more)[1]["run"]["order_hash"]


def test_every_run_counts_in_the_ledger_of_the_data_folder(desk: Desk) -> None:
    more = ("-p", "interval=1d", "--optimise", "fast=2:4:1,slow=8|16")
    _, data = desk("moving_average_cross", *more)
    assert data["family"]["trials"] == data["search"]["trials"] == 6
    assert desk("moving_average_cross", *more)[1]["family"]["trials"] == 6, "the same again is no new trial"
    assert desk("moving_average_cross", "-p", "interval=1d", "-p", "fast=5")[1]["family"]["trials"] == 7
    lines = (desk.folder / "node" / "backtests" / "trials.jsonl").read_text().splitlines()
    assert {json.loads(line)["family"] for line in lines} == {"moving_average_cross"}


def test_what_is_doubtful_in_the_data_is_a_warning_before_the_figures(desk: Desk) -> None:
    head, *rows = desk.data.read_text().splitlines()
    cells = rows[20].split(",")
    rows[20] = ",".join([cells[0], *("nan" for _ in cells[1:])])
    desk.data.write_text("\n".join([head, *rows]) + "\n")
    text, data = desk("moving_average_cross", "-p", "interval=1d")
    assert "! 1 bars of bars without a price or a time, left out" in text.splitlines()[:3]
    assert data["run"]["warnings"][0].startswith("1 bars of bars")


def test_a_look_ahead_is_answered_with_a_failure(desk: Desk) -> None:
    text, data = desk("moving_average_cross", "-p", "interval=1d", "-p", "fast=2", "-p", "slow=5", "--look-ahead", "2")
    assert (data["caught"], data["empty"]) == (False, False)
    assert text.endswith("no look-ahead was found")
    text, data, status = desk(f"{HERE}:DailyPeeker", "--look-ahead", "3")
    assert (data["caught"], status) == (True, 1)
    assert "DIFFERENT" in text


def test_what_is_wrong_is_named(desk: Desk) -> None:
    for arguments, code, field in (
        (("nothing",), "invalid", "strategy.strategy"),
        (("moving_average_cross", "-p", "fats=1"), "invalid", "strategy.parameters.fats"),
        (("moving_average_cross", "-p", "fast"), "invalid", "parameter"),
        (("moving_average_cross", "--capital", "x"), "invalid", "initial_capital"),
        (("moving_average_cross", "--from", "yesterday"), "invalid", "from"),
        (("moving_average_cross", "--latency", "nan"), "invalid", "latency"),
        (("moving_average_cross", "--leverage", "0"), "invalid", "leverage"),
        (
            ("moving_average_cross", "--walk-forward", "12/3/3", "--cross-validation", "5"),
            "invalid",
            "cross_validation",
        ),
        (("moving_average_cross", "--walk-forward", "12"), "invalid", "method.walk_forward"),
        (("moving_average_cross", "--objective", "luck"), "invalid", "method.objective"),
        (("moving_average_cross", "-p", "interval=1d", "--from", "2050-01-01"), "invalid", "data"),
        (("moving_average_cross", "--random", "5"), "invalid", "random"),
        (("moving_average_cross", "--purge", "60"), "invalid", "purge"),
        (("moving_average_cross", "--embargo", "60"), "invalid", "embargo"),
        (("moving_average_cross", "--look-ahead", "2", "--walk-forward", "12/3/3"), "invalid", "walk-forward"),
        (("moving_average_cross", "--look-ahead", "2", "--bracket"), "invalid", "bracket"),
        (("nothing.py",), "not_found", "strategy"),
    ):
        with pytest.raises(Refused) as error:
            desk(*arguments)
        assert (error.value.code, error.value.field) == (code, field), arguments
    with pytest.raises(ConnectionError, match="no node runs"):
        desk("library:x")


def test_grids_have_both_ends_and_keep_whole_numbers_whole() -> None:
    assert grid_of("a=5:15:5,b=0.1:0.3:0.1,c=x|true|2") == {"a": [5, 10, 15], "b": [0.1, 0.2, 0.3], "c": ["x", True, 2]}
    for wrong in ("a", "a=", "=1", "a=5:1:1", "a=1:2:0", "a=0:1:0.0000001"):
        with pytest.raises(Refused):
            grid_of(wrong)


class Library(http.server.BaseHTTPRequestHandler):
    """A node's answer about one strategy."""

    def do_GET(self) -> None:
        known = self.path == "/strategies/mine"
        body = json.dumps({"code": "def generate_signal(data, parameters):\n    return None\n"}).encode()
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(body if known else b"{}")

    def log_message(self, *_: Any) -> None:
        pass


def test_a_strategy_of_a_nodes_library_is_run_in_the_sandbox(desk: Desk) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Library)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        _, data = desk("library:mine", "--url", url, "--timeframe", "1d")
        assert (data["run"]["strategy"], data["run"]["bars"], data["run"]["orders"]) == ("mine", 160, 0)
        with pytest.raises(Refused, match="no strategy other"):
            desk("library:other", "--url", url)
    finally:
        server.shutdown()
        server.server_close()
