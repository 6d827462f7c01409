"""Signals to others: the victim, the node, the zygote, neighbours, everybody."""

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack

ALL: Final = "language seccomp landlock user namespaces"


def _sends(name: str, source: str, aim: Aim = "victim", **more: object) -> Attack:
    return attack(name, "signals", aim, ALL, source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _sends("os.kill the victim", "import os\ndef attack():\n    os.kill(@VICTIM@, 9)\n"),
    _sends("stop the victim", "import os\ndef attack():\n    os.kill(@VICTIM@, 19)\n"),
    _sends("os.killpg", "import os\ndef attack():\n    os.killpg(os.getpgid(@NODE@), 28)\n"),
    _sends("a signal to the node", "import os\ndef attack():\n    os.kill(@NODE@, 10)\n"),
    _sends(
        "kill the zygote",
        "import os\ndef attack():\n    os.kill(os.getppid(), 9)\n",
        "neighbour",
        steps=("run",),
    ),
    _sends(
        "stop the zygote",
        "import os\ndef attack():\n    os.kill(os.getppid(), 19)\n",
        "neighbour",
    ),
    _sends("kill a neighbour", "import os\ndef attack():\n    os.kill(@NEIGHBOUR@, 9)\n", "neighbour"),
    _sends("stop a neighbour", "import os\ndef attack():\n    os.kill(@NEIGHBOUR@, 19)\n", "neighbour"),
    _sends(
        "pid 1 may be asked", "import os\ndef attack():\n    os.kill(1, 0)\n    return @PROOF@\n", "proof", root=True
    ),
    _sends("kill by the raw call", "def attack():\n    return syscall(@nr:kill@, @VICTIM@, 9)\n", raw=True),
    _sends("tkill", "def attack():\n    return syscall(@nr:tkill@, @VICTIM@, 9)\n", raw=True),
    _sends("tgkill", "def attack():\n    return syscall(@nr:tgkill@, @VICTIM@, @VICTIM@, 9)\n", raw=True),
    _sends("tgkill of the node", "def attack():\n    return syscall(@nr:tgkill@, @NODE@, @NODE@, 10)\n", raw=True),
    _sends(
        "a kill of a negative number",
        "def attack():\n    return syscall(@nr:kill@, -@VICTIM@, 0)\n",
        raw=True,
        bare=False,
    ),
    _sends(
        "rt_sigqueueinfo",
        "import struct\ndef attack():\n"
        "    facts = struct.pack('iiii', 10, 0, -1, 0) + bytes(112)\n"
        "    return syscall(@nr:rt_sigqueueinfo@, @NODE@, 10, facts)\n",
        raw=True,
    ),
    _sends(
        "pidfd_send_signal",
        "def attack():\n"
        "    fd, error = syscall(@nr:pidfd_open@, @VICTIM@, 0)\n"
        "    return fd, error, syscall(@nr:pidfd_send_signal@, fd, 9, None, 0)\n",
        raw=True,
    ),
    _sends(
        "signals by the owner of a descriptor",
        "import fcntl, os\ndef attack():\n"
        "    r, w = os.pipe()\n"
        "    fcntl.fcntl(r, fcntl.F_SETOWN, @NODE@)\n"
        "    fcntl.fcntl(r, 10, 10)\n"
        "    fcntl.fcntl(r, fcntl.F_SETFL, fcntl.fcntl(r, fcntl.F_GETFL) | os.O_ASYNC)\n"
        "    os.write(w, b'x')\n",
    ),
    _sends(
        "signals by the owner of the data socket",
        "import fcntl, os\ndef attack():\n"
        "    for fd in range(3, 64):\n"
        "        try:\n"
        "            if os.write(fd, b'') == 0:\n"
        "                fcntl.fcntl(fd, fcntl.F_SETOWN, @NODE@)\n"
        "                fcntl.fcntl(fd, 10, 10)\n"
        "                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)\n"
        "        except OSError:\n            pass\n",
        steps=("run", "run"),
        bare=False,
    ),
    _sends(
        "a timer that signals another thread",
        "import struct\ndef attack():\n"
        "    event = struct.pack('QiiI', 0, 10, 4, @VICTIM@) + bytes(44)\n"
        "    room = ctypes.create_string_buffer(8)\n"
        "    return syscall(@nr:timer_create@, 1, event, room)\n",
        raw=True,
        bare=False,
    ),
    _sends(
        "a signal to itself that nobody handles",
        "import os, signal\ndef attack():\n    os.kill(os.getpid(), 11)\n",
        "neighbour",
        bare=False,
    ),
    _sends(
        "SIGTERM and SIGXCPU ignored, then an endless loop",
        "import signal\ndef attack():\n"
        "    for number in (15, 2, 24, 14):\n        signal.signal(number, signal.SIG_IGN)\n"
        "    while True:\n        pass\n",
        "deadline",
        bare=False,
        call_s=0.2,
        ends=("timeout",),
    ),
    _sends("the victim's priority", "import os\ndef attack():\n    os.setpriority(os.PRIO_PROCESS, @VICTIM@, 10)\n"),
    _sends("the victim's cores", "import os\ndef attack():\n    os.sched_setaffinity(@VICTIM@, {0})\n"),
    _sends(
        "the victim's limits",
        "import struct\ndef attack():\n"
        "    return syscall(@nr:prlimit64@, @VICTIM@, 4, struct.pack('QQ', 0, 0), None)\n",
        raw=True,
    ),
    _sends("the victim's process group", "import os\ndef attack():\n    os.setpgid(@VICTIM@, 0)\n", bare=False),
)
