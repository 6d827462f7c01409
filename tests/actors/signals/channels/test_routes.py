from __future__ import annotations

from pathlib import Path

import actors.edge.capability
from actors.edge.edge import GetEdgeAddress
from protocols.paths import EDGE
from runtime import ChildSpec
from tests.actors.signals.channels.kit import desk, receiver, settings
from tests.actors.signals.samples import signal
from tests.http_client import http_client

ROUTES = ("actors.signals.channels.routes:routes",)


def edge() -> ChildSpec:
    arguments = {"settings": actors.edge.capability.Settings(port=0), "routes": ROUTES}
    return ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments=arguments)


async def test_http_shows_how_channels_are_and_has_them_tried_again(tmp_path: Path) -> None:
    async with receiver() as to:
        to.answer = lambda posted: (400 if b'"sig_2"' in posted.body else 200, {})
        channels = (settings("hook", "webhook", to.url), settings("other", "webhook", to.url))
        async with desk(tmp_path, *channels, others=(edge(),)) as at:
            address = await at.node.ref(EDGE).ask(GetEdgeAddress())
            token = (tmp_path / "token").read_text().strip()
            async with http_client(base_url=address.url()) as http:
                await at.delivered("hook")
                await at.submit(signal(1), signal(2), signal(3))
                await at.delivered("hook")
                hook, other = (await http.get("/api/signals/channels")).json()["channels"]
                assert (hook["name"], hook["kind"], hook["state"], other["name"]) == (
                    "hook",
                    "webhook",
                    "idle",
                    "other",
                )
                assert hook["position"] == {"signals": 3, "updates": 0}
                assert (hook["behind"], hook["delivered"], hook["left_out"], hook["breaker"]) == (0, 2, 1, "closed")
                [left_out] = hook["undelivered"]
                assert (left_out["signal_id"], left_out["stream"], left_out["seq"]) == ("sig_2", "signals", 2)
                assert hook["last_delivery"].endswith("Z")

                to.answer = lambda posted: (410, {})
                await at.submit(signal(4))
                await at.viewed("hook", lambda view: view.state == "stopped", "the stop")
                to.answer = lambda posted: (200, {})
                path = "/api/signals/channels/hook/retry"
                assert (await http.post(path, json={})).status_code == 401
                http.headers["authorization"] = f"Bearer {token}"
                assert (await http.post(path, json={})).json() == {"name": "hook"}
                await at.delivered("hook")
                unknown = await http.post("/api/signals/channels/none/retry", json={})
                assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


async def test_without_channels_there_is_an_empty_list(tmp_path: Path) -> None:
    async with desk(tmp_path, others=(edge(),)) as at:
        address = await at.node.ref(EDGE).ask(GetEdgeAddress())
        async with http_client(base_url=address.url()) as http:
            assert (await http.get("/api/signals/channels")).json() == {"channels": []}
