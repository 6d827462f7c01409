"""`bin/troupe db` and the capability's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.storage import capability, commands, schema
from actors.storage.embedded import server_url
from protocols.control import Refused
from runtime import NodeSettings
from runtime.settings import Configuration
from tests.actors.storage.kit import FOLDERS, ServerThread, fetch, storage_children


@pytest.fixture(autouse=True)
def _folders_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "migration_folders", lambda: FOLDERS)


def configuration(data: Path, **settings: Any) -> Configuration:
    sections = {"node": NodeSettings(data_dir=str(data)), "database": capability.Settings(**settings)}
    return Configuration(sections, {})


def test_the_schema_is_shown_taken_down_and_brought_up(new_database: Any, tmp_path: Path) -> None:
    config = configuration(tmp_path, url=new_database())
    text, answer = commands.db(["current"], config)
    assert text == "at storage_0001, tests_0001"
    both = ["storage_0001", "tests_0001"]
    assert answer == {"steps": [], "current": both, "wanted": both, "up_to_date": True}
    text, answer = commands.db(["downgrade", "tests@base"], config)
    assert text == "downgrade: tests_0001\nat storage_0001; storage_0001, tests_0001 wanted"
    assert not answer["up_to_date"]
    text, answer = commands.db(["upgrade"], config)
    assert text == "upgrade: tests_0001\nat storage_0001, tests_0001"
    assert answer["steps"] == ["tests_0001"]


def test_a_target_that_does_not_exist_is_refused(database: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nowhere"):
        commands.db(["upgrade", "nowhere"], configuration(tmp_path, url=database))


def test_the_embedded_server_is_started_for_the_command_if_no_node_runs_it(data: Path) -> None:
    _, answer = commands.db(["current"], configuration(data))
    assert answer["up_to_date"]
    assert not (data / "postgres" / "cluster" / "postmaster.pid").exists()


def test_a_server_that_runs_is_used_as_it_is(data: Path) -> None:
    server = ServerThread(data / "postgres")
    try:
        _, answer = commands.db(["downgrade", "base"], configuration(data))
        assert answer["current"] == []
        assert fetch(server.url, "SELECT count(*) FROM alembic_version") == [(0,)]
    finally:
        server.stop()


def test_a_database_that_does_not_answer_is_a_connection_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        commands.db(["current"], configuration(tmp_path, url="postgresql://x@127.0.0.1:1/x"))


def test_help_and_bad_usage_need_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.db(["--help"], None)
    assert ended.value.code == 0
    assert "downgrade" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        commands.db(["sideways"], None)
    assert ended.value.code == 2


def test_every_capabilitys_folder_of_migrations_has_revisions_and_names_its_own_branch() -> None:
    revisions = schema.read_revisions([schema.OWN])
    assert schema.heads(revisions) == {"storage_0001"}
    assert revisions["storage_0001"].branches == ("storage",)


def test_the_branch_has_a_server_only_without_a_url(tmp_path: Path) -> None:
    def names(**settings: Any) -> list[str]:
        [storage] = storage_children(tmp_path, **settings)
        assert storage.supervisor is not None
        return [child.name for child in storage.supervisor.children]

    assert names() == ["postgres", "writer", "queries"]
    assert names(url="postgresql://a@b/c") == ["writer", "queries"]


def test_the_address_of_the_embedded_server_follows_from_the_data_folder(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    assert capability.database_url(config) == server_url(tmp_path / "postgres")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("connections = 0", ">= 1"),
        ("batch_rows = 0", ">= 1"),
        ("max_log_bytes = 1000", "at least two segments"),
        ("urls = 'x'", "unknown field"),
    ],
)
def test_settings_that_cannot_work_are_errors(text: str, problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.toml.decode(text, type=capability.Settings)
