"""The threshold service's environment and its file: each variable acts at one key, or says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors import node as troupe
from actors.cli.profiles import PROFILES, environment, explained, translate
from actors.cli.report import CommandError
from runtime.settings import Configuration, ConfigurationError, load

PROFILE = PROFILES["threshold"]
GUARD = "thresholds.learning.safeguards"
ACTS: dict[str, tuple[str, str, Any]] = {
    "HOST": ("::1", "edge.host", "::1"),
    "PORT": ("5001", "edge.port", 5001),
    "LOG_LEVEL": ("WARN", "telemetry.level", "warning"),
    "DEBUG": ("true", "telemetry.level", "debug"),
    "ENABLE_JSON_LOGGING": ("true", "telemetry.format", "json"),
    "DATABASE_URL": ("postgresql+psycopg2://u@one/db", "database.url", "postgresql://u@one/db"),
    "DB_POOL_SIZE": ("10", "database.connections", 10),
    "ADAPTATION_PERFORMANCE_WINDOW": ("50", "threshold_outcomes.window_trades", 50),
    "ADAPTATION_MIN_TRADES": ("20", "threshold_outcomes.min_trades", 20),
    "ADAPTATION_FREQUENCY_HOURS": ("12", f"{GUARD}.cycle_h", 12.0),
    "ADAPTATION_COOLDOWN_HOURS": ("24", f"{GUARD}.cooldown_h", 24.0),
    "MAX_ADAPTATION_PER_CYCLE": ("0.05", f"{GUARD}.max_change", 0.05),
    "MIN_ADAPTATION_THRESHOLD": ("0.01", f"{GUARD}.min_change", 0.01),
    "WEIGHT_SHARPE_RATIO": ("0.3", "threshold_outcomes.weights.sharpe", 0.3),
    "WEIGHT_MAX_DRAWDOWN": ("-0.2", "threshold_outcomes.weights.max_drawdown", 0.2),
    "ADMIN_API_KEY": ("of-my-own", "threshold_api.admin_key", "***"),
    "CORS_ORIGINS": ("http://a:1, http://b:2", "edge.origins", ["http://a:1", "http://b:2"]),
    "ENABLE_RATE_LIMITING": ("false", "threshold_api.requests_per_minute", 0),
    "RATE_LIMIT_PER_MINUTE": ("600", "threshold_api.requests_per_minute", 600),
    "MAX_REQUEST_SIZE": ("4096", "edge.limits.body_bytes", 4096),
    "REQUEST_TIMEOUT": ("5", "edge.limits.request_s", 5.0),
    "ALERT_POOR_PERFORMANCE_THRESHOLD": ("0.3", "threshold_outcomes.poor_below", 0.3),
    "CACHE_DEFAULT_TTL": ("60", "thresholds.redis_ttl_s", 60.0),
    "MEMORY_CACHE_SIZE": ("1000", "thresholds.cache_entries", 1000),
}
SAMPLE: dict[str, Any] = {
    "environment": "development",
    "debug": True,
    "host": "127.0.0.1",
    "port": 5000,
    "database": {"url": "postgresql://u:p@localhost:5432/trading_bot", "pool_size": 10, "echo": False},
    "adaptation": {
        "default_learning_rate": 0.01,
        "performance_window": 100,
        "rsi_bounds": [55.0, 85.0],
        "volume_bounds": [100000000, 10000000000],
        "default_parameters": {"rsi_threshold": 72.0, "confidence_threshold": 0.75, "macd_threshold": 0.0},
        "performance_weights": {"total_return": 0.3, "volatility": -0.1},
        "max_adaptation_per_cycle": 0.1,
    },
    "logging": {"level": "INFO", "sentry_dsn": None},
    "security": {"admin_api_key": "mine", "cors_origins": ["http://localhost:3000"], "rate_limit_per_minute": 90},
    "monitoring": {"alert_poor_performance_threshold": 0.25, "slack_webhook_url": None},
    "cache": {"enable_redis": True, "redis_url": "redis://localhost:6379/3", "default_ttl": 3600},
}


@pytest.fixture(scope="module")
def sections() -> dict[str, Any]:
    return dict(troupe.sections())


def configured(sections: dict[str, Any], **environ: str) -> Configuration:
    return load("config/threshold.toml", sections, environment(PROFILE, environ), [])


def values(configuration: Configuration) -> dict[str, Any]:
    return {setting.key: setting.value for setting in configuration.settings()}


@pytest.mark.parametrize("name", sorted(ACTS))
def test_a_variable_arrives_at_its_key(name: str, sections: dict[str, Any]) -> None:
    text, key, value = ACTS[name]
    found = configured(sections, **{name: text})
    assert values(found)[key] == value
    assert values(configured(sections)).get(key) != value or value == "***"
    if value == "***":
        assert found.section("threshold_api").admin_key == text


def test_every_variable_acts_or_says_why_not() -> None:
    others = {"REDIS_URL", "ENABLE_REDIS_CACHE", "SLACK_WEBHOOK_URL", "ML_SERVICE_CONFIG_FILE"}
    for variable in PROFILE.variables:
        if variable.key is not None and variable.key != "thresholds.parameters":
            assert variable.name in {*ACTS, *others} or variable.name.startswith("WEIGHT_")
    rows = {old: became for old, _, became in explained(PROFILE, {"WORKERS": "4", "SENTRY_DSN": "https://secret"})}
    assert rows["WORKERS"] == "no effect: one process serves: its actors share the work"
    assert "secret" not in rows["SENTRY_DSN"]


def test_bounds_and_defaults_of_a_parameter_come_together(sections: dict[str, Any]) -> None:
    found = configured(sections, RSI_MIN_THRESHOLD="60", RSI_MAX_THRESHOLD="80", DEFAULT_MOMENTUM_THRESHOLD="3")
    registry = found.section("thresholds").registry()
    assert (registry["rsi"].lower, registry["rsi"].default, registry["rsi"].upper) == (60.0, 70.0, 80.0)
    assert (registry["rsi"].comparison, registry["rsi"].applies, registry["rsi"].required) == ("cap", "BUY", False)
    assert (registry["momentum"].default, registry["momentum"].absolute) == (3.0, True)
    assert (registry["volume"].scale, registry["volume"].default) == ("log", 1e9)
    with pytest.raises(ConfigurationError, match=r"rsi\.default: expected 75 to 90, got 70"):
        configured(sections, RSI_MIN_THRESHOLD="75")


def test_what_stands_in_the_service_s_own_examples_is_no_key() -> None:
    with pytest.raises(CommandError, match=r"ADMIN_API_KEY: expected a key of your own"):
        translate(PROFILE, {"ADMIN_API_KEY": "change-me-in-production"})


def test_redis_is_used_only_where_it_is_enabled(sections: dict[str, Any]) -> None:
    assert values(configured(sections, REDIS_URL="redis://r:1/0"))["thresholds.redis_url"] == ""
    enabled = configured(sections, REDIS_URL="redis://r:1/0", ENABLE_REDIS_CACHE="true")
    assert values(enabled)["thresholds.redis_url"] == "redis://r:1/0"
    assert values(configured(sections, ENABLE_REDIS_CACHE="true"))["thresholds.redis_url"] == "redis://localhost:6379/0"


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_the_file_of_the_service_is_read_and_wins_over_variables(
    kind: str, sections: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / f"ml_service_config.{kind}"
    file.write_text(json.dumps(SAMPLE))  # JSON is YAML, too
    found = configured(sections, ML_SERVICE_CONFIG_FILE=str(file), RATE_LIMIT_PER_MINUTE="60")
    shown = values(found)
    assert shown["threshold_api.requests_per_minute"] == 90
    assert shown["threshold_api.config_file"] == str(file)
    assert (shown["telemetry.level"], shown["threshold_outcomes.poor_below"]) == ("info", 0.25)
    assert (shown["thresholds.redis_url"], shown["thresholds.redis_ttl_s"]) == ("redis://localhost:6379/3", 3600.0)
    registry = found.section("thresholds").registry()
    assert (registry["rsi"].lower, registry["rsi"].default, registry["rsi"].upper) == (55.0, 72.0, 85.0)
    assert registry["confidence"].default == 0.75


BAD = (
    ({"adaptation": {"learning_rat": 1}}, r"adaptation\.learning_rat: unknown key"),
    ({"adaptation": {"performance_windw": 1}}, r"did you mean adaptation\.performance_window\?"),
    ({"adaptation": {"rsi_bounds": [1]}}, r"adaptation\.rsi_bounds: expected \[lower, upper\], got \[1\]"),
    ({"database": "here"}, r"database: expected a table, got str"),
    ({"port": {"a": 1}}, r"port: expected a single value, got dict"),
)


@pytest.mark.parametrize(("content", "message"), BAD)
def test_what_the_file_cannot_say_is_named(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(content))
    with pytest.raises(CommandError, match=message):
        translate(PROFILE, {"ML_SERVICE_CONFIG_FILE": str(file)})


def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    for name, text, message in (
        ("absent.yaml", None, "cannot be read"),
        ("broken.yaml", "a: [", "not valid YAML"),
        ("broken.json", "{", "not valid JSON"),
        ("file.ini", "", "expected a name that ends in .yaml, .yml or .json"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(CommandError, match=message):
            translate(PROFILE, {"ML_SERVICE_CONFIG_FILE": str(tmp_path / name)})
