"""The zygote: a small clean process that has everything imported, and forks a worker whenever the node asks for one.

Started by `Zygote.start` as `python -I -B zygote_main.py SETTINGS` with the control socket as its standard input. It
never sees a strategy's text. It has one thread, or it would not fork: a lock that another thread holds would be held
for ever in the child. When the node's end of the control socket is closed it ends, and its workers with it.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    import json

    sys.path[:] = json.loads(sys.argv[1])["path"]

import gc
import importlib
import os
import select
import signal
import socket
import struct
import traceback
from types import ModuleType
from typing import Final, NoReturn

import msgspec

from actors.strategies.sandbox import control, linux, namespaces
from actors.strategies.sandbox.landlock import abi
from actors.strategies.sandbox.lockdown import DATA, STATUS, Preparation, lock_down, unavailable

_PARENT_GONE: Final = 0
_OOM_SCORE: Final = 500


class _Zygote:
    def __init__(self, channel: socket.socket, inside: ModuleType, preparation: Preparation, uid: int | None) -> None:
        self._channel = channel
        self._inside = inside
        self._preparation = preparation
        self._first_uid = uid
        self._workers: dict[int, tuple[int, int, int]] = {}
        """pidfd: (the node's number of the worker, its process, its slot)."""
        self._poll = select.poll()

    def run(self) -> NoReturn:
        self._poll.register(self._channel, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._workers:
                    self._reap(descriptor)
                else:
                    self._obey()

    def _obey(self) -> None:
        packet = self._channel.recv(control.MOST_MESSAGE)
        if not packet:
            # The node is gone, or wants no more of this zygote. The workers get their death signal.
            os._exit(_PARENT_GONE)
        request = control.CREATE.decode(packet)
        try:
            pidfd, data = self._fork(request)
        except (OSError, RuntimeError) as error:
            _tell(self._channel, control.Refused(request.number, str(error)))
            return
        try:
            _tell(self._channel, control.Created(request.number), pidfd, data)
        finally:
            os.close(data)

    def _fork(self, request: control.Create) -> tuple[int, int]:
        """Return a pidfd of a worker that is locked down, and the node's end of its data socket."""
        one_thread(self._preparation.processes)
        used = {slot for _, _, slot in self._workers.values()}
        slot = next(slot for slot in range(1, namespaces.SLOTS + 1) if slot not in used)
        if slot >= namespaces.SLOTS:
            raise RuntimeError(f"{len(used)} workers: there is no id left for another one")
        ours, theirs = socket.socketpair()
        status, tell_status = os.pipe()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            self._be_worker(request, theirs.detach(), tell_status, parent, slot)
        theirs.close()
        os.close(tell_status)
        pidfd = os.pidfd_open(child)
        said = _read_all(status)
        os.close(status)
        if said != b"locked":
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
            ours.close()
            raise RuntimeError(said.decode() or "it ended before it was locked down")
        self._workers[pidfd] = (request.number, child, slot)
        self._poll.register(pidfd, select.POLLIN)
        return pidfd, ours.detach()

    def _be_worker(self, request: control.Create, data: int, status: int, parent: int, slot: int) -> NoReturn:
        uid = None if self._first_uid is None else self._first_uid + slot
        try:
            linux.set_name(f"worker {request.number}")
            lock_down(self._preparation, request.limits, data, status, parent, uid)
        except BaseException as error:
            os.write(status if _is_open(status) else STATUS, f"{type(error).__name__}: {error}".encode()[:4000])
            os._exit(1)
        os.write(STATUS, b"locked")
        os.close(STATUS)
        try:
            self._inside.serve(DATA, language=self._preparation.layers.language)
        finally:
            # Whatever comes out of there: no handler of the zygote's, no finalizer, no atexit.
            os._exit(1)

    def _reap(self, pidfd: int) -> None:
        number, process, _ = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status, used = os.wait4(process, 0)
        cpu_ns = round((used.ru_utime + used.ru_stime) * 1e9)
        _tell(self._channel, control.Ended(number, os.waitstatus_to_exitcode(status), cpu_ns))


def one_thread(processes: int) -> None:
    """Raise RuntimeError if this process has a second thread. `processes` is a descriptor of /proc."""
    descriptor = os.open("self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=processes)
    try:
        threads = len(os.listdir(descriptor))
    finally:
        os.close(descriptor)
    if threads != 1:
        raise RuntimeError(f"a zygote must have one thread to fork: expected 1, got {threads}")


def start(settings: control.Settings, channel: socket.socket) -> NoReturn:
    """Import, enter the namespaces, and serve. Raises what goes wrong before the first fork."""
    processes = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    _go_first(processes)
    inside = importlib.import_module(settings.inside)
    inside.prepare()
    one_thread(processes)
    layers, missing = settings.layers, unavailable()
    for layer in missing:
        layers = msgspec.structs.replace(layers, **{layer: False})
    for layer in ("language", "seccomp", "landlock", "rlimits", "user"):
        if not getattr(settings.layers, layer):
            missing[layer] = "switched off"
    world = namespaces.enter(processes, layers.namespaces)
    if world.reason:
        missing["namespaces"] = world.reason
    if layers.user and (os.geteuid() == 0 or world.namespaces):
        linux.drop_bounding_set()
    preparation = Preparation(layers, processes, null)
    linux.set_name("zygote")
    gc.collect()
    gc.freeze()
    held = tuple(name for name in settings.layers.__struct_fields__ if name not in missing)
    hello = control.Hello(held, missing, world.namespaces, abi() if layers.landlock else 0)
    _tell(channel, hello, os.pidfd_open(os.getpid()))
    _Zygote(channel, inside, preparation, world.first_uid).run()


def _go_first(processes: int) -> None:
    """Where the machine runs out of memory, a worker shall die and not the node; workers inherit this (proc(5))."""
    descriptor = os.open("self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC, dir_fd=processes)
    try:
        if int(os.read(descriptor, 16)) < _OOM_SCORE:
            os.pwrite(descriptor, str(_OOM_SCORE).encode(), 0)
    finally:
        os.close(descriptor)


def main() -> NoReturn:
    """Take the control socket from the standard input, and start; a failure is told there."""
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        start(control.SETTINGS.decode(sys.argv[1]), channel)
    except BaseException:
        _tell(channel, control.Failed(traceback.format_exc()[-4000:]))
    finally:
        os._exit(1)


def _tell(channel: socket.socket, message: control.Told, *descriptors: int) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
    try:
        channel.sendmsg([control.ENCODER.encode(message)], rights if descriptors else [])
    except (BrokenPipeError, ConnectionResetError):
        os._exit(_PARENT_GONE)


def _read_all(descriptor: int) -> bytes:
    """Read to the end: until the worker has closed its side, or is dead."""
    text = b""
    while part := os.read(descriptor, 4096):
        text += part
    return text


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
