"""Migrations: branches, all or nothing, up and down, and Alembic only when there is something to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from actors.storage import schema
from tests.actors.storage.kit import FOLDERS, TABLES, call, fetch

ROOT = Path(__file__).parents[3]
TEMPLATE = '''
from alembic import op
revision, down_revision = {name!r}, {before!r}
branch_labels = {labels!r}
def upgrade() -> None:
    op.execute("""{up}""")
def downgrade() -> None:
    op.execute("""{down}""")
'''


def write(folder: Path, name: str, up: str, *, before: str | None = None, down: str = "SELECT 1") -> None:
    labels = None if before else (name.partition("_")[0],)
    folder.mkdir(exist_ok=True)
    text = TEMPLATE.format(name=name, before=before, labels=labels, up=up, down=down)
    (folder / f"{name}.py").write_text(text)


@pytest.fixture
def empty(new_database: Callable[[bool], str]) -> str:
    return new_database(False)


def up(url: str, folders: list[Path], target: str = "heads") -> list[str]:
    return call(url, lambda connection: schema.upgrade(connection, folders, target))


def down(url: str, folders: list[Path], target: str) -> list[str]:
    return call(url, lambda connection: schema.downgrade(connection, folders, target))


def current(url: str) -> frozenset[str]:
    return call(url, schema.current)


def tables(url: str) -> set[str]:
    return {name for (name,) in fetch(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_an_empty_database_is_brought_to_all_heads_once(empty: str) -> None:
    assert current(empty) == frozenset()
    assert set(up(empty, FOLDERS)) == {"storage_0001", "tests_0001"}
    assert current(empty) == {"storage_0001", "tests_0001"} == schema.heads(schema.read_revisions(FOLDERS))
    assert {"write_position", "rejected_rows", "journal", "ticks"} <= tables(empty)
    assert up(empty, FOLDERS) == []


def test_a_branch_goes_up_and_down_without_the_others(empty: str, tmp_path: Path) -> None:
    write(tmp_path, "own_0001", "CREATE TABLE one (a int)", down="DROP TABLE one")
    write(tmp_path, "own_0002", "CREATE TABLE two (a int)", before="own_0001", down="DROP TABLE two")
    folders = [*FOLDERS, tmp_path]
    up(empty, folders)
    assert down(empty, folders, "own_0001") == ["own_0002"]
    assert current(empty) == {"storage_0001", "tests_0001", "own_0001"}
    assert "two" not in tables(empty)
    assert down(empty, folders, "own@base") == ["own_0001"]
    assert "one" not in tables(empty)
    assert up(empty, folders, "own@head") == ["own_0001", "own_0002"]
    assert current(empty) == {"storage_0001", "tests_0001", "own_0002"}


def test_everything_can_be_taken_down_and_up_again(empty: str) -> None:
    up(empty, FOLDERS)
    assert set(down(empty, FOLDERS, "base")) == {"storage_0001", "tests_0001"}
    assert tables(empty) == {"alembic_version"}
    assert current(empty) == frozenset()
    up(empty, FOLDERS)
    assert current(empty) == {"storage_0001", "tests_0001"}


def test_an_upgrade_that_fails_changes_nothing(empty: str, tmp_path: Path) -> None:
    write(tmp_path, "own_0001", "CREATE TABLE one (a int)")
    write(tmp_path, "own_0002", "CREATE TABLE one (a int)", before="own_0001")
    with pytest.raises(asyncpg.DuplicateTableError):
        up(empty, [tmp_path])
    assert tables(empty) == set()


def test_several_statements_with_signs_that_other_layers_read_arrive_as_written(empty: str, tmp_path: Path) -> None:
    write(tmp_path, "own_0001", "CREATE TABLE one (a text); INSERT INTO one VALUES ('100%' || 1::text); SELECT 1;")
    up(empty, [tmp_path])
    assert fetch(empty, "SELECT a FROM one") == [("100%1",)]


def test_a_database_of_a_newer_version_is_refused(empty: str, tmp_path: Path) -> None:
    write(tmp_path, "own_0001", "SELECT 1")
    up(empty, [*FOLDERS, tmp_path])
    with pytest.raises(schema.SchemaError, match="at own_0001, which this version does not know"):
        up(empty, FOLDERS)


def test_a_target_that_does_not_exist_is_an_error(empty: str) -> None:
    with pytest.raises(schema.SchemaError, match="nothing_0009"):
        up(empty, FOLDERS, "nothing_0009")


def test_a_revision_that_two_files_define_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a", "own_0001", "SELECT 1")
    write(tmp_path / "b", "own_0001", "SELECT 1")
    with pytest.raises(schema.SchemaError, match="'own_0001' is defined twice"):
        schema.read_revisions([tmp_path / "a", tmp_path / "b"])


def test_revisions_are_read_in_every_form_in_which_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text('revision: str = "a"\ndown_revision: str | None = None\nbranch_labels = "x"\n')
    (tmp_path / "two.py").write_text('revision, down_revision = "b", ("a",)\ndepends_on = None\n')
    (tmp_path / "notes.py").write_text("x = 1\n")
    revisions = schema.read_revisions([tmp_path])
    assert revisions == {"a": schema.Revision("a", (), ("x",)), "b": schema.Revision("b", ("a",), ())}
    assert schema.heads(revisions) == {"b"}


def test_a_database_that_is_up_to_date_never_imports_alembic(database: str) -> None:
    program = (
        "import asyncio, asyncpg, sys; from pathlib import Path; from actors.storage import schema\n"
        "async def main():\n"
        f"    connection = await asyncpg.connect({database!r})\n"
        f"    print(await schema.upgrade(connection, [schema.OWN, Path({str(TABLES)!r})]))\n"
        "    await connection.close()\n"
        "asyncio.run(main()); print(any(name.startswith(('alembic', 'sqlalchemy')) for name in sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\nFalse\n"
