from __future__ import annotations

import ast
import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.strategies.sandbox.inside import language
from actors.strategies.sandbox.wire import WireSignal
from actors.strategies.workflows.compiler import compile_workflow
from actors.strategies.workflows.components import catalogue
from actors.strategies.workflows.model import WorkflowInvalid, read_workflow
from actors.strategies.workflows.templates import TEMPLATES
from tests.actors.strategies.workflows.drawing import SIMPLE, Drawn, action, condition, drawn, indicator, node, source
from tests.actors.strategies.workflows.running import bars, built, loaded, prices, run

EXPECTED = '''"""Buy low: a compiled workflow.

Its nodes say what it does: what is changed here is lost when they are compiled again.

Markets: those of the run. Bars: 1h.
"""

from actors.strategies.sdk import Parameter
from actors.strategies.workflows.blocks import Condition, Indicator, Source, Trigger, WorkflowStrategy


class Nodes:
    """What the nodes remember, of one market or of all."""

    def __init__(self, p):
        # Rsi (rsi)
        self.rsi = Indicator("rsi", period=p["rsi_period"])
        # Low (low)
        self.low = Condition("less_than", confirm=p["low_confirmation_bars"])
        # Buy (buy)
        self.buy = Trigger()

    def on_prices(self, bar, p, out):
        """At each bar of Prices: each market of the run, 1h."""
        # Rsi (rsi): Relative strength index.
        rsi = self.rsi.update(bar)
        # Low (low), less_than: The value is below the reference.
        low = self.low.update(rsi, p["low_value"])
        # Buy (buy)
        if self.buy.fires(low):
            out.signal(action="BUY", symbol=bar.symbol, metadata={"node": "buy"})


class BuyLow(WorkflowStrategy):
    """Buy low."""

    NODES = Nodes
    HISTORY = 352
    SOURCES = (
        Source("prices", timeframe="1h"),
    )
'''


def signal(drawing: Drawn, *, seed: int = 3) -> WireSignal:
    """The first signal of a workflow."""
    return run(built(drawing), bars(prices(seed, 200)))[0][1]


def with_action(*more: Drawn, edges: tuple[str, ...] = (), word: str = "buy", **parameters: Any) -> Drawn:
    """A workflow that acts at the first bar that closes above 0, which is the first."""
    nodes = [source(), condition("c", "positive"), action("act", word, repeat="every_bar", **parameters), *more]
    return drawn(nodes, "prices.close>c", "c>act", *edges)


def test_the_text_reads_like_one_that_was_written_by_hand() -> None:
    compiled = compile_workflow(read_workflow(SIMPLE), title="Buy low")
    assert compiled.code.startswith(EXPECTED)
    assert (compiled.class_name, compiled.symbols, compiled.timeframes) == ("BuyLow", (), ("1h",))
    assert [each.name for each in compiled.parameters] == ["rsi_period", "low_confirmation_bars", "low_value"]


def test_equal_workflows_give_equal_text_and_positions_do_not_matter() -> None:
    for template in TEMPLATES.values():
        moved = copy.deepcopy(template.workflow)
        for place, each in enumerate(moved["nodes"]):
            each["position"] = {"x": place, "y": -place}
        one = compile_workflow(read_workflow(template.workflow), title=template.name)
        assert compile_workflow(read_workflow(json.dumps(moved)), title=template.name) == one


def test_every_template_compiles_to_what_the_sandbox_accepts_and_acts_on_some_prices() -> None:
    assert 5 <= len(TEMPLATES) <= 8
    for template in TEMPLATES.values():
        compiled = compile_workflow(read_workflow(template.workflow), title=template.name)
        assert compiled.warnings == ()
        assert language.check(compiled.code, "strategy.py") == []
        if len(compiled.timeframes) == 1:
            contract = loaded(compiled.code)
            assert run(contract, bars(prices(2, 3000)))


def test_the_text_is_clean_by_the_linter_and_the_formatter(tmp_path: Path) -> None:
    for template in TEMPLATES.values():
        compiled = compile_workflow(read_workflow(template.workflow), title=template.name)
        (tmp_path / f"{compiled.class_name}.py").write_text(compiled.code)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,W,F,I", "--line-length", "120"]
    answer = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


LABELS = st.text(max_size=40) | st.sampled_from(
    [
        '"""',
        "\\",
        "#",
        "\n\rimport os",
        "' + \"",
        "\u202eabc",
        "class",
        "self",
        "p",
        "数字",
        "1st",
        "print",
        "__x__",
        "{0}",
        "true",
        "None",
        "workflow strategy",
        "Open",
        "dir",
        "F",
        "co 1",
        "Mro",
        "obj",
        "dump",
        "tb",
        "f_back",
        "gi_frame",
        "format_map",
        "match",
        "Nodes",
    ]
)


@given(LABELS, LABELS, LABELS)
@settings(max_examples=150, deadline=None)
def test_no_label_can_be_more_than_text(title: str, label: str, metric: str) -> None:
    drawing = copy.deepcopy(SIMPLE)
    for each in drawing["nodes"]:
        each["data"]["label"] = label
    drawing["nodes"].append(node("o\"'\\", "output", label, name=metric))
    drawing["edges"].append({"id": "o", "source": "rsi", "target": "o\"'\\"})
    code = compile_workflow(read_workflow(drawing), title=title).code
    assert language.check(code, "strategy.py") == []
    assert [type(each).__name__ for each in ast.parse(code).body] == [
        "Expr", "ImportFrom", "ImportFrom", "ClassDef", "ClassDef",
    ]  # fmt: skip


def test_prices_of_stops_and_targets_follow_from_the_close_and_the_side() -> None:
    bought = signal(with_action(stop_loss=2.0, take_profit=5.0))
    close = prices(3, 200)["close"][0]
    assert bought.action == "BUY"
    assert bought.stop_loss == pytest.approx(close * 0.98)
    assert bought.take_profit == pytest.approx(close * 1.05)
    sold = signal(with_action(word="sell", stop_loss=2.0, take_profit=5.0))
    assert sold.stop_loss == pytest.approx(close * 1.02)
    assert sold.take_profit == pytest.approx(close * 0.95)


def test_a_confidence_that_nobody_gave_is_not_made_up() -> None:
    assert signal(with_action()).defaulted == ("confidence",)
    given = signal(with_action(confidence=0.8))
    assert (given.confidence, given.defaulted) == (0.8, ())


def test_what_an_action_says_becomes_fields_of_its_signal() -> None:
    found = signal(
        with_action(
            quantity=0.5, positionSizing=5, order_type="limit", price_offset=1.0, time_in_force="IOC", max_slippage=0.2,
            validity=60,
        )
    )  # fmt: skip
    close = prices(3, 200)["close"][0]
    assert (found.quantity, found.position_size, found.order_type, found.time_in_force) == (0.5, 0.05, "LIMIT", "IOC")
    assert found.price_target == pytest.approx(close * 0.99)
    assert found.max_slippage == pytest.approx(0.002)
    assert found.validity_s == 60
    assert found.metadata == '{"node":"act"}'
    stop = signal(with_action(word="sell", order_type="stop", price_offset=1.0))
    assert stop.order_type == "STOP"
    assert stop.price_target == pytest.approx(close * 0.99)


@pytest.mark.parametrize(
    ("word", "category", "said"),
    [
        ("buy", None, "BUY"), ("long", None, "BUY"), ("sell", "entry", "SELL"), ("short", None, "SELL"),
        ("sell", "exit", "CLOSE_LONG"), ("buy", "exit", "CLOSE_SHORT"), ("close_long", None, "CLOSE_LONG"),
        ("close_short", "exit", "CLOSE_SHORT"), ("close", None, "CLOSE_ALL"), ("close_all", "exit", "CLOSE_ALL"),
        ("hold", None, "HOLD"),
    ],
)  # fmt: skip
def test_the_action_of_a_signal_follows_from_category_and_word(word: str, category: str | None, said: str) -> None:
    assert signal(with_action(word=word, actionCategory=category)).action == said


def test_an_exit_has_no_stop_and_says_that_it_was_left_out() -> None:
    drawing = with_action(word="close_long", stop_loss=2.0)
    assert signal(drawing).stop_loss is None
    [warning] = compile_workflow(read_workflow(drawing)).warnings
    assert (warning.node_id, warning.field, warning.code) == ("act", "stop_loss", "left_out")


def test_risk_nodes_set_stops_sizes_and_limits() -> None:
    risks = [
        node("stop", "risk", riskType="atr_stop", multiple=2.0),
        node("target", "riskManagement", riskType="take_profit", target=4),
        node("size", "risk", riskType="position_size", portfolioHeat=2.5),
        node("fall", "risk", riskType="max_drawdown", maxLoss=10),
        node("slip", "risk", riskType="slippage", slippage=0.5),
        indicator("atr", "ATR", period=5),
    ]
    edges = ("prices>atr", "atr>stop.value", *(f"{each['id']}>act" for each in risks[:5]))
    found = run(built(with_action(*risks, edges=edges)), bars(prices(3, 50)))
    first, later = found[0][1], found[20][1]
    assert first.stop_loss is None, "there is no range yet"
    assert (first.position_size, first.max_drawdown) == (0.025, 0.1)
    assert first.max_slippage == pytest.approx(0.005)
    assert first.take_profit == pytest.approx(prices(3, 50)["close"][0] * 1.04)
    assert later.stop_loss is not None
    assert later.stop_loss < prices(3, 50)["close"][20]


def test_a_risk_node_between_condition_and_action_lets_the_signal_through() -> None:
    drawing = drawn(
        [source(), condition("c", "positive"), node("r", "risk", riskType="stop_loss", maxLoss=3), action()],
        "prices.close>c", "c>r", "r>buy",
    )  # fmt: skip
    drawing["nodes"][-1]["data"]["parameters"]["repeat"] = "every_bar"
    assert signal(drawing).stop_loss == pytest.approx(prices(3, 200)["close"][0] * 0.97)


def test_outputs_become_figures() -> None:
    drawing = with_action(node("o", "output", "Close now"), edges=("prices.close>o",))
    contract = built(drawing)
    inputs = bars(prices(3, 5))
    run(contract, inputs)
    assert contract.metrics() == {"Close now": inputs[-1].close}


def test_numbers_are_parameters_with_ranges_and_the_rest_is_not() -> None:
    compiled = compile_workflow(read_workflow(with_action(stop_loss=2.0, take_profit=0, confidence=0.7)))
    assert {each.name: (each.kind, each.default, each.least, each.most) for each in compiled.parameters} == {
        "c_confirmation_bars": ("int", 1, 1, 1000),
        "act_confidence": ("float", 0.7, 0, 1),
        "act_stop_loss": ("float", 2.0, 0, 100),
    }


def test_a_large_workflow_compiles_and_keeps_what_is_no_parameter_any_more() -> None:
    nodes, edges = [source()], []
    given: dict[str, Any] = {
        "stop_loss": 1.0, "take_profit": 2.0, "confidence": 0.5, "quantity": 1, "positionSizing": 1, "max_slippage": 1,
        "validity": 60,
    }  # fmt: skip
    for place in range(23):
        nodes += [condition(f"c{place}", "rising", bars=2), action(f"a{place}", **given)]
        edges += [f"prices.close>c{place}", f"c{place}>a{place}"]
    compiled = compile_workflow(read_workflow(drawn(nodes, *edges)))
    assert len(compiled.parameters) == 200
    assert [each.code for each in compiled.warnings] == ["too_many_parameters"]
    assert len(run(loaded(compiled.code), bars(prices(1, 12)))) % 23 == 0
    many = [condition(f"c{place}", "rising", bars=2) for place in range(249)]
    acts = [action(f"a{place}", stop_loss=1.0) for place in range(249)]
    ends = [text for place in range(249) for text in (f"prices.close>c{place}", f"c{place}>a{place}")]
    with pytest.raises(WorkflowInvalid, match="bytes long"):
        compile_workflow(read_workflow(drawn([source(), *many, *acts], *ends)))


def test_a_history_that_a_strategy_cannot_see_is_a_warning() -> None:
    drawing = drawn([source(), indicator("e", "EMA", period=2000), condition("c", "less_than"), action()],
                    "prices>e", "prices>c.data", "e>c.reference", "c>buy")  # fmt: skip
    compiled = compile_workflow(read_workflow(drawing))
    assert compiled.lookback == 10_000
    assert [each.code for each in compiled.warnings] == ["long_history"]


def test_a_large_workflow_sees_fewer_bars_so_that_it_begins_in_time() -> None:
    nodes = [condition(f"c{place}", "uptrend", period=2000) for place in range(100)]
    ends = [text for place in range(100) for text in (f"prices>c{place}", f"c{place}>any")]
    drawing = drawn([source(), *nodes, node("any", "logic", operation="OR"), action()], *ends, "any>buy")
    compiled = compile_workflow(read_workflow(drawing))
    assert compiled.lookback < 1000
    assert [each.code for each in compiled.warnings] == ["long_history"]


def test_a_custom_data_set_runs_on_the_market_and_says_that_its_file_is_a_backtests() -> None:
    file = node("prices", "customDataset", fileName="mine.csv", normalization="minmax")
    drawing = drawn([file, condition("c", "positive"), action(repeat="every_bar")], "prices.close>c", "c>buy")
    compiled = compile_workflow(read_workflow(drawing))
    assert [(each.node_id, each.field) for each in compiled.warnings] == [("prices", "fileName")]
    assert len(run(loaded(compiled.code), bars(prices(1, 5)))) == 5


def test_requirements_name_ta_lib_only_where_it_is_used() -> None:
    assert compile_workflow(read_workflow(SIMPLE)).requirements == ("numpy",)
    drawing = with_action(indicator("h", "HMA"), condition("d", "doji"), edges=("prices>h", "prices>d"))
    assert compile_workflow(read_workflow(drawing)).requirements == ("numpy",), "what leads nowhere is left out"
    drawing = drawn([source(), condition("d", "doji"), action()], "prices>d", "d>buy")
    assert compile_workflow(read_workflow(drawing)).requirements == ("numpy", "ta-lib")


def test_the_palette_tells_ports_parameters_and_definitions() -> None:
    found = catalogue()
    rsi = next(each for each in found["indicators"] if each["code"] == "rsi")
    assert rsi["inputs"] == [{"name": "data", "types": ["ohlcv", "numeric"], "required": True, "many": False}]
    assert [each["name"] for each in rsi["parameters"]] == ["period", "source"]
    crossing = next(each for each in found["conditions"] if each["code"] == "cross_above")
    assert crossing["definition"] == "The value is above the reference, and was at or below it at the bar before."
    assert [each["name"] for each in crossing["inputs"]] == ["data", "reference"]
    assert len(found["conditions"]) >= 100
    assert len(found["indicators"]) >= 70
    assert {each["type"] for each in found["components"]} >= {"dataSource", "logic", "action", "output"}
