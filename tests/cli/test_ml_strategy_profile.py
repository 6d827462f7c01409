"""The strategy service's environment: each variable acts at one key, or says why not."""

from __future__ import annotations

from typing import Any

import pytest

from actors import node as troupe
from actors.cli.profiles import PROFILES, environment, explained, translate
from actors.cli.report import CommandError
from runtime.settings import Configuration, ConfigurationError, load

PROFILE = PROFILES["ml-strategy"]
ACTS: dict[str, tuple[str, str, Any]] = {
    "HOST": ("::1", "edge.host", "::1"),
    "PORT": ("8005", "edge.port", 8005),
    "ALLOWED_ORIGINS": ("http://localhost:3000, http://a:1", "edge.origins", ["http://localhost:3000", "http://a:1"]),
    "DATABASE_URL": ("postgresql+asyncpg://u@one/ai", "database.url", "postgresql://u@one/ai"),
    "DATABASE_POOL_SIZE": ("20", "database.connections", 20),
    "KAFKA_BOOTSTRAP_SERVERS": ("one:9092", "channels.0.url", "one:9092"),
    "CODE_EXECUTION_TIMEOUT": ("300", "sandbox.call_s", 300.0),
    "MAX_DATASET_SIZE_MB": ("2", "datasets.max_upload_bytes", 2 * 1024 * 1024),
    "PAPER_TRADING_INITIAL_CAPITAL": ("50000.5", "execution.paper_capital", "50000.5"),
    "PAPER_TRADING_MAX_POSITIONS": ("7", "execution.paper_max_positions", 7),
    "LOG_LEVEL": ("WARNING", "telemetry.level", "warning"),
    "DEBUG": ("true", "telemetry.level", "debug"),
}


def configured(**environ: str) -> Configuration:
    return load("config/ml-strategy.toml", troupe.sections(), environment(PROFILE, environ), [])


def values(configuration: Configuration) -> dict[str, Any]:
    return {setting.key: setting.value for setting in configuration.settings()}


def told(**environ: str) -> dict[str, tuple[str, str]]:
    return {old: (ours, became) for old, ours, became in explained(PROFILE, environ)}


def test_each_variable_arrives_at_its_key() -> None:
    before = values(configured())
    for name, (text, key, value) in ACTS.items():
        after = values(configured(**{name: text}))
        assert after[key] == value, name
        assert before.get(key) != value, name


def test_every_other_variable_says_why_it_has_no_effect() -> None:
    others = {each.name for each in PROFILE.variables} - set(ACTS)
    rows = told(**dict.fromkeys(others, "secret"))
    for name in others:
        assert rows[name][0] == "—", name
        assert rows[name][1].startswith("no effect: ")
        assert "secret" not in rows[name][1]


def test_the_service_s_own_figures_are_there_without_variables() -> None:
    found = values(configured())
    assert (found["edge.host"], found["edge.port"]) == ("127.0.0.1", 8002)
    assert (found["execution.paper_capital"], found["execution.paper_max_positions"]) == ("100000", 20)
    assert found["datasets.max_upload_bytes"] == 1024 * 1024 * 1024
    assert found["channels"] == []


def test_origins_may_be_a_list_of_json_too() -> None:
    assert values(configured(ALLOWED_ORIGINS='["http://a:1"]'))["edge.origins"] == ["http://a:1"]


def test_what_cannot_be_read_names_the_variable_and_shows_no_password() -> None:
    for name, text in (("MAX_DATASET_SIZE_MB", "big"), ("DATABASE_URL", "mysql://u:hidden@one/ai"),
                       ("ALLOWED_ORIGINS", "[oops")):  # fmt: skip
        with pytest.raises(CommandError) as error:
            translate(PROFILE, {name: text})
        assert f"the variable {name}" in str(error.value)
        assert "hidden" not in str(error.value)
    with pytest.raises(ConfigurationError, match="paper_capital"):
        configured(PAPER_TRADING_INITIAL_CAPITAL="-5")
