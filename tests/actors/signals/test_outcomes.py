"""What became of signals, over HTTP: summary, performance, cancelling, test signals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.edge.auth import token_of
from actors.signals.capability import Settings
from actors.signals.totals import period_ns, totals
from protocols.paths import HUB
from protocols.signals import GetSignal, Signal, SignalTally, StoredSignal, UpdateSignal
from runtime.clock import VirtualClock
from tests.actors.signals.samples import NOW, SECOND, signal
from tests.actors.signals.stage import Desk, desk
from tests.actors.signals.test_archive import storage
from tests.http_client import http_client

HOUR = 3600 * SECOND


class Api:
    """The routes, asked as a client does."""

    def __init__(self, at: Desk, http: httpx.AsyncClient) -> None:
        self.at = at
        self.http = http

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        sent = {} if body is None else {"json": body}
        answer = await self.http.request(method, f"http://127.0.0.1:{self.at.port}/api/signals/{path}", **sent)
        return answer.status_code, answer.json()

    async def become(self, number: int, status: str, **changes: Any) -> None:
        await self.at.node.ref(HUB).ask(UpdateSignal(signal_id=f"sig_{number}", status=status, **changes))  # type: ignore[arg-type]


@asynccontextmanager
async def api(
    folder: Path, database: str, signals: list[Signal], clock: VirtualClock | None = None, **settings: Any
) -> AsyncIterator[Api]:
    moment = clock or VirtualClock(NOW)
    async with (
        desk(folder, Settings(**settings), storage(database), clock=moment) as at,
        http_client(headers={"authorization": f"Bearer {token_of(folder)}"}) as http,
    ):
        await at.submit(signals)
        yield Api(at, http)


async def test_the_summary_counts_every_accepted_signal_with_its_newest_state(tmp_path: Path, database: str) -> None:
    clock = VirtualClock(NOW)
    signals = [
        signal(1, "A", confidence=0.5, risk_score=0.2),
        signal(2, "A", action="SELL", confidence=0.7, risk_score=0.4),
        signal(3, "B", confidence=0.9, ts_expires=NOW + SECOND),
        signal(4, "B", strategy_id="other"),
        signal(5, "C", ts_created=NOW - 2 * HOUR),
    ]
    async with api(tmp_path, database, signals, clock) as at:
        await at.become(1, "executed", pnl=5, currency="USD")
        await at.become(1, "executed", pnl=2_500_000_001, currency="USD")
        await at.become(2, "executed", pnl=-500_000_000, currency="USD")
        await at.become(4, "active")
        clock.advance(SECOND)
        status, found = await at.ask("GET", "analytics/summary?time_period=1h")
        assert status == 200
        assert (found["total_signals"], found["time_period"], found["behind"]) == (4, "1h", 0)
        assert found["signals_by_action"] == {
            "BUY": 3, "SELL": 1, "HOLD": 0, "CLOSE_LONG": 0, "CLOSE_SHORT": 0, "CLOSE_ALL": 0,
        }  # fmt: skip
        assert found["signals_by_status"] == {
            "pending": 0, "active": 1, "executed": 2, "cancelled": 0, "expired": 1,
        }  # fmt: skip
        assert found["average_confidence"] == pytest.approx((0.5 + 0.7 + 0.9 + 0.75) / 4)
        assert found["average_risk_score"] == pytest.approx(0.15)
        assert (found["success_rate"], found["total_pnl"], found["currency"]) == (0.5, 2.000000001, "USD")
        assert (found["pnl_by_currency"], found["reasons"]) == ({"USD": 2.000000001}, {})
        assert (await at.ask("GET", "analytics/summary"))[1]["total_signals"] == 5
        assert (await at.ask("GET", "analytics/summary?symbols=A,C"))[1]["total_signals"] == 3
        assert (await at.ask("GET", "analytics/summary?strategy_ids=other"))[1]["total_signals"] == 1


async def test_what_a_summary_cannot_say_is_null_with_a_reason(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database, [signal(1), signal(2)]) as at:
        found = (await at.ask("GET", "analytics/summary?symbols=none"))[1]
        assert (found["total_signals"], found["average_confidence"], found["total_pnl"]) == (0, None, None)
        assert set(found["reasons"]) == {"average_confidence", "average_risk_score", "success_rate", "total_pnl"}
        found = (await at.ask("GET", "analytics/summary"))[1]
        assert (found["success_rate"], set(found["reasons"])) == (None, {"success_rate", "total_pnl"})
        await at.become(1, "executed", pnl=SECOND, currency="USD")
        await at.become(2, "executed", pnl=SECOND, currency="EUR")
        found = (await at.ask("GET", "analytics/summary"))[1]
        assert (found["success_rate"], found["total_pnl"], found["currency"]) == (1.0, None, None)
        assert found["pnl_by_currency"] == {"EUR": 1, "USD": 1}
        assert found["reasons"] == {"total_pnl": "there are several currencies: EUR, USD"}
        for wrong in ("0h", "1y", "400d", "-1h", "h"):
            status, found = await at.ask("GET", f"analytics/summary?time_period={wrong}")
            assert (status, found["error"]["field"]) == (400, "time_period")


async def test_a_list_has_what_was_accepted_before_it_was_asked_for(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database, []) as at:
        for number in range(1, 21):
            await at.at.submit([signal(number)])
            found = (await at.ask("GET", "list"))[1]
            assert (found["total_count"], found["behind"]) == (number, 0)


async def test_the_performance_of_a_signal_is_what_its_execution_said(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database, [signal(number) for number in range(1, 7)], history=4) as at:
        status, found = await at.ask("GET", "sig_5/performance")
        assert (status, found["status"], found["pnl"]) == (200, "pending", None)
        assert found["reasons"]["pnl"] == "the signal is pending, not executed"
        said = {
            "execution_price": 740_000_001,
            "ts_executed": NOW + 1_500_000_000,
            "executed_quantity": 2 * SECOND,
            "pnl": -3,
            "currency": "USD",
            "pnl_percentage": -0.5,
            "slippage": 0.001,
        }
        await at.ask("GET", "list")  # the first two are in the database, and no longer remembered
        for number in (5, 1):
            await at.become(number, "executed", **said)
            found = (await at.ask("GET", f"sig_{number}/performance"))[1]
            assert (found["execution_price"], found["executed_quantity"]) == (0.740000001, 2)
            assert found["execution_time"] == "2025-06-15T15:06:41.500000Z"
            assert (found["pnl"], found["currency"], found["execution_duration"]) == (-3e-9, "USD", 1.5)
            assert (found["pnl_percentage"], found["slippage"], found["fill_rate"]) == (-0.5, 0.001, None)
            assert found["reasons"] == {"fill_rate": "the execution did not say it"}
        assert (await at.ask("GET", "sig_99/performance"))[0] == 404


async def test_cancelling_says_what_the_signal_is_where_it_cannot(tmp_path: Path, database: str) -> None:
    clock = VirtualClock(NOW)
    signals = [signal(1), signal(2), signal(3, ts_expires=NOW + SECOND)]
    async with api(tmp_path, database, signals, clock) as at:
        status, found = await at.ask("DELETE", "sig_1")
        assert (status, found["signal_id"], found["status"]) == (200, "sig_1", "cancelled")
        assert (await at.ask("GET", "sig_1"))[1]["status"] == "cancelled"
        assert (await at.ask("DELETE", "sig_1"))[0] == 200
        await at.become(2, "executed")
        status, found = await at.ask("DELETE", "sig_2")
        assert (status, found["error"]["message"]) == (409, "a signal that is executed cannot become cancelled")
        clock.advance(SECOND)
        status, found = await at.ask("DELETE", "sig_3")
        assert (status, found["error"]["message"]) == (409, "a signal that is expired cannot become cancelled")
        assert (await at.ask("DELETE", "sig_9"))[0] == 404
        at.http.headers.pop("authorization")
        assert (await at.ask("DELETE", "sig_1"))[0] == 401


async def test_a_test_signal_is_marked_and_there_is_none_without_the_setting(tmp_path: Path, database: str) -> None:
    async with api(tmp_path / "off", database, []) as at:
        status, found = await at.ask("POST", "test", {})
        assert (status, found["error"]["code"]) == (404, "not_found")


async def test_a_test_signal_goes_where_every_signal_goes(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database, [], test_endpoints=True) as at, at.at.client("*") as client:
        status, found = await at.ask("POST", "test", {"symbol": "X", "action": "BUY", "metadata": {"a": 1}})
        assert status == 200, found
        made = found["signal"]
        assert (made["symbol"], made["action"], made["metadata"]) == ("X", "BUY", {"a": 1})
        assert (made["marks"], made["strategy_source"]) == (["synthetic"], "test")
        assert made["signal_id"].startswith("sig_20250615_150640_")
        assert (await client.next())["data"]["signal_id"] == made["signal_id"]
        known: StoredSignal = await at.at.node.ref(HUB).ask(GetSignal(made["signal_id"]))
        assert known.signal.ts_expires == NOW + 300 * SECOND
        again = (await at.ask("POST", "test", {}))[1]["signal"]
        assert again["signal_id"] != made["signal_id"]
        assert (await at.ask("POST", "test", {"confidence": 2}))[1]["error"]["field"] == "confidence"


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("24h", 86_400), ("30d", 2_592_000), ("2w", 1_209_600)])
def test_a_period_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert period_ns(text) == seconds * SECOND


tally = st.builds(
    SignalTally,
    action=st.sampled_from(["BUY", "HOLD"]),
    status=st.sampled_from(["pending", "executed"]),
    currency=st.sampled_from(["USD", "EUR"]),
    signals=st.integers(1, 100),
    confidence=st.floats(0, 1),
    risk=st.floats(0, 1),
    outcomes=st.integers(0, 1),
    won=st.just(0),
    pnl=st.integers(-(10**30), 10**30).map(str),
)


@given(st.lists(tally, max_size=10))
def test_totals_are_the_sums_of_their_parts(parts: list[SignalTally]) -> None:
    found = totals(tuple(parts))
    assert found.signals == sum(found.by_action.values()) == sum(found.by_status.values())
    assert sum(found.pnl.values()) == sum(int(each.pnl) for each in parts if each.outcomes)
    assert (found.success_rate is None) == (found.outcomes == 0)
    assert (found.average_confidence is None) == (not parts)
