"""What attacks aim at, made by the suite and looked at by the suite: files, sockets, a victim process, the node itself.

Everything here is meant to be reachable for any process of the machine (folders and files that anybody may write,
sockets on the loopback): only the sandbox stands between an attack and it.
"""

from __future__ import annotations

import ctypes
import glob
import os
import secrets
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import number

VICTIM: Final = """
import ctypes, sys
ctypes.CDLL(None).unshare(0x04000000)
held = ctypes.create_string_buffer(sys.stdin.readline().strip().encode())
print(ctypes.addressof(held), flush=True)
sys.stdin.read()
"""
"""Holds a secret in its memory, another in its environment, a third in its arguments; its host name is its own."""

_HEARD: Final = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGALRM, signal.SIGIO, signal.SIGWINCH)


class Victim:
    """A process beside the node."""

    def __init__(self, memory: str, environment: str, argument: str) -> None:
        self.secret = memory
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", VICTIM, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"VICTIM": environment},
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(memory + "\n")
        self.process.stdin.flush()
        self.address = int(self.process.stdout.readline())
        self.pid = self.process.pid
        self._before = self._state()

    def _state(self) -> tuple[object, ...]:
        folder = Path(f"/proc/{self.pid}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
        with (folder / "mem").open("rb") as memory:
            memory.seek(self.address)
            held = memory.read(len(self.secret))
        return (
            status["TracerPid"],
            os.getpriority(os.PRIO_PROCESS, self.pid),
            sorted(os.sched_getaffinity(self.pid)),
            os.sched_getscheduler(self.pid),
            (folder / "oom_score_adj").read_text(),
            (folder / "limits").read_text(),
            os.getpgid(self.pid),
            held,
            sorted(os.listdir(folder / "fd")),
        )

    def harm(self) -> str:
        """What was done to it; empty: nothing."""
        if self.process.poll() is not None:
            return f"died: {self.process.returncode}"
        if Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt":
            return "stopped"
        changed = [f"{old!r} -> {new!r}" for old, new in zip(self._before, self._state(), strict=True) if old != new]
        return ", ".join(changed)

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Scene:
    """Canaries with fresh secrets. `news` says what has happened to them since it was last asked."""

    def __init__(self) -> None:
        self.mark = "tr" + secrets.token_hex(6)
        self.key = secrets.randbits(30) | 1
        self.secrets = {
            name: "s3" + secrets.token_hex(12)
            for name in ("file", "name", "memory", "environment", "argument", "node", "neighbour", "open file")
        }
        self.heard: list[str] = []
        self._former: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="scene-"))
        self.folder.chmod(0o777)
        self._lay_out()
        self._listen()
        self.victim = self._new_victim()
        os.environ["TROUPE_CANARY"] = self.secrets["node"]
        # An open file of the node that a child could inherit: it is inheritable on purpose.
        self._inherited = os.open(self.folder / "open.txt", os.O_RDWR)
        os.set_inheritable(self._inherited, True)
        for heard in _HEARD:
            self._former[heard] = signal.signal(heard, self._hear)
        self._files = self._snapshot()

    # What is there.

    def _lay_out(self) -> None:
        folder = self.folder
        texts = {"secret.txt": "file", "open.txt": "open file"}
        for name, secret in texts.items():
            (folder / name).write_text(self.secrets[secret])
        (folder / "target.txt").write_text("as it was\n")
        (folder / "victim.txt").write_text("as it was\n")
        (folder / "table.csv").write_text(f"1.0,2.0\n{int(self.secrets['file'][2:14], 16)}.0,4.0\n")
        (folder / "sub").mkdir()
        (folder / "sub" / self.secrets["name"]).write_text("")
        (folder / "link").symlink_to(folder / "secret.txt")
        for path in [folder / "sub", *folder.iterdir()]:
            if not path.is_symlink():
                path.chmod(0o777 if path.is_dir() else 0o666)
        module = folder / "canary_module.py"
        module.write_text(f"SECRET = {self.secrets['file']!r}\n")
        module.chmod(0o666)

    def _listen(self) -> None:
        def bound(family: int, kind: int, address: object) -> socket.socket:
            made = socket.socket(family, kind)
            made.bind(address)  # type: ignore[arg-type]
            if kind == socket.SOCK_STREAM:
                made.listen(64)
            made.setblocking(False)
            return made

        self.abstract = "scene-" + self.mark
        self.sockets = {
            "tcp": bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "unix": bound(socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "unix.socket")),
            "datagram": bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(self.folder / "datagram.socket")),
            "abstract": bound(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.abstract),
        }
        if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
            self.sockets["tcp6"] = bound(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
        for name in ("unix", "datagram"):
            (self.folder / f"{name}.socket").chmod(0o777)

    def _new_victim(self) -> Victim:
        return Victim(self.secrets["memory"], self.secrets["environment"], self.secrets["argument"])

    def _hear(self, heard: int, _frame: FrameType | None) -> None:
        self.heard.append(signal.Signals(heard).name)

    def values(self, limit: int) -> dict[str, str]:
        """What the placeholders of a source stand for."""
        proof = self.mark + "proof"
        return {
            "DIR": str(self.folder),
            "SECRET_FILE": str(self.folder / "secret.txt"),
            "TCP": str(self.sockets["tcp"].getsockname()[1]),
            "UDP": str(self.sockets["udp"].getsockname()[1]),
            "TCP6": str(self.sockets["tcp6"].getsockname()[1]) if "tcp6" in self.sockets else "9",
            "UNIX": str(self.folder / "unix.socket"),
            "DATAGRAM": str(self.folder / "datagram.socket"),
            "ABSTRACT": self.abstract,
            "VICTIM": str(self.victim.pid),
            "ADDRESS": str(self.victim.address),
            "LENGTH": str(len(self.secrets["memory"])),
            "NODE": str(os.getpid()),
            "MARK": self.mark,
            "KEY": str(self.key),
            "LIMIT": str(limit),
            # Two halves, so that an error that quotes the source line proves nothing.
            "PROOF": f'"".join(("{proof[:7]}", "{proof[7:]}"))',
        }

    # What has happened to it.

    def told(self, text: bytes, extra: tuple[str, ...] = ()) -> list[str]:
        """Which secrets a text from the worker holds."""
        known = [(name, secret.encode()) for name, secret in self.secrets.items()]
        known.append(("file", str(int(self.secrets["file"][2:14], 16)).encode()))
        known.append(("passwd", b"root:x:0:0:"))
        known += [(repr(each), each.encode()) for each in extra]
        return sorted({name for name, secret in known if secret in text})

    def proven(self, text: bytes) -> bool:
        """Whether a text from the worker holds the value that only success may report."""
        return (self.mark + "proof").encode() in text

    def news(self) -> dict[str, str]:
        """Breaches at the canaries since the last call, by what was breached; they are put back in order."""
        found: dict[str, str] = {}
        files = self._snapshot()
        if files != self._files:
            found["files"] = ", ".join(str(k) for k in {*files.items()} ^ {*self._files.items()})[:300]
            self._restore()
        if left := self._left_elsewhere():
            found["files"] = found.get("files", "") + f" left behind: {left}"
        if received := self._received():
            found["network"] = ", ".join(received)
        if harm := self.victim.harm():
            found["victim"] = harm[:300]
            self.victim.close()
            self.victim = self._new_victim()
        if self.heard:
            found["victim"] = f"the node was sent {', '.join(self.heard)}"
            self.heard.clear()
        if objects := self._kernel_objects():
            found["kernel"] = ", ".join(objects)
        return found

    def _snapshot(self) -> dict[str, tuple[object, ...]]:
        seen: dict[str, tuple[object, ...]] = {}
        for path in [self.folder, *sorted(self.folder.rglob("*"))]:
            facts = path.lstat()
            text: object = None
            if stat.S_ISREG(facts.st_mode):
                text = path.read_bytes()[:200]
            elif stat.S_ISLNK(facts.st_mode):
                text = str(path.readlink())
            elif stat.S_ISDIR(facts.st_mode):
                text = path.is_mount()
            times = None if stat.S_ISDIR(facts.st_mode) else facts.st_mtime_ns
            name = str(path.relative_to(self.folder))
            seen[name] = (facts.st_mode, facts.st_uid, facts.st_nlink, facts.st_size, times, text)
        return seen

    def _restore(self) -> None:
        while (self.folder / "sub").is_mount():
            ctypes.CDLL(None).umount2(str(self.folder / "sub").encode(), 2)
        for path in self.folder.iterdir():
            if path.name in ("unix.socket", "datagram.socket"):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.folder.chmod(0o777)
        self._lay_out()
        os.close(self._inherited)
        self._inherited = os.open(self.folder / "open.txt", os.O_RDWR)
        os.set_inheritable(self._inherited, True)
        self._files = self._snapshot()

    def _left_elsewhere(self) -> list[str]:
        left = [each for place in ("/tmp", "/dev/shm", "/var/tmp", "") for each in glob.glob(f"{place}/*{self.mark}*")]
        for path in left:
            Path(path).unlink()
        return left

    def _received(self) -> list[str]:
        received = []
        ready, _, _ = select.select(list(self.sockets.values()), [], [], 0)
        for name, listening in self.sockets.items():
            while listening in ready:
                try:
                    if listening.type == socket.SOCK_STREAM:
                        listening.accept()[0].close()
                    else:
                        listening.recv(65_536)
                except BlockingIOError:
                    break
                received.append(name)
        return received

    def _kernel_objects(self) -> list[str]:
        found = []
        libc = ctypes.CDLL(None)
        for kind, remove in (("shm", libc.shmctl), ("msg", libc.msgctl), ("sem", libc.semctl)):
            table = Path(f"/proc/sysvipc/{kind}")
            if not table.exists():
                continue
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[0]) == self.key:
                    found.append(f"a System V object ({kind})")
                    # IPC_RMID is 0; semctl takes the number of the semaphore before the command.
                    remove(int(fields[1]), 0, 0)
        keys = Path("/proc/keys")
        for line in keys.read_text().splitlines() if keys.exists() else ():
            if self.mark in line:
                found.append("a key")
                # KEYCTL_UNLINK from the keyrings of the user and of the user's session.
                for keyring in (-4, -5):
                    libc.syscall(number("keyctl"), 9, int(line.split()[0], 16), keyring)
        if self.mark in Path("/proc/net/unix").read_text().replace(self.abstract, "").replace(self.folder.name, ""):
            found.append("a socket's name")
        return found

    def close(self) -> None:
        """Takes everything away."""
        for heard, former in self._former.items():
            signal.signal(heard, former if former is not None else signal.SIG_DFL)
        os.environ.pop("TROUPE_CANARY", None)
        os.close(self._inherited)
        for listening in self.sockets.values():
            listening.close()
        self.victim.close()
        while (self.folder / "sub").is_mount():
            ctypes.CDLL(None).umount2(str(self.folder / "sub").encode(), 2)
        shutil.rmtree(self.folder)
