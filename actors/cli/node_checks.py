"""The doctor's checks of what a node needs: configuration, data folder, disk, port, database, and the node itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from actors.cli.configuration import configuration_file
from actors.cli.finding import Finding, Surroundings
from actors.cli.node_api import LOOPBACK, TOKEN_FILE, Address, NodeApi, read_node_file, read_token
from actors.cli.report import CommandError
from runtime.redaction import without_passwords

GIGABYTE = 1_000_000_000
LITTLE_DISK = 2 * GIGABYTE
NO_DISK = GIGABYTE // 5
SKEW_S = 2.0
"""Venues refuse signed requests that are off by a few seconds; an HTTP date has a resolution of one."""
DATABASE_S = 5.0


def configuration(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether the configuration loads; each error is a finding of its own."""
    try:
        loaded = surroundings.configuration
    except CommandError as error:
        for issue in error.issues:
            yield Finding("configuration", "fail", issue.message, issue.hint or "troupe config shows all of it")
        return
    count = sum(1 for _ in loaded.settings())
    path = configuration_file(surroundings.arguments.config)
    yield Finding("configuration", "ok", f"{path}, {count} settings")


def data_folder(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether the data folder can be written, and only its owner can read the token in it."""
    folder = surroundings.folder
    if not folder.exists():
        parent = existing(folder)
        if os.access(parent, os.W_OK | os.X_OK):
            yield Finding("data folder", "ok", f"{folder}, made at the first start")
        else:
            yield Finding("data folder", "fail", f"{folder} cannot be made: {parent} is not writable", _elsewhere())
        return
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", "fail", f"{folder} is not a folder that we may write", _elsewhere())
        return
    token = folder / TOKEN_FILE
    if token.exists() and stat.S_IMODE(token.stat().st_mode) & 0o077:
        mode = f"{stat.S_IMODE(token.stat().st_mode):04o}"
        yield Finding("data folder", "fail", f"{token} has mode {mode}: others can read it", f"chmod 600 {token}")
        return
    yield Finding("data folder", "ok", str(folder))


def _elsewhere() -> str:
    return "name another one: --data-dir DIR, or node.data_dir in the configuration"


def existing(path: Path) -> Path:
    """The nearest folder above a path that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def disk(surroundings: Surroundings) -> Iterator[Finding]:
    """Free space where the data folder is, or will be."""
    place = existing(surroundings.folder)
    free = shutil.disk_usage(place).free
    text = f"{free / GIGABYTE:.1f} GB free at {place}"
    if free < NO_DISK:
        yield Finding("disk", "fail", text, "make room: a node refuses rows when its log has none")
    elif free < LITTLE_DISK:
        yield Finding("disk", "warn", text, "make room, or shorten what is kept")
    else:
        yield Finding("disk", "ok", text)


def node(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether the node that the data folder names answers, is ready, and agrees with us about the time."""
    arguments = surroundings.arguments
    found = surroundings.node
    if arguments.url:
        url = arguments.url
    elif found is not None:
        url = found.url
    else:
        left = read_node_file(surroundings.folder)
        if left is None:
            yield Finding("node", "skip", "none runs on this data folder")
        else:
            text = f"node.json names process {left.pid}, which is gone; the next start replaces it"
            yield Finding("node", "warn", text, "troupe run")
        return
    token = None if arguments.url else read_token(surroundings.folder)
    try:
        with NodeApi(Address(url.rstrip("/"), token), arguments.timeout) as api:
            begun = time.time()
            ready = api.raw("GET", "/health/ready")
            ended = time.time()
    except CommandError as error:
        yield Finding("node", "fail", str(error), "look at its log; troupe run starts one")
        return
    if ready.status_code == 200:
        yield Finding("node", "ok", f"{url} is ready, answered in {(ended - begun) * 1000:.0f} ms")
    else:
        why = without_passwords(ready.text[:300].replace("\n", " "))
        yield Finding(
            "node", "fail", f"{url} is not ready ({ready.status_code}): {why}", "troupe tree shows what is down"
        )
    date = ready.headers.get("date")
    if date:
        skew = parsedate_to_datetime(date).timestamp() - (begun + ended) / 2
        # The header has whole seconds, cut off: it is half a second behind on average.
        yield _skew("node clock", skew + 0.5)


def _skew(check: str, seconds: float) -> Finding:
    text = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine"
    if abs(seconds) <= SKEW_S:
        return Finding(check, "ok", text)
    return Finding(check, "warn", text, "synchronise the clocks of both machines (NTP)")


def port(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether the configured port can be bound; not asked while our own node has it."""
    edge = surroundings.configuration.section("edge")
    where = f"{edge.host}:{edge.port}"
    if surroundings.node is not None:
        yield Finding("port", "skip", f"the running node has its own: {surroundings.node.url}")
        return
    if edge.port == 0:
        yield Finding("port", "ok", f"{edge.host}, any free port")
        return
    family = socket.AF_INET6 if ":" in edge.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((edge.host, edge.port))
        except OSError as error:
            fix = "end the process that has it, or take another port: --set edge.port=0"
            yield Finding("port", "fail", f"{where}: {error.strerror}", fix)
            return
    note = "" if edge.host in LOOPBACK else "; reachable from other machines"
    yield Finding("port", "ok", f"{where} is free{note}")


def database(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether the configured database answers and its clock is right; without one, whether ours can be started."""
    settings = surroundings.configuration.section("database")
    if settings.url:
        yield from asyncio.run(_server(settings.url))
    else:
        yield from _embedded(surroundings.folder / "postgres", settings.user)


async def _server(url: str) -> list[Finding]:
    import asyncpg

    shown = without_passwords(url)
    fix = "is the server running, and database.url right?"
    try:
        async with asyncio.timeout(DATABASE_S):
            connection = await asyncpg.connect(url)
            try:
                begun = time.time()
                row = await connection.fetchrow(
                    "SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_version'),"
                    " has_schema_privilege(current_schema(), 'CREATE')"
                )
                ended = time.time()
            finally:
                connection.terminate()
    except TimeoutError:
        return [Finding("database", "fail", f"{shown}: no answer in {DATABASE_S:.0f} s", fix)]
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [Finding("database", "fail", f"{shown}: {without_passwords(str(error))}", fix)]
    assert row is not None, "SELECT without FROM answers one row"
    now, version, may_create = row
    found = [Finding("database", "ok", f"{shown}, PostgreSQL {version}, answered in {(ended - begun) * 1000:.0f} ms")]
    if not may_create:
        right = "GRANT CREATE ON SCHEMA public TO the user of database.url"
        found.append(Finding("database", "fail", "the user may not create tables in its schema", right))
    found.append(_skew("database clock", now - (begun + ended) / 2))
    return found


def _embedded(folder: Path, wanted_account: str | None) -> Iterator[Finding]:
    """The server that comes with Troupe: asked if it runs, else whether its program does."""
    from actors.storage.binaries import NoServer, account, installations
    from actors.storage.embedded import SOCKET, server_url, socket_folder

    if (socket_folder(folder) / SOCKET).exists():
        yield from asyncio.run(_server(server_url(folder)))
        return
    try:
        _, installation = max(installations().items())
        user = account(wanted_account)
    except NoServer as error:
        yield Finding("database", "fail", str(error), "bin/troupe install, or use a server of your own: database.url")
        return
    program = installation / "bin" / "postgres"
    answer = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=10, check=False)
    if answer.returncode != 0:
        text = f"the embedded PostgreSQL does not run here: {answer.stderr.strip()[:200]}"
        yield Finding("database", "fail", text, "use a server of your own: database.url")
        return
    version = answer.stdout.strip().rpartition(" ")[2]
    runs_as = f", run as {user}" if user else ""
    yield Finding("database", "ok", f"embedded PostgreSQL {version}{runs_as}, not running now")
