from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from actors.signals.ids import next_id
from actors.signals.outbox import GivenUp, Outbox
from actors.signals.submitting import Submitter
from protocols.control import Refused, Unknown
from protocols.nanos import NANO as SECOND
from protocols.signals import ExecutionParams, Signal, SubmitSignal

NOW = 1_750_000_000 * SECOND


def signal(index: int = 0) -> Signal:
    return Signal(
        signal_id=f"sig_20250615_150640_{index:08x}", ts_created=NOW, strategy_id="s", strategy_source="test",
        symbol="A", exchange="test", action="BUY", confidence=0.6, execution_params=ExecutionParams(),
        ts_expires=NOW + 60 * SECOND,
    )  # fmt: skip


def test_after_an_unknown_outcome_the_same_signal_goes_again() -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    first = outbox.head
    assert outbox.reject(first, Unknown("the hub died"), NOW) == pytest.approx(0.05)
    assert outbox.head is first
    assert outbox.reject(first, Unknown("the hub died"), NOW) == pytest.approx(0.1)
    outbox.accept(first)
    assert (len(outbox), outbox.accepted, outbox.retries) == (0, 1, 2)


def test_an_id_that_is_taken_is_changed_at_once() -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    first = outbox.head
    assert outbox.reject(first, Refused("id_taken", "", "signal_id"), NOW) == 0
    assert outbox.head.signal_id != first.signal_id
    assert outbox.head.signal_id[:20] == first.signal_id[:20]
    assert outbox.head.signal_id == next_id(first.signal_id, 1)
    assert outbox.head.ts_created == first.ts_created


@pytest.mark.parametrize("code", ["invalid", "too_large", "signal_expired"])
def test_a_refusal_for_good_gives_the_signal_up_with_the_reason(code: str) -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    lost = outbox.reject(outbox.head, Refused(code, "too late", "expires_at"), NOW)
    assert isinstance(lost, GivenUp)
    assert lost.why == "expires_at: too late"
    assert len(outbox) == 0


def test_a_signal_is_not_submitted_beyond_its_expiry() -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    assert isinstance(outbox.reject(outbox.head, Refused("stopped"), NOW + 60 * SECOND), GivenUp)


def test_a_full_outbox_gives_up_the_oldest() -> None:
    outbox = Outbox(2)
    signals = [signal(index) for index in range(3)]
    assert [outbox.add(each) for each in signals[:2]] == [None, None]
    lost = outbox.add(signals[2])
    assert lost is not None
    assert lost.signal is signals[0]
    # Its outcome was still on its way.
    outbox.accept(signals[0])
    assert outbox.head is signals[1]


outcomes = st.sampled_from([None, Unknown("?"), Refused("stopped"), Refused("log_full"), Refused("invalid")])


@given(st.lists(st.tuples(st.integers(0, 2), outcomes), max_size=60))
def test_every_signal_is_accepted_once_in_order_or_given_up(program: list[tuple[int, Any]]) -> None:
    outbox = Outbox(5)
    made = 0
    accepted: list[int] = []
    lost: list[int] = []
    for new, outcome in program:
        for _ in range(new):
            made += 1
            gone = outbox.add(signal(made))
            if gone is not None:
                lost.append(made - 5)
                assert gone.signal == signal(made - 5)
        if not outbox:
            continue
        head = outbox.head
        number = next(index for index in range(1, made + 1) if signal(index) == head)
        if outcome is None:
            outbox.accept(head)
            accepted.append(number)
        elif isinstance(outbox.reject(head, outcome, NOW), GivenUp):
            lost.append(number)
        else:
            assert outbox.head is head
    assert accepted == sorted(accepted)
    assert sorted(accepted + lost) == list(range(1, made - len(outbox) + 1))
    assert (outbox.accepted, outbox.given_up) == (len(accepted), len(lost))


class Stand:
    """In the place of an actor, its clock and the hub: what the hub says is scripted, time is counted."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.stored: list[Signal] = []
        self.tasks: list[Callable[[], Awaitable[object]]] = []
        self.time = NOW
        self.clock = self
        self.logger = structlog.get_logger()

    def lookup(self, path: str) -> Stand:
        return self

    def spawn(self, function: Callable[[], Awaitable[object]], *, name: str | None = None) -> None:
        self.tasks.append(function)

    def now(self) -> int:
        return self.time

    async def sleep_until(self, moment: int) -> None:
        self.time = moment

    async def ask(self, request: SubmitSignal, timeout: float) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.stored.append(request.signal)


async def test_a_submitter_has_one_task_while_signals_wait_and_none_otherwise() -> None:
    stand, lost = Stand(Unknown("the hub died"), None, Refused("invalid", "no price", "price")), list[str]()
    submitter = Submitter(stand, lost.append)
    emptied: list[int] = []
    submitter.when_empty(lambda: emptied.append(0))
    assert emptied == [0]  # nothing waits
    for index in range(3):
        submitter.submit(signal(index))
    submitter.when_empty(lambda: emptied.append(1))
    assert emptied == [0]
    [task] = stand.tasks
    await task()
    assert stand.stored == [signal(0), signal(2)]
    assert stand.time == NOW + SECOND // 20
    assert lost == [f"the signal {signal(1).signal_id} was given up: price: no price"]
    assert emptied == [0, 1]
    submitter.submit(signal(3))
    assert len(stand.tasks) == 2
    await stand.tasks[1]()
    assert (stand.stored[-1], submitter.outbox.accepted) == (signal(3), 3)
