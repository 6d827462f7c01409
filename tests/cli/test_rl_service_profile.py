"""The RL service's environment: each variable acts at one key, or says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors import node as troupe
from actors.cli.profiles import PROFILES, environment, explained, translate
from actors.cli.report import CommandError
from runtime.settings import Configuration, ConfigurationError, load

PROFILE = PROFILES["rl-service"]
ACTS: dict[str, tuple[str, str, Any]] = {
    "HOST": ("::1", "edge.host", "::1"),
    "PORT": ("8005", "edge.port", 8005),
    "LOG_LEVEL": ("WARN", "telemetry.level", "warning"),
    "TRADING_SERVICE_URL": ("http://backend:3000", "bridges.trading_url", "http://backend:3000"),
    "DATA_AGGREGATOR_URL": ("http://backend:3000", "bridges.data_url", "http://backend:3000"),
    "ADAPTIVE_THRESHOLD_URL": ("http://ml-service:5000", "bridges.threshold_url", "http://ml-service:5000"),
    "DATABASE_URL": ("postgresql+asyncpg://u@one/rl", "database.url", "postgresql://u@one/rl"),
    "AB_TESTING_ENABLED": ("False", "experiments.0.enabled", False),
    "RL_TRAFFIC_PERCENTAGE": ("0.25", "experiments.0.rl_traffic_percentage", 0.25),
    "PREDICTION_TIMEOUT_SECONDS": ("2.5", "decisions.timeout_s", 2.5),
    "MAX_CONCURRENT_REQUESTS": ("700", "decisions.capacity", 700),
    "CACHE_TTL_SECONDS": ("12", "decisions.cache_ttl_s", 12.0),
}
NO_EFFECT = {"WORKERS", "REDIS_URL"}
TRAINING = {
    "RL_LOOKBACK_WINDOW",
    "RL_EPISODE_LENGTH",
    "RL_MAX_EPISODE_STEPS",
    "RL_INITIAL_BALANCE",
    "RL_MIN_TRADE_AMOUNT",
    "RL_TRANSACTION_COST",
    "RL_SLIPPAGE_RATE",
    "RL_REWARD_SCALING",
    "RL_ALGORITHM",
    "RL_TOTAL_TIMESTEPS",
    "RL_LEARNING_RATE",
    "RL_BATCH_SIZE",
    "RL_TRAIN_SPLIT",
    "RL_RANDOM_SEED",
}


@pytest.fixture(scope="module")
def sections() -> dict[str, Any]:
    return dict(troupe.sections())


def configured(sections: dict[str, Any], **environ: str) -> Configuration:
    return load("config/rl-service.toml", sections, environment(PROFILE, environ), [])


def values(configuration: Configuration) -> dict[str, Any]:
    return {setting.key: setting.value for setting in configuration.settings()}


def told(**environ: str) -> dict[str, tuple[str, str]]:
    return {old: (ours, became) for old, ours, became in explained(PROFILE, environ)}


@pytest.mark.parametrize("name", sorted(ACTS))
def test_a_variable_arrives_at_its_key(name: str, sections: dict[str, Any]) -> None:
    text, key, value = ACTS[name]
    [variable] = [each for each in PROFILE.variables if each.name == name]
    assert variable.key == key
    assert told(**{name: text})[name][1] == variable.note
    before, after = values(configured(sections)), values(configured(sections, **{name: text}))
    assert after[key] == value
    assert before.get(key) != value


def test_every_variable_of_the_service_is_known_and_acts_or_says_why_not() -> None:
    names = {each.name for each in PROFILE.variables}
    assert names == set(ACTS) | NO_EFFECT | TRAINING | {"FALLBACK_TO_ADAPTIVE_THRESHOLD", "RL_MODELS_PATH"}
    silent = NO_EFFECT | TRAINING
    rows = told(**dict.fromkeys(silent, "secret"))
    for name in silent:
        ours, became = rows[name]
        assert ours == "—"
        assert became.startswith("no effect: ")
        assert "secret" not in became
        assert ("`bin/troupe train` --" in became) == (name in TRAINING)
    assert environment(PROFILE, dict.fromkeys(silent, "secret")) == dict.fromkeys(silent, "secret")


def test_the_bundles_of_a_folder_are_served_by_their_names(sections: dict[str, Any], tmp_path: Path) -> None:
    for name in ("rl_ensemble.bundle", "bull.bundle", "README.md"):
        (tmp_path / name).write_bytes(b"")
    found = configured(sections, RL_MODELS_PATH=str(tmp_path))
    assert values(found)["decisions.models_dir"] == str(tmp_path)
    [decisions] = [each for each in troupe.children(found) if each.name == "decisions"]
    assert decisions.supervisor is not None
    [keeper] = [each for each in decisions.supervisor.children if each.name == "models"]
    served = {model.name: model.path for model in keeper.arguments["models"]}
    assert served == {name: str(tmp_path / f"{name}.bundle") for name in ("rl_ensemble", "bull")}


def test_a_folder_of_models_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"RL_MODELS_PATH: expected a folder of policy bundles, got .*none"):
        translate(PROFILE, {"RL_MODELS_PATH": str(tmp_path / "absent")})


def test_what_the_service_documented_as_its_defaults_is_a_configuration(sections: dict[str, Any]) -> None:
    found = values(
        configured(
            sections,
            PORT="8001",
            LOG_LEVEL="info",
            WORKERS="2",
            AB_TESTING_ENABLED="true",
            RL_TRAFFIC_PERCENTAGE="0.1",
            PREDICTION_TIMEOUT_SECONDS="5.0",
            MAX_CONCURRENT_REQUESTS="100",
            TRADING_SERVICE_URL="http://backend:3000",
            DATA_AGGREGATOR_URL="http://backend:3000",
            ADAPTIVE_THRESHOLD_URL="http://ml-service:5000",
            CACHE_TTL_SECONDS="30",
            REDIS_URL="redis://redis:6379",
            DATABASE_URL="postgresql://u@one/rl",
            FALLBACK_TO_ADAPTIVE_THRESHOLD="true",
        )
    )
    assert (
        found["decisions.reserve"],
        values(configured(sections, MAX_CONCURRENT_REQUESTS="5"))["decisions.capacity"],
    ) == (4, 5)
    assert (found["decisions.capacity"], found["experiments.0.rl_traffic_percentage"]) == (100, 0.1)


def test_without_the_fallback_no_threshold_service_is_called(sections: dict[str, Any]) -> None:
    there = {"ADAPTIVE_THRESHOLD_URL": "http://ml-service:5000"}
    for word, url in (("true", "http://ml-service:5000"), ("false", ""), ("0", "")):
        found = values(configured(sections, FALLBACK_TO_ADAPTIVE_THRESHOLD=word, **there))
        assert found["bridges.threshold_url"] == url
    rows = told(FALLBACK_TO_ADAPTIVE_THRESHOLD="false", **there)
    assert rows["ADAPTIVE_THRESHOLD_URL"][1].startswith("set, not used: ")
    assert rows["FALLBACK_TO_ADAPTIVE_THRESHOLD"][1].startswith("false: no threshold service")


def test_the_variables_of_urls_start_bridges_and_their_absence_does_not(sections: dict[str, Any]) -> None:
    def bridges(**environ: str) -> set[str]:
        [decisions] = [each for each in troupe.children(configured(sections, **environ)) if each.name == "decisions"]
        assert decisions.supervisor is not None
        found = [each for each in decisions.supervisor.children if each.name == "bridges"]
        return {child.name for each in found if each.supervisor for child in each.supervisor.children}

    assert bridges() == set()
    assert bridges(TRADING_SERVICE_URL="http://a:1", ADAPTIVE_THRESHOLD_URL="http://b:2") == {"trading", "threshold"}


def test_what_the_service_had_without_variables_is_there(sections: dict[str, Any]) -> None:
    found = values(configured(sections))
    assert (found["edge.host"], found["edge.port"]) == ("127.0.0.1", 8001)
    assert (found["experiments.0.name"], found["experiments.0.treatment"]) == ("default_rl_test", "rl_ensemble")
    assert (found["bridges.deadline_s"], found["bridges.retries"]) == (10.0, 3)
    assert (found["bridges.breaker_failures"], found["bridges.breaker_open_s"]) == (5, 60.0)
    assert (found["bridges.market_cache_s"], found["bridges.aggregate_cache_s"]) == (300.0, 600.0)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("AB_TESTING_ENABLED", "maybe", "expected true or false, got 'maybe'"),
        ("FALLBACK_TO_ADAPTIVE_THRESHOLD", "2", "expected true or false, got '2'"),
        ("RL_TRAFFIC_PERCENTAGE", "10", "expected a share of 0 to 1, got '10'"),
        ("RL_TRAFFIC_PERCENTAGE", "nan", "expected a share of 0 to 1, got 'nan'"),
        ("PREDICTION_TIMEOUT_SECONDS", "60", "expected a number of at least 0.001 and at most 30, got '60'"),
        ("PREDICTION_TIMEOUT_SECONDS", "soon", "expected a number of at least 0.001 and at most 30, got 'soon'"),
        ("MAX_CONCURRENT_REQUESTS", "4", "expected a whole number of at least 5 and at most 1e+06, got '4'"),
        ("MAX_CONCURRENT_REQUESTS", "7.5", "expected a whole number of at least 5 and at most 1e+06, got '7.5'"),
        ("CACHE_TTL_SECONDS", "-1", "expected a number of at least 0, got '-1'"),
        ("CACHE_TTL_SECONDS", "inf", "expected a number of at least 0, got 'inf'"),
        ("DATABASE_URL", "mysql://u:hidden@one/rl", "expected postgresql://"),
    ],
)
def test_a_text_that_cannot_be_read_names_the_variable_and_shows_no_password(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(CommandError) as error:
        translate(PROFILE, {name: text})
    assert f"the variable {name}: {expected}" in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_url_with_a_password_is_refused_without_showing_it(sections: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as error:
        configured(sections, TRADING_SERVICE_URL="http://bot:hidden@backend:3000")
    assert "trading_token_file" in str(error.value)
    assert "hidden" not in str(error.value)
