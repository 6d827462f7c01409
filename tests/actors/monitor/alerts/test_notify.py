from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from actors.monitor.alerts.messages import full_jitter, judged
from actors.monitor.alerts.part import NOTIFIERS
from actors.monitor.alerts.settings import TargetSettings
from actors.monitor.alerts.targets import issues
from actors.signals.channels.signing import secret_bytes, signature
from protocols.alerts import RaiseAlert
from protocols.control import Probe, ProbeReport
from protocols.paths import ALERTS
from runtime import KillChild, PauseChild
from runtime.clock import SECOND
from runtime.settings import load
from tests.actors.authority import Authority
from tests.actors.monitor.stage import LIMIT_S, Stage, stage
from tests.actors.signals.channels.kit import Posted, Receiver, receiver, until

HOST = "expected a host, and a port from 1 to 65535 or none"
QUEUE_FILE = "alerts-to-people.json"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def target(folder: Path, url: str, kind: Any = "webhook", **more: Any) -> TargetSettings:
    file = folder / "secret"
    file.write_text(f"{SECRET}\n")
    secret = {"secret_file": str(file)} if kind == "webhook" else {}
    # Waits are random below these: short ones, so that no test waits for luck.
    fields = {"retry_s": 0.01, "retry_most_s": 0.05, "timeout_s": 2.0, "breaker_open_s": 0.01, **secret, **more}
    return TargetSettings(name="people", kind=kind, url=url, **fields)


def raise_alert(at: Stage, key: str, **more: Any) -> None:
    at.node.ref(ALERTS).tell(RaiseAlert(key=key, source="tests", title=f"Title of {key}", **more))


async def report(at: Stage) -> ProbeReport:
    return await at.node.ref(f"/{NOTIFIERS}/people").ask(Probe(), LIMIT_S)


async def figures(at: Stage, **wanted: object) -> dict[str, object]:
    """Wait until the notifier's figures are as wanted."""
    found: dict[str, object] = {}
    with trio.move_on_after(LIMIT_S):
        while True:
            found = dict((await report(at)).figures)
            if wanted.items() <= found.items():
                return found
            await trio.sleep(0.01)
    raise AssertionError(f"wanted {wanted}, got {found}")


async def written(folder: Path, count: int) -> None:
    """Wait until so many messages are in the file of the queue."""

    def done() -> bool:
        file = folder / QUEUE_FILE
        return file.exists() and len(json.loads(file.read_bytes())) == count

    await until(done, "the file")


def bodies(to: Receiver) -> list[dict[str, Any]]:
    return [json.loads(posted.body) for posted in to.posted]


async def test_a_webhook_is_told_of_what_fires_and_of_its_end_signed_and_in_order(tmp_path: Path) -> None:
    async with receiver() as to, stage(tmp_path, targets=(target(tmp_path, to.url),)) as at:
        raise_alert(at, "a", severity="error", labels=(("model", "bull"),), value=1.5)
        raise_alert(at, "quiet", severity="info")
        raise_alert(at, "a", resolve=True)
        await figures(at, taken=2, waiting=0)
    first, second = bodies(to)
    assert (first["type"], second["type"]) == ("alert.fired", "alert.resolved")
    assert first["data"]["title"] == "Title of a"
    assert first["data"]["metadata"] == {"model": "bull", "value": 1.5}
    assert (second["data"]["id"], second["data"]["resolved"]) == (first["data"]["id"], True)
    for posted in to.posted:
        name, seconds = posted.headers["webhook-id"], int(posted.headers["webhook-timestamp"])
        assert posted.headers["webhook-signature"] == signature(secret_bytes(SECRET), name, seconds, posted.body)
    assert to.posted[0].headers["webhook-id"] != to.posted[1].headers["webhook-id"]


async def test_slack_is_told_in_its_own_form_and_nothing_in_a_text_is_markup(tmp_path: Path) -> None:
    async with receiver() as to, stage(tmp_path, targets=(target(tmp_path, to.url, "slack"),)) as at:
        raise_alert(at, "a<!channel>", severity="critical", description="p & q < 1")
        await figures(at, taken=1)
    [body] = bodies(to)
    assert body["text"] == "🚨 CRITICAL fired: Title of a&lt;!channel&gt;"
    assert [block["type"] for block in body["blocks"]] == ["section", "section", "context"]
    assert body["blocks"][1]["text"] == {"type": "mrkdwn", "text": "p &amp; q &lt; 1"}
    assert "webhook-signature" not in to.posted[0].headers


async def test_a_receiver_that_fails_and_then_works_gets_every_message_once_and_the_same_id_each_time(
    tmp_path: Path,
) -> None:
    answers = iter([500, 503, 500])
    async with receiver() as to, stage(tmp_path, targets=(target(tmp_path, to.url),)) as at:
        to.answer = lambda posted: (next(answers, 200), {})
        raise_alert(at, "a")
        raise_alert(at, "b")
        await figures(at, taken=2, waiting=0)
        assert (await report(at)).status == "ok"
    assert [body["data"]["title"] for body in bodies(to)] == ["Title of a", "Title of b"]
    assert {posted.headers["webhook-id"] for posted in to.refused} == {to.posted[0].headers["webhook-id"]}
    assert len(to.refused) == 3


async def test_a_receiver_that_is_down_opens_the_breaker_and_gets_all_once_it_is_back(tmp_path: Path) -> None:
    async with receiver() as to:
        port = to.port
    # The node's clock stands still, so the breaker stays open until the test lets time pass.
    settings = target(tmp_path, to.url, attempts=50, breaker_failures=3)
    async with stage(tmp_path, targets=(settings,)) as at:
        raise_alert(at, "a")
        await figures(at, breaker="open", attempts_of_the_first=3)
        found = await report(at)
        assert (found.status, found.detail) == ("degraded", "messages do not get through: ConnectError")
        async with receiver(port) as back:
            at.clock.advance(SECOND)
            await figures(at, taken=1, breaker="closed")
            assert len(back.posted) == 1


async def test_a_receiver_that_never_answers_is_given_up_after_so_many_attempts_and_the_loss_is_counted(
    tmp_path: Path,
) -> None:
    def silent_for_a(posted: Posted) -> tuple[int, dict[str, str]] | None:
        return None if b"Title of a" in posted.body else (200, {})

    async with receiver() as to:
        settings = target(tmp_path, to.url, attempts=2, timeout_s=0.05)
        to.answer = silent_for_a
        async with stage(tmp_path, targets=(settings,)) as at:
            raise_alert(at, "a")
            await figures(at, given_up=1)
            assert 'outcome="given_up",target="people"} 1.0' in at.metrics.render().decode()
    assert to.posted == []


async def test_one_who_does_not_answer_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    async with receiver() as silent, receiver() as to:
        silent.answer = lambda posted: None
        others = replace(target(tmp_path, silent.url, timeout_s=30), name="others")
        async with stage(tmp_path, targets=(others, target(tmp_path, to.url))) as at:
            for key in "abc":
                raise_alert(at, key)
            await figures(at, taken=3, waiting=0)
            waiting = dict((await at.node.ref(f"/{NOTIFIERS}/others").ask(Probe(), LIMIT_S)).figures)
            assert (waiting["waiting"], waiting["taken"]) == (3, 0)


async def test_what_is_refused_for_good_is_not_sent_again_and_does_not_hold_up_the_next(tmp_path: Path) -> None:
    async with receiver() as to, stage(tmp_path, targets=(target(tmp_path, to.url),)) as at:
        to.answer = lambda posted: (422 if b"Title of a" in posted.body else 200, {})
        raise_alert(at, "a")
        raise_alert(at, "b")
        await figures(at, refused=1, taken=1)
    assert len(to.refused) == 1


async def test_a_full_queue_loses_the_oldest_that_waits_and_counts_it(tmp_path: Path) -> None:
    async with receiver() as to, stage(tmp_path, targets=(target(tmp_path, to.url, queue=2, timeout_s=30),)) as at:
        to.answer = lambda posted: None
        for key in "abcde":
            raise_alert(at, key)
        await figures(at, overflow=2, waiting=3)


async def test_what_waits_for_a_receiver_that_is_down_outlasts_a_restart_of_the_node_and_comes_in_order(
    tmp_path: Path,
) -> None:
    async with receiver() as to:
        port = to.port
    settings = target(tmp_path, to.url)
    async with stage(tmp_path, targets=(settings,)) as at:
        raise_alert(at, "a")
        raise_alert(at, "b")
        raise_alert(at, "a", resolve=True)
        await figures(at, waiting=3)
    async with receiver(port) as back, stage(tmp_path, targets=(settings,)) as at:
        await figures(at, taken=3, waiting=0)
        raise_alert(at, "c")
        await figures(at, taken=4, waiting=0)
    told = [(body["type"], body["data"]["title"]) for body in bodies(back)]
    assert told == [
        ("alert.fired", "Title of a"), ("alert.fired", "Title of b"), ("alert.resolved", "Title of a"),
        ("alert.fired", "Title of c"),
    ]  # fmt: skip
    async with receiver(port) as again, stage(tmp_path, targets=(settings,)) as at:
        raise_alert(at, "d")
        await figures(at, taken=1, waiting=0)
    assert [body["data"]["title"] for body in bodies(again)] == ["Title of d"], "what was taken is not told again"


async def test_what_waits_outlasts_the_crash_of_its_actor(tmp_path: Path) -> None:
    async with receiver() as to:
        port = to.port
    async with stage(tmp_path, targets=(target(tmp_path, to.url),)) as at:
        raise_alert(at, "a")
        await figures(at, waiting=1)
        await written(tmp_path, 1)
        await at.node.ref(f"/{NOTIFIERS}").ask(KillChild("people"))
        async with receiver(port) as back:
            await figures(at, taken=1, waiting=0)
        await written(tmp_path, 0)
    assert [body["data"]["title"] for body in bodies(back)] == ["Title of a"]


async def test_the_outcome_of_an_attempt_of_the_life_before_is_taken_for_none_of_this_one(tmp_path: Path) -> None:
    path, to = f"/{NOTIFIERS}/people", Receiver()
    async with trio.open_nursery() as nursery:
        # It takes connections, and does not read from them yet.
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        to.port = listener.socket.getsockname()[1]
        async with stage(tmp_path, targets=(target(tmp_path, to.url, timeout_s=LIMIT_S),)) as at:
            raise_alert(at, "a")
            raise_alert(at, "b")
            await figures(at, waiting=2)
            await written(tmp_path, 2)
            await at.node.ref(f"/{NOTIFIERS}").ask(PauseChild("people"))
            nursery.start_soon(trio.serve_listeners, to.serve, [listener])
            cell = at.node.find(path)
            assert cell is not None
            # What it is told of the first one waits behind the pause, and dies with this life.
            await until(lambda: len(to.posted) == 1 and len(cell.queue) > 0, "the outcome")
            await at.node.ref(f"/{NOTIFIERS}").ask(KillChild("people"))
            await until(lambda: len(to.posted) == 3, "both")
            await figures(at, taken=2, waiting=0)
            await at.settle()
            await figures(at, taken=2, waiting=0)
        nursery.cancel_scope.cancel()
    assert [body["data"]["title"] for body in bodies(to)] == ["Title of a", "Title of a", "Title of b"]


async def test_a_queue_that_cannot_be_read_is_told_and_what_comes_is_delivered(tmp_path: Path) -> None:
    (tmp_path / QUEUE_FILE).write_bytes(b'[{"body": 1}]')
    async with receiver() as to, stage(tmp_path, targets=(target(tmp_path, to.url),)) as at:
        found = await report(at)
        assert (found.status, "cannot be read" in found.detail) == ("degraded", True)
        raise_alert(at, "a")
        await figures(at, taken=1)
    assert len(to.posted) == 1


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with receiver() as elsewhere, receiver() as to:
        answers = iter([(302, {"location": elsewhere.url}), (308, {"location": elsewhere.url})])
        to.answer = lambda posted: next(answers, (200, {}))
        async with stage(tmp_path, targets=(target(tmp_path, to.url),)) as at:
            raise_alert(at, "a")
            await figures(at, taken=1)
    assert (len(to.refused), len(to.posted)) == (2, 1)
    assert (elsewhere.posted, elsewhere.refused) == ([], [])


@pytest.mark.parametrize("kind", ["webhook", "slack"])
async def test_neither_the_secret_nor_the_address_is_shown_anywhere(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    answers = iter([500, 302])
    async with receiver() as to:
        settings = target(tmp_path, f"{to.url}/T0PSECRET", kind, attempts=3)
        to.answer = lambda posted: (next(answers, 400), {"location": "/else"})
        async with stage(tmp_path, targets=(settings,)) as at:
            raise_alert(at, "a")
            await figures(at, refused=1)
            shown = [await report(at), at.metrics.render(), (tmp_path / QUEUE_FILE).read_text(), *bodies(to)]
    shown += [posted.headers | {"path": ""} for posted in to.refused]
    text = f"{shown} {capsys.readouterr()} {caplog.text}"
    assert "HTTP 400" in text
    assert "T0PSECRET" not in text
    assert SECRET.removeprefix("whsec_") not in text
    configuration = load(None, {"alerts_to": tuple[TargetSettings, ...]}, {}, [])
    assert configuration.resolved() == {"alerts_to": []}
    (tmp_path / "c.toml").write_text(f'[[alerts_to]]\nname = "p"\nkind = "slack"\nurl = "{to.url}/T0PSECRET"\n')
    configuration = load(str(tmp_path / "c.toml"), {"alerts_to": tuple[TargetSettings, ...]}, {}, [])
    assert "T0PSECRET" not in str(configuration.resolved())
    assert "T0PSECRET" in configuration.section("alerts_to")[0].url


def test_answers_mean_what_they_say() -> None:
    assert [judged(status, None, 0).outcome for status in (200, 204, 400, 410, 422)] == ["taken"] * 2 + ["refused"] * 3
    assert [judged(status, None, 0).outcome for status in (302, 401, 404, 429, 500, 503)] == ["again"] * 6
    assert judged(429, "30", 0).after_s == 30.0
    assert judged(503, "Thu, 01 Jan 1970 00:00:20 GMT", 5 * SECOND).after_s == 15.0
    assert [judged(503, text, 0).after_s for text in ("soon", "nan", "-5", None)] == [0.0] * 4


def test_waits_are_random_below_a_bound_that_doubles() -> None:
    assert [full_jitter(attempt, 1.0, 10.0, 1.0) for attempt in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert full_jitter(5, 1.0, 10.0, 0.0) == 0.0
    assert full_jitter(10_000, 1.0, 10.0, 0.5) == 5.0


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"secret_file": ""}, "secret_file", "expected a file with the secret of the webhook, got none"),
        ({"secret_file": "/nowhere"}, "secret_file", "/nowhere cannot be read: No such file or directory"),
        ({"url": "ftp://x/T1/B2"}, "url", "expected http:// or https://, got ftp://"),
        ({"url": "http://[::1/T1"}, "url", HOST),
        ({"url": "http://x:99999/T1"}, "url", HOST),
        ({"url": "https:///T1"}, "url", HOST),
        ({"url": "x/T1/B2"}, "url", "expected http:// or https://, got none"),
        ({"severities": ()}, "severities", "expected at least one severity, got none"),
        ({"kind": "slack", "url": ""}, "url", "expected http:// or https://, got a file without"),
        ({"kind": "slack"}, "url", "expected either url or secret_file, got both"),
        ({"kind": "slack", "url": "", "secret_file": ""}, "url", "expected either url or secret_file, got neither"),
    ],
)
def test_a_target_that_cannot_be_is_told_with_its_key(
    tmp_path: Path, more: dict[str, Any], field: str, message: str
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    fields = {"kind": "webhook", "url": "http://x", "secret_file": str(tmp_path / "secret"), **more}
    [issue] = issues([TargetSettings(name="people", **fields)])
    assert (issue.field, issue.message) == (f"alerts_to.0.{field}", f"alerts_to.0.{field}: {message}")


def test_a_secret_that_is_none_is_told_without_being_shown_and_names_are_ones_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("whsec_topsecret")
    one = TargetSettings(name="people", kind="webhook", url="http://x", secret_file=str(tmp_path / "secret"))
    found = issues([one, one])
    assert [issue.field for issue in found] == [
        "alerts_to.0.secret_file",
        "alerts_to.1.name",
        "alerts_to.1.secret_file",
    ]
    assert not any("topsecret" in issue.message for issue in found)


async def test_a_receiver_whose_authority_nobody_knows_is_told_nothing(tmp_path: Path, authority: Authority) -> None:
    tls = authority.server()
    async with receiver(tls=tls) as to, stage(tmp_path, targets=(target(tmp_path, to.url, attempts=1),)) as at:
        raise_alert(at, "a")
        await figures(at, given_up=1, waiting=0)
        assert (await report(at)).detail == "messages do not get through: ConnectError"
    assert to.posted + to.refused == []


async def test_a_receiver_whose_authority_the_user_trusts_is_told(tmp_path: Path, trusted_authority: Authority) -> None:
    tls = trusted_authority.server()
    async with receiver(tls=tls) as to, stage(tmp_path, targets=(target(tmp_path, to.url),)) as at:
        raise_alert(at, "a")
        await figures(at, taken=1, waiting=0)
    assert [body["data"]["title"] for body in bodies(to)] == ["Title of a"]
