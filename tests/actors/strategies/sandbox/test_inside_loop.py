"""The loop of a worker: every request has one reply, whatever the strategy does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from actors.strategies.sandbox import wire
from tests.actors.strategies.sandbox.serving import Client, Serving, bar, load

QUIET = "def generate_signal(data, parameters): return None"


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    serving = Serving()
    yield serving
    serving.close()


@pytest.fixture
def worker(serving: Serving) -> Iterator[Client]:
    with serving.worker() as worker:
        yield worker


def body(*lines: str) -> str:
    """A function contract with these lines as its body."""
    return "def generate_signal(data, parameters):\n" + "".join(f"    {line}\n" for line in lines)


def ready(worker: Client, source: str, *arguments: Any, **options: Any) -> wire.Ready:
    reply = worker.call(load(source, *arguments, **options))
    assert isinstance(reply, wire.Ready), reply
    return reply


def run(worker: Client, count: int = 1, first: int = 0) -> wire.Reply:
    return worker.call(wire.Run(2, tuple(bar(first + place, 100.0 + place) for place in range(count))))


def done(worker: Client, count: int = 1, first: int = 0) -> wire.Done:
    reply = run(worker, count, first)
    assert isinstance(reply, wire.Done), reply
    return reply


def failed(worker: Client, count: int = 1) -> wire.Failed:
    reply = run(worker, count)
    assert isinstance(reply, wire.Failed), reply
    return reply


def rejected(worker: Client, source: str, *arguments: Any, **options: Any) -> tuple[wire.Problem, ...]:
    reply = worker.call(load(source, *arguments, **options))
    assert isinstance(reply, wire.Rejected), reply
    return reply.problems


# -- failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("raise SystemExit(3)", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise GeneratorExit('x')", "GeneratorExit", "x"),
        ("return generate_signal(data, parameters)", "RecursionError", "maximum recursion depth exceeded"),
        ("raise ValueError('a\\x1b[31m\\n\\u202eb')", "ValueError", "a\\x1b[31m\\n\\u202eb"),
        ("raise ValueError('x' * 10**6)", "ValueError", "x" * 1023 + "…"),
        ("raise ValueError('\\ud800')", "ValueError", "\\ud800"),
        ("return np", "NameError", "name 'np' is not defined"),
        ("return data['X']", "KeyError", "'X'"),
        ("return [None] * 10**18", "MemoryError", "the memory limit is reached"),
    ],
)
def test_an_exception_is_a_reply_with_its_line_and_the_worker_goes_on(
    line: str, error: str, message: str, worker: Client
) -> None:
    ready(worker, body("x = 1", f"if len(data['BTCUSDT']) == 1: {line}"))
    reply = failed(worker)
    assert (reply.id, reply.count, reply.error, reply.line) == (2, 0, error, 3)
    assert reply.message.startswith(message)
    assert reply.memory is (error == "MemoryError")
    assert done(worker, first=1).count == 1


def test_an_exception_whose_text_raises_is_told_as_such(worker: Client) -> None:
    ready(worker, "class E(Exception):\n def __str__(self): raise SystemExit\n" + body("raise E"))
    assert failed(worker).message == "(its text cannot be shown: SystemExit)"


def test_a_text_that_is_a_class_of_the_strategys_own_is_taken_plainly(worker: Client) -> None:
    source = "class S(str):\n def __getitem__(self, x): raise ValueError\nclass E(Exception):\n"
    ready(worker, source + " def __str__(self): return S('said')\n" + body("raise E"))
    assert failed(worker).message == "said"


def test_inputs_before_the_one_that_failed_count_and_those_behind_are_not_handled(worker: Client) -> None:
    ready(
        worker,
        "seen = []\n"
        + body(
            "seen.append(1)",
            "print(len(seen))",
            "if len(seen) == 3: raise ValueError",
            "return {'action': 'BUY', 'confidence': 0.5}",
        ),
    )
    reply = failed(worker, 6)
    assert reply.count == 2
    assert [signal.index for signal in reply.signals] == [0, 1]
    assert [line.text for line in reply.logs] == ["1", "2", "3"]
    assert [signal.index for signal in done(worker, 2, 3).signals] == [0, 1]


def test_signals_of_the_input_that_failed_do_not_count(worker: Client) -> None:
    source = (
        "from actors.strategies.sdk import BaseStrategy\n"
        "class S(BaseStrategy):\n"
        " def on_bar(self, bar):\n"
        "  self.buy(confidence=0.5)\n"
        "  if self.context.bar_count == 2: raise ValueError\n"
    )
    ready(worker, source)
    reply = failed(worker, 3)
    assert [signal.index for signal in reply.signals] == [0]
    assert [signal.index for signal in done(worker).signals] == [0]


def test_what_a_failed_calculation_held_is_given_back(worker: Client) -> None:
    source = """
given_back = []
def holder():
    try:
        yield
    finally:
        given_back.append(True)
def generate_signal(data, parameters):
    if given_back:
        print(given_back)
        return
    held = holder()
    next(held)
    [None] * 10**18
"""
    ready(worker, source)
    assert failed(worker).memory
    assert done(worker).logs[0].text == "[True]"


def test_nothing_can_be_asked_before_a_strategy_is_loaded_and_only_one_is(worker: Client) -> None:
    reply = run(worker)
    assert isinstance(reply, wire.Failed)
    assert reply.error == "NotLoaded"
    ready(worker, QUIET)
    again = worker.call(load(QUIET))
    assert isinstance(again, wire.Failed)
    assert again.error == "AlreadyLoaded"


def test_a_source_that_was_rejected_may_be_followed_by_another(worker: Client) -> None:
    assert rejected(worker, "import os")[0].rule == "import"
    ready(worker, QUIET)


def test_an_error_while_a_module_runs_is_told_with_its_line(worker: Client) -> None:
    reply = worker.call(load("x = 1\ny = x / 0\n"))
    assert isinstance(reply, wire.Failed)
    assert (reply.error, reply.line) == ("ZeroDivisionError", 2)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "no strategy: expected a function generate_signals"),
        ("generate_signal = 3", "no strategy"),
        ("class A:\n def generate_signal(self, d, p): pass\nclass B:\n def generate_signal(self, d, p): pass",
         "a class with generate_signals or generate_signal: expected one in a file, got 2 (A, B)"),
        ("def generate_signal(): pass", "generate_signal: expected the arguments (data, parameters), got 0 of them"),
        ("def generate_signal(a, b, c): pass", "expected the arguments (data, parameters), got 3 of them"),
        ("class A:\n def __init__(self, a, b): pass\n def generate_signal(self, d, p): pass",
         "A.__init__: expected at most one argument, the parameters"),
        ("LOOKBACK = 0\n" + QUIET, "LOOKBACK: expected a whole number from 1 to 10000, got 0"),
    ],
)  # fmt: skip
def test_a_source_without_a_usable_strategy_is_rejected(source: str, message: str, worker: Client) -> None:
    (problem,) = rejected(worker, source)
    assert problem.rule == "contract"
    assert message in problem.message


# -- results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("{'action': 'buy'}", "action: expected one of BUY, SELL, HOLD, CLOSE_LONG, CLOSE_SHORT, CLOSE_ALL, got 'buy'"),
        ("{'confidence': 1.0}", "action: expected one of BUY"),
        ("{'action': 'BUY', 'confidence': float('nan')}", "confidence: expected a number from 0 to 1, got nan"),
        ("{'action': 'BUY', 'confidence': 1.5}", "confidence: expected a number from 0 to 1, got 1.5"),
        ("{'action': 'BUY', 'confidence': True}", "confidence: expected a number from 0 to 1, got True"),
        ("{'action': 'BUY', 'confidence': '1'}", "confidence: expected a number from 0 to 1, got '1'"),
        ("{'action': 'BUY', 'size': 1}", "size: expected a field of a signal"),
        ("{'action': 'BUY', 'quantity': 0}", "quantity: expected a number above 0, got 0"),
        ("{'action': 'BUY', 'stop_loss': float('inf')}", "stop_loss: expected a finite number, got inf"),
        ("{'action': 'BUY', 'symbol': 'XRPUSDT'}", "symbol: expected one of BTCUSDT, got 'XRPUSDT'"),
        ("{'action': 'BUY', 'strategy_id': 'x'}", "strategy_id: expected it to be left out"),
        ("{'action': 'BUY', 'metadata': {'a': float('nan')}}", "metadata: expected a dictionary of what JSON can say"),
        ("{'action': 'BUY', 'metadata': {'a': print}}", "metadata: expected a dictionary of what JSON can say"),
        ("{'action': 'BUY', 'metadata': {'a': 'x' * 20000}}", "metadata: expected a dictionary of what JSON can say"),
        ("{1: 2, 'action': 'BUY'}", "1: expected a field of a signal"),
        ("'BUY'", "result: expected None, a signal, a dictionary with an action, or a list of these, got 'BUY'"),
        ("3", "got 'int'"),
        ("[1]", "got 'int'"),
        ("[{'action': 'HOLD'}] * 65", "result: expected at most 64 signals at a time"),
        ("({'action': 'HOLD'} for _ in iter(int, 1))", "result: expected at most 64 signals at a time"),
    ],
)
def test_a_result_that_is_none_is_told_with_field_expected_and_got(result: str, message: str, worker: Client) -> None:
    ready(worker, body(f"return {result}"))
    reply = failed(worker)
    assert reply.error == "SignalError"
    assert message in reply.message


def test_a_confidence_that_was_left_out_is_a_half_and_named(worker: Client) -> None:
    ready(worker, body("return {'action': 'BUY'}"))
    (signal,) = done(worker).signals
    assert (signal.confidence, signal.defaulted) == (0.5, ("confidence",))
    assert signal.symbol == "BTCUSDT"
    assert (signal.quantity, signal.stop_loss, signal.validity_s, signal.metadata) == (None, None, None, "")


def test_the_symbol_is_required_where_there_are_several(worker: Client) -> None:
    ready(worker, body("return {'action': 'BUY'}"), None, (("A", "1m"), ("BTCUSDT", "1m")))
    assert failed(worker).message == "symbol: expected one of A, BTCUSDT, got None"


def test_numbers_of_numpy_and_decimals_are_numbers(worker: Client) -> None:
    source = "import numpy as np\nfrom decimal import Decimal\n" + body(
        "return {'action': np.str_('BUY'), 'confidence': np.float32(0.25), 'quantity': np.int64(3),",
        "        'stop_loss': Decimal('1.5'), 'metadata': {'a': np.arange(2), 'b': np.float64(1)}}",
    )
    ready(worker, source)
    (signal,) = done(worker).signals
    assert (signal.confidence, signal.quantity, signal.stop_loss) == (0.25, 3.0, 1.5)
    assert msgspec.json.decode(signal.metadata) == {"a": [0, 1], "b": 1.0}


# -- size ----------------------------------------------------------------------------------------------------


def test_log_lines_are_cut_before_a_reply_is_too_long(worker: Client) -> None:
    ready(worker, body("for n in range(400): print(n, 'x' * 500)"), log_bytes=10**7)
    packed = worker.raw(msgspec.msgpack.encode(wire.Run(2, (bar(0, 1.0),))))
    assert len(packed) <= wire.MOST_REPLY + wire.REPLY_PER_INPUT
    reply = wire.REPLY.decode(packed)
    assert isinstance(reply, wire.Done)
    assert reply.logs[-1].text.startswith("399 ")
    assert 60 < len(reply.logs) < 400
    assert reply.cut >= (400 - len(reply.logs)) * 500


def test_signals_that_are_too_long_together_fail(worker: Client) -> None:
    ready(worker, body("return [{'action': 'BUY', 'metadata': {'a': 'x' * 16000}}] * 8"))
    reply = failed(worker)
    assert reply.error == "AnswerTooLong"
    assert "of at most 65664" in reply.message


def test_only_so_much_log_text_a_minute_is_taken(worker: Client) -> None:
    ready(worker, body("for _ in range(10): print('x' * 99)"), log_bytes=500)
    first = done(worker)
    assert len(first.logs) == 5
    assert first.cut == 500
    second = done(worker)
    assert second.logs == ()
    assert second.cut == 1000


def test_a_line_is_cut_at_a_kilobyte_and_control_characters_are_escaped(worker: Client) -> None:
    ready(worker, body("print('a\\x1b\\u202e' + 'y' * 5000)", "print('b\\nc', end='')", "print('d')"))
    reply = done(worker)
    assert reply.logs[0].text.startswith("a\\x1b\\u202eyyy")
    assert len(reply.logs[0].text) == 1024
    assert [line.text for line in reply.logs[1:]] == ["b", "cd"]
    assert reply.cut > 3900


def test_at_most_a_thousand_lines_leave_with_a_reply(worker: Client) -> None:
    ready(worker, body("for n in range(1500): print()"))
    reply = done(worker)
    assert len(reply.logs) == 1000
    assert reply.cut == 500


def test_a_warning_of_numpy_is_a_line_of_the_log(worker: Client) -> None:
    ready(worker, "import numpy as np\n" + body("np.zeros(1) / np.zeros(1)"))
    (line,) = done(worker).logs
    assert line.level == "warning"
    assert line.text.startswith("RuntimeWarning: invalid value")


# -- parameters ----------------------------------------------------------------------------------------------

DECLARED = (
    "from actors.strategies.sdk import Parameter\n"
    "PARAMETERS = {'period': Parameter.int(14, least=2, most=200, description='bars'), 'on': Parameter.bool(True)}\n"
    + body("print(parameters)", "parameters['period'] = 3")
)


def test_declared_parameters_are_told_checked_and_filled_in(worker: Client) -> None:
    problems = rejected(worker, DECLARED, {"period": 1, "perod": 3, "on": 1})
    assert [(each.rule, each.field) for each in problems] == [
        ("parameter", "period"),
        ("parameter", "perod"),
        ("parameter", "on"),
    ]
    assert problems[0].message == "period: expected a whole number from 2 to 200, got 1"
    assert "did you mean period?" in problems[1].message
    reply = ready(worker, DECLARED, {"period": 20})
    assert reply.contract == "function"
    assert [(each.name, each.kind, each.default, each.least, each.most) for each in reply.parameters] == [
        ("period", "int", "14", "2", "200"),
        ("on", "bool", "true", "", ""),
    ]
    assert msgspec.json.decode(reply.values) == {"period": 20, "on": True}
    for _ in range(2):
        assert done(worker).logs[0].text == "{'period': 20, 'on': True}"


def configure(worker: Client, **given: Any) -> wire.Reply:
    return worker.call(wire.Configure(3, msgspec.Raw(msgspec.msgpack.encode(given))))


def test_parameters_change_all_or_none(worker: Client) -> None:
    ready(worker, DECLARED)
    reply = configure(worker, period=30, on="yes")
    assert isinstance(reply, wire.Rejected)
    assert [each.field for each in reply.problems] == ["on"]
    assert done(worker).logs[0].text == "{'period': 14, 'on': True}"
    assert isinstance(configure(worker, period=30), wire.Done)
    assert done(worker).logs[0].text == "{'period': 30, 'on': True}"


def test_a_module_that_declares_none_takes_what_it_is_given(worker: Client) -> None:
    ready(worker, body("print(sorted(parameters.items()))"), {"a": 1, "b": [1, {"c": None}]})
    configure(worker, a=2)
    assert done(worker).logs[0].text == "[('a', 2), ('b', [1, {'c': None}])]"


def test_a_strategy_may_refuse_parameters_as_a_whole(worker: Client) -> None:
    source = """
from actors.strategies.sdk import BaseStrategy, Parameter
class Crossing(BaseStrategy):
    fast = Parameter.int(5)
    slow = Parameter.int(20)
    def validate_parameters(self):
        return ["fast has to be less than slow"] if self.fast >= self.slow else []
    def on_parameters_changed(self):
        self.log(f"now {self.fast} {self.slow}")
        if self.slow == 99: raise ValueError("99")
    def on_bar(self, bar):
        self.log(f"{self.fast} {self.slow}")
"""
    assert "fast has to be less than slow" in rejected(worker, source, {"fast": 30})[0].message
    assert ready(worker, source).contract == "sdk"
    assert isinstance(configure(worker, fast=25), wire.Rejected)
    assert done(worker).logs[0].text == "5 20"
    changed = configure(worker, slow=30)
    assert isinstance(changed, wire.Done)
    assert changed.logs[0].text == "now 5 30"
    assert isinstance(configure(worker, slow=99), wire.Failed)
    assert done(worker).logs[0].text == "5 30"


# -- state ---------------------------------------------------------------------------------------------------

STATEFUL = """
class Strategy:
    def __init__(self): self.state = {}
    def generate_signal(self, data, parameters):
        print(self.state)
    def on_save(self): return @STATE@
    def on_load(self, state): self.state = state
"""


@pytest.mark.parametrize(
    ("state", "loaded"),
    [
        ("{'a': [1, 2.5, None, True, 'x'], 'b': float('nan')}", "{'a': [1, 2.5, None, True, 'x'], 'b': nan}"),
        ("[(1, 2), float('inf')]", "[[1, 2], inf]"),
        ("None", "None"),
        ("__import__('numpy').float64(1)", None),
    ],
)
def test_plain_data_comes_back_as_it_was(state: str, loaded: str | None, serving: Serving) -> None:
    source = STATEFUL.replace("@STATE@", state)
    with serving.worker() as worker:
        if loaded is None:
            rejected(worker, source)
            return
        assert ready(worker, source).keeps_state
        saved = worker.call(wire.Save(4))
        assert isinstance(saved, wire.Saved)
    with serving.worker() as worker:
        ready(worker, source, state=saved.state)
        assert done(worker).logs[0].text == loaded


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("print", "TypeError"),
        ("{1: 2}", "TypeError"),
        ("{1, 2}", "TypeError"),
        ("b'x' * 2**21", "StateError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_is_no_plain_data_or_too_much_is_not_saved(state: str, error: str, worker: Client) -> None:
    ready(worker, STATEFUL.replace("@STATE@", state))
    reply = worker.call(wire.Save(4))
    assert isinstance(reply, wire.Failed)
    assert reply.error == error


def test_a_state_of_a_megabyte_fits_into_a_reply(worker: Client) -> None:
    ready(worker, STATEFUL.replace("@STATE@", "b'x' * (2**20 - 10)"))
    assert isinstance(worker.call(wire.Save(4)), wire.Saved)


def test_a_state_for_a_class_that_takes_none_is_refused(worker: Client) -> None:
    source = "class A:\n def generate_signal(self, d, p): pass\n"
    (problem,) = rejected(worker, source, state=msgspec.msgpack.encode({}))
    assert "it has no on_load(state)" in problem.message


def test_a_function_keeps_no_state(worker: Client) -> None:
    assert not ready(worker, QUIET).keeps_state
    saved = worker.call(wire.Save(4))
    assert isinstance(saved, wire.Saved)
    assert saved.state is None


# -- inputs --------------------------------------------------------------------------------------------------


def test_history_fills_the_windows_without_running_anything(worker: Client) -> None:
    ready(worker, "LOOKBACK = 30\n" + body("print(len(data['BTCUSDT']), data['BTCUSDT'].close[0])"))
    reply = worker.call(wire.History(2, tuple(bar(place, 1.0 + place) for place in range(50))))
    assert isinstance(reply, wire.Done)
    assert (reply.count, reply.logs) == (50, ())
    assert done(worker, first=50).logs[0].text == "30 22.0"


def test_by_the_interval_a_strategy_is_called_at_the_timer_alone(worker: Client) -> None:
    ready(worker, body("print(len(data['BTCUSDT']))"), every_bar=False)
    early = worker.call(wire.Run(2, (wire.TimerInput(1),)))
    assert isinstance(early, wire.Done)
    assert early.logs == ()
    assert done(worker, 3).logs == ()
    reply = worker.call(wire.Run(2, (wire.TimerInput(10), wire.TimerInput(11))))
    assert isinstance(reply, wire.Done)
    assert [line.text for line in reply.logs] == ["3", "3"]


def test_a_gap_is_told_and_no_window_spans_it(worker: Client) -> None:
    source = """
class Strategy:
    def generate_signal(self, data, parameters): print(len(data["BTCUSDT"]))
    def on_gap(self, symbol): print("gap", symbol)
"""
    ready(worker, source)
    reply = worker.call(wire.Run(2, (bar(0, 1.0), bar(1, 1.0), wire.GapInput("BTCUSDT", 1), bar(5, 1.0))))
    assert isinstance(reply, wire.Done)
    assert [line.text for line in reply.logs] == ["1", "2", "gap BTCUSDT", "1"]


def test_quotes_trades_and_figures_of_the_sdk(worker: Client) -> None:
    source = """
from actors.strategies.sdk import BaseStrategy
class S(BaseStrategy):
    def initialize(self): self.set_variable("n", 0)
    def on_bar(self, bar): self.record_metric("close", bar.close)
    def on_quote(self, quote): self.record_metric("mid", quote.mid if quote.mid == quote.mid else -1.0)
    def on_trade(self, trade): self.log(self.data.get_current_price(trade.symbol))
    def on_timer(self): self.orders.market_order("BTCUSDT", 1.0, "buy")
"""
    reply = ready(worker, source)
    assert reply.handles == ("bar", "quote", "trade")
    assert reply.keeps_state
    inputs = (
        wire.QuoteInput("BTCUSDT", 1.0, 1.0, 3.0, 1.0, 1, 1),
        wire.QuoteInput("BTCUSDT", math.nan, 0.0, 3.0, 1.0, 2, 2),
        wire.TradeInput("BTCUSDT", 7.0, 1.0, "buy", 3, 3),
        bar(0, 5.0),
    )
    found = worker.call(wire.Run(2, inputs))
    assert isinstance(found, wire.Done)
    assert {each.name: each.value for each in found.metrics} == {"mid": -1.0, "close": 5.0}
    assert [line.text for line in found.logs] == ["7.0"]
    undeployed = worker.call(wire.Run(2, (wire.TimerInput(4),)))
    assert isinstance(undeployed, wire.Failed)
    assert undeployed.error == "NotDeployed"
    assert "Deploy the strategy" in undeployed.message


def test_the_time_of_a_strategy_is_the_nodes(worker: Client) -> None:
    ready(worker, "import time\nstarted = time.time_ns()\n" + body("print(started, time.time_ns())"), now=77)
    assert done(worker).logs[0].text == "77 60000000000"


def test_the_cost_of_a_call_is_told(worker: Client) -> None:
    ready(worker, body("sum(range(300_000))"))
    assert done(worker).cpu_us > 500


def test_a_worker_without_the_language_layer_runs_what_the_rules_refuse(serving: Serving) -> None:
    with serving.worker(language=False) as worker:
        ready(worker, "import os\n" + body("print(os.getpid() > 0, ().__class__.__name__)"))
        assert done(worker).logs[0].text == "True tuple"


def test_any_bytes_in_place_of_a_request_end_the_worker(serving: Serving) -> None:
    with serving.worker() as worker, pytest.raises(EOFError):
        worker.raw(b"\xc1\x00")


def test_requests_that_arrive_in_pieces_or_together_are_answered_one_by_one(worker: Client) -> None:
    packed = msgspec.msgpack.encode(load(QUIET))
    frame = wire.HEADER.pack(len(packed)) + packed
    for at in range(0, len(frame), 7):
        worker.end.sendall(frame[at : at + 7])
    assert isinstance(wire.REPLY.decode(worker.reply()), wire.Ready)
    many = b"".join(
        wire.HEADER.pack(len(each)) + each
        for each in (msgspec.msgpack.encode(wire.Run(number, (bar(number, 1.0),))) for number in range(300))
    )
    worker.end.sendall(many)
    for number in range(300):
        assert wire.REPLY.decode(worker.reply()).id == number
