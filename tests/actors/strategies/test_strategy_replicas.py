"""Replicas of a strategy: its markets are divided among them, and move when they become more or fewer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from actors.strategies.capability import entries
from actors.strategies.records import Entry
from actors.strategies.status import ROSTER
from protocols.control import Probe
from protocols.market import Quote
from protocols.paths import HUB, STRATEGIES
from runtime import ResizeReplicas
from runtime.hashing import assign
from tests.actors.strategies.quotes import quote
from tests.actors.strategies.test_capability import configuration, refusal
from tests.actors.strategies.test_runner import LIMIT_S, Desk, desk, echo, started

MARKETS = tuple(f"M{number}" for number in range(24))
RUNNER = f"{STRATEGIES}/echo/runner"


def shared(replicas: int = 3, **changes: object) -> Entry:
    return echo(markets=MARKETS, replicas=replicas, **changes)


def owners(replicas: int) -> dict[str, str]:
    """Who is to have each market."""
    shares = assign(MARKETS, [str(number) for number in range(replicas)])
    return {market: f"{RUNNER}/{name}" for name, markets in shares.items() for market in markets}


def listening(at: Desk) -> dict[str, str]:
    """Who listens to each market. Nobody listens to one that another has, nor to all."""
    rows = [row for row in at.node.topics.rows() if row[0] == Quote.__name__ and row[2].startswith(RUNNER)]
    found = {key or "all": path for _, key, path, _, _ in rows}
    assert len(found) == len(rows)
    return found


async def until_listening(at: Desk, replicas: int) -> None:
    with trio.fail_after(LIMIT_S):
        while listening(at) != owners(replicas):
            await trio.lowlevel.checkpoint()


async def resize(at: Desk, count: int) -> None:
    with trio.fail_after(LIMIT_S):
        await at.node.ref(RUNNER).ask(ResizeReplicas(count), timeout=LIMIT_S)


def publish_all(at: Desk, seq: int) -> None:
    for market in MARKETS:
        at.node.publish(quote(seq, market=market, seq=seq))


async def expect_each_once(at: Desk, rounds: int) -> None:
    """Every quote of every round has led to one signal, and all have different ids."""
    stored = [each.signal for each in await at.signals(rounds * len(MARKETS))]
    assert sorted((each.symbol, each.source_seq) for each in stored) == sorted(
        (market, seq) for market in MARKETS for seq in range(1, rounds + 1)
    )
    assert len({each.signal_id for each in stored}) == len(stored)


async def test_the_markets_are_divided_and_each_quote_is_handled_once(tmp_path: Path) -> None:
    async with desk(tmp_path, shared()) as at:
        assert listening(at) == owners(3)
        assert len(set(owners(3).values())) == 3
        publish_all(at, 1)
        publish_all(at, 2)
        await expect_each_once(at, 2)
        found = await at.status("echo")
        assert (found.status, found.signals_generated, found.error_count) == ("active", 2 * len(MARKETS), 0)
        assert found.markets == MARKETS
        assert found.ts_last_execution >= found.ts_started > 0
        assert dict(found.figures)["gaps"] == len(MARKETS)  # each begins with one


async def test_resizing_moves_only_the_markets_that_must_move(tmp_path: Path) -> None:
    async with desk(tmp_path, shared(2)) as at:
        publish_all(at, 1)
        await expect_each_once(at, 1)
        run = (await at.status("echo")).execution_id
        for rounds, count in enumerate((4, 1, 3), start=2):
            before = listening(at)
            await resize(at, count)
            assert listening(at) == owners(count)
            kept = {f"{RUNNER}/{number}" for number in range(count)}
            if len(set(before.values())) < count:  # what moves, moves to those that came
                moved = {market for market in MARKETS if before[market] != owners(count)[market]}
                assert not {owners(count)[market] for market in moved} & set(before.values())
            else:
                assert all(before[market] == owners(count)[market] for market in MARKETS if before[market] in kept)
            publish_all(at, rounds)
            await expect_each_once(at, rounds)
        found = await at.status("echo")
        assert (found.status, found.error_count, found.execution_id) == ("active", 0, run)


async def test_quotes_that_come_during_a_resize_are_handled_at_most_once(tmp_path: Path) -> None:
    async with desk(tmp_path, shared(1)) as at:
        done = trio.Event()

        async def go_on_quoting() -> None:
            for seq in range(1, 400):
                at.node.publish(quote(seq, market=MARKETS[seq % len(MARKETS)], seq=seq))
                await at.node.ref(HUB).ask(Probe())
                if done.is_set():
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go_on_quoting)
            for count in (3, 2, 4, 1):
                await resize(at, count)
            done.set()
        publish_all(at, 10**6)
        with trio.fail_after(LIMIT_S):
            while True:
                stored = [each.signal for each in await at.signals(len(MARKETS))]
                if sum(each.source_seq == 10**6 for each in stored) == len(MARKETS):
                    break
                await at.tap.receive()
        handled = [(each.symbol, each.source_seq) for each in stored]
        assert len(set(handled)) == len(handled)


async def test_a_replica_that_leaves_has_its_signals_stored_first(tmp_path: Path) -> None:
    async with desk(tmp_path, shared(3)) as at:
        publish_all(at, 1)
        await resize(at, 1)
        await expect_each_once(at, 1)


async def test_a_replica_that_crashes_gets_its_markets_again_while_the_others_go_on(tmp_path: Path) -> None:
    async with desk(tmp_path, shared()) as at:
        run = (await at.status("echo")).execution_id
        victim = f"{RUNNER}/1"
        await at.kill(victim)
        others = [market for market, path in owners(3).items() if path != victim]
        assert {market: path for market, path in listening(at).items() if path != victim} == {
            market: owners(3)[market] for market in others
        }
        await started(at, victim)
        await until_listening(at, 3)
        publish_all(at, 1)
        await expect_each_once(at, 1)
        found = await at.status("echo")
        assert (found.status, found.error_count, found.execution_id) == ("active", 1, run)
        assert found.last_error.startswith("killed")
        assert dict((await at.node.ref(ROSTER).ask(Probe())).figures)["crashes"] == 1


async def test_a_replica_that_crashes_again_and_again_ends_the_strategy_with_status_error(tmp_path: Path) -> None:
    async with desk(tmp_path, shared(2)) as at:
        market = next(market for market, path in owners(2).items() if path == f"{RUNNER}/1")
        with trio.fail_after(LIMIT_S):
            seq = 0
            while (await at.status("echo")).status != "error":
                # Equal ones would be quarantined; those that come while it restarts reach nobody.
                seq += 1
                at.node.publish(msgspec.structs.replace(quote(0, 14, market=market, seq=seq), bid=130_000_000))
        found = await at.status("echo")
        assert "thirteen" in found.last_error
        assert found.error_count == 6


async def test_replicas_live_in_workers_of_their_own(tmp_path: Path) -> None:
    async with desk(tmp_path, shared(2, placement="process")) as at:
        await until_listening(at, 2)
        workers = {child.path: child.worker for child in at.node.tree(RUNNER).children}
        assert set(workers) == {f"{RUNNER}/0", f"{RUNNER}/1"}
        assert len(set(workers.values())) == 2
        publish_all(at, 1)
        await expect_each_once(at, 1)
        await resize(at, 1)
        assert listening(at) == owners(1)
        publish_all(at, 2)
        await expect_each_once(at, 2)
        found = await at.status("echo")
        assert (found.status, found.error_count) == ("active", 0)


async def test_one_replica_may_become_several_and_no_replicas_is_an_ordinary_runner(tmp_path: Path) -> None:
    async with desk(tmp_path, shared(1), echo("plain", markets=("A",))) as at:
        await resize(at, 2)
        assert listening(at) == owners(2)
        assert at.node.tree(f"{STRATEGIES}/plain/runner").replicas is None


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ('strategy = "own"\nsource = "own"\nmarkets = ["A"]\nreplicas = 2', "replicas", ("source", "got 2")),
        ('strategy = "book_imbalance"\nreplicas = 2', "markets", ("2 replicas", "got none")),
        ('strategy = "book_imbalance"\nmarkets = ["A"]\nreplicas = 0', "replicas", (">= 1",)),
        ('strategy = "book_imbalance"\nmarkets = ["A"]\nreplicas = 65', "replicas", ("<= 64",)),
    ],
)
def test_replicas_that_cannot_be_are_one_error_with_its_field(
    tmp_path: Path, settings: str, field: str, says: tuple[str, ...]
) -> None:
    [(found, message)] = refusal(tmp_path, f'[[strategies]]\nname = "a"\n{settings}\n')
    assert found == f"strategies.0.{field}"
    for each in ("expected", *says):
        assert each.lower() in message.lower()


def test_a_configuration_with_replicas_becomes_a_set(tmp_path: Path) -> None:
    text = '[[strategies]]\nname = "a"\nstrategy = "book_imbalance"\nmarkets = ["A", "B"]\nreplicas = 2\n'
    [entry] = entries(configuration(tmp_path, text))
    runner = entry.spec().supervisor.children[0]  # type: ignore[union-attr]
    assert runner.replicas is not None
    assert (runner.name, runner.replicas.count) == ("runner", 2)
