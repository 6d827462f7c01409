from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.matching.settings import Constant, FillSettings, LatencySettings
from actors.research.analysis.data_clock import DataClock
from actors.research.analysis.diff_command import diff, side_of
from actors.research.analysis.divergence import Divergence, Side, compare
from actors.research.analysis.order_log import line_of
from actors.research.analysis.reading import Named
from protocols.control import Refused
from protocols.market import BookStale
from protocols.orders import OrderEvent, SubmitOrders
from tests.actors.execution.kit import SECOND, Desk, nanos
from tests.actors.research.analysis.kit import busy, configuration, journal_of, written


def bought(*, later: int = SECOND, size: float = 2, depth: float = 5, **settings: Any) -> Desk:
    """A desk that buys at the ask: 101, or 102 once two seconds have passed."""
    desk = Desk(**settings)
    desk.quote(100, 101, size=depth)
    if later >= 2 * SECOND:
        desk.quote(101, 102, size=depth, later=later)
    desk.submit(desk.order("one", "buy", size))
    desk.quote(104, 105, later=60 * SECOND)
    return desk


def between(ours: Desk, theirs: Desk, **options: Any) -> Divergence:
    return compare(Side(title="OURS", events=ours.events), Side(title="THEIRS", events=theirs.events), **options)


def with_journal(desk: Desk, title: str) -> Side:
    journal = journal_of(desk)
    return side_of(Named(name="a", kind="journal", journal=journal, events=journal.events), title)


def renamed(events: list[OrderEvent], **fields: Any) -> list[OrderEvent]:
    """The same log with other names."""
    found = []
    for event in events:
        order = msgspec.structs.replace(event.order.order, **fields)
        found.append(msgspec.structs.replace(event, order=msgspec.structs.replace(event.order, order=order)))
    return found


def test_a_log_does_not_differ_from_itself() -> None:
    desk = busy()
    found = between(desk, desk)
    assert found.equal
    assert (found.our_orders, found.their_orders, found.same) == (4, 4, 4)


def test_a_later_decision_is_named_with_what_it_cost() -> None:
    found = between(bought(), bought(later=3 * SECOND))
    assert [(each.cause, each.text) for each in found.differences] == [("decision_time", "decided 3 s later")]
    only = found.differences[0]
    # 2 at 102 instead of 101, and 0.1 % of the 2 more.
    assert only.money == nanos(-2.002)
    assert only.currency == "USD"
    assert any("filled at 102 instead of 101" in text for text in only.details)
    assert found.totals[0].money == {"USD": nanos(-2.002)}


def test_times_within_the_tolerance_are_the_same() -> None:
    one = bought()
    two = bought()
    late = [msgspec.structs.replace(event, ts=event.ts + 5) for event in two.events]
    found = compare(Side(title="OURS", events=one.events), Side(title="THEIRS", events=late))
    assert [each.cause for each in found.differences] == ["events"]
    assert compare(Side(title="OURS", events=one.events), Side(title="THEIRS", events=late), tolerance_ns=5).equal


def test_what_latency_did_is_not_laid_on_the_book() -> None:
    slow = FillSettings(latency=LatencySettings(entry=Constant(ns=SECOND // 2)))
    found = between(bought(), bought(fills=slow))
    assert found.differences[0].cause == "latency"
    assert found.differences[0].text == "entry took 500 ms instead of 0 ns"


def test_less_in_the_book_fills_less_and_the_rest_is_valued_at_the_last_fill() -> None:
    found = between(bought(size=4), bought(size=4, depth=1))
    only = found.differences[0]
    assert only.cause == "partial"
    assert "1 filled instead of 4" in (only.text, *only.details)
    # 3 not bought at 101 and valued at 101: only the fee of 0.1 % of 303 is left over.
    assert only.money == nanos(0.303)


def test_an_order_of_another_size_says_so_first() -> None:
    found = between(bought(size=2), bought(size=1))
    assert (found.differences[0].cause, found.differences[0].text) == ("other_order", "size 2 became 1")


def test_a_denial_names_its_code() -> None:
    poor = bought(account={"initial_capital": "10"})
    found = between(bought(), poor)
    only = found.differences[0]
    assert only.cause == "risk_denial"
    assert only.text.startswith("denied in THEIRS: ")
    # 2 bought at 101, valued at 101: the other one did not pay the fee.
    assert only.money == nanos(0.202)


def test_an_order_that_one_of_them_lacks_counts_what_it_traded() -> None:
    desk = bought()
    idle = Desk()
    found = between(desk, idle)
    assert [(each.cause, each.ours, each.theirs, each.money) for each in found.differences] == [
        ("unmatched", "one", "", nanos(0.202))
    ]
    back = between(idle, desk)
    assert [(each.cause, each.theirs, each.money) for each in back.differences] == [("unmatched", "one", nanos(-0.202))]


def signalled(**deploy: Any) -> Desk:
    desk = Desk()
    desk.deploy(**deploy)
    desk.quote(100, 101)
    desk.signal(1, "BUY", quantity=1, stop_loss=90)
    desk.quote(102, 103)
    return desk


def test_a_signal_that_was_declined_says_by_what() -> None:
    ours, theirs = signalled(), signalled(min_confidence=0.95)
    found = compare(with_journal(ours, "OURS"), with_journal(theirs, "THEIRS"))
    assert [each.cause for each in found.differences] == ["declined", "declined"]
    assert "low_confidence" in found.differences[0].text or "confidence" in found.differences[0].text


def test_a_signal_that_never_came_is_told_from_one_that_did() -> None:
    theirs = Desk()
    theirs.deploy()
    theirs.quote(100, 101)
    theirs.quote(102, 103)
    found = compare(with_journal(signalled(), "OURS"), with_journal(theirs, "THEIRS"))
    causes = [(each.cause, each.text) for each in found.differences]
    assert causes[0] == ("missing_signal", "THEIRS never had the signal sig1")
    assert causes[1][0] == "parent"


def test_a_journal_that_had_ended_and_one_without_data_are_told_apart() -> None:
    ours = signalled()
    ended = Desk()
    ended.deploy()
    found = compare(with_journal(ours, "OURS"), with_journal(ended, "THEIRS"))
    assert found.differences[0].cause == "not_covered"
    blind = Desk()
    blind.deploy()
    blind.quote(100, 101)
    blind.ts -= 1
    blind.say(BookStale(market="X", feed="f", reason="sequence", ts=blind.ts))
    blind.quote(102, 103, later=2 * SECOND)
    found = compare(with_journal(ours, "OURS"), with_journal(blind, "THEIRS"))
    assert found.differences[0].cause == "data_gap"
    assert found.differences[0].text.endswith("no current data of X: sequence")


def test_orders_of_another_deployment_are_found_by_signal_and_leg() -> None:
    ours, theirs = signalled(), signalled(deployment_id="other")
    found = between(ours, theirs)
    assert found.matched_by == {"signal": 2}
    assert found.equal


def test_orders_without_a_common_name_are_found_by_time() -> None:
    ours = bought()
    theirs = renamed(ours.events, client_order_id="live-7")
    found = compare(Side(title="OURS", events=ours.events), Side(title="THEIRS", events=theirs))
    assert found.matched_by == {"time": 1}
    assert found.equal


def test_of_several_orders_the_nearest_in_time_is_the_same_one() -> None:
    ours, theirs = Desk(), Desk()
    ours.quote(100, 101)
    theirs.quote(100, 101)
    ours.ts += SECOND // 2
    ours.submit(ours.order("mine", "buy", 1))
    theirs.submit(theirs.order("before", "buy", 1))
    theirs.ts += SECOND // 2 + 10
    theirs.submit(theirs.order("near", "buy", 1))
    found = between(ours, theirs)
    assert {(each.ours, each.theirs) for each in found.differences} == {("mine", "near"), ("", "before")}


def test_another_message_of_the_market_at_the_same_time_is_named() -> None:
    ours = bought()
    theirs = [
        event
        if event.fill is None
        else msgspec.structs.replace(
            event, fill=msgspec.structs.replace(event.fill, why=msgspec.structs.replace(event.fill.why, seq=9))
        )
        for event in ours.events
    ]
    found = compare(Side(title="OURS", events=ours.events), Side(title="THEIRS", events=theirs))
    assert (found.differences[0].cause, found.differences[0].text) == ("book", "filled by message s 9 instead of 2")


def test_a_gap_that_both_had_explains_nothing() -> None:
    def blind(later: int) -> Desk:
        desk = Desk()
        desk.quote(100, 101)
        desk.say(BookStale(market="X", feed="f", reason="sequence", ts=desk.ts), later)
        desk.submit(desk.order("o", "buy", 1, "limit", price=99))
        desk.quote(98, 99, later=SECOND)
        return desk

    found = compare(with_journal(blind(5), "OURS"), with_journal(blind(9), "THEIRS"))
    assert found.differences[0].cause == "decision_time"


def test_clocks_without_a_common_time_are_laid_over_one_another() -> None:
    ours = bought()
    day = 86_400 * SECOND
    moved = [
        msgspec.structs.replace(
            event,
            ts=event.ts + day,
            order=msgspec.structs.replace(event.order, ts_created=event.order.ts_created + day),
        )
        for event in ours.events
    ]
    moved = [
        event
        if event.fill is None
        else msgspec.structs.replace(event, fill=msgspec.structs.replace(event.fill, ts=event.fill.ts + day))
        for event in moved
    ]
    found = compare(Side(title="OURS", events=ours.events), Side(title="THEIRS", events=moved))
    assert (found.shift, found.equal) == (day, True)
    other = renamed(moved, client_order_id="live-7")
    assert not compare(Side(title="OURS", events=ours.events), Side(title="THEIRS", events=other)).equal
    assert compare(Side(title="OURS", events=ours.events), Side(title="THEIRS", events=other), align=True).equal


WALL = 400 * 86_400 * SECOND


def replayed_at_ten_times(desk: Desk, late: int = 0) -> Desk:
    """The same inputs as a replay at ten times the pace gives them: old data, a wall's clock. Orders come `late`."""
    found = Desk()
    for item, ts in desk.inputs[2:]:
        found.ts = max(found.ts, WALL + ts // 10 + (late if isinstance(item, SubmitOrders) else 0))
        found.say(item)
    return found


def test_a_replay_on_a_wall_clock_is_told_by_the_time_of_its_data() -> None:
    ours = busy()
    theirs = replayed_at_ten_times(ours)
    found = compare(Side(title="OURS", events=ours.events), with_journal(theirs, "THEIRS"))
    assert (found.by_data_time, found.shift, found.differences) == (("THEIRS",), 0, ())
    journal = journal_of(theirs)
    assert Named(name="a", kind="journal", journal=journal, events=journal.events).by_data() == tuple(ours.events)
    late = replayed_at_ten_times(ours, late=SECOND // 100)
    found = compare(Side(title="OURS", events=ours.events), with_journal(late, "THEIRS"))
    assert found.first is not None
    assert (found.first.ours, found.first.cause, found.first.text) == ("one", "decision_time", "decided 100 ms later")
    assert {each.cause for each in found.differences} == {"decision_time"}
    assert found.in_time_alone == len(found.differences)


def test_between_two_messages_the_time_of_the_data_goes_on_evenly() -> None:
    clock = DataClock()
    for own, data in ((WALL, 0), (WALL + 10, 100), (WALL + 20, 100), (WALL + 30, 50)):
        clock.add(own, data)
    assert clock.apart
    assert [clock.data(WALL + own) for own in (-5, 0, 3, 10, 15, 30, 32)] == [-5, 0, 30, 100, 100, 100, 102]


STEP = st.tuples(
    st.integers(9_000, 11_000),
    st.sampled_from(("buy", "sell")),
    st.integers(1, 8),
    st.sampled_from(("market", "limit")),
)


def lived(steps: list[tuple[int, Any, int, Any]], left_out: set[int]) -> Desk:
    """A desk that lives through the steps, some of its orders left out. Its last fill is at 201."""
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("first", "buy", 5))
    for place, (cents, side, size, kind) in enumerate(steps):
        desk.quote(cents / 100, cents / 100 + 1)
        if place not in left_out:
            price = (cents - 50) / 100 if kind == "limit" else None
            desk.submit(desk.order(f"o{place}", side, size, kind, price=price))
    desk.quote(200, 201)  # what rests and is met by it is filled here
    desk.quote(200, 201)
    desk.submit(desk.order("last", "buy", 1))
    return desk


@settings(max_examples=50, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=12), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
def test_the_money_of_all_differences_is_what_the_accounts_differ_by(
    steps: list[tuple[int, Any, int, Any]], one: set[int], other: set[int]
) -> None:
    ours, theirs = lived(steps, one), lived(steps, other)
    found, back = between(ours, theirs), between(theirs, ours)

    def worth(desk: Desk) -> int:
        account = desk.engine.account
        return account.cash() + account.net_position("X") * 201

    total = sum(each.money or 0 for each in found.differences)
    assert total == worth(theirs) - worth(ours)
    assert total == -sum(each.money or 0 for each in back.differences)
    assert found.equal == back.equal
    assert between(ours, ours).equal


def test_the_first_divergence_is_the_earliest() -> None:
    ours, theirs = busy(), busy()
    theirs.events = [event for event in theirs.events if event.order.order.client_order_id != "two"]
    found = between(ours, theirs)
    assert found.first is not None
    assert found.first.ours == "two"


def test_the_command_answers_1_where_they_differ_and_0_where_not(tmp_path: Path) -> None:
    desk, late = bought(), bought(later=3 * SECOND)
    log = tmp_path / "orders.jsonl"
    log.write_bytes(b"".join(line_of(event) + b"\n" for event in desk.events))
    own = configuration(tmp_path)
    same = diff([str(log), str(written(desk, tmp_path / "same.jsonl.gz"))], own)
    assert (len(same), same[1]["equal"]) == (2, True)
    text, data, *status = diff([str(log), str(written(late, tmp_path / "late.jsonl"))], own)
    assert status == [1]
    assert data["totals"] == [{"cause": "decision_time", "count": 1, "money": {"USD": "-2.002"}, "unknown": 0}]
    assert data["first"]["explanation"] == "decided 3 s later"
    assert "decided 3 s later" in text
    json.dumps(data)


def test_what_cannot_be_read_is_refused_with_its_field(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "empty").mkdir()
    for arguments, field in (
        ([str(tmp_path / "bad.jsonl"), "x"], "run"),
        ([str(tmp_path / "empty"), "x"], "run"),
        (["x", "y", "--within", "-1"], "within"),
    ):
        with pytest.raises(Refused) as refused:
            diff(arguments, configuration(tmp_path))
        assert refused.value.field == field
