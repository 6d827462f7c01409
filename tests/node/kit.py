"""A whole node as a child process, and what a test does with it from outside: HTTP, SQL, signals, /proc."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg
import httpx
import trio

from actors.storage.embedded import server_url
from runtime.orphans import ProcessEntry, processes
from tests.http_client import http_client

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0
"""No test waits longer than this for anything: what should come has then not come."""
POLL_S = 0.02
RUNNER = "/strategies/every/runner"

T = TypeVar("T")

DEFAULT = """\
[node]
name = "examined"
data_dir = "data"
# Of top-level branches; tests kill more of them than a fault would.
restart_count = 20
restart_s = 600.0

[edge]
port = 0

[venue]
rate = 100.0

[[feeds]]
name = "demo"
venue = "simulated"

[[strategies]]
name = "every"
strategy = "tests.node.strategies:EveryQuote"
"""
BUSY = DEFAULT.replace("rate = 100.0", "rate = 400.0")


async def until(
    condition: Callable[[], Awaitable[T] | T], what: str = "what was waited for", patience_s: float = PATIENCE_S
) -> T:
    """Wait for what another process does: for the first true answer, which is returned."""
    with trio.move_on_after(patience_s):
        while True:
            found = condition()
            answer: T = await found if inspect.isawaitable(found) else found
            if answer:
                return answer
            await trio.sleep(POLL_S)
    raise AssertionError(f"{what} did not come in {patience_s:g} s")


class NodeProcess:
    """A node in a folder: `node.toml`, `data/`, what it printed (`out`) and what it logged (`log`).

    At the end of the block it is killed, if it still runs, with whatever is left of it.
    """

    def __init__(self, folder: Path, configuration: str = DEFAULT, *overrides: str, user: str | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._out = folder / "out"
        self._log = folder / "log"
        (folder / "node.toml").write_text(configuration)
        arguments = [argument for override in overrides for argument in ("--set", override)]
        self.arguments = ["-m", "actors.cli", "run", str(folder / "node.toml"), *arguments]
        self._user = user
        self._client: httpx.AsyncClient | None = None
        self.process: subprocess.Popen[bytes]

    # Life.

    def start(self) -> Self:
        """Start it; it is not ready then."""
        options: dict[str, Any] = {} if self._user is None else {"user": self._user, "extra_groups": []}
        self.refreshed()
        with self._out.open("wb") as out, self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                **options,
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for _ in range(20):
            for entry in self.survivors():
                with_pid(entry.pid, signal.SIGKILL)
        if error is not None:
            print(f"--- the node in {self.folder} said:\n{self.log[-6000:]}", file=sys.stderr)

    @property
    def out(self) -> str:
        """Its standard output."""
        return self._out.read_text()

    @property
    def log(self) -> str:
        """Its standard error, over all its lives."""
        return self._log.read_text()

    def events(self) -> list[dict[str, Any]]:
        """Its log, line by line; lines that are no JSON are `{"text": ...}`."""
        found = []
        for line in self.log.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"text": line})
        return found

    @property
    def url(self) -> str:
        """Where it listens. Raises IndexError before it is ready."""
        return self.out.split("listening on ")[1].split("\n")[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def ready(self) -> Self:
        """Wait for its line."""

        def announced() -> bool:
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}:\n{self.log[-3000:]}"
            return self.out.endswith("\n")

        await until(announced, "the node's line")
        return self

    async def ended(self, patience_s: float = PATIENCE_S) -> int:
        """Wait for its end; returns the exit status."""
        await until(lambda: self.process.poll() is not None, "the node's end", patience_s)
        return int(self.process.returncode)

    def kill(self) -> None:
        """SIGKILL it, and wait until it is dead."""
        self.process.kill()
        self.process.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it in order; returns the exit status."""
        self.process.send_signal(number)
        return await self.ended()

    # Processes.

    def survivors(self) -> list[ProcessEntry]:
        """All living processes that have to do with this folder, the node itself included."""
        mark = os.fsencode(self.folder)
        return [
            entry
            for entry in processes()
            if entry.pid != os.getpid() and not entry.dead and any(mark in text for text in _texts(entry.pid))
        ]

    def descendants(self) -> list[ProcessEntry]:
        """All living processes beneath the node."""
        entries = {entry.pid: entry for entry in processes() if not entry.dead}
        found = {self.process.pid}
        while more := {pid for pid, entry in entries.items() if entry.parent in found} - found:
            found |= more
        return [entries[pid] for pid in found - {self.process.pid}]

    async def gone(self) -> None:
        """Wait until no process is left; it must not take long."""
        await until(lambda: not self.survivors(), f"the end of {self.survivors()}", 5.0)

    def writer_pid(self) -> int:
        """The writer process."""
        [entry] = [entry for entry in self.descendants() if b"actors.storage.writer_main" in _texts(entry.pid)[0]]
        return entry.pid

    def postmaster_pid(self) -> int:
        """The embedded server's first process."""
        return int((self.data / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0])

    def postgres_pids(self) -> list[int]:
        """All processes of the embedded server."""
        return [entry.pid for entry in self.survivors() if entry.name == "postgres"]

    def listening_ports(self) -> set[int]:
        """The TCP ports that the node's own process listens on."""
        sockets = set()
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                sockets.add(os.readlink(descriptor))
            except FileNotFoundError:
                continue
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listen = [line for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]
        return {int(line[1].rpartition(":")[2], 16) for line in listen}

    # HTTP.

    @property
    def client(self) -> httpx.AsyncClient:
        if self._client is None:
            headers = {"Authorization": f"Bearer {self.token}"}
            self._client = http_client(base_url=self.url, headers=headers, timeout=20.0)
        return self._client

    def refreshed(self) -> Self:
        """For another test: a client belongs to the event loop of one."""
        self._client = None
        return self

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()

    async def get(self, path: str) -> Any:
        """The JSON that a path answers with 200."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def post(self, path: str) -> Any:
        """The JSON that a POST answers with 200."""
        answer = await self.client.post(path, json={})
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def is_ready(self) -> bool:
        """Whether /health/ready says 200."""
        try:
            return (await self.client.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def ready_again(self) -> None:
        """Wait until /health/ready says 200."""
        await until(self.is_ready, "readiness")

    async def actor(self, path: str) -> dict[str, Any]:
        """One actor as the tree shows it."""
        found: dict[str, Any] = (await self.get(f"/api/v1/actors{path}"))["actor"]
        return found

    async def lives(self, path: str) -> int:
        """How often an actor has been started."""
        return _life(await self.actor(path))

    async def restarted(self, path: str, lives: int) -> dict[str, Any]:
        """Wait until an actor that had so many lives has another one, and is up; returns it."""

        async def again() -> dict[str, Any] | None:
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}"
            try:
                answer = await self.client.get(f"/api/v1/actors{path}")
            except httpx.TransportError:
                return None
            # While its supervisor is restarted, there is no such path.
            found: dict[str, Any] = answer.json()["actor"] if answer.status_code == 200 else {"state": "gone"}
            return found if found["state"] == "up" and _life(found) > lives else None

        found = await until(again, f"life {lives + 1} of {path}")
        assert found is not None
        return found

    async def kill_actor(self, path: str) -> dict[str, Any]:
        """Kill an actor, and wait until it is back; returns it."""
        lives = await self.lives(path)
        await self.post(f"/api/v1/actors{path}/kill")
        return await self.restarted(path, lives)

    async def component(self, name: str) -> dict[str, Any]:
        """One component of /health/status, whatever the status."""
        answer = await self.client.get("/health/status")
        found: dict[str, Any] = answer.json()["components"][name]
        return found

    # The database.

    async def query(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Rows, straight from the embedded server. Raises OSError or asyncpg's errors."""
        return await query(server_url(self.data / "postgres"), sql, *arguments)

    async def stored(self) -> dict[int, str]:
        """The ids of the stored signals by their numbers.

        No number is there twice, and no id. The writer moves rows in order, so at no moment there is a hole.
        """
        rows = await self.query("SELECT seq, signal_id FROM signals WHERE stream = 'signals' ORDER BY seq")
        found = dict(rows)
        assert len(found) == len(rows) == len(set(found.values()))
        assert not holes(found), f"{len(found)} signals with holes at {holes(found)}"
        return found

    async def stored_up_to(self, seq: int) -> dict[int, str]:
        """The stored signals, once the database has this one."""

        async def there() -> dict[int, str]:
            try:
                found = await self.stored()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return {}
            return found if max(found, default=0) >= seq else {}

        return await until(there, f"signal {seq} in the database")

    async def last_seq(self, *symbols: str) -> int:
        """The newest signal's number, as the hub has it."""
        found = 0
        for symbol in symbols or ("SIM-ALPHA", "SIM-BETA"):
            newest = await self.get(f"/api/signals/latest/{symbol}?limit=1")
            found = max(found, *(each["seq"] for each in newest), 0)
        return found

    async def still(self) -> int:
        """Hold the strategy, and wait until what it has made is stored; returns the last signal's number."""
        await self.post(f"/api/v1/actors{RUNNER}/pause")
        last = quiet = 0

        async def nothing_new() -> bool:
            nonlocal last, quiet
            before, last = last, await self.last_seq()
            quiet = quiet + 1 if last == before else 0
            return quiet == 10

        await until(nothing_new, "an end of the signals")
        return last

    async def flowing(self) -> None:
        """Let the strategy go on, if it does not."""
        await self.client.post(f"/api/v1/actors{RUNNER}/resume", json={})


def _life(actor: dict[str, Any]) -> int:
    return int(actor["incarnation"].partition(".")[2])


def assert_stored(stored: dict[int, str], received: Iterable[tuple[int, str]]) -> None:
    """All that was received is stored, under the same number."""
    wrong = [(seq, name, stored.get(seq)) for seq, name in received if stored.get(seq) != name]
    assert not wrong, f"{len(wrong)} received signals are stored otherwise: {wrong[:5]}"


def assert_unbroken(seqs: Sequence[int]) -> None:
    """Every number once, none left out."""
    assert seqs
    assert list(seqs) == list(range(seqs[0], seqs[0] + len(seqs)))


def holes(numbers: Iterable[int]) -> list[int]:
    """What is missing between 1 and the greatest."""
    there = set(numbers)
    return sorted(set(range(1, max(there, default=0) + 1)) - there)[:20]


async def query(url: str, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Rows of a database, from a trio task."""

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url, timeout=5.0, command_timeout=10.0)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close(timeout=2.0)

    return await trio.to_thread.run_sync(lambda: asyncio.run(run()))


def with_pid(pid: int, number: int) -> None:
    """Send a signal to a process that may have gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def copy_of(template: Path, folder: Path) -> Path:
    """A folder with a copy of another node's data, owners kept."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "data", ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(folder / "data")], check=True)
    return folder


async def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(
            [sys.executable, "-m", "actors.cli", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    )


def _texts(pid: int) -> tuple[bytes, bytes, bytes]:
    """Command line, working directory and environment of a process, as far as they may be known."""
    found = []
    for read in (
        lambda: Path(f"/proc/{pid}/cmdline").read_bytes(),
        lambda: os.fsencode(os.readlink(f"/proc/{pid}/cwd")),
        lambda: Path(f"/proc/{pid}/environ").read_bytes(),
    ):
        try:
            found.append(read())
        except OSError:
            found.append(b"")
    return found[0], found[1], found[2]
