"""How a breach is seen from outside: the worker's entry in /proc against that of a harmless one, and its replies.

The facts of a worker are taken after it has answered. A worker that is gone has no facts; what it may have left behind
(children, files, sockets) is looked for all the same.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from actors.strategies.sandbox import wire

SLACK: Final = 24 * 1024 * 1024
"""Bytes beyond its limit that a worker's memory may reach: what the interpreter itself takes and gives."""

_STATUS: Final = (
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "Groups",
    "TracerPid",
    "Threads",
)


def _links(folder: Path) -> list[tuple[str, str]]:
    found = []
    for link in sorted(folder.iterdir(), key=lambda each: each.name):
        try:
            found.append((link.name, re.sub(r"[\d]+", "", str(link.readlink()))))
        except OSError:
            continue
    return found


def kernel_facts(pid: int) -> dict[str, object]:
    """What the kernel says of a process and an attack must not change; empty where it is gone or a zombie."""
    folder = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
        if status["State"].startswith(("Z", "X")):
            return {}
        numbers = (folder / "stat").read_text().rpartition(")")[2].split()
        facts: dict[str, object] = {name: status.get(name, "").strip() for name in _STATUS}
        facts["root"] = "0" in status["Uid"].split()
        facts["root group"] = "0" in status["Gid"].split()
        facts["own session"] = numbers[3] == str(pid)
        facts["nice, policy"] = (numbers[16], numbers[38])
        facts["files"] = [target for _name, target in _links(folder / "fd")]
        facts["namespaces"] = [
            (name, str((folder / "ns" / name).readlink())) for name in sorted(os.listdir(folder / "ns"))
        ]
        # The limits of memory count from where the process began: they are compared by what is unlimited.
        facts["limits"] = (folder / "limits").read_text()
        facts["mounts"] = (folder / "mountinfo").read_text().count("\n")
        facts["places"] = (str((folder / "cwd").readlink()), str((folder / "root").readlink()))
        facts["oom"] = (folder / "oom_score_adj").read_text()
        facts["executable memory"] = _executable(folder)
        facts["personality"] = (folder / "personality").read_text()
        facts["cores"] = status.get("Cpus_allowed_list")
    except (OSError, KeyError, ValueError, IndexError):
        return {}
    return facts


def _executable(folder: Path) -> int:
    """Bytes of executable memory that no file backs, or that is writable."""
    total = 0
    for line in (folder / "maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if "x" not in fields[1] or (len(fields) > 5 and fields[5].startswith("[v")):
            continue
        if "w" in fields[1] or len(fields) < 6 or not fields[5].startswith("/"):
            first, last = (int(each, 16) for each in fields[0].split("-"))
            total += last - first
    return total


def exists(pid: int) -> bool:
    """Whether there is a process of this id, dead or alive."""
    return Path(f"/proc/{pid}/status").exists()


def peak_memory(pid: int) -> int:
    """The most memory that a process has had at once, in bytes; 0 where it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def own_memory() -> int:
    """The node's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """The children of a process, as the kernel counts them; those of one that is gone are its heirs'."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pids: frozenset[int]) -> list[int]:
    """Processes that these have started: children of theirs, and whoever is in a session of theirs."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in pids:
            continue
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as facts:
                fields = facts.read(4096).rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] != b"Z" and (int(fields[1]) in pids or int(fields[3]) in pids):
            found.append(int(name))
    return found


def loosened(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Facts of a worker that differ from a harmless worker's."""
    if not before or not after:
        return []
    found = []
    for name, value in before.items():
        now = after[name]
        if name == "limits":
            if problem := _wider(str(value), str(now)):
                found.append(problem)
        elif now != value:
            found.append(f"{name}: {value!r} -> {now!r}"[:300])
    return found


def _wider(before: str, after: str) -> str:
    """A limit that is wider by more than where a process's memory begins can explain."""
    for old, new in zip(before.splitlines()[1:], after.splitlines()[1:], strict=True):
        for soft_hard in (1, 2):
            was, now = (line[26:].split()[soft_hard - 1] for line in (old, new))
            if was == now or was == "unlimited":
                continue
            if now == "unlimited" or int(now) > int(was) + SLACK or (int(was) < 4096 and int(now) > int(was)):
                return f"limit {new[:26].strip()}: {was} -> {now}"
    return ""


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, msgspec.Struct):
        for each in msgspec.structs.astuple(value):
            yield from _numbers(each)
    elif isinstance(value, tuple):
        for each in value:
            yield from _numbers(each)


_ANSWERS: Final[dict[type, tuple[type, ...]]] = {
    wire.Load: (wire.Ready, wire.Rejected, wire.Failed),
    wire.History: (wire.Done,),
    wire.Run: (wire.Done, wire.Failed),
    wire.Configure: (wire.Done, wire.Rejected, wire.Failed),
    wire.Save: (wire.Saved, wire.Failed),
}


def misshapen(request: wire.Request, reply: wire.Reply) -> str:
    """Why the node should not have taken this for the reply to that; empty: it is one."""
    if reply.id != request.id:
        return f"reply {reply.id} to request {request.id}"
    if not isinstance(reply, _ANSWERS[type(request)]):
        return f"{type(reply).__name__} to {type(request).__name__}"
    size = len(msgspec.msgpack.encode(reply))
    if size > wire.most_reply(request):
        return f"{size} bytes where {wire.most_reply(request)} are the most"
    if any(not math.isfinite(each) for each in _numbers(reply)):
        return "a number that is none"
    if isinstance(reply, wire.Done | wire.Failed):
        given = len(request.inputs) if isinstance(request, wire.Run) else reply.count
        if isinstance(request, wire.History):
            given = len(request.bars)
        if reply.count > given or (isinstance(reply, wire.Done) and reply.count != given):
            return f"{reply.count} inputs handled of {given}"
        per_input: dict[int, int] = {}
        for signal in reply.signals:
            per_input[signal.index] = per_input.get(signal.index, 0) + 1
        if any(index >= max(given, 1) for index in per_input):
            return f"signals of inputs {sorted(per_input)} of {given}"
        if any(count > wire.MOST_SIGNALS for count in per_input.values()):
            return "too many signals"
        if reply.orders:
            return "commands without an account"
    return ""


def tells_the_time(text: bytes) -> str:
    """A number in a text that is the machine's own time, in whatever unit; empty: none."""
    now = time.time()
    for found in re.findall(rb"\d{10,19}", text):
        value = float(found)
        for unit in (1.0, 1e3, 1e6, 1e9):
            if abs(value / unit - now) < 86_400:
                return str(found)
    return ""
