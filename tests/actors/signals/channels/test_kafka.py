from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import msgspec
import pytest
import trio

from actors.signals.channels.kafka import producer_options
from actors.signals.channels.messages import INDEX, RetryChannel, relay_of, target_of
from protocols.strategies import GetStrategyStates, StrategyChanged, StrategyStates
from runtime import Actor, ChildSpec, receive
from tests.actors.signals.channels.kit import (
    KafkaCluster,
    assert_in_order,
    desk,
    kafka_cluster,
    settings,
    until,
    value_of,
)
from tests.actors.signals.samples import NOW, signal

NOT_ENOUGH_REPLICAS = 19
MESSAGE_TOO_LARGE = 10
SYMBOLS = "ABCDEFG"


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with kafka_cluster() as running:
        yield running


async def read(cluster: KafkaCluster, count: int, topic: str = "trading_signals") -> list[confluent_kafka.Message]:
    """All of a topic, once there are so many different messages."""
    found: list[confluent_kafka.Message] = []

    async def enough() -> bool:
        await trio.to_thread.run_sync(cluster.read, topic, found)
        return len({message.value() for message in found}) >= count

    await until(enough, f"{count} messages of {topic}")
    return found


def numbered(first: int, last: int) -> list[Any]:
    return [signal(number, SYMBOLS[number % len(SYMBOLS)]) for number in range(first, last + 1)]


class Roster(Actor):
    """Knows one strategy."""

    @receive
    def states(self, request: GetStrategyStates) -> StrategyStates:
        """Its state."""
        return StrategyStates((changed("active"),))


def changed(status: Any) -> StrategyChanged:
    return StrategyChanged(
        strategy_id="s1", strategy_source="catalogue", strategy_version="1", execution_id="e1", status=status, ts=NOW
    )


async def test_signals_and_updates_have_the_symbol_as_key_and_the_id_in_value_and_header(
    tmp_path: Path, cluster: KafkaCluster
) -> None:
    async with desk(tmp_path, settings("kafka", "kafka", cluster.url, distributor="inference-service")) as at:
        await at.delivered("kafka")
        await at.submit(*numbered(1, 20))
        await until(lambda: at.view("kafka"), "a view")
        await at.delivered("kafka")
        await at.update("sig_2", "active")
        await at.delivered("kafka")
    found = await read(cluster, 20)
    assert len(found) == 20
    for message in found:
        value = value_of(message)
        assert message.key() == value["signal"]["symbol"].encode()
        assert dict(message.headers() or [])["signal_id"] == value["signal"]["signal_id"].encode()
        assert value["distributor"] == "inference-service"
        assert set(value) >= {"signal", "timestamp", "distributor"}
    by_partition = [[value_of(each)["seq"] for each in found if each.partition() == part] for part in range(4)]
    assert all(seqs == sorted(seqs) for seqs in by_partition)
    [update] = await read(cluster, 1, "trading_signal_updates")
    assert value_of(update)["update"]["status"] == "active"
    assert update.key() == SYMBOLS[2].encode()


@pytest.mark.long
async def test_servers_that_are_away_get_what_they_missed_in_order(tmp_path: Path, cluster: KafkaCluster) -> None:
    options = {"breaker_failures": 1, "batch": 20, "timeout_s": 1.5}
    async with desk(tmp_path, settings("kafka", "kafka", cluster.url, **options)) as at:
        await at.delivered("kafka")
        await at.submit(*numbered(1, 50))
        cluster.down()
        await at.submit(*numbered(51, 100))
        view = await at.viewed("kafka", lambda view: view.breaker == "open", "an open breaker")
        assert "not confirmed within 1.5 s" in view.reason
        cluster.up()
        await at.delivered("kafka")
    assert_in_order(map(value_of, await read(cluster, 100)), range(1, 101))


async def test_a_killed_channel_loses_nothing(tmp_path: Path, cluster: KafkaCluster) -> None:
    async with desk(tmp_path, settings("kafka", "kafka", cluster.url, batch=5)) as at:
        await at.delivered("kafka")
        for first in range(1, 81, 20):
            await at.submit(*numbered(first, first + 19))
            await at.kill(relay_of("kafka") if first % 40 == 1 else target_of("kafka"))
        await at.delivered("kafka")
    assert_in_order(map(value_of, await read(cluster, 80)), range(1, 81))


@pytest.mark.long
async def test_errors_of_the_servers_are_overcome_without_a_change_of_order(
    tmp_path: Path, cluster: KafkaCluster
) -> None:
    async with desk(tmp_path, settings("kafka", "kafka", cluster.url, batch=10)) as at:
        await at.delivered("kafka")
        cluster.fail_produce(NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE, NOT_ENOUGH_REPLICAS)
        await at.submit(*numbered(1, 50))
        await at.delivered("kafka")
    assert_in_order(map(value_of, await read(cluster, 50)), range(1, 51))


async def test_a_message_that_is_too_large_is_left_out_and_the_others_arrive(
    tmp_path: Path, cluster: KafkaCluster
) -> None:
    options = {"message.max.bytes": "2000"}
    async with desk(tmp_path, settings("kafka", "kafka", cluster.url, batch=8, options=options)) as at:
        await at.delivered("kafka")
        large = signal(5, metadata=b'{"text":"%s"}' % (b"x" * 3000))
        await at.submit(*numbered(1, 4), _with_raw(large), *numbered(6, 10))
        view = await at.delivered("kafka")
        assert [each.signal_id for each in view.undelivered] == ["sig_5"]
        assert "too large" in view.undelivered[0].reason
    assert_in_order(map(value_of, await read(cluster, 9)), [*range(1, 5), *range(6, 11)])


async def test_what_a_server_refuses_for_good_is_left_out(tmp_path: Path, cluster: KafkaCluster) -> None:
    async with desk(tmp_path, settings("kafka", "kafka", cluster.url, batch=1)) as at:
        await at.delivered("kafka")
        cluster.fail_produce(*[MESSAGE_TOO_LARGE] * 3)
        await at.submit(*numbered(1, 5))
        view = await at.delivered("kafka")
        assert [each.seq for each in view.undelivered] == [1]
    assert_in_order(map(value_of, await read(cluster, 4)), range(2, 6))


async def test_strategies_are_told_at_the_start_and_when_they_change(tmp_path: Path, cluster: KafkaCluster) -> None:
    roster = ChildSpec(name="roster", actor=Roster)
    async with desk(tmp_path, settings("kafka", "kafka", cluster.url), others=(roster,)) as at:
        [first] = await read(cluster, 1, "strategy_status")
        assert (value_of(first)["strategy_id"], value_of(first)["status"]) == ("s1", "active")
        assert first.key() == b"s1"
        at.node.publish(changed("error"))
        found = await read(cluster, 2, "strategy_status")
        assert value_of(found[-1])["status"] == "error"


async def test_a_channel_whose_options_make_no_sense_ends_alone_and_says_why(
    tmp_path: Path, cluster: KafkaCluster
) -> None:
    channels = (
        settings("bad", "kafka", cluster.url, options={"compression.type": "best"}),
        settings("good", "kafka", cluster.url),
    )
    async with desk(tmp_path, *channels) as at:
        view = await at.viewed("bad", lambda view: view.state == "ended", "the end")
        assert "compression" in view.reason
        await at.submit(signal(1))
        await at.delivered("good")
        await at.node.ref(INDEX).ask(RetryChannel("good"))


def test_credentials_become_options_of_the_library() -> None:
    given = settings("kafka", "kafka", "a:1,b:2", username="u", password="p", tls=True, ca_file="/ca.pem")
    found = producer_options(given)
    assert found["security.protocol"] == "SASL_SSL"
    assert (found["sasl.username"], found["sasl.password"], found["ssl.ca.location"]) == ("u", "p", "/ca.pem")
    assert (found["acks"], found["enable.idempotence"], found["bootstrap.servers"]) == ("all", True, "a:1,b:2")


def _with_raw(given: Any) -> Any:
    return msgspec.structs.replace(given, metadata=msgspec.Raw(given.metadata))
