"""Which configuration a command takes, what `config` shows of it, and how its errors end a command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors import node
from actors.cli.config import meanings_of
from actors.cli.configuration import configuration_file, data_folder
from actors.cli.parser import parse
from actors.cli.report import CommandError, Exit
from runtime.settings import load
from tests.cli.conftest import REPOSITORY
from tests.cli.test_command_line import envelope, troupe


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "my.toml"
    path.write_text('[node]\nname = "mine"\ndata_dir = "here"\n\n[edge]\nport = 0\n')
    return path


@pytest.mark.parametrize("command", ["run", "config"])
@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ("edge.prot=1", "edge.prot", ["edge.prot", "--set edge.prot", "port"]),
        ("edge.port=many", "edge.port", ["edge.port", "expected `int`", "many"]),
        ("ede.port=1", "ede", ["ede", "edge"]),
        ("edge.port", None, ["expected KEY=VALUE"]),
    ],
)
def test_a_wrong_setting_ends_with_exit_status_2_and_says_where_what_and_the_nearest(
    toml: Path, command: str, wrong: str, field: str | None, words: list[str]
) -> None:
    answer = troupe(command, str(toml), "--set", wrong, "--json")
    document = envelope(answer)
    (issue,) = document["issues"]
    assert (answer.returncode, document["outcome"], issue["field"]) == (2, "error", field)
    assert all(word in issue["message"] for word in words), issue


def test_all_errors_of_a_configuration_are_told_at_once(toml: Path) -> None:
    toml.write_text('[node]\nnane = "x"\n[edge]\nport = "many"\n')
    answer = troupe("run", str(toml))
    assert (answer.returncode, answer.stdout, answer.stderr.count("error: ")) == (2, "", 2)
    assert f"{toml}:2" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_configuration_that_does_not_exist_is_bad_usage_and_names_the_nearest() -> None:
    with pytest.raises(CommandError, match="no configuration 'defalt'") as raised:
        configuration_file("defalt")
    assert raised.value.exit_status is Exit.USAGE
    assert raised.value.issues[0].hint == "did you mean default?"


@pytest.mark.parametrize("name", [None, "default", "config/default.toml", str(REPOSITORY / "config" / "default.toml")])
def test_a_configuration_is_named_by_its_path_or_its_name_from_anywhere(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert configuration_file(name).resolve() == REPOSITORY / "config" / "default.toml"


@pytest.mark.parametrize("name", ["default", "paper"])
def test_a_shipped_configuration_trades_its_strategys_signals_on_a_paper_account(name: str) -> None:
    configuration = load(configuration_file(name), node.sections(), environ={}, directory=REPOSITORY)
    (account,) = configuration.section("accounts")
    (deployment,) = configuration.section("deployments")
    (strategy,) = configuration.section("strategies")
    assert (account.mode, account.engine.account.account_id) == ("paper", deployment.account)
    assert (deployment.strategy_id, set(deployment.markets)) == (strategy.name, set(strategy.markets))
    assert "execution" in {child.name for child in node.children(configuration)}


def test_config_shows_every_value_with_its_origin(toml: Path) -> None:
    answer = troupe("config", str(toml), "--set", "node.stop_s=2", "--json", TROUPE__EDGE__HOST="127.0.0.1")
    settings: dict[str, Any] = {each["key"]: each for each in envelope(answer)["data"]["settings"]}
    assert settings["node.name"] == {"key": "node.name", "value": "mine", "source": f"{toml}:2"}
    assert settings["node.stop_s"] == {"key": "node.stop_s", "value": 2.0, "source": "--set node.stop_s"}
    assert settings["edge.host"] == {"key": "edge.host", "value": "127.0.0.1", "source": "TROUPE__EDGE__HOST"}
    assert settings["database.url"]["source"] == "default"


def test_config_hides_the_password_of_the_database(toml: Path) -> None:
    given = "database.url=postgresql://me:hunter2@127.0.0.1/troupe"
    for extra in ([], ["--json"], ["--explain"]):
        answer = troupe("config", str(toml), "--set", given, *extra)
        assert answer.returncode == 0
        assert "127.0.0.1/troupe" in answer.stdout
        assert "hunter2" not in answer.stdout + answer.stderr


def test_config_explains_what_a_key_means(toml: Path) -> None:
    lines = troupe("config", str(toml), "--explain").stdout.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("node.stop_s "))
    assert lines[at + 1] == "    The budget of a whole stop, in seconds."


class Inner(msgspec.Struct, frozen=True):
    depth: int = 1
    """How
    deep."""


class Outer(msgspec.Struct, frozen=True):
    plain: int = 0
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    """Several."""


def test_meanings_are_the_docstrings_below_the_fields_of_structs_inside_structs_too() -> None:
    assert meanings_of("a", Outer) == {"a.inner.depth": "How deep.", "a.many": "Several.", "a.many.depth": "How deep."}


def test_the_data_folder_is_found_without_loading_a_capability(toml: Path) -> None:
    found = data_folder(parse("tree", ["--config", str(toml)]))
    loaded = troupe("config", str(toml), "--json")
    assert found == REPOSITORY / envelope(loaded)["data"]["resolved"]["node"]["data_dir"]


@pytest.mark.parametrize("given", [["--set", "node.data_dir=there"], ["--data-dir", "there"]])
def test_the_data_folder_of_the_command_line_is_taken_from_where_one_stands(
    toml: Path, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_folder(parse("tree", ["--config", str(toml), *given])) == tmp_path / "there"


def test_a_configuration_of_another_section_does_not_keep_a_command_from_finding_the_node(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE__EDGE__PORT", "0")
    assert data_folder(parse("tree", ["--config", str(toml), "--set", "edge.port=1"])).name == "here"


def test_the_openapi_document_is_made_without_a_node_and_written_where_one_says(tmp_path: Path) -> None:
    printed = troupe("openapi")
    document = json.loads(printed.stdout)
    assert document["openapi"].startswith("3.1")
    target = tmp_path / "openapi.json"
    written = troupe("openapi", "--output", str(target))
    assert (written.returncode, written.stdout, json.loads(target.read_text())) == (0, "", document)
