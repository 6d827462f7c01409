from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.signals.capability import Settings, branch
from actors.signals.tail import read_tail
from protocols.control import Probe, Refused
from protocols.paths import HUB
from protocols.signals import (
    SIGNAL_UPDATES,
    SIGNALS,
    GetLatestSignals,
    GetSignal,
    MarketConditions,
    ReadSignals,
    ReadSignalUpdates,
    Signal,
    SignalRow,
    SignalStored,
    SignalUpdateRow,
    SubmitSignal,
    UpdateSignal,
    row_from_log,
)
from runtime import ActorRef, Done, KillChild, Node, NodeSettings, open_node
from runtime.clock import Clock
from runtime.log import open_log
from runtime.log_reader import LogReader
from tests.actors.signals.samples import NOW, SECOND, signal, update


@asynccontextmanager
async def hub(folder: Path, clock: Clock | None = None, **settings: Any) -> AsyncIterator[tuple[ActorRef, Node]]:
    log = open_log(folder / "log", segment_bytes=64 << 10, max_bytes=16 << 20, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(), (branch(Settings(**settings)),), log=log, clock=clock) as node:
            yield node.ref(HUB), node
    finally:
        log.close()


async def refusal(ref: ActorRef, request: Any) -> tuple[str, str | None]:
    with pytest.raises(Refused) as refused:
        await ref.ask(request)
    return refused.value.code, refused.value.field


async def test_signals_are_numbered_in_the_log_and_everybody_is_woken(tmp_path: Path) -> None:
    async with hub(tmp_path) as (ref, node):
        with node.open_tap((SignalStored, SIGNALS)) as tap:
            accepted = [await ref.ask(SubmitSignal(signal(number))) for number in range(3)]
            assert [each.seq for each in accepted] == [1, 2, 3]
            assert (await tap.receive())[-1] == SignalStored(SIGNALS, 3)
        assert node.require_log().last_seq(SIGNALS) == 3
    rows = [row for row in LogReader(tmp_path / "log").read(100, 1 << 20) if row.table.name == "signals"]
    first = msgspec.convert(row_from_log(rows[0].table.columns, rows[0].fields), SignalRow)
    assert first.stored().signal == signal(0)


async def test_a_repeated_signal_has_its_old_place_and_another_one_cannot_take_its_id(tmp_path: Path) -> None:
    async with hub(tmp_path) as (ref, _):
        await ref.ask(SubmitSignal(signal(1)))
        again = await ref.ask(SubmitSignal(signal(1)))
        assert (again.seq, again.repeated) == (1, True)
        assert await refusal(ref, SubmitSignal(signal(1, action="SELL"))) == ("id_taken", "signal_id")
        assert (await ref.ask(ReadSignals(1))).last_seq == 1
        figures = dict((await ref.ask(Probe())).figures)
        assert (figures["accepted"], figures["repeated"], figures["refused"]) == (1, 1, 1)


async def test_a_signal_without_expiry_gets_one_and_is_recognised_all_the_same(tmp_path: Path) -> None:
    async with hub(tmp_path, validity_s=20) as (ref, node):
        created = node.clock.now()
        given = signal(1, ts_created=created, ts_expires=None)
        await ref.ask(SubmitSignal(given))
        assert (await ref.ask(SubmitSignal(given))).repeated
        stored = await ref.ask(GetSignal("sig_1"))
        assert stored.signal.ts_expires == created + 20 * SECOND
        assert stored.status_at(created + 20 * SECOND) == "expired"
        late = signal(2, ts_created=created - 21 * SECOND, ts_expires=None)
        assert await refusal(ref, SubmitSignal(late)) == ("signal_expired", "expires_at")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"risk_score": -0.1}, "risk_score"),
        ({"action": "DANCE"}, "action"),
        ({"symbol": ""}, "symbol"),
        ({"signal_id": "a\x00b"}, "signal_id"),
        ({"strategy_id": "\ud800"}, "strategy_id"),
        ({"ts_expires": NOW}, "expires_at"),
        ({"ts_expires": 2**63}, "expires_at"),
        ({"marks": ("fresh",)}, "marks"),
        ({"metadata": msgspec.Raw(b"[1]")}, "metadata"),
        ({"metadata": msgspec.Raw(b"{")}, "metadata"),
        ({"metadata": msgspec.Raw(b'{"a":"' + b"x" * 20_000 + b'"}')}, "metadata"),
        ({"current_price": 2**63}, "current_price"),
        ({"market_conditions": MarketConditions(volatility=float("inf"))}, "market_conditions.volatility"),
        ({"execution_params": {"quantity": 0}}, "execution_params.quantity"),
        ({"execution_params": {"order_type": "MAYBE"}}, "execution_params.order_type"),
    ],
)
async def test_what_cannot_be_accepted_is_refused_with_its_field_and_not_stored(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    made: Signal = signal(1)
    if "execution_params" in change:
        change = {"execution_params": msgspec.structs.replace(made.execution_params, **change["execution_params"])}
    async with hub(tmp_path) as (ref, node):
        _, found = await refusal(ref, SubmitSignal(msgspec.structs.replace(made, **change)))
        assert found == field
        assert node.require_log().last_seq(SIGNALS) == 0


async def test_a_full_log_refuses_and_nobody_hears_of_the_signal(tmp_path: Path) -> None:
    big = msgspec.Raw(msgspec.json.encode({"text": "x" * 16_000}))
    log = open_log(tmp_path / "log", segment_bytes=64 << 10, max_bytes=128 << 10, reserve_bytes=0)
    async with open_node(NodeSettings(), (branch(Settings()),), log=log) as node:
        ref = node.ref(HUB)
        accepted = 0
        while isinstance(outcome := await ref.outcome(SubmitSignal(signal(accepted, metadata=big))), Done):
            accepted += 1
        assert isinstance(outcome, Refused)
        assert outcome.code == "log_full"
        assert (await ref.ask(ReadSignals(1))).last_seq == accepted
    log.close()


async def test_a_killed_hub_remembers_what_the_log_holds(tmp_path: Path) -> None:
    async with hub(tmp_path, history=50) as (ref, node):
        for number in range(1, 121):
            await ref.ask(SubmitSignal(signal(number)))
        await ref.ask(UpdateSignal(signal_id="sig_100", status="active"))
        await node.ref("/signals").ask(KillChild("hub"))
        page = await ref.ask(ReadSignals(71))
        assert [each.seq for each in page.signals] == list(range(71, 121))
        assert page.signals[29].status == "active"
        assert (await ref.ask(SubmitSignal(signal(120)))).repeated
        assert await refusal(ref, ReadSignals(70)) == ("unavailable", None)
        assert (await ref.ask(SubmitSignal(signal(121)))).seq == 121


async def test_the_log_is_read_from_its_end_over_segments_that_hold_other_things(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", segment_bytes=64 << 10, max_bytes=16 << 20, reserve_bytes=0)
    for seq in range(1, 11):
        log.append(SignalRow.of(seq, NOW, signal(seq)))
    for seq in range(1, 3_001):
        log.append(SignalUpdateRow.of(update(seq, "sig_7", "active")))
    log.append(SignalRow.of(11, NOW, signal(11)))
    tail = read_tail(tmp_path / "log", 3)
    assert [each.seq for each in tail.signals][-3:] == [9, 10, 11]
    assert [each.seq for each in tail.updates][-1] == 3_000
    assert read_tail(tmp_path / "log", 1).signals[-1].signal == signal(11)
    log.close()


async def test_updates_follow_the_life_of_a_signal(tmp_path: Path) -> None:
    async with hub(tmp_path) as (ref, node):
        await ref.ask(SubmitSignal(signal(1)))
        active = UpdateSignal(signal_id="sig_1", status="active", deployment_id="d1")
        assert (await ref.ask(active)).seq == 1
        assert (await ref.ask(active)).repeated
        partly = UpdateSignal(signal_id="sig_1", status="executed", executed_quantity=SECOND, execution_price=1)
        wholly = msgspec.structs.replace(partly, executed_quantity=2 * SECOND)
        assert (await ref.ask(partly)).seq == 2
        assert (await ref.ask(wholly)).seq == 3
        assert (await ref.ask(GetSignal("sig_1"))).status == "executed"
        assert await refusal(ref, UpdateSignal(signal_id="sig_1", status="cancelled")) == ("conflict", "status")
        assert await refusal(ref, UpdateSignal(signal_id="sig_1", status="executed", pnl=5)) == ("invalid", "currency")
        assert await refusal(ref, UpdateSignal(signal_id="sig_1", status="lost")) == ("invalid", "status")
        assert node.require_log().last_seq(SIGNAL_UPDATES) == 3


async def test_a_page_has_bounds_and_the_end_of_the_stream(tmp_path: Path) -> None:
    async with hub(tmp_path) as (ref, _):
        empty = await ref.ask(ReadSignals(1))
        assert (empty.signals, empty.next_seq, empty.last_seq) == ((), 1, 0)
        for number in range(1, 6):
            await ref.ask(SubmitSignal(signal(number, "AB"[number % 2])))
        page = await ref.ask(ReadSignals(0, 2))
        assert ([each.seq for each in page.signals], page.next_seq, page.last_seq) == ([1, 2], 3, 5)
        assert (await ref.ask(ReadSignals(6))).next_seq == 6
        assert await refusal(ref, ReadSignals(1, stream="orders")) == ("not_found", "stream")
        latest = await ref.ask(GetLatestSignals("A", 1))
        assert [each.seq for each in latest.signals] == [4]


async def test_updates_are_read_by_position_with_the_symbol_and_strategy_of_their_signal(tmp_path: Path) -> None:
    async with hub(tmp_path, history=3) as (ref, node):
        for number in range(1, 6):
            await ref.ask(SubmitSignal(signal(number, "AB"[number % 2])))
        with node.open_tap((SignalStored, SIGNAL_UPDATES)) as tap:
            for number in range(1, 6):
                await ref.ask(UpdateSignal(signal_id=f"sig_{number}", status="active")) if number > 2 else None
            assert (await tap.receive())[-1] == SignalStored(SIGNAL_UPDATES, 3)
        page = await ref.ask(ReadSignalUpdates(1))
        assert [(each.seq, each.update.signal_id, each.symbol) for each in page.updates] == [
            (1, "sig_3", "B"),
            (2, "sig_4", "A"),
            (3, "sig_5", "B"),
        ]
        assert {each.strategy_id for each in page.updates} == {"test"}
        assert (page.next_seq, page.last_seq) == (4, 3)
        assert (await ref.ask(ReadSignalUpdates(2, 1))).next_seq == 3
        await node.ref("/signals").ask(KillChild("hub"))
        assert await ref.ask(ReadSignalUpdates(1)) == page
        await ref.ask(UpdateSignal(signal_id="sig_5", status="cancelled"))
        assert await refusal(ref, ReadSignalUpdates(1)) == ("unavailable", None)
        assert await refusal(ref, ReadSignalUpdates(1, 0)) == ("invalid", "limit")
