"""The schema's revision: what the code wants, what the database has, and the way from one to the other.

Each capability has a folder of Alembic revisions, a branch of its own, written in raw SQL:

    revision, down_revision = "signals_0001", None
    branch_labels = ("signals",)

    def upgrade() -> None:
        op.execute("CREATE TABLE ...; CREATE INDEX ...")

The wanted revisions are read from the files without importing anything, so that a node whose database is up to date
never imports Alembic. If it is not, Alembic writes the SQL of all steps, and asyncpg runs it as one transaction: all of
an upgrade happens, or nothing. So a statement that cannot run in a transaction, or a migration that has to read rows in
Python, does not work; and since the text goes through SQLAlchemy's `text()`, a colon before a name is written `\\:`.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

OWN = Path(__file__).parent / "migrations"
LOCK = 0x7472_6F75_7065
"""The advisory lock (any fixed number) under which one node at a time migrates."""


NAMES = frozenset({"revision", "down_revision", "branch_labels", "depends_on"})


class SchemaError(Exception):
    """The schema cannot be brought to where it should be; says why."""


class Revision(NamedTuple):
    """What a migration file says of itself."""

    name: str
    before: tuple[str, ...]
    """The revisions that it follows or depends on."""
    branches: tuple[str, ...]


def read_revisions(folders: Sequence[Path]) -> dict[str, Revision]:
    """Return the revisions in the folders by name. Raises SchemaError for a name used twice."""
    found: dict[str, Revision] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.py")):
            revision = _read_revision(file)
            if revision is None:
                continue
            if revision.name in found:
                raise SchemaError(f"the revision {revision.name!r} is defined twice, also in {file}")
            found[revision.name] = revision
    return found


def heads(revisions: dict[str, Revision]) -> frozenset[str]:
    """Return the revisions that nothing follows: where an up-to-date database is."""
    followed = {name for revision in revisions.values() for name in revision.before}
    return frozenset(revisions) - followed


async def current(connection: asyncpg.Connection) -> frozenset[str]:
    """Return the revisions that the database is at; none if it was never migrated."""
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        return frozenset()
    return frozenset(row["version_num"] for row in await connection.fetch("SELECT version_num FROM alembic_version"))


async def upgrade(connection: asyncpg.Connection, folders: Sequence[Path], target: str = "heads") -> list[str]:
    """Bring the schema up to `target` (`heads`, a revision, `branch@head`); returns the steps that were taken.

    Raises SchemaError, also if the database is at a revision that the code does not know.
    """
    return await _migrate(connection, folders, target, up=True)


async def downgrade(connection: asyncpg.Connection, folders: Sequence[Path], target: str) -> list[str]:
    """Take the schema down to `target` (`base`, a revision, `branch@base`); returns the steps. Raises SchemaError."""
    return await _migrate(connection, folders, target, up=False)


async def _migrate(connection: asyncpg.Connection, folders: Sequence[Path], target: str, *, up: bool) -> list[str]:
    revisions = read_revisions(folders)
    wanted = heads(revisions)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        present = await current(connection)
        if unknown := present - set(revisions):
            raise SchemaError(f"the database is at {', '.join(sorted(unknown))}, which this version does not know")
        if up and target == "heads" and present == wanted:
            return []
        if not present:
            # Alembic's script creates it, but a downgrade to the base leaves it behind.
            await connection.execute("DROP TABLE IF EXISTS alembic_version")
        script, steps = _script(folders, present, target, up=up)
        if steps:
            await connection.execute(script)
        return steps


def _script(folders: Sequence[Path], present: frozenset[str], target: str, *, up: bool) -> tuple[str, list[str]]:
    """Return the SQL of the way to `target`, and the names of its steps. Raises SchemaError for no such target."""
    # 0.4 s, and only when there is something to do.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    directory = ScriptDirectory(str(OWN.parent), version_locations=[str(folder) for folder in folders])
    steps: list[str] = []

    def work(at: Any, context: Any) -> Any:
        planned = directory._upgrade_revs(target, at) if up else directory._downgrade_revs(target, at)
        steps.extend(step.revision.revision for step in planned)
        return planned

    output = io.StringIO()
    try:
        with EnvironmentContext(Config(), directory, fn=work, as_sql=True) as environment:
            environment.configure(
                dialect_name="postgresql",
                # Else every % would be doubled for psycopg2.
                dialect_opts={"paramstyle": "named"},
                starting_rev=sorted(present),  # type: ignore[arg-type]  # several branches need a list
                transactional_ddl=False,
                output_buffer=output,
            )
            environment.run_migrations()
    except CommandError as error:
        raise SchemaError(str(error)) from error
    return output.getvalue(), steps


def _read_revision(file: Path) -> Revision | None:
    values: dict[str, Any] = {}
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=True))
            else:
                pairs = [(target, value)]
            for name, each in pairs:
                if isinstance(name, ast.Name) and name.id in NAMES:
                    values[name.id] = ast.literal_eval(each)
    if not values.get("revision"):
        return None
    return Revision(
        values["revision"],
        (*_tuple(values.get("down_revision")), *_tuple(values.get("depends_on"))),
        _tuple(values.get("branch_labels")),
    )


def _tuple(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
