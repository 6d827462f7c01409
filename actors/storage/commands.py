"""`bin/troupe db`: the schema of the database, by hand."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import trio

from actors.storage import capability, schema
from actors.storage.binaries import NoServer
from actors.storage.embedded import ClusterLocked, EmbeddedServer
from protocols.control import Refused
from runtime.process import NotReady, ProcessExited

if TYPE_CHECKING:
    from runtime.settings import Configuration

CONNECT_S = 5.0
Work = Callable[[asyncpg.Connection], Awaitable[list[str]]]


def db(arguments: Sequence[str], configuration: Configuration | None) -> tuple[str, dict[str, Any]]:
    """Upgrade, downgrade or show the schema of the database.

    The embedded server is started for the time of the command if no node runs it. Raises Refused for a target that
    does not exist, ConnectionError or TimeoutError if the database does not answer.
    """
    parser = argparse.ArgumentParser(prog="troupe db", description=(db.__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("upgrade", help="bring the schema up to TARGET")
    up.add_argument("target", nargs="?", default="heads", help="heads (the default), a revision, or BRANCH@head")
    down = verbs.add_parser("downgrade", help="take the schema down to TARGET; tables above it and their rows go")
    down.add_argument("target", help="base, a revision, or BRANCH@base")
    verbs.add_parser("current", help="show where the schema is and what this version wants")
    given = parser.parse_args(arguments)
    assert configuration is not None
    folders = migration_folders()

    async def work(connection: asyncpg.Connection) -> list[str]:
        if given.verb == "upgrade":
            return await schema.upgrade(connection, folders, given.target)
        if given.verb == "downgrade":
            return await schema.downgrade(connection, folders, given.target)
        return []

    try:
        steps, current = trio.run(_with_database, configuration, work)
    except schema.SchemaError as error:
        raise Refused("schema", str(error)) from error
    except (NoServer, ClusterLocked, NotReady, ProcessExited) as error:
        raise ConnectionError(str(error)) from error
    wanted = sorted(schema.heads(schema.read_revisions(folders)))
    data = {"steps": steps, "current": current, "wanted": wanted, "up_to_date": current == wanted}
    lines = [f"{given.verb}: {step}" for step in steps]
    lines.append(
        f"at {', '.join(current) or 'no revision'}" + ("" if current == wanted else f"; {_names(wanted)} wanted")
    )
    return "\n".join(lines), data


def migration_folders() -> list[Path]:
    """Return the folders of all capabilities' revisions."""
    # By name: only the composition knows all capabilities, and it is above this floor.
    names = importlib.import_module("actors.node").CAPABILITIES
    folders = (getattr(importlib.import_module(name), "migrations", None) for name in names)
    return [Path(folder) for folder in folders if folder]


async def _with_database(configuration: Configuration, work: Work) -> tuple[list[str], list[str]]:
    settings: capability.Settings = configuration.section(capability.SECTION)
    url = capability.database_url(configuration)
    try:
        return await trio.to_thread.run_sync(_call, url, work)
    except (FileNotFoundError, ConnectionRefusedError):
        if settings.url is not None:
            raise
    server = EmbeddedServer(capability.server_folder(configuration), settings.user)
    async with server.running():
        return await trio.to_thread.run_sync(_call, url, work)


def _call(url: str, work: Work) -> tuple[list[str], list[str]]:
    async def call() -> tuple[list[str], list[str]]:
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
        try:
            steps = await work(connection)
            return steps, sorted(await schema.current(connection))
        finally:
            connection.terminate()

    try:
        return asyncio.run(call())
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Refused("database", str(error)) from error


def _names(revisions: Sequence[str]) -> str:
    return ", ".join(revisions) or "nothing"
