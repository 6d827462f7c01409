from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from actors.market.budget import RESERVE, Budget
from protocols.budget import BULK, CANCEL, NORMAL, CloseBudget, Granted, SetBudget, TakeBudget
from protocols.control import Probe, Refused, Unknown
from runtime import ChildSpec, NodeSettings, open_node
from runtime.clock import VirtualClock


def test_a_full_bucket_serves_until_its_reserve_and_then_as_it_refills() -> None:
    budget = Budget([("rest", 100.0, 10.0)], 0.0)
    first, second, third = (budget.enter("rest", 45.0, NORMAL) for _ in range(3))
    assert budget.served(0.0) == [first, second]
    # 10 tokens are left, all of them reserve: 45 more are there in 4.5 s.
    assert budget.next_s(0.0) == pytest.approx(4.5)
    assert budget.served(4.4) == []
    assert budget.served(4.6) == [third]
    assert budget.next_s(4.6) is None


def test_a_cancel_goes_first_and_may_use_the_reserve() -> None:
    budget = Budget([("write", 10.0, 1.0)], 0.0)
    filler = budget.enter("write", 9.0, NORMAL)
    assert budget.served(0.0) == [filler]
    question = budget.enter("write", 1.0, NORMAL)
    assert budget.served(0.0) == []
    cancel = budget.enter("write", 1.0, CANCEL)
    assert budget.served(0.0) == [cancel]
    assert budget.served(2.0) == [question]


def test_what_nearly_fills_the_bucket_is_not_refused_for_ever() -> None:
    budget = Budget([("rest", 10.0, 1.0)], 0.0)
    whole = budget.enter("rest", 10.0, BULK)
    assert budget.served(0.0) == [whole]
    with pytest.raises(ValueError, match="11 tokens of a bucket that holds 10"):
        budget.enter("rest", 11.0, CANCEL)


def test_the_head_of_the_queue_is_not_overtaken_by_what_is_cheaper() -> None:
    budget = Budget([("rest", 10.0, 1.0)], 0.0)
    budget.enter("rest", 9.0, NORMAL)
    budget.served(0.0)
    dear, cheap = budget.enter("rest", 5.0, NORMAL), budget.enter("rest", 1.0, NORMAL)
    assert budget.served(2.5) == []
    assert budget.served(9.0) == [dear, cheap]


def test_a_bucket_that_the_venue_closed_gives_nothing_until_it_opens() -> None:
    budget = Budget([("rest", 10.0, 1.0)], 0.0)
    budget.buckets["rest"].close(30.0, 0.0)
    cancel = budget.enter("rest", 1.0, CANCEL)
    assert budget.served(29.9) == []
    assert budget.next_s(0.0) == 30.0
    assert budget.served(30.0) == [cancel]


@given(
    st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 20.0), st.sampled_from([CANCEL, NORMAL, BULK])), max_size=60)
)
def test_no_more_is_ever_granted_than_the_bucket_allows(asks: list[tuple[float, float, int]]) -> None:
    budget = Budget([("rest", 20.0, 5.0)], 0.0)
    costs: dict[int, float] = {}
    now = granted = 0.0
    for wait, cost, priority in asks:
        now += wait
        costs[budget.enter("rest", cost, priority)] = cost
        granted += sum(costs[ticket] for ticket in budget.served(now))
        assert granted <= 20.0 + 5.0 * now + 1e-6
    for _ in range(2 * len(asks) + 1):
        wait_s = budget.next_s(now)
        if wait_s is None:
            break
        now += wait_s + 1e-9
        budget.served(now)
    assert len(budget) == 0


def test_the_reserve_is_a_tenth() -> None:
    assert RESERVE == 0.1


async def test_who_asks_the_keeper_waits_for_his_turn(autojump_clock: MockClock) -> None:
    keeper = ChildSpec(
        name="kalshi",
        actor="actors.market.budget_keeper:BudgetKeeper",
        arguments={"venue": "kalshi", "limits": [["rest", 20.0, 10.0]]},
    )
    async with open_node(NodeSettings(), (keeper,), clock=VirtualClock()) as node:
        ref = node.ref("/kalshi")
        assert await ref.ask(TakeBudget("unlimited", 1e9)) == Granted(0.0)
        assert await ref.ask(TakeBudget("rest", 18.0)) == Granted(0.0)
        with pytest.raises(Refused, match="21 tokens of a bucket that holds 20"):
            await ref.ask(TakeBudget("rest", 21.0))
        report = await ref.ask(Probe())
        assert dict(report.figures)["rest: taken"] == 18.0


async def test_a_keeper_serves_cancels_before_questions_and_forgets_who_gave_up(nursery: trio.Nursery) -> None:
    keeper = ChildSpec(
        name="v",
        actor="actors.market.budget_keeper:BudgetKeeper",
        arguments={"venue": "v", "limits": [["rest", 10.0, 200.0]]},
    )
    async with open_node(NodeSettings(), (keeper,)) as node:
        ref = node.ref("/v")
        await ref.ask(TakeBudget("rest", 10.0, CANCEL))
        ref.tell(CloseBudget("rest", 0.3))
        order: list[str] = []

        async def take(name: str, priority: int) -> None:
            granted = await ref.ask(TakeBudget("rest", 6.0, priority))
            assert granted.waited_s > 0.0
            order.append(name)

        async with trio.open_nursery() as askers:
            with pytest.raises(Unknown):
                await ref.ask(TakeBudget("rest", 10.0, CANCEL), timeout=0.02)
            askers.start_soon(take, "question", NORMAL)
            await trio.testing.wait_all_tasks_blocked(0.01)
            askers.start_soon(take, "cancel", CANCEL)
        assert order == ["cancel", "question"]
        figures = dict((await ref.ask(Probe())).figures)
        # The one that gave up has taken nothing.
        assert (figures["waiting"], figures["rest: taken"]) == (0, 22.0)


async def test_the_accounts_own_limits_replace_the_usual_ones() -> None:
    keeper = ChildSpec(
        name="v", actor="actors.market.budget_keeper:BudgetKeeper", arguments={"venue": "v", "limits": [["rest", 1, 1]]}
    )
    async with open_node(NodeSettings(), (keeper,)) as node:
        ref = node.ref("/v")
        with pytest.raises(Refused):
            await ref.ask(TakeBudget("rest", 2.0))
        ref.tell(SetBudget("rest", 50.0, 1000.0))
        assert (await ref.ask(TakeBudget("rest", 40.0))).waited_s >= 0.0
