from __future__ import annotations

import json
from typing import Any

import pytest

from actors.cli.__main__ import main
from actors.cli.profiles import PROFILES, environment, explained, translate, variable_of
from actors.cli.report import CommandError
from actors.node import sections
from runtime.settings import ConfigurationError, load

KALSHI = PROFILES["kalshi"]


def keys(environ: dict[str, str]) -> dict[str, str]:
    return {each.variable.key or "": each.value for each in translate(KALSHI, environ) if each.value is not None}


def unknown_keys(environ: dict[str, str]) -> list[str]:
    try:
        load("config/kalshi.toml", sections(), environment(KALSHI, environ), [])
    except ConfigurationError as error:
        return [issue.message for issue in error.issues if issue.code == "unknown_key"]
    return []


def test_every_key_that_a_variable_sets_is_one_that_a_node_knows() -> None:
    texts = {"RL_MARKET_MODE": "config", "RL_LOG_LEVEL": "INFO", "RL_MARKET_TICKERS": "A,B"}
    for variable in KALSHI.variables:
        environ = {"RL_MARKET_MODE": "config"} if variable.name.startswith("RL_MARKET_TICKER") else {}
        environ[variable.name] = texts.get(variable.name, "1")
        assert unknown_keys(environ) == [], variable.name


def test_markets_come_from_the_list_or_from_the_single_name_and_only_when_they_are_not_discovered() -> None:
    assert keys({"RL_MARKET_TICKERS": "A, B", "RL_MARKET_TICKER": "C", "RL_MARKET_MODE": "config"}) == {
        "feeds.0.markets": '["A", "B"]',
        "feeds.0.discover": "0",
    }
    assert keys({"RL_MARKET_TICKER": "C", "RL_MARKET_MODE": "config"})["feeds.0.markets"] == '["C"]'
    assert keys({"RL_MARKET_TICKERS": "A", "RL_ORDERBOOK_MARKET_LIMIT": "12"}) == {"feeds.0.discover": "12"}


def test_our_own_variables_win_over_those_of_the_old_system() -> None:
    environ = {"PORT": "9000", "TROUPE__EDGE__PORT": "9001"}
    assert environment(KALSHI, environ)["TROUPE__EDGE__PORT"] == "9001"
    assert environment(KALSHI, {"PORT": "9000"})["TROUPE__EDGE__PORT"] == "9000"
    assert variable_of("feeds.0.url") == "TROUPE__FEEDS__0__URL"


def test_a_text_that_cannot_be_read_names_the_variable() -> None:
    with pytest.raises(CommandError, match="RL_MARKET_MODE: expected discovery or config, got 'all'"):
        translate(KALSHI, {"RL_MARKET_MODE": "all"})


def test_what_has_no_counterpart_is_told_with_the_reason() -> None:
    rows = {old: (ours, became) for old, ours, became in explained(KALSHI, {"RL_MAX_RECONNECT_ATTEMPTS": "10"})}
    assert rows["RL_MAX_RECONNECT_ATTEMPTS"] == ("—", "no effect: a feed reconnects for as long as it runs")
    assert len(rows) == len(KALSHI.variables)


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    status = main(arguments)
    return status, json.loads(capsys.readouterr().out)


def test_explain_shows_which_of_our_variables_each_old_one_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RL_WEBSOCKET_TIMEOUT", "45")
    status, answer = run(["config", "--profile", "kalshi", "--explain", "--json"], capsys)
    assert status == 0
    ours = {each["old"]: each["ours"] for each in answer["data"]["variables"]}
    assert ours["RL_WEBSOCKET_TIMEOUT"] == "TROUPE__FEEDS__0__SILENCE_S"
    values = {each["key"]: each["value"] for each in answer["data"]["settings"]}
    assert values["feeds.0.silence_s"] == 45.0


def test_without_its_profile_an_old_variable_does_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "9999")
    _, answer = run(["config", "kalshi", "--json"], capsys)
    values = {each["key"]: each["value"] for each in answer["data"]["settings"]}
    assert values["edge.port"] == 8001


@pytest.mark.parametrize("arguments", [["run", "--profile", "kalshi"], ["config", "--profile", "nobody"]])
def test_what_is_missing_is_one_clear_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 2
