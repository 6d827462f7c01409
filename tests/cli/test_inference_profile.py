"""The inference service's environment: each variable acts at one key, or says why not; and a node runs by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors import node as troupe
from actors.cli.__main__ import main
from actors.cli.profiles import PROFILES, environment, explained, translate
from actors.cli.report import CommandError
from runtime.settings import Configuration, ConfigurationError, load
from tests.node.kit import NodeProcess, until

INFERENCE = PROFILES["inference"]
ACTS: dict[str, tuple[str, str, Any]] = {
    "HOST": ("::1", "edge.host", "::1"),
    "SERVICE_PORT": ("8003", "edge.port", 8003),
    "AI_ML_DATABASE_URL": ("postgresql+asyncpg://reader@one/ai", "library.ai_ml_url", "postgresql://reader@one/ai"),
    "NO_CODE_DATABASE_URL": ("postgresql://reader@two/draw", "library.no_code_url", "postgresql://reader@two/draw"),
    "REDIS_URL": ("redis://cache:6379/0", "channels.0.url", "redis://cache:6379/0"),
    "KAFKA_BOOTSTRAP_SERVERS": ("one:9092, two:9092", "channels.0.url", "one:9092,two:9092"),
    "USE_MOCK_MARKET_DATA": ("true", "feeds.0.venue", "simulated"),
    "MAX_CONCURRENT_STRATEGIES": ("25", "runs.max_concurrent", 25),
    "STRATEGY_EXECUTION_TIMEOUT": ("30", "sandbox.call_s", 30.0),
    "MAX_STRATEGY_MEMORY_MB": ("512", "sandbox.memory_mb", 512),
    "SIGNAL_COOLDOWN_SECONDS": ("90", "runs.signal_cooldown_s", 90.0),
    "CACHE_TTL_SECONDS": ("120", "library.cache_s", 120.0),
    "MAX_CACHE_SIZE": ("500", "library.cache_entries", 500),
    "ENABLE_TEST_ENDPOINTS": ("True", "signals.test_endpoints", True),
    "MAX_WEBSOCKET_CONNECTIONS": ("77", "signals.max_subscribers", 77),
    "WEBSOCKET_PING_INTERVAL": ("15", "edge.limits.websocket_ping_s", 15.0),
    "WEBSOCKET_MAX_MESSAGE_SIZE": ("2097152", "edge.limits.websocket_message_bytes", 2_097_152),
    "LOG_LEVEL": ("WARNING", "telemetry.level", "warning"),
}
NO_EFFECT = {
    "POLYGON_API_KEY",
    "ALPHA_VANTAGE_API_KEY",
    "IEX_CLOUD_API_KEY",
    "JWT_SECRET_KEY",
    "RATE_LIMIT_PER_MINUTE",
}


def configured(**environ: str) -> Configuration:
    return load("config/inference.toml", troupe.sections(), environment(INFERENCE, environ), [])


def values(configuration: Configuration) -> dict[str, Any]:
    return {setting.key: setting.value for setting in configuration.settings()}


def told(**environ: str) -> dict[str, tuple[str, str]]:
    return {old: (ours, became) for old, ours, became in explained(INFERENCE, environ)}


@pytest.mark.parametrize("name", sorted(ACTS))
def test_a_variable_arrives_at_its_key(name: str) -> None:
    text, key, value = ACTS[name]
    before, after = values(configured()), values(configured(**{name: text}))
    assert after[key] == value
    assert before.get(key) != value
    [variable] = [each for each in INFERENCE.variables if each.name == name]
    assert variable.key is not None
    assert key.startswith(variable.key)
    assert told(**{name: text})[name][1] == variable.note


def test_every_variable_of_the_service_is_known_and_acts_or_says_why_not() -> None:
    assert {each.name for each in INFERENCE.variables} == set(ACTS) | NO_EFFECT
    rows = told(**dict.fromkeys(NO_EFFECT, "secret"))
    for name in NO_EFFECT:
        ours, became = rows[name]
        assert ours == "—"
        assert became.startswith("no effect: ")
        assert "secret" not in became
    assert environment(INFERENCE, dict.fromkeys(NO_EFFECT, "secret")) == dict.fromkeys(NO_EFFECT, "secret")


def test_what_the_service_had_without_variables_is_there() -> None:
    found = values(configured())
    assert (found["edge.host"], found["edge.port"]) == ("127.0.0.1", 8002)
    assert (found["runs.max_concurrent"], found["runs.signal_cooldown_s"]) == (10, 60.0)
    assert (found["sandbox.memory_mb"], found["library.cache_s"]) == (256, 300.0)
    assert (found["signals.max_subscribers"], found["signals.test_endpoints"]) == (1000, False)
    assert found["channels"] == []
    assert found["library.folder"].endswith("/config/strategies")


@pytest.mark.parametrize("mock", ["true", "false"])
def test_the_tree_of_the_profile_has_providers_of_both_symbols(mock: str) -> None:
    configuration = configured(USE_MOCK_MARKET_DATA=mock)
    [market] = [each for each in troupe.children(configuration) if each.name == "market"]
    assert market.supervisor is not None
    [providers] = [each for each in market.supervisor.children if each.name == "providers"]
    assert [each["symbol"] for each in providers.arguments["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    followed = {market: feed["feed"] for feed in providers.arguments["feeds"] for market in feed["markets"]}
    first = {each["sources"][0]["market"] for each in providers.arguments["symbols"]}
    assert {followed[market] for market in first} == {"simulated" if mock == "true" else "binance"}
    every = {source["market"] for each in providers.arguments["symbols"] for source in each["sources"]}
    assert mock == "true" or every == set(followed)


def test_redis_and_kafka_are_one_key_and_both_are_told_as_used() -> None:
    environ = {"REDIS_URL": "redis://cache:6379/0", "KAFKA_BOOTSTRAP_SERVERS": "queue:9092"}
    channels = configured(**environ).section("channels")
    assert [(each.name, each.kind, each.url) for each in channels] == [
        ("redis", "redis", "redis://cache:6379/0"),
        ("kafka", "kafka", "queue:9092"),
    ]
    assert {each.distributor for each in channels} == {"inference-service"}
    rows = told(**environ)
    assert [rows[name][0] for name in environ] == ["TROUPE__CHANNELS"] * 2
    assert not any(rows[name][1].startswith("set, not used") for name in environ)
    assert told(REDIS_URL=environ["REDIS_URL"])["KAFKA_BOOTSTRAP_SERVERS"][1].startswith("not set")


@pytest.mark.parametrize("word", ['p"q', "p\\q", "p\nq", "pass wörd", "p🔑q", "p\x7fq"])
def test_a_password_of_any_characters_arrives_as_it_is(word: str) -> None:
    [channel] = configured(REDIS_URL=f"redis://:{word}@cache:6379/0").section("channels")
    assert channel.url == f"redis://:{word}@cache:6379/0"


def test_what_one_channel_cannot_be_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="the channel 'redis': expected a url that begins with redis://"):
        configured(REDIS_URL="cache:6379")
    with pytest.raises(ConfigurationError, match="the channel 'kafka': expected url as host:port,host:port"):
        configured(KAFKA_BOOTSTRAP_SERVERS="queue")


def test_our_own_variable_wins_and_the_conflict_is_told() -> None:
    environ = {"SERVICE_PORT": "9000", "TROUPE__EDGE__PORT": "9001"}
    assert values(configured(**environ))["edge.port"] == 9001
    assert told(**environ)["SERVICE_PORT"] == (
        "TROUPE__EDGE__PORT",
        "set, not used: TROUPE__EDGE__PORT is set, too",
    )
    one = {"REDIS_URL": "redis://cache:6379/0", "TROUPE__CHANNELS__REDIS__PREFIX": "old:"}
    [channel] = configured(**one).section("channels")
    assert (channel.url, channel.prefix) == ("redis://cache:6379/0", "old:")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("USE_MOCK_MARKET_DATA", "maybe", "expected true or false, got 'maybe'"),
        ("ENABLE_TEST_ENDPOINTS", "2", "expected true or false, got '2'"),
        ("AI_ML_DATABASE_URL", "mysql://u:hidden@one/ai", "expected postgresql://"),
    ],
)
def test_a_text_that_cannot_be_read_names_the_variable_and_shows_no_password(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(CommandError) as error:
        translate(INFERENCE, {name: text})
    assert f"the variable {name}: {expected}" in str(error.value)
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize("word", ["false", "0", "off", ""])
def test_a_switch_that_is_off_is_the_service_without_it(word: str) -> None:
    found = values(configured(USE_MOCK_MARKET_DATA=word, ENABLE_TEST_ENDPOINTS=word))
    assert (found["feeds.0.venue"], found["signals.test_endpoints"]) == ("binance", False)


@pytest.mark.parametrize("options", [["--explain"], ["--explain", "--json"], []])
def test_the_configuration_is_shown_without_passwords(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "AI_ML_DATABASE_URL": "postgresql+asyncpg://reader:hidden1@one/ai",
        "NO_CODE_DATABASE_URL": "postgresql://reader:hidden2@two/draw",
        "REDIS_URL": "redis://:hidden3@cache:6379/0",
        "KAFKA_BOOTSTRAP_SERVERS": "queue:9092",
        "JWT_SECRET_KEY": "hidden4",
        "POLYGON_API_KEY": "hidden5",
    }.items():
        monkeypatch.setenv(name, text)
    assert main(["config", "--profile", "inference", *options]) == 0
    said = capsys.readouterr()
    assert "postgresql://reader:***@one/ai" in said.out
    assert "redis://:***@cache:6379/0" in said.out
    assert "hidden" not in said.out + said.err


# A node.

REQUEST = {
    "strategy_id": "follow",
    "source": "folder",
    "symbols": ["BTCUSDT"],
    "timeframe": "1s",
    "parameters": {"period": 2},
    "configuration": {"max_risk_threshold": 1},
}


def by_the_profile(folder: Path, *arguments: str) -> NodeProcess:
    node = NodeProcess(folder)
    node.arguments = ["-m", "actors.cli", "run", "--profile", "inference", "--data-dir", str(node.data), *arguments]
    return node


@pytest.mark.long
async def test_a_node_runs_by_the_profile_and_what_is_made_of_mock_data_is_marked_synthetic(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_MOCK_MARKET_DATA", "true")
    monkeypatch.setenv("SERVICE_PORT", "0")
    monkeypatch.setenv("SIGNAL_COOLDOWN_SECONDS", "0")
    with by_the_profile(tmp_path_factory.mktemp("n")) as node:
        await node.ready()
        await node.ready_again()
        started = await node.client.post("/api/strategies/start", json=REQUEST)
        assert started.status_code == 200, started.text

        async def signals() -> Any:
            found = (await node.get("/api/signals/list?strategy_ids=follow"))["signals"]
            return found if len(found) >= 2 else None  # the cooldown of 60 s would let one of a kind pass

        for signal in await until(signals, "two signals"):
            assert signal["marks"] == ["synthetic"]
            assert (signal["symbol"], signal["exchange"]) == ("BTCUSDT", "simulated")
        status = await node.get("/api/strategies/follow/status")
        assert status["figures"]["gate_cooldown"] == 0
        known = await node.get("/health/status")
        assert known["components"]["providers"]["status"] == "ok"


async def test_a_host_beyond_loopback_without_authentication_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_MOCK_MARKET_DATA", "true")
    monkeypatch.setenv("SERVICE_PORT", "0")
    monkeypatch.setenv("HOST", "0.0.0.0")
    with by_the_profile(tmp_path_factory.mktemp("n")) as node:
        assert await node.ended() != 0
        assert "authentication" in node.log
        assert node.out == ""


def test_the_page_of_variables_is_in_the_explanation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--profile", "inference", "--explain", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["variables"]
    assert {row["old"] for row in rows} == set(ACTS) | NO_EFFECT
