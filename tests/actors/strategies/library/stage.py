"""A real node with the library, the storage and an edge; and what the databases of other services hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

import actors.edge.capability
import actors.storage.capability
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from actors.strategies import capability
from actors.strategies.library_requests import CreateStrategy, StrategyStored
from actors.strategies.library_settings import LibrarySettings, specs
from actors.strategies.package import (
    LIBRARY,
    GetPackage,
    ListPackages,
    Package,
    PackageChanged,
    PackageList,
)
from actors.strategies.sandbox.keeper import SandboxSettings
from protocols.control import Message, Refused, Request
from protocols.paths import EDGE, QUERIES
from protocols.storage import RunQuery
from runtime import ChildSpec, Done, KillChild, Node, NodeSettings, open_node
from runtime.log import open_log
from runtime.topics import Tap
from tests.http_client import http_client

R = TypeVar("R")
M = TypeVar("M", bound=Message)
MIGRATIONS = [actors.storage.capability.OWN_MIGRATIONS, str(capability.migrations)]
LIMIT_S = 15.0
LOOK_S = 0.02
CODE = "def generate_signal(data, parameters):\n    return None\n"
WITH_PERIOD = f"""
from actors.strategies.sdk import Parameter
PARAMETERS = {{"period": Parameter.int(14, least=2, most=50, description="bars")}}
{CODE}"""
BROKEN = "def generate_signal(data, parameters:\n"

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
AI_ML = f"""
    CREATE TYPE strategystatus AS ENUM ('DRAFT', 'ACTIVE', 'ARCHIVED', 'TESTING', 'DEPLOYED');
    CREATE TABLE strategies (
        id uuid PRIMARY KEY, name varchar(255) NOT NULL, description text, code text NOT NULL,
        language varchar(50) NOT NULL DEFAULT 'python', sdk_version varchar(50) NOT NULL DEFAULT '1',
        parameters json, status strategystatus NOT NULL DEFAULT 'DRAFT', tags text[],
        total_return float, max_drawdown float, sharpe_ratio float, win_rate float, user_id uuid,
        created_at timestamptz NOT NULL DEFAULT '2026-01-02T03:04:05Z', updated_at timestamptz
    );
    CREATE TABLE projects (id integer PRIMARY KEY, name varchar(255) NOT NULL, description text,
        created_at timestamp DEFAULT '2026-01-02T03:04:05', updated_at timestamp);
    CREATE TABLE project_files (id serial PRIMARY KEY, project_id integer NOT NULL, file_path varchar(500) NOT NULL,
        file_name varchar(255) NOT NULL, content text);
    INSERT INTO strategies (id, name, description, code, parameters, status, tags) VALUES
        ('{ONE}', 'Momentum', 'follows', '# one', '{{"period": 5}}', 'ACTIVE', '{{fast,old}}'),
        ('{TWO}', 'Momentum 2', NULL, '# two', NULL, 'ARCHIVED', NULL);
    INSERT INTO projects (id, name) VALUES (1, 'Momentum'), (2, 'Half'), (3, 'Notes');
    INSERT INTO project_files (project_id, file_path, file_name, content) VALUES
        (1, './main.py', 'main.py', '# project 1'), (1, 'strategy.py', 'strategy.py', '# not this'),
        (2, '/strategy.py', 'strategy.py', '# project 2'), (2, 'old/main.py', 'main.py', '# nor this'),
        (3, 'notes.txt', 'notes.txt', 'nothing');
"""
DRAWN = {
    "nodes": [
        {"id": "prices", "type": "dataSource", "data": {"parameters": {"symbol": "BTCUSDT", "timeframe": "1h"}}},
        {"id": "rsi", "type": "technicalIndicator", "data": {"parameters": {"indicator": "RSI", "period": 14}}},
        {
            "id": "low",
            "type": "condition",
            "data": {"parameters": {"conditionType": "comparison", "condition": "less_than", "value": 30}},
        },
        {
            "id": "buy",
            "type": "action",
            "data": {"parameters": {"actionCategory": "entry", "action": "buy", "quantity": 1}},
        },
    ],
    "edges": [
        {"id": "1", "source": "prices", "target": "rsi", "sourceHandle": "data-output", "targetHandle": "data-input"},
        {"id": "2", "source": "rsi", "target": "low", "sourceHandle": "output-1", "targetHandle": "data-input"},
        {"id": "3", "source": "low", "target": "buy", "sourceHandle": "signal-output", "targetHandle": "signal-input"},
    ],
}
ODD = '{"nodes": ' + "[" * 5000 + "]" * 5000 + "}"
NO_CODE = f"""
    CREATE TABLE nocode_workflows (
        id serial PRIMARY KEY, uuid uuid NOT NULL, user_id integer NOT NULL DEFAULT 7, name varchar(255) NOT NULL,
        description text, tags varchar[], workflow_data json NOT NULL DEFAULT '{{"nodes": [], "edges": []}}',
        generated_code text, compilation_status varchar(20), deployment_status varchar(20) DEFAULT 'draft',
        version integer DEFAULT 1, created_at timestamp DEFAULT '2026-01-02T03:04:05', updated_at timestamp
    );
    INSERT INTO nocode_workflows (uuid, name, generated_code, deployment_status) VALUES
        ('33333333-3333-4333-8333-333333333333', 'Cross', '# generated', 'deployed'),
        ('44444444-4444-4444-8444-444444444444', 'Empty', NULL, 'draft');
    INSERT INTO nocode_workflows (uuid, name, workflow_data) VALUES
        ('55555555-5555-4555-8555-555555555555', 'Drawn', '{msgspec.json.encode(DRAWN).decode()}'),
        ('66666666-6666-4666-8666-666666666666', 'Odd', '{ODD}');
"""


def storage(url: str, migrate: bool) -> ChildSpec:
    """The writer and the queries of a database."""
    arguments = {
        "url": url,
        "migrations": MIGRATIONS,
        "migrate": migrate,
        "batch_rows": 5_000,
        "batch_bytes": 4 << 20,
    }
    writer = ChildSpec(name="writer", actor="actors.storage.writer:Writer", arguments=arguments)
    queries = ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": url})
    return actors.storage.capability.supervisor("storage", writer, queries)


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node, port: int, token: str) -> None:
        self.node = node
        headers = {"authorization": f"Bearer {token}"}
        self.http = http_client(base_url=f"http://127.0.0.1:{port}/api", headers=headers, timeout=LIMIT_S)

    async def answered(self, method: str, path: str, expected: int = 200, /, **body: Any) -> Any:
        """The JSON of an answer with this status."""
        answer = await self.http.request(method, path, json=body if method in ("POST", "PUT") else None)
        assert answer.status_code == expected, answer.text
        return answer.json()

    async def ask(self, request: Request[R]) -> R:
        with trio.fail_after(LIMIT_S):
            return await self.node.ref(LIBRARY).ask(request, LIMIT_S)

    async def refused(self, request: Request[Any]) -> str:
        """The code with which a request is refused."""
        try:
            answer = await self.ask(request)
        except Refused as refused:
            return refused.code
        raise AssertionError(f"not refused: {answer}")

    async def create(self, name: str = "Mean reversion", code: str = CODE, **fields: Any) -> StrategyStored:
        return await self.ask(CreateStrategy(name=name, code=code, **fields))

    async def package(self, strategy_id: str, source: str = "", version: str = "") -> Package:
        return await self.ask(GetPackage(strategy_id, source, version))

    async def refused_code(self, strategy_id: str, source: str = "", version: str = "") -> str:
        """The code with which a package is refused."""
        return await self.refused(GetPackage(strategy_id, source, version))

    async def refused_files(self) -> list[str]:
        return [each.name for each in (await self.listed(source="folder")).refused]

    async def listed(self, **question: Any) -> PackageList:
        return await self.ask(ListPackages(**question))

    async def ids(self, **question: Any) -> list[str]:
        return [each.strategy_id for each in (await self.listed(**question)).packages]

    async def kill(self, path: str) -> None:
        """End an actor without asking it."""
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent or "/").ask(KillChild(name))

    async def rows(self, count: int) -> None:
        """Wait for so many versions in the database."""
        with trio.fail_after(LIMIT_S):
            while True:
                sql = "SELECT count(*) FROM strategy_versions"
                found = await self.node.ref(QUERIES).outcome(RunQuery(sql))
                if isinstance(found, Done) and found.value.rows == ((count,),):
                    return


async def told(tap: Tap, kind: type[M], count: int) -> list[M]:
    """The next `count` messages of a kind."""
    found: list[M] = []
    with trio.fail_after(LIMIT_S):
        while len(found) < count:
            found += [message for message in await tap.receive() if isinstance(message, kind)]
    return found


async def changes(tap: Tap, count: int) -> list[tuple[str, str, bool]]:
    """The next `count` changes of packages: id, source, whether it is gone."""
    return [(each.strategy_id, each.source, each.removed) for each in await told(tap, PackageChanged, count)]


@asynccontextmanager
async def desk(
    folder: Path,
    database: str,
    settings: LibrarySettings | None = None,
    *,
    sandbox: bool = False,
    migrate: bool = False,
    patience_s: float = LIMIT_S,
    segment_bytes: int = 1 << 20,
    others: tuple[ChildSpec, ...] = (),
) -> AsyncIterator[Desk]:
    """A node in this folder; leaving the block stops it, and another one in the same folder goes on where it was."""
    edge = actors.edge.capability.Settings(port=0)
    arguments = {
        "settings": edge,
        "routes": ("actors.strategies.library_routes:routes", "actors.strategies.run_routes:routes"),
    }
    *branch, library = specs(settings or LibrarySettings())
    library = msgspec.structs.replace(
        library, arguments={**library.arguments, "look_s": LOOK_S, "patience_s": patience_s}
    )
    children = (
        storage(database, migrate),
        *capability.branch((), SandboxSettings(memory_mb=64, load_s=3.0) if sandbox else None),
        *others,
        *branch,
        library,
        ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments=arguments),
    )
    log = open_log(folder / "log", segment_bytes=segment_bytes, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
            address = await node.ref(EDGE).ask(GetEdgeAddress())
            at = Desk(node, address.port, token_of(folder))
            async with at.http:
                yield at
    finally:
        log.close()
