from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.strategies import capability
from actors.strategies.capability import entries
from actors.strategies.records import Entry
from runtime.capability import Whole
from runtime.settings import Configuration, ConfigurationError, load


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What strategies know of a feed."""

    venue: str
    markets: tuple[str, ...] = ()


SECTIONS: dict[str, Any] = {**capability.sections, "feeds": tuple[FeedSettings, ...]}


def configuration(tmp_path: Path, text: str) -> Configuration:
    file = tmp_path / "desk.toml"
    file.write_text(text)
    return load(file, SECTIONS, {}, [])


def refusal(tmp_path: Path, text: str) -> list[tuple[str | None, str]]:
    with pytest.raises(ConfigurationError) as error:
        entries(configuration(tmp_path, text))
    return [(issue.field, issue.message) for issue in error.value.issues]


def test_a_configuration_becomes_a_branch_of_the_tree(tmp_path: Path) -> None:
    config = configuration(
        tmp_path,
        """
        [[feeds]]
        venue = "kalshi"
        markets = ["A", "B"]

        [[strategies]]
        name = "lean"
        strategy = "book_imbalance"
        markets = ["A", "A"]
        parameters = { enter = 0.7, quantity = 0.1 }
        """,
    )
    [entry] = entries(config)
    assert (entry.name, entry.markets, entry.exchange, entry.exchanges) == ("lean", ("A",), "kalshi", {"A": "kalshi"})
    # The sandbox and the library first: the roster asks them.
    names = [child.name for child in capability.children(config, Whole())]
    assert names == ["library", "workflows", "sandbox", "strategies", "roster"]
    assert [name for name, _ in capability.probes(config)] == ["strategies", "sandbox", "library", "workflows"]


def test_without_strategies_there_is_an_empty_branch(tmp_path: Path) -> None:
    config = configuration(tmp_path, "strategies = []")
    assert entries(config) == ()
    assert len(capability.children(config, Whole())) == 5


def test_an_unknown_strategy_is_one_error_with_its_place_and_the_nearest_name(tmp_path: Path) -> None:
    [(field, message)] = refusal(tmp_path, '[[strategies]]\nname = "a"\nstrategy = "book_inbalance"\n')
    assert field == "strategies.0.strategy"
    assert "desk.toml:3" in message
    assert "did you mean 'book_imbalance'?" in message


@pytest.mark.parametrize(
    ("parameters", "field", "says"),
    [
        ("entre = 0.5", "strategies.0.parameters.entre", "did you mean enter?"),
        ("enter = 1.5", "strategies.0.parameters.enter", "expected `float` < 1"),
        ("enter = 'much'", "strategies.0.parameters.enter", "got `str` ('much')"),
        ("exit = 0.9", "strategies.0.parameters.exit", "exit must be below enter"),
        ("quantity = 0", "strategies.0.parameters.quantity", "above 0"),
    ],
)
def test_a_wrong_parameter_is_one_error_that_names_it(tmp_path: Path, parameters: str, field: str, says: str) -> None:
    text = f'[[strategies]]\nname = "a"\nstrategy = "book_imbalance"\nparameters = {{ {parameters} }}\n'
    [(found, message)] = refusal(tmp_path, text)
    assert found == field
    assert says in message


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no.such.module:Strategy", "No module named 'no'"),
        ("tests.actors.strategies.samples:Nothing", "has no attribute 'Nothing'"),
        ("tests.actors.strategies.samples:NoStrategy", "is not a Strategy"),
    ],
)
def test_an_import_path_that_is_no_strategy_is_an_error(tmp_path: Path, path: str, says: str) -> None:
    [(field, message)] = refusal(tmp_path, f'[[strategies]]\nname = "a"\nstrategy = "{path}"\n')
    assert field == "strategies.0.strategy"
    assert says in message


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    text = """
    [[strategies]]
    name = "a"
    strategy = "nothing"
    [[strategies]]
    name = "a"
    strategy = "book_imbalance"
    parameters = { memory = 1 }
    [[strategies]]
    name = "stop"
    strategy = "book_imbalance"
    """
    fields = [field for field, _ in refusal(tmp_path, text)]
    assert fields == [
        "strategies.0.strategy",
        "strategies.1.parameters.memory",
        "strategies.1.name",
        "strategies.2.name",
    ]


def test_an_entry_survives_the_way_through_a_child_spec() -> None:
    entry = Entry(name="a", strategy="book_imbalance", markets=("A",), parameters={"enter": 0.7})
    assert msgspec.convert(msgspec.to_builtins(entry), Entry) == entry
