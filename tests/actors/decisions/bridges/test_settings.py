"""`[bridges]`: which bridges there are, and which addresses are none."""

from __future__ import annotations

import pytest

from actors import node as troupe
from actors.decisions.bridges import part
from runtime.settings import Configuration, ConfigurationError, load


def configured(*sets: str) -> Configuration:
    return load(None, {"bridges": troupe.sections()["bridges"]}, {}, sets)


def test_a_bridge_runs_only_where_its_url_is_configured() -> None:
    assert part.children(configured()) == []
    assert part.probes(configured()) == []
    found = configured("bridges.data_url=http://one:3000", "bridges.threshold_url=https://two/base/")
    [tree] = part.children(found)
    assert tree.supervisor is not None
    assert [(child.name, child.arguments["url"]) for child in tree.supervisor.children] == [
        ("data", "http://one:3000"),
        ("threshold", "https://two/base/"),
    ]
    assert part.probes(found) == [
        ("data_connector", "/decisions/bridges/data"),
        ("threshold_bridge", "/decisions/bridges/threshold"),
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("backend:3000", "expected http://host:port"),
        ("ftp://backend/x", "expected http://host:port"),
        ("http://", "expected http://host:port"),
        ("http://one:port", "cannot be read"),
        ("http://one:99999", "cannot be read"),
        ("http://one/?key=hidden", "without query"),
        ("http://one/a hidden", "without query"),
        ("http://user:hidden@one:3000", "put a token into `trading_token_file`"),
        ("http://hidden@one:3000", "put a token into `trading_token_file`"),
    ],
)
def test_what_is_no_base_url_is_an_error_that_names_the_key_and_shows_no_secret(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        configured(f"bridges.trading_url={url}")
    assert "trading_url" in str(error.value)
    assert said in str(error.value)
    assert "hidden" not in str(error.value)
