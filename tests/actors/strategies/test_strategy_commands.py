"""`bin/troupe strategy`: new, check, run and sample, with real locked workers."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.strategies.commands import strategy
from actors.strategies.templates import TEMPLATES, Contract, template
from protocols.control import Refused
from tests.cli.test_command_line import envelope
from tests.cli.test_command_line import in_a_process as troupe

SAMPLE = Path(__file__).resolve().parents[3] / "config" / "samples" / "synthetic-1m.csv"

EVERY_BAR = """
def generate_signal(data, parameters):
    (symbol,) = data
    return {"action": "BUY", "confidence": 0.5, "stop_loss": data[symbol].close[-1] - 1}
"""

HALF_A_GIBIBYTE = """import numpy as np


def generate_signal(data, parameters):
    np.ones((64, 1024, 1024))
"""


def answer(*arguments: object) -> tuple[str, dict[str, Any], int]:
    found = strategy([str(each) for each in arguments], None)
    assert not isinstance(found, int)
    text, data, *status = found
    return text, data, status[0] if status else 0


@pytest.fixture
def source(tmp_path: Path) -> Any:
    def write(text: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("contract", TEMPLATES)
def test_each_template_is_accepted_and_gives_signals_on_the_sample(
    contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, data, _ = answer("new", "my_first", "--contract", contract)
    assert text == "my_first.py is written; next: troupe strategy check my_first.py"
    assert data == {"file": "my_first.py", "contract": contract}
    text, data, status = answer("check", "my_first.py")
    assert (status, data["accepted"], data["contract"]) == (0, True, contract)
    assert {each["name"] for each in data["parameters"]} == set(data["values"])
    assert all(each["description"] in text for each in data["parameters"])
    text, data, status = answer("run", "my_first.py", "--data", SAMPLE, "--symbol", "ABC", "--show", 2)
    assert (status, data["complete"], data["summary"]["bars"], data["markets"]) == (0, True, 1000, [["ABC", "1m"]])
    assert data["summary"]["signals"] == len(data["signals"]) > 10
    assert data["summary"]["defaulted"] == {}
    head, *rows, _ = text.split("\n\n")[0].splitlines()
    assert head.split() == ["time", "symbol", "action", "confidence", "price", "more"]
    assert len(rows) == 1
    assert "1000 bars" in text


def test_the_same_bars_give_the_same_signals(source: Any) -> None:
    path = source(template("sdk", "mine"))
    first, second = (answer("run", path, "--data", SAMPLE, "--quiet")[1]["signals"] for _ in range(2))
    assert first == second


def test_templates_have_no_line_that_is_too_long_and_end_with_one() -> None:
    for contract in TEMPLATES:
        text = template(contract, "my_first")
        ast.parse(text)
        assert text.endswith("\n")
        assert max(map(len, text.splitlines())) <= 120


def test_what_is_there_already_is_not_overwritten_and_a_name_has_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer("new", "mine")
    with pytest.raises(Refused, match=r"mine\.py is there already"):
        strategy(["new", "mine"], None)
    with pytest.raises(Refused, match="expected a name such as my_strategy, got 'my strategy'"):
        strategy(["new", "my strategy"], None)
    answer("sample", "bars.csv", "--bars", 3)
    with pytest.raises(Refused, match=r"bars\.csv is there already"):
        strategy(["sample", "bars.csv"], None)
    with pytest.raises(Refused, match="expected 1 to 10000000 bars, got 0"):
        strategy(["sample", "other.csv", "--bars", "0"], None)


def test_problems_are_told_with_file_line_and_column(source: Any) -> None:
    path = source("import os\n\n\ndef generate_signal(data, parameters):\n    return eval('1')\n")
    text, data, status = answer("check", path)
    assert (status, data["accepted"]) == (1, False)
    assert [(each["line"], each["column"]) for each in data["problems"]] == [(1, 8), (5, 12)]
    assert all(line.startswith(f"{path}:") for line in text.splitlines()[:2])
    assert text.splitlines()[2] == "2 problems"
    assert answer("run", path, "--data", SAMPLE)[:2] == (text, data)
    text, data, status = answer("check", source("def f(:\n"))
    assert (status, data["problems"][0]["line"]) == (1, 1)


def test_what_fails_while_it_is_built_is_told_with_its_line(source: Any) -> None:
    path = source(
        "from actors.strategies.sdk import BaseStrategy\n\n\n"
        "class Mine(BaseStrategy):\n"
        "    def initialize(self):\n"
        "        self.first = self.data.get_bars('ABC', timeframe='5m')\n\n"
        "    def on_bar(self, bar):\n"
        "        pass\n"
    )
    text, data, status = answer("check", path)
    assert (status, data["problems"][0]["line"]) == (1, 6)
    assert text.startswith(f"{path}:6: KeyError: ")
    assert answer("check", path, "--symbol", "ABC", "--timeframe", "1m", "--timeframe", "5m")[2] == 0


def test_parameters_are_checked_by_what_the_strategy_declares(source: Any) -> None:
    path = source(template("sdk", "mine"))
    _, data, status = answer("check", path, "-p", "fast=5", "-p", "slow=50")
    assert (status, data["values"]) == (0, {"fast": 5, "slow": 50})
    text, data, status = answer("check", path, "-p", "fast=1", "-p", "slo=50")
    assert (status, [each["field"] for each in data["problems"]]) == (1, ["fast", "slo"])
    assert f"{path}: fast: expected a whole number from 2 to 200, got 1 [parameter]" in text
    text, _, status = answer("check", path, "--parameter", "fast=60")
    assert (status, text.splitlines()[0]) == (1, f"{path}: fast (60) has to be less than slow (30) [parameter]")
    with pytest.raises(Refused, match="expected NAME=VALUE, got 'fast'"):
        strategy(["check", str(path), "-p", "fast"], None)


def test_an_exception_ends_a_run_with_its_line_and_bar_unless_it_may_go_on(source: Any) -> None:
    path = source(
        "from actors.strategies.sdk import BaseStrategy\n\n\n"
        "class Mine(BaseStrategy):\n"
        "    def on_bar(self, bar):\n"
        "        if self.context.bar_count % 300 == 0:\n"
        "            self.orders.market_order(bar.symbol, 1, 'buy')\n"
        "        self.buy()\n"
    )
    text, data, status = answer("run", path, "--data", SAMPLE)
    assert (status, data["complete"], data["summary"]["bars"], data["summary"]["signals"]) == (1, False, 299, 299)
    (told,) = [line for line in text.splitlines() if line.startswith(f"{path}:7: NotDeployed: orders.market_order: ")]
    assert told.endswith("(at the bar of 2024-01-01T04:59:00Z)")
    text, data, status = answer("run", path, "--data", SAMPLE, "--errors", 5, "--quiet")
    assert (status, data["complete"], data["summary"]["signals"]) == (0, True, 997)
    assert [each["line"] for each in data["summary"]["errors"]] == [7, 7, 7]
    assert data["summary"]["defaulted"] == {"confidence": 997}


def test_a_strategy_that_takes_too_much_memory_is_told_so(source: Any) -> None:
    path = source(HALF_A_GIBIBYTE)
    _, data, status = answer("run", path, "--data", SAMPLE, "--memory", 32)
    assert (status, data["complete"]) == (1, False)
    assert "MemoryError" in data["summary"]["errors"][0]["error"]
    assert data["summary"]["errors"][0]["line"] == 5
    with pytest.raises(Refused, match="expected 16 to 65536 MiB, got 1"):
        strategy(["check", str(path), "--memory", "1"], None)


def test_what_is_logged_is_talk_and_what_is_recorded_is_in_the_summary(
    source: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = source(
        "from actors.strategies.sdk import BaseStrategy\n\n\n"
        "class Mine(BaseStrategy):\n"
        "    def initialize(self):\n"
        "        self.log('begun', 'warning')\n\n"
        "    def on_bar(self, bar):\n"
        "        print('bar', self.context.bar_count)\n"
        "        self.record_metric('close', bar.close)\n"
    )
    text, data, _ = answer("run", path, "--data", SAMPLE, "--limit", 3)
    assert capsys.readouterr().err.splitlines() == ["warning: begun", "info: bar 1", "info: bar 2", "info: bar 3"]
    assert (data["summary"]["bars"], data["summary"]["log_lines"]) == (3, 4)
    assert list(data["summary"]["metrics"]) == ["close"]
    assert "metrics: close " in text
    assert "4 log lines" in text
    answer("run", path, "--data", SAMPLE, "--limit", 3, "--quiet")
    assert capsys.readouterr().err == ""


def test_longer_timeframes_come_before_the_bar_that_they_end_with(source: Any, capsys: Any) -> None:
    path = source(
        "from actors.strategies.sdk import BaseStrategy\n\n\n"
        "class Mine(BaseStrategy):\n"
        "    def on_bar(self, bar):\n"
        "        known = [len(self.data.get_bars(bar.symbol, timeframe=each)) for each in ('1m', '5m')]\n"
        "        print(bar.timeframe, known, self.context.now == bar.end)\n"
    )
    _, data, status = answer("run", path, "--data", SAMPLE, "--timeframe", "1m", "--timeframe", "5m", "--limit", 7)
    assert (status, data["markets"]) == (0, [["SYNTHETIC-1M", "1m"], ["SYNTHETIC-1M", "5m"]])
    assert capsys.readouterr().err.splitlines() == [
        "info: 1m [1, 0] True", "info: 1m [2, 0] True", "info: 1m [3, 0] True", "info: 1m [4, 0] True",
        "info: 5m [4, 1] True", "info: 1m [5, 1] True", "info: 1m [6, 1] True",
    ]  # fmt: skip


def test_several_files_are_several_symbols_of_one_run(source: Any, capsys: Any) -> None:
    path = source(
        "def generate_signal(data, parameters):\n"
        "    print({symbol: len(bars) for symbol, bars in data.items()})\n"
        "    return {'action': 'BUY', 'symbol': 'A', 'confidence': 0.5}\n"
    )
    several = ("--data", SAMPLE, "--data", SAMPLE, "--symbol", "A", "--symbol", "B")
    _, data, status = answer("run", path, *several, "--limit", 3)
    assert (status, data["markets"]) == (0, [["A", "1m"], ["B", "1m"]])
    assert capsys.readouterr().err.splitlines() == [
        "info: {'A': 1}",
        "info: {'A': 1, 'B': 1}",
        "info: {'A': 2, 'B': 1}",
    ]
    assert [each["symbol"] for each in data["signals"]] == ["A", "A", "A"]


def test_signals_are_written_as_lines_of_json_and_an_answer_holds_the_newest(source: Any, tmp_path: Path) -> None:
    bars = tmp_path / "many.csv"
    answer("sample", bars, "--bars", 1500)
    text, data, _ = answer("run", source(EVERY_BAR), "--data", bars, "--signals", tmp_path / "all.jsonl", "--show", 0)
    written = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert (len(written), len(data["signals"]), data["signals_left_out"]) == (1500, 1000, 500)
    assert written[500:] == data["signals"]
    assert written[0] == {
        "time": "2024-01-01T00:01:00Z", "symbol": "MANY", "timeframe": "1m", "action": "BUY", "confidence": 0.5,
        "price": written[0]["price"], "stop_loss": pytest.approx(written[0]["price"] - 1),
    }  # fmt: skip
    assert text.startswith("1500 bars, 1500 signals: BUY 1500\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "none.csv"), r"none\.csv: No such file"),
        (("--data", SAMPLE, "--data", SAMPLE), "a symbol is there twice: SYNTHETIC-1M, SYNTHETIC-1M"),
        (("--data", SAMPLE, "--symbol", "A", "--symbol", "B"), "2 symbols for 1 files"),
        (("--data", SAMPLE, "--timeframe", "soon"), "expected an interval such as"),
        (("--data", SAMPLE, "--timeframe", "90s"), "expected a multiple of 1m, got 90s"),
        (("--data", SAMPLE, "--signals", "none/there.jsonl"), r"none/there\.jsonl cannot be written"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_worker_starts(
    source: Any, arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        strategy(["run", str(source(EVERY_BAR)), *map(str, arguments)], None)


def test_a_strategy_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        strategy(["check", str(tmp_path / "none.py")], None)
    (tmp_path / "latin.py").write_bytes(b"# \xff\n")
    with pytest.raises(Refused, match="is not in UTF-8"):
        strategy(["check", str(tmp_path / "latin.py")], None)


def test_a_wrong_line_in_the_middle_of_the_data_is_told(source: Any, tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    lines[602] = lines[602].replace(",", ",x", 1)
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    with pytest.raises(Refused, match="bar 601: open: expected a number, got 'x"):
        strategy(["run", str(source(EVERY_BAR)), "--data", str(tmp_path / "bad.csv")], None)


@pytest.mark.long
def test_on_the_command_line_failure_is_exit_status_1_with_its_data_in_the_envelope(source: Any) -> None:
    told = troupe("strategy", "check", str(source("import os\n")), "--json")
    found = envelope(told)
    assert (told.returncode, found["outcome"], found["data"]["accepted"]) == (1, "error", False)
    assert found["data"]["problems"][0]["line"] == 1
    told = troupe("strategy", "check", "nowhere.py", "--json")
    assert (told.returncode, envelope(told)["issues"][0]["code"]) == (4, "not_found")
    told = troupe("strategy", "run", str(source(EVERY_BAR)), "--data", str(SAMPLE), "--signals", "-", "--limit", "2")
    assert (told.returncode, len(told.stdout.splitlines())) == (0, 2)
    assert "2 bars, 2 signals" in told.stderr


@pytest.mark.long
def test_the_limits_are_those_of_the_configuration(source: Any) -> None:
    path = source(HALF_A_GIBIBYTE)
    arguments = ("strategy", "run", str(path), "--data", str(SAMPLE), "--limit", "1")
    assert troupe(*arguments, "--set", "sandbox.memory_mb=64").returncode == 1
    assert troupe(*arguments, "--set", "sandbox.memory_mb=1024").returncode == 0


def test_ctrl_c_ends_a_run_in_order_with_what_it_has_so_far(source: Any, tmp_path: Path) -> None:
    answer("sample", tmp_path / "long.csv", "--bars", 30_000)
    path = source(
        "def generate_signal(data, parameters):\n"
        "    (bars,) = data.values()\n"
        "    if len(bars) == 100:\n"
        "        print('on its way')\n"
        "    sum(range(20_000))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "actors.cli", "strategy", "run", str(path), "--data", str(tmp_path / "long.csv")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "info: on its way\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children, "the zygote"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.stdout.read() == ""
    assert process.returncode == 130
    assert rest.endswith("\ninterrupted\n")
    assert "bars, 0 signals" in rest
    assert "Traceback" not in rest
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)
