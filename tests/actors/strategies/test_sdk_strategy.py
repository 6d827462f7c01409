"""A strategy of the SDK, driven as a worker drives it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.strategies.sandbox import wire
from actors.strategies.sdk import (
    Bar,
    BaseStrategy,
    Data,
    NotDeployed,
    Parameter,
    Quote,
    Signal,
    SignalError,
)
from actors.strategies.sdk import session as session_module
from actors.strategies.sdk.base import build, handled, overrides, plain
from actors.strategies.sdk.parameters import declared, settle
from actors.strategies.sdk.trading import UNDEPLOYED, Order, Orders, Portfolio, Risk
from tests.actors.strategies.sdk_kit import GivenWindows, random_bars, session_of


class Reversion(BaseStrategy):
    period = Parameter.int(14, least=2)

    def __init__(self) -> None:
        self.seen_in_constructor = (self.period, self.data.symbols)

    def initialize(self) -> None:
        self.set_variable("bars", 0)

    def on_bar(self, bar: Bar) -> None:
        self.set_variable("bars", self.get_variable("bars") + 1)
        rsi = self.data.rsi(bar.symbol, self.period)
        assert rsi is not None
        self.record_metric("rsi", rsi)
        self.buy(bar.symbol, confidence=0.6, stop_loss=bar.close * 0.98, metadata={"rsi": rsi})

    def on_quote(self, quote: Quote) -> None:
        self.sell()


def test_a_strategy_sees_parameters_and_data_in_its_constructor_already() -> None:
    session = session_of(random_bars(1))
    session.parameters.update(settle(declared(Reversion), {"period": 20}))
    strategy = build(Reversion, session)
    assert strategy.seen_in_constructor == (20, ("ABC",))
    assert (strategy.get_parameter("period"), strategy.get_parameter("other", 5)) == (20, 5)
    session.parameters["period"] = 30
    assert strategy.period == 30


def test_a_bar_leads_to_signals_figures_and_variables() -> None:
    bars = random_bars(1)
    session = session_of(bars, strategy_id="s", is_live=True)
    strategy = build(Reversion, session)
    strategy.initialize()
    session.at(bars.last.end, bars.last)
    strategy.on_bar(bars.last)
    (signal,) = session.take_signals()
    assert (signal.action, signal.symbol, signal.confidence) == ("BUY", "ABC", 0.6)
    assert session.take_signals() == []
    assert session.take_metrics() == {"rsi": strategy.context.metrics["rsi"]}
    assert session.take_metrics() == {}
    context = strategy.context
    assert (context.now, context.current_bar, context.bar_count) == (bars.last.end, bars.last, 1)
    assert context.current_time.timestamp() == bars.last.end / 1e9
    assert (context.strategy_id, context.user_id, context.is_live, context.is_deployed) == ("s", None, True, False)
    assert (context.symbols, context.variables, context.parameters) == (("ABC",), {"bars": 1}, {})


def test_a_signal_without_a_symbol_is_of_the_only_one_and_refused_where_there_are_several() -> None:
    session = session_of(random_bars(1))
    strategy = build(Reversion, session)
    assert strategy.sell().action == "SELL"
    assert [signal.symbol for signal in session.take_signals()] == ["ABC"]
    two = build(Reversion, session_of(random_bars(1), random_bars(2, symbol="DEF")))
    with pytest.raises(SignalError, match=r"^symbol: expected one of ABC, DEF, got None$"):
        two.sell()
    with pytest.raises(SignalError, match=r"^symbol: expected one of ABC, DEF, got 'XYZ'$"):
        two.signal(Signal(action="BUY", symbol="XYZ"))
    with pytest.raises(SignalError, match=r"^signal: expected a Signal, got dict$"):
        two.signal({"action": "BUY"})  # type: ignore[arg-type]


def test_each_word_gives_the_signal_that_it_says() -> None:
    session = session_of(random_bars(1))
    strategy = build(Reversion, session)
    for word in ("buy", "sell", "hold", "close_long", "close_short", "close_all"):
        getattr(strategy, word)(confidence=0.9, quantity=2)
    assert [each.action for each in session.take_signals()] == [
        "BUY",
        "SELL",
        "HOLD",
        "CLOSE_LONG",
        "CLOSE_SHORT",
        "CLOSE_ALL",
    ]
    with pytest.raises(SignalError, match="confidence: expected a number from 0 to 1, got 2"):
        strategy.buy(confidence=2)
    assert session.take_signals() == []


def test_an_input_leads_to_as_many_signals_as_the_wire_takes() -> None:
    assert session_module.MOST_SIGNALS == wire.MOST_SIGNALS
    session = session_of(random_bars(1))
    strategy = build(Reversion, session)
    for _ in range(wire.MOST_SIGNALS):
        strategy.buy()
    with pytest.raises(SignalError, match="signal: expected at most 64 signals of one input"):
        strategy.buy()


def test_orders_portfolio_and_risk_say_how_to_get_an_account() -> None:
    strategy = build(Reversion, session_of(random_bars(1)))
    with pytest.raises(NotDeployed, match=r"^orders\.market_order: .*Deploy the strategy"):
        strategy.orders.market_order("ABC", 1, "buy")
    with pytest.raises(NotDeployed, match=r"^portfolio\.cash: "):
        strategy.portfolio.cash  # noqa: B018
    with pytest.raises(NotDeployed, match=r"^risk\.value_at_risk: "):
        strategy.risk.value_at_risk()


def test_whatever_is_asked_of_an_account_that_is_not_there_says_so() -> None:
    for protocol, name in ((Orders, "orders"), (Portfolio, "portfolio"), (Risk, "risk")):
        asked = [each for each in vars(protocol) if not each.startswith("_")]
        assert asked
        for each in asked:
            with pytest.raises(NotDeployed, match=rf"^{name}\.{each}: "):
                getattr(getattr(UNDEPLOYED, name), each)


class GivenOrders:
    """One command is enough to see that it arrives."""

    def market_order(self, symbol: str, quantity: float, side: Any, **_: Any) -> Order:
        return Order(
            order_id="1", symbol=symbol, side=side, kind="market", quantity=quantity, state="submitted", timestamp=1
        )


class GivenAccount:
    orders = GivenOrders()
    portfolio = UNDEPLOYED.portfolio
    risk = UNDEPLOYED.risk


def test_an_execution_engine_is_attached_to_the_session_and_nothing_else_changes() -> None:
    session = session_of(random_bars(1))
    strategy = build(Reversion, session)
    session.deploy(GivenAccount())  # type: ignore[arg-type]
    assert strategy.orders.market_order("ABC", 2, "buy").state == "submitted"
    assert strategy.context.is_deployed


def test_a_strategy_that_was_not_started_says_so_and_a_class_without_on_bar_cannot_be() -> None:
    class Unfinished(BaseStrategy):
        pass

    with pytest.raises(TypeError, match="on_bar"):
        build(Unfinished, session_of(random_bars(1)))  # type: ignore[type-abstract]

    class Plain(BaseStrategy):
        period = Parameter.int(3)

        def on_bar(self, bar: Bar) -> None:
            """Nothing."""

    assert Plain().period == 3
    with pytest.raises(RuntimeError, match="Plain was not started"):
        Plain().data  # noqa: B018


def test_a_class_says_which_inputs_it_wants() -> None:
    assert handled(Reversion) == ("bar", "quote")
    assert overrides(Reversion, "initialize")
    assert not overrides(Reversion, "on_save")

    class Ordering(Reversion):
        def on_position_closed(self, position: Any) -> None:
            """Nothing."""

    assert handled(Ordering) == ("bar", "quote", "order")


def test_variables_are_saved_by_themselves_and_come_back_over_what_initialize_has_set() -> None:
    strategy = build(Reversion, session_of(random_bars(1)))
    strategy.initialize()
    strategy.set_variable("bars", np.int64(7))
    strategy.set_variable("levels", (np.float64(1.5), None))
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(strategy.on_save()))
    later = build(Reversion, session_of(random_bars(1)))
    later.initialize()
    later.on_load(kept)
    assert later.context.variables == {"bars": 7, "levels": [1.5, None]}
    with pytest.raises(TypeError, match="state: expected a dictionary of variables, got list"):
        later.on_load([1])


def test_what_cannot_be_kept_is_named_with_its_place() -> None:
    assert plain({"a": [1, 2.5, "x", None, True, b"y", np.arange(2)]}) == {"a": [1, 2.5, "x", None, True, b"y", [0, 1]]}
    endless: list[Any] = []
    endless.append(endless)
    for value, message in (
        ({"a": [{1, 2}]}, r"^state\['a'\]\[0\]: expected numbers, texts, lists and dictionaries, got set$"),
        ({1: 2}, r"^state: expected names as keys, got int$"),
        (2**70, r"^state: expected a whole number of 64 bits, got 71 bits$"),
        (endless, r"expected at most 50 levels$"),
    ):
        with pytest.raises(TypeError, match=message):
            plain(value)


def test_log_lines_and_figures_are_checked() -> None:
    lines: list[tuple[str, str]] = []
    strategy = build(Reversion, session_of(random_bars(1), log=lines))
    strategy.log("begun")
    strategy.log(1.5, "warning")
    assert lines == [("info", "begun"), ("warning", "1.5")]
    with pytest.raises(ValueError, match=r"^level: expected one of debug, info, warning, error, got 'fatal'$"):
        strategy.log("x", "fatal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rsi: expected a finite number, got nan"):
        strategy.record_metric("rsi", float("nan"))
    for number in range(session_module.MOST_METRICS):
        strategy.record_metric(f"m{number}", number)
    with pytest.raises(ValueError, match="name: expected at most 200 different figures, got 'more' besides"):
        strategy.record_metric("more", 1)


def test_bars_of_another_timeframe_are_asked_for_by_its_name() -> None:
    fine, coarse = random_bars(1), random_bars(2, timeframe="5m")
    data = session_of(fine, coarse).data
    assert data.timeframes("ABC") == ("1m", "5m")
    assert data.get_current_bar("ABC") == fine.last
    assert data.get_current_bar("ABC", "5m") == coarse.last
    assert data.get_prices("ABC", 3, "5m").tolist() == coarse.close[-3:].tolist()
    assert data.get_prices("ABC", 3, column="high").tolist() == fine.high[-3:].tolist()
    assert len(data.get_bars("ABC")) == 200
    assert data.get_current_price("ABC") == fine.close[-1]
    assert data.sma("ABC", 20, timeframe="5m") == pytest.approx(coarse.close[-20:].mean())
    with pytest.raises(KeyError):
        data.get_bars("XYZ")


def test_windows_that_hold_no_bar_yet_have_no_current_one() -> None:
    empty = random_bars(1)[:0]
    assert Data(GivenWindows(empty)).get_current_bar("ABC") is None
    assert Data(GivenWindows(empty)).rsi("ABC") is None


def test_importing_the_sdk_loads_no_event_loop_no_runtime_and_nothing_heavy() -> None:
    program = "import actors.strategies.sdk, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"trio", "asyncio", "runtime", "protocols", "msgspec", "talib", "pandas", "socket", "httpx"}
