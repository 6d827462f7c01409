from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import actors.monitor.capability
import actors.storage.capability
from actors.edge import capability as edge
from actors.edge.edge import GetEdgeAddress
from actors.edge.limits import Limits
from actors.monitor.alerts.rules import RuleSettings
from protocols.alerts import ALERTS_STREAM, ListAlerts, RaiseAlert, ResolveAlert
from protocols.control import Probe, Refused
from protocols.paths import ALERTS, EDGE
from runtime import ChildSpec, KillChild, supervisor
from runtime.clock import SECOND, VirtualClock
from tests.actors.monitor.stage import BEGIN, LIMIT_S, Stage, ask, stage
from tests.actors.signals.channels.kit import until
from tests.actors.storage.kit import afetch

HOT = RuleSettings(name="hot", expression="temperature > 30", cooldown_s=60, description="It is hot", severity="error")


def temperature(at: Stage, value: float) -> None:
    at.metrics.gauge("temperature", "Degrees").set(value)


async def test_a_resolved_alert_fires_again_as_another_alert(tmp_path: Path) -> None:
    async with stage(tmp_path, HOT) as at:
        temperature(at, 35)
        await at.evaluate()
        [first] = await at.active()
        assert (first.title, first.severity, first.source, first.value) == ("hot", "error", "rules", 35.0)
        assert first.description == "It is hot. temperature > 30, now 35"
        temperature(at, 20)
        await at.evaluate()
        assert await at.active() == ()
        temperature(at, 36)
        await at.evaluate()
        assert await at.active() == (), "the cooldown has not passed"
        await at.evaluate(60)
        [second] = await at.active()
        assert second.alert_id != first.alert_id
        remembered = await at.active(active_only=False)
        assert [each.alert_id for each in remembered] == [second.alert_id, first.alert_id]
        assert [(each.alert_id, each.resolved_by) for each in at.heard] == [
            (first.alert_id, ""), (first.alert_id, "rule"), (second.alert_id, ""),
        ]  # fmt: skip


async def test_an_alert_resolved_by_hand_fires_again_after_its_cooldown_if_its_cause_is_still_there(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, HOT) as at:
        temperature(at, 35)
        await at.evaluate()
        [first] = await at.active()
        ended = await at.resolve(first.alert_id)
        assert (ended.resolved_by, ended.ts_resolved) == ("operator", at.clock.now())
        assert await at.resolve(first.alert_id) == ended
        await at.evaluate(30)
        assert await at.active() == ()
        await at.evaluate(30)
        [second] = await at.active()
        assert second.alert_id != first.alert_id
        with pytest.raises(Refused) as refused:
            await at.resolve("nobody")
        assert (refused.value.code, refused.value.field) == ("not_found", "alert_id")


async def test_each_value_of_a_label_fires_and_clears_on_its_own(tmp_path: Path) -> None:
    rule = RuleSettings(name="hot", expression="temperature > 30", by=("room",), cooldown_s=0)
    async with stage(tmp_path, rule) as at:
        rooms = at.metrics.gauge("temperature", "Degrees", ("room",))
        rooms.labels("kitchen").set(40)
        rooms.labels("cellar").set(10)
        await at.evaluate()
        rooms.labels("attic").set(50)
        await at.evaluate()
        assert {each.title for each in await at.active()} == {"hot (room kitchen)", "hot (room attic)"}
        assert (await at.rule("hot", room="cellar")).state == "ok"
        rooms.labels("kitchen").set(20)
        await at.evaluate()
        assert [dict(each.labels) for each in await at.active()] == [{"room": "attic"}]


async def test_a_metric_that_goes_leaves_its_alert_active_and_its_rule_says_why(tmp_path: Path) -> None:
    async with stage(tmp_path, HOT) as at:
        rooms = at.metrics.gauge("temperature", "Degrees", ("room",))
        rooms.labels("kitchen").set(40)
        await at.evaluate()
        rooms.remove("kitchen")
        await at.evaluate()
        view = await at.rule("hot")
        assert (view.state, view.value, view.why) == ("firing", None, "temperature has gone")
        assert len(await at.active()) == 1


async def test_anybody_raises_and_ends_alerts_and_repeats_are_nothing_new(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        ref = at.node.ref(ALERTS)
        for _ in range(3):
            ref.tell(RaiseAlert(key="swap", source="models", title="A model failed", severity="critical"))
        ref.tell(RaiseAlert(key="swap", source="others"))
        assert {(each.title, each.severity) for each in await at.active()} == {
            ("A model failed", "critical"), ("swap", "warning"),
        }  # fmt: skip
        assert [each.source for each in await at.active(severity="critical")] == ["models"]
        ref.tell(RaiseAlert(key="swap", source="models", resolve=True))
        ref.tell(RaiseAlert(key="never", source="models", resolve=True))
        assert [each.source for each in await at.active()] == ["others"]
        await at.settle()
        assert len(at.heard) == 3
        text = at.metrics.render().decode()
        assert 'alerts_active{severity="warning"} 1.0' in text
        assert 'alerts_active{severity="critical"} 0.0' in text
        with pytest.raises(Refused):
            await ref.ask(RaiseAlert(key="x", source="rules"), LIMIT_S)  # type: ignore[type-var]


def storage(url: str) -> ChildSpec:
    migrations = [actors.storage.capability.OWN_MIGRATIONS, actors.monitor.capability.migrations]
    writer = {"url": url, "migrations": migrations, "migrate": False, "batch_rows": 100, "batch_bytes": 1 << 20}
    return supervisor(
        "storage",
        ChildSpec("writer", "actors.storage.writer:Writer", {**writer, "interval_s": 0.02}),
        ChildSpec("queries", "actors.storage.queries:Queries", {"url": url}),
    )


async def restored(at: Stage) -> None:
    async def done() -> bool:
        return bool(dict((await at.node.ref(ALERTS).ask(Probe(), LIMIT_S)).figures)["restored"])

    await until(done, "what was active before")


@pytest.mark.parametrize("how", ["node", "actor"])
async def test_active_alerts_are_there_again_after_a_restart_and_their_rules_still_end_them(
    tmp_path: Path, database: str, how: str
) -> None:
    clock = VirtualClock(BEGIN)
    gone = RuleSettings(name="gone", expression="temperature > 10")
    async with stage(tmp_path, HOT, gone, others=(storage(database),), clock=clock) as at:
        await restored(at)
        temperature(at, 35)
        await at.evaluate()
        at.node.ref(ALERTS).tell(RaiseAlert(key="a", source="tests", labels=(("model", "bull"),), value=1.5))
        at.node.ref(ALERTS).tell(RaiseAlert(key="b", source="tests"))
        at.node.ref(ALERTS).tell(RaiseAlert(key="b", source="tests", resolve=True))
        before = await at.active(active_only=False)
        assert len(before) == 4
        if how == "actor":
            await at.node.ref("/").ask(KillChild("alerts"))
            await restored(at)
            assert await at.active(active_only=False) == before
            await at.evaluate()
            assert await at.active(active_only=False) == before
            return
    async with stage(tmp_path, HOT, others=(storage(database),), clock=clock) as at:
        await restored(at)
        now = await at.active(active_only=False)
        assert {each.alert_id for each in now} == {each.alert_id for each in before}
        assert {each.key: each.resolved_by for each in now} == {
            "hot": "",
            "a": "",
            "b": "tests",
            "gone": "rule removed",
        }
        temperature(at, 35)
        await at.evaluate()
        assert (await at.rule("hot")).state == "firing"
        temperature(at, 20)
        await at.evaluate()
        assert [each.key for each in await at.active()] == ["a"]
        last = at.node.require_log().last_seq(ALERTS_STREAM)
        assert last == 7

        async def stored() -> list[Any]:
            rows = await afetch(database, "SELECT seq, alert_id, resolved FROM alerts ORDER BY seq")
            return rows if len(rows) >= last else []

        rows = await until(stored, "the rows")
        hot = next(each.alert_id for each in before if each.key == "hot")
        assert rows[-1] == (last, hot, True)


async def test_the_cooldown_of_a_rule_outlasts_a_crash(tmp_path: Path, database: str) -> None:
    async with stage(tmp_path, HOT, others=(storage(database),)) as at:
        await restored(at)
        temperature(at, 35)
        await at.evaluate()
        temperature(at, 20)
        await at.evaluate()
        await at.node.ref("/").ask(KillChild("alerts"))
        await restored(at)
        temperature(at, 36)
        await at.evaluate(59)
        assert await at.active() == ()
        await at.evaluate(1)
        assert [each.value for each in await at.active()] == [36.0]


async def test_without_a_database_rules_wait_a_moment_for_what_was_and_are_then_evaluated(tmp_path: Path) -> None:
    clock = VirtualClock(BEGIN)
    async with stage(tmp_path, HOT, clock=clock) as at:
        temperature(at, 35)
        await at.evaluate()
        assert len(await at.active()) == 1
    async with stage(tmp_path, HOT, clock=clock) as at:
        temperature(at, 35)
        await at.evaluate(5)
        assert await at.active() == ()
        await at.evaluate(5)
        assert len(await at.active()) == 1


async def test_alerts_and_rules_over_http(tmp_path: Path) -> None:
    arguments = {
        "settings": edge.Settings(port=0, limits=Limits()),
        "routes": ("actors.monitor.alerts.part:routes", "actors.decisions.serving.routes:routes"),
    }  # fmt: skip
    others = (ChildSpec("edge", "actors.edge.edge:Edge", arguments),)
    async with stage(tmp_path, HOT, others=others) as at:
        port = (await at.node.ref(EDGE).ask(GetEdgeAddress())).port
        token = (tmp_path / "token").read_text().strip()
        empty = {"alerts": [], "total_count": 0, "success": True, "data": {"alerts": [], "total": 0}}
        assert await ask(port, "GET", "/api/v1/alerts") == (200, empty)
        temperature(at, 35)
        await at.evaluate()
        at.node.ref(ALERTS).tell(RaiseAlert(key="k", source="tests", severity="info"))
        status, body = await ask(port, "GET", "/api/v1/alerts?severity=error")
        assert (status, body["total_count"]) == (200, 1)
        [found] = body["alerts"]
        assert set(found) == {
            "id", "title", "description", "severity", "timestamp", "source", "metadata", "resolved", "resolved_at",
        }  # fmt: skip
        assert (found["timestamp"], found["resolved"], found["resolved_at"]) == (
            "2025-06-15T15:06:55.000000Z", False, None,
        )  # fmt: skip
        assert found["metadata"] == {"rule": "hot", "value": 35.0}
        [named] = (await ask(port, "GET", "/api/v1/alerts?hours_back=24&severity=high"))[1]["data"]["alerts"]
        assert (named["alert_id"], named["name"], named["severity"]) == (found["id"], "hot", "error")
        assert (named["trigger_count"], named["message"]) == (1, found["description"])
        _, everything = await ask(port, "GET", "/api/v1/alerts")
        _, dashboard = await ask(port, "GET", "/api/v1/metrics/dashboard")
        assert dashboard["alerts"] == everything["alerts"]
        path = f"/api/v1/alerts/{found['id']}/resolve"
        assert (await ask(port, "POST", path))[0] == 401
        assert await ask(port, "POST", path, token) == (200, {"status": "resolved", "alert_id": found["id"]})
        assert (await ask(port, "POST", "/api/v1/alerts/nobody/resolve", token))[0] == 404
        status, body = await ask(port, "GET", "/api/v1/alerts?severity=loud")
        assert (status, body["error"]["field"], body["success"]) == (400, "severity", False)
        assert (await ask(port, "GET", "/api/v1/alerts"))[1]["total_count"] == 1
        status, body = await ask(port, "GET", "/api/v1/alerts?active_only=false&limit=1")
        assert (len(body["alerts"]), body["total_count"]) == (1, 2)
        status, body = await ask(port, "GET", "/api/v1/alerts/rules")
        [rule] = body["rules"]
        assert (rule["name"], rule["state"], rule["value"], rule["why"]) == ("hot", "ok", 35.0, None)


async def test_asking_while_many_alerts_are_active_answers_no_more_than_was_asked_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        for number in range(1100):
            at.clock.advance(SECOND)
            at.node.ref(ALERTS).tell(RaiseAlert(key=str(number), source="tests"))
        found = await at.node.ref(ALERTS).ask(ListAlerts(limit=3), LIMIT_S)
        assert (len(found.alerts), found.total) == (3, 1000)
        assert [each.key for each in found.alerts] == ["999", "998", "997"]
        figures = dict((await at.node.ref(ALERTS).ask(Probe(), LIMIT_S)).figures)
        assert figures["not_taken"] == 100
        await at.node.ref(ALERTS).ask(ResolveAlert(alert_id=found.alerts[0].alert_id), LIMIT_S)
        at.node.ref(ALERTS).tell(RaiseAlert(key="late", source="tests"))
        assert [each.key for each in (await at.active(limit=1))] == ["late"]
