"""A reader who does what a page says: types its commands into one shell, saves its files, applies its changes.

A page shows the port 8001 and a folder of its own; the reader has any free port and a temporary folder, so what is
typed, saved and printed is translated on the way. A page that starts a node (`$ bin/troupe run ...`) gets it as its
node from there on; others use the one that the whole run of the tests shares.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from tests.docs.sharing import RUN

REPOSITORY = Path(__file__).resolve().parents[2]
SHOWN = "127.0.0.1:8001"
SHOWN_FOLDER = "/home/you/troupe"
PACKAGES = ("actors", "runtime", "protocols", "config")
READY_S = 60.0
COMMAND_S = 30.0
STOP_S = 10.0
_LISTENING = re.compile(r"listening on http://(\S+)")


def environment(folder: Path, data: Path) -> dict[str, str]:
    """The reader's environment in `folder`: the node's data folder is `data`, its port any free one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TROUPE_")}
    return kept | {
        "TROUPE__NODE__DATA_DIR": str(data),
        "TROUPE__EDGE__PORT": "0",
        "NO_COLOR": "1",
        # The files of a page are in its folder, and a changed copy of a package comes before the installed one.
        "PYTHONPATH": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


def lay_out(folder: Path) -> None:
    """Make a folder look like the repository to who types: `bin/troupe`, `.venv`, `config`."""
    (folder / "bin").mkdir(parents=True)
    # What the bootstrap ends in; installing is not to be tried from here.
    command = folder / "bin" / "troupe"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m actors.cli "$@"\n')
    command.chmod(0o755)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "config").symlink_to(REPOSITORY / "config")


class NodeEnded(Exception):
    """The node did not come up; the text is what it said."""


class RunningNode:
    """`bin/troupe run` in `folder` with its data in `data`. `variables`: of its environment, `NAME=value` each."""

    def __init__(self, folder: Path, data: Path, *arguments: str, variables: Iterable[str] = ()) -> None:
        self.data = data
        self.told = False
        self.log = data.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(folder / "bin" / "troupe"), "run", *arguments],
                cwd=folder,
                env=environment(folder, data) | dict(each.split("=", 1) for each in variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.printed = b""
        assert self.process.stdout is not None
        try:
            self.printed = _read_until(self.process.stdout, _LISTENING.pattern.encode() + rb"\n", READY_S)
        except BaseException:
            self._end_by_force()
            raise
        listening = _LISTENING.search(self.printed.decode())
        if listening is None:
            self.process.wait(STOP_S)
            self.process.stdout.close()
            raise NodeEnded(self.printed.decode() + self.log.read_text())
        self.address = listening[1]

    def stop(self) -> None:
        """As Ctrl-C does, once: a second one would end it at once. `ended` waits for it."""
        if not self.told and self.process.poll() is None:
            self.told = True
            self.process.send_signal(signal.SIGINT)

    def ended(self) -> None:
        """Wait for the end. Raises AssertionError if it was not in order."""
        assert self.process.stdout is not None
        try:
            status = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._end_by_force()
            raise
        finally:
            self.process.stdout.close()
        assert status == 0, f"the node ended with {status}:\n{self.log.read_text()[-4000:]}"

    def _end_by_force(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Reader:
    """One page's reader, in a folder of its own. `shared`: the node that it talks to until it starts its own."""

    def __init__(self, folder: Path, shared: RunningNode | None) -> None:
        self.folder = folder
        self.shared = shared
        self.node = shared
        self.own: list[RunningNode] = []
        self.saved: dict[str, str] = {}
        self.typed: list[str] = []
        lay_out(folder)
        if shared is not None:
            (folder / "data").symlink_to(shared.data)
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment(folder, folder / "data"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def save(self, name: str, text: str) -> Path:
        """Save a file where the page says."""
        if name.startswith(PACKAGES):
            self.take_packages()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.saved[name] = text
        path.write_text(self.translated(text))
        return path

    def apply(self, diff: str) -> None:
        """Apply a change to the sources: of a copy."""
        self.take_packages()
        done = subprocess.run(
            ["git", "apply", "-"], cwd=self.folder, input=diff, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def take_packages(self) -> None:
        """Have the sources themselves here, to be changed."""
        if (self.folder / "actors").exists():
            return
        (self.folder / "config").unlink()
        for name in PACKAGES:
            shutil.copytree(REPOSITORY / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(REPOSITORY / "pyproject.toml", self.folder)

    def type(self, command: str) -> str:
        """Run a command in the page's shell; what it printed, both streams, as the page would show it."""
        self.typed.append(command)
        if "actors/" in command:
            self.take_packages()
        if run := RUN.fullmatch(command):
            printed = self.run_node(run["arguments"].split(), run["variables"].split())
        else:
            printed = self._type(self.translated(command))
        return self.shown(printed)

    def run_node(self, arguments: list[str], variables: list[str]) -> str:
        """Start the node that the page starts, or fall in with the shared one if that is what it would be."""
        if self.shared is not None and arguments == variables == [] and not (self.folder / "actors").exists():
            return self.shared.printed.decode()
        self.leave()
        data = self.folder / f"data-{len(list(self.folder.iterdir()))}"
        data.mkdir()  # a link to nothing could not be named as the data folder
        (self.folder / "data").unlink(missing_ok=True)
        (self.folder / "data").symlink_to(data)
        try:
            self.node = RunningNode(self.folder, data, *arguments, variables=variables)
        except NodeEnded as ended:
            return str(ended)
        self.own.append(self.node)
        for name, text in self.saved.items():
            (self.folder / name).write_text(self.translated(text))
        return self.node.printed.decode()

    def leave(self) -> None:
        """Have the page's own nodes stop."""
        for node in self.own:
            node.stop()

    def close(self) -> None:
        """End the shell with whatever it has started, and have the page's own nodes stop."""
        self.leave()
        os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait()
        for stream in (self.shell.stdin, self.shell.stdout):
            assert stream is not None
            stream.close()

    def translated(self, text: str) -> str:
        """What the page says, for here."""
        if self.node is not None:
            text = text.replace(SHOWN, self.node.address)
        return text.replace(SHOWN_FOLDER, str(self.folder))

    def shown(self, text: str) -> str:
        """What came, as the page would show it."""
        for folder in (self.folder, REPOSITORY):
            text = text.replace(str(folder), SHOWN_FOLDER)
        return text if self.node is None else text.replace(self.node.address, SHOWN)

    def _type(self, command: str) -> str:
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        end = f"end-{time.monotonic_ns()}"
        self.shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '%s\\n' {end}\n".encode())
        self.shell.stdin.flush()
        printed = _read_until(self.shell.stdout, end.encode() + rb"\n", COMMAND_S)
        assert printed.endswith(f"{end}\n".encode()), f"the shell has ended: {command}\n{printed.decode()}"
        return printed.decode().removesuffix(f"{end}\n")


def _read_until(stream: IO[bytes], pattern: bytes, timeout_s: float) -> bytes:
    """Read until what came ends with the pattern, or the stream has ended. Raises TimeoutError with what came."""
    ending = re.compile(pattern + rb"\Z")
    came = b""
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not ending.search(came):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"not within {timeout_s:.0f} s; so far:\n{came.decode(errors='replace')}")
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                break
            came += piece
    return came
