"""A node with the alerts, on a clock that the test moves; its metrics are moved by the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from actors.monitor.alerts.actor import Evaluate
from actors.monitor.alerts.part import specs
from actors.monitor.alerts.rules import RuleSettings
from actors.monitor.alerts.settings import AlertingSettings, TargetSettings
from protocols.alerts import Alert, AlertChanged, ListAlerts, ListRules, ResolveAlert, RuleView
from protocols.paths import ALERTS
from runtime import Actor, ChildSpec, Node, NodeSettings, open_node, receive
from runtime.clock import SECOND, VirtualClock
from runtime.log import open_log
from runtime.metrics import Metrics
from tests.http_client import http_client

LIMIT_S = 20.0
NEVER_S = 600.0
"""Between two evaluations of a node's own: in a test they come when they are asked for."""
BEGIN = 1_750_000_000 * SECOND


class Listening(Actor):
    """Keeps what is told of alerts."""

    heard: list[Alert]

    def on_start(self) -> None:
        self.node.heard = []  # type: ignore[attr-defined]
        self.subscribe(AlertChanged)

    @receive
    def changed(self, message: AlertChanged) -> None:
        self.node.heard.append(message.alert)  # type: ignore[attr-defined]


class Stage:
    def __init__(self, node: Node, clock: VirtualClock) -> None:
        self.node = node
        self.clock = clock

    @property
    def metrics(self) -> Metrics:
        return self.node.metrics

    @property
    def heard(self) -> list[Alert]:
        found: list[Alert] = self.node.heard  # type: ignore[attr-defined]
        return found

    async def evaluate(self, after_s: float = 15.0) -> None:
        """Let time pass, and evaluate."""
        self.clock.advance(int(after_s * SECOND))
        await self.node.ref(ALERTS).ask(Evaluate(), LIMIT_S)
        await self.settle()

    async def settle(self) -> None:
        """Wait until everybody has handled what was told."""
        await trio.testing.wait_all_tasks_blocked()

    async def rule(self, name: str, **labels: str) -> RuleView:
        found = await self.node.ref(ALERTS).ask(ListRules(), LIMIT_S)
        return next(each for each in found.rules if each.name == name and labels.items() <= dict(each.labels).items())

    async def active(self, **more: Any) -> tuple[Alert, ...]:
        return (await self.node.ref(ALERTS).ask(ListAlerts(**more), LIMIT_S)).alerts

    async def resolve(self, alert_id: str) -> Alert:
        return await self.node.ref(ALERTS).ask(ResolveAlert(alert_id=alert_id), LIMIT_S)


@asynccontextmanager
async def stage(
    folder: Path,
    *rules: RuleSettings,
    targets: tuple[TargetSettings, ...] = (),
    others: tuple[ChildSpec, ...] = (),
    clock: VirtualClock | None = None,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """A node in this folder; another one in the same folder goes on where it was."""
    clock = clock or VirtualClock(BEGIN)
    settings = {"interval_s": NEVER_S, "default_rules": False, **settings}
    listening = ChildSpec("listening", Listening)
    children = (*others, listening, *specs(AlertingSettings(**settings), rules, targets))
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        with trio.fail_after(LIMIT_S * 2):
            node_settings = NodeSettings(data_dir=str(folder))
            async with open_node(node_settings, children, log=log, clock=clock) as node:
                yield Stage(node, clock)
    finally:
        log.close()


async def ask(
    port: int, method: str, path: str, token: str = "", body: dict[str, Any] | None = None
) -> tuple[int, Any]:
    """The status and the body that a node's edge answers."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    content = None if body is None else json.dumps(body)
    async with http_client(timeout=LIMIT_S) as client:
        answer = await client.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, content=content)
        return answer.status_code, answer.json()
