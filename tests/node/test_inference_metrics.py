"""`GET /health/metrics` has the inference service's names, and they say what has happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.node.kit import NodeProcess, until
from tests.node.subscriber import subscribed
from tests.node.test_runs_survive import CONFIGURATION, started

NAMES = [
    "uptime_seconds",
    "info",
    "http_requests_total",
    "http_request_duration_seconds",
    "strategies_active",
    "strategy_executions_total",
    "strategy_execution_duration_seconds",
    "signals_generated_total",
    "signals_distributed_total",
    "signal_confidence",
    "market_data_requests_total",
    "market_data_latency_seconds",
    "websocket_connections",
    "websocket_messages_sent_total",
    "errors_total",
    "memory_usage_bytes",
    "cpu_usage_percent",
    "database_connections",
    "database_queries_total",
    "database_query_duration_seconds",
    "cache_hits_total",
    "cache_misses_total",
]
CHANNEL = """
[[channels]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:9/"
secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a short name."""
    return tmp_path_factory.mktemp("n")


@pytest.mark.long
async def test_all_names_are_there_and_say_what_has_happened(folder: Path) -> None:
    with NodeProcess(folder, CONFIGURATION + CHANNEL) as node:
        await node.ready()
        name = await started(node, "Counted")

        async def values() -> dict[tuple[str, str], float]:
            text = (await node.client.get("/health/metrics")).text
            families = list(text_string_to_metric_families(text))
            shown = {f"inference_service_{each}".removesuffix("_total") for each in NAMES}
            assert {family.name for family in families} == shown
            return {
                (sample.name.removeprefix("inference_service_"), ",".join(sample.labels.values())): sample.value
                for family in families
                for sample in family.samples
            }

        async def signalled() -> dict[tuple[str, str], float] | None:
            found = await values()
            enough = found.get(("signals_generated_total", "BUY"), 0) >= 2
            return found if enough and found["websocket_messages_sent_total", ""] >= 2 else None

        async with subscribed(node.port):
            found = await until(signalled, "two signals")
            assert found["websocket_connections", ""] == 1
        assert found["strategies_active", ""] == 1
        assert found["strategy_executions_total", f"done,{name}"] >= 2
        assert found["strategy_execution_duration_seconds_count", ""] >= 2
        assert found["signal_confidence_bucket", "0.9"] == found["signal_confidence_count", ""]
        assert found["signal_confidence_bucket", "0.8"] == 0
        assert found["http_requests_total", "/api/strategies/start,POST,answered"] == 1
        assert found["http_request_duration_seconds_count", "/api/strategies/start,POST"] == 1
        assert found["memory_usage_bytes", ""] > 10_000_000
        assert 0 < found["uptime_seconds", ""] < 120
