from __future__ import annotations

from pathlib import Path

import pytest

from actors.signals.channels.messages import (
    INDEX,
    Delivered,
    Gone,
    Postponed,
    Rejected,
    RetryChannel,
    relay_of,
    target_of,
)
from actors.signals.channels.signing import SecretError, request_id, secret_bytes, signature
from actors.signals.channels.webhook import judged, retry_after
from protocols.control import Probe, Refused
from protocols.paths import HUB
from tests.actors.authority import Authority
from tests.actors.signals.channels.kit import SECRET, Receiver, assert_in_order, desk, receiver, settings, until
from tests.actors.signals.samples import NOW, SECOND, signal


def test_signatures_are_those_of_the_specification() -> None:
    # The published test vector of the Standard Webhooks libraries.
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "whsec_c2hvcnQ=", "plain text that is long enough"])
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(SecretError) as error:
        secret_bytes(secret)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(error.value)


def test_answers_mean_what_the_table_says() -> None:
    assert judged(204, None, "") == Delivered()
    assert judged(410, None, "bye") == Gone("HTTP 410: bye")
    assert judged(429, 7.0, "") == Postponed(7.0, "HTTP 429")
    assert judged(503, 2.5, "") == Postponed(2.5, "HTTP 503")
    for status in (400, 409, 413, 422):
        assert isinstance(judged(status, None, ""), Rejected)
    for status in (101, 301, 401, 403, 404, 408, 425, 500, 502, 503):
        with pytest.raises(Refused) as refused:
            judged(status, None, "")
        assert refused.value.code == "unreachable"


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("120", NOW) == 120.0
    assert retry_after("Sun, 15 Jun 2025 15:06:50 GMT", NOW) == 10.0
    assert retry_after("Sun, 15 Jun 2025 15:06:30 GMT", NOW) == 0.0
    assert [retry_after(text, NOW) for text in (None, "soon", "inf", "nan")] == [None] * 4


async def test_signals_and_updates_arrive_signed_and_in_order(tmp_path: Path) -> None:
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        await at.delivered("hook")
        await at.submit(*(signal(number, "AB"[number % 2], current_price=1_234_567_890) for number in range(1, 21)))
        await at.update("sig_3", "active", deployment_id="d1")
        view = await at.delivered("hook")
        assert (view.delivered, view.left_out, view.failures) == (21, 0, 0)
        assert view.breaker == "closed"
    assert_in_order(to.messages, range(1, 21))
    first = to.messages[0]
    assert (first["type"], first["id"], first["distributor"]) == ("signal", "sig_1", "troupe")
    assert first["signal"]["status"] == "pending"
    assert b'"current_price":1.23456789,' in to.posted[0].body
    [update] = [message for message in to.messages if message["type"] == "update"]
    assert (update["id"], update["seq"], update["signal"]) == ("sig_3:1", 1, None)
    assert (update["update"]["status"], update["update"]["deployment_id"]) == ("active", "d1")
    for posted in to.posted:
        name, seconds = posted.headers["webhook-id"], int(posted.headers["webhook-timestamp"])
        assert name == request_id(message["id"] for message in posted.messages)
        assert posted.headers["webhook-signature"] == signature(secret_bytes(SECRET), name, seconds, posted.body)


async def test_what_was_stored_while_the_node_or_the_receiver_was_away_arrives_later(tmp_path: Path) -> None:
    to = Receiver()
    async with receiver(into=to), desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        await at.delivered("hook")
        await at.submit(*map(signal, range(1, 11)))
        await at.delivered("hook")
    async with desk(tmp_path) as at:
        await at.submit(*map(signal, range(11, 21)))
    async with desk(tmp_path, settings("hook", "webhook", to.url, breaker_failures=3)) as at:
        view = await at.viewed("hook", lambda view: view.breaker == "open", "an open breaker")
        assert view.state == "failing"
        assert view.reason
        report = await at.node.ref(INDEX).ask(Probe())
        assert report.status == "degraded"
        assert report.ready
        await at.submit(*map(signal, range(21, 31)))
        async with receiver(to.port, to):
            await at.delivered("hook")
            assert (await at.node.ref(INDEX).ask(Probe())).status == "ok"
    assert_in_order(to.messages, range(1, 31))


@pytest.mark.parametrize(("start", "expected"), [("now", [3]), ("beginning", [1, 2, 3])])
async def test_a_new_channel_begins_where_its_setting_says(tmp_path: Path, start: str, expected: list[int]) -> None:
    async with desk(tmp_path) as at:
        await at.submit(signal(1), signal(2))
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url, start=start)) as at:
        await at.viewed("hook", lambda view: view.state != "starting", "the start")
        await at.submit(signal(3))
        await at.delivered("hook")
        assert [message["seq"] for message in to.messages] == expected


async def test_what_expired_before_its_turn_is_told_as_an_update_and_never_as_a_signal(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        now = at.node.clock.now()
        await at.submit(signal(1, ts_created=now, ts_expires=now + SECOND // 5), signal(2), signal(3))
        await at.update("sig_3", "cancelled")
        await until(lambda: at.node.clock.now() > now + SECOND // 5, "the expiry")
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url, start="beginning")) as at:
        await at.delivered("hook")
    signals = {message["seq"]: message for message in to.messages if message.get("stream", "signals") == "signals"}
    assert [signals[seq]["type"] for seq in (1, 2, 3)] == ["update", "signal", "update"]
    assert (signals[1]["id"], signals[1]["update"]["status"]) == ("sig_1:expired", "expired")
    assert signals[1]["signal"]["signal_id"] == "sig_1"
    assert signals[1]["signal"]["status"] == "expired"
    assert signals[3]["id"] == "sig_3:cancelled"


async def test_a_message_that_is_refused_for_good_is_left_out_and_told(tmp_path: Path) -> None:
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        to.answer = lambda posted: (422 if b'"sig_7"' in posted.body else 200, {})
        await at.delivered("hook")
        await at.submit(*map(signal, range(1, 21)))
        view = await at.delivered("hook")
        assert (view.left_out, view.state) == (1, "idle")
        [left_out] = view.undelivered
        assert (left_out.signal_id, left_out.seq) == ("sig_7", 7)
        assert left_out.reason == "HTTP 422: so it is"
        await at.kill(relay_of("hook"))
        await at.submit(signal(21))
        assert (await at.delivered("hook")).undelivered == view.undelivered
    assert_in_order(to.messages, [*range(1, 7), *range(8, 22)])


async def test_a_receiver_that_asks_for_time_is_given_it(tmp_path: Path) -> None:
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        to.answer = lambda posted: (429, {"retry-after": "3000"})
        await at.delivered("hook")
        await at.submit(signal(1))
        view = await at.viewed("hook", lambda view: view.state == "failing", "a wait")
        assert view.retry_in_s is not None
        assert view.retry_in_s > 2000
        assert view.breaker == "closed"
        to.answer = lambda posted: (200, {})
        await at.node.ref(INDEX).ask(RetryChannel("hook"))
        await at.delivered("hook")
        assert len(to.messages) == 1


async def test_a_receiver_that_is_gone_stops_its_channel_until_somebody_says_otherwise(tmp_path: Path) -> None:
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        to.answer = lambda posted: (410, {})
        await at.delivered("hook")
        await at.submit(signal(1))
        view = await at.viewed("hook", lambda view: view.state == "stopped", "the stop")
        assert "410" in view.reason
        await at.submit(signal(2))
        assert len(to.refused) == 1
        to.answer = lambda posted: (200, {})
        await at.node.ref(INDEX).ask(RetryChannel("hook"))
        await at.delivered("hook")
        assert_in_order(to.messages, [1, 2])
        with pytest.raises(Refused, match="not_found"):
            await at.node.ref(INDEX).ask(RetryChannel("other"))


async def test_a_receiver_that_never_answers_delays_its_own_channel_alone(tmp_path: Path) -> None:
    async with receiver() as slow, receiver() as quick:
        slow.answer = lambda posted: None
        channels = (settings("slow", "webhook", slow.url), settings("quick", "webhook", quick.url))
        async with desk(tmp_path, *channels) as at:
            await at.delivered("slow")
            await at.delivered("quick")
            await at.submit(*map(signal, range(1, 51)))
            await at.delivered("quick")
            assert_in_order(quick.messages, range(1, 51))
            view = await at.viewed("slow", lambda view: view.failures > 0, "a failure")
            assert "no answer within 1 s" in view.reason
            assert view.behind == 50


async def test_a_killed_relay_and_a_killed_target_lose_nothing(tmp_path: Path) -> None:
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url, batch=3)) as at:
        await at.delivered("hook")
        for first in range(1, 41, 10):
            await at.submit(*map(signal, range(first, first + 10)))
            await at.kill(relay_of("hook") if first % 20 == 1 else target_of("hook"))
        await at.delivered("hook")
        assert_in_order(to.messages, range(1, 41))


async def test_a_channel_that_gives_up_ends_alone_and_can_be_started_again(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    damaged = tmp_path / "channels" / "bad.position"
    damaged.write_bytes(b"nothing")
    async with receiver() as to:
        channels = (settings("bad", "webhook", to.url), settings("good", "webhook", to.url))
        async with desk(tmp_path, *channels) as at:
            view = await at.viewed("bad", lambda view: view.state == "ended", "the end")
            assert "holds no whole position" in view.reason
            await at.submit(signal(1))
            await at.delivered("good")
            assert (await at.node.ref(INDEX).ask(Probe())).status == "degraded"
            damaged.unlink()
            await at.node.ref(INDEX).ask(RetryChannel("bad"))
            await at.delivered("bad")
            await at.submit(signal(2))
            await at.delivered("bad")


async def test_a_position_of_another_log_is_told_and_nothing_is_skipped_in_silence(tmp_path: Path) -> None:
    async with receiver() as to:
        async with desk(tmp_path / "one", settings("hook", "webhook", to.url)) as at:
            await at.delivered("hook")
            await at.submit(*map(signal, range(1, 6)))
            await at.delivered("hook")
        (tmp_path / "two").mkdir()
        (tmp_path / "one" / "channels").rename(tmp_path / "two" / "channels")
        async with desk(tmp_path / "two", settings("hook", "webhook", to.url)) as at:
            view = await at.viewed("hook", lambda view: view.state == "ended", "the end")
            assert "they do not belong together" in view.reason


async def test_a_hub_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url, batch=2)) as at:
        await at.delivered("hook")
        await at.submit(*map(signal, range(1, 30)))
        await at.kill(HUB)
        await at.delivered("hook")
        assert_in_order(to.messages, range(1, 30))
        assert at.node.tree(relay_of("hook"), 0).restarts == 0  # type: ignore[union-attr]


async def test_what_a_channel_does_can_be_read_as_metrics(tmp_path: Path) -> None:
    async with receiver() as to, desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        await at.delivered("hook")
        await at.submit(*map(signal, range(1, 4)))
        await at.delivered("hook")
        text = (await at.node.metrics.scrape()).decode()
        assert 'troupe_channel_delivered_total{channel="hook"} 3.0' in text
        assert 'troupe_channel_failures_total{channel="hook"} 0.0' in text
        assert 'troupe_channel_behind{channel="hook"}' in text
        assert 'troupe_breaker_state{path="/signals/channels/hook/target",state="closed"} 1.0' in text


async def test_a_receiver_whose_authority_nobody_knows_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    async with receiver(tls=authority.server()) as to, desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        await at.submit(signal(1))
        view = await at.viewed("hook", lambda view: view.state == "failing", "a failure")
        assert "ConnectError" in view.reason
        assert "certificate verify failed" in view.reason
    assert to.posted + to.refused == []


async def test_a_receiver_whose_authority_the_user_trusts_is_posted_to(
    tmp_path: Path, trusted_authority: Authority
) -> None:
    tls = trusted_authority.server()
    async with receiver(tls=tls) as to, desk(tmp_path, settings("hook", "webhook", to.url)) as at:
        await at.submit(signal(1))
        assert (await at.delivered("hook")).delivered == 1
    assert len(to.messages) == 1
