"""Memory: more than the limit at once and in pieces, in bytes, text, lists, numbers, arrays, shared maps, fragments.

What is taken is touched, so that it counts. With no limit in place nothing takes more than about twice the limit.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack

ALL: Final = "rlimits"


def _takes(name: str, source: str, layers: str = ALL, **more: object) -> Attack:
    return attack(name, "memory", "memory", layers, source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _takes(
        "twice the limit in bytes",
        "def attack():\n    global kept\n    kept = b'x' * (2 * @LIMIT@)\n    return len(kept)\n",
    ),
    _takes(
        "at import time",
        "KEPT = b'x' * (2 * @LIMIT@)\ndef attack():\n    return len(KEPT)\n",
    ),
    _takes(
        "in pieces",
        "KEPT = []\ndef attack():\n"
        "    for _ in range(2 * @LIMIT@ // 65536):\n        KEPT.append(b'x' * 65000)\n"
        "    return len(KEPT)\n",
    ),
    _takes(
        "in pieces that are small",
        "KEPT = []\ndef attack():\n"
        "    for i in range(@LIMIT@ // 16):\n        KEPT.append(float(i))\n"
        "    return len(KEPT)\n",
        call_s=2.0,
    ),
    _takes(
        "a little more at each call",
        "KEPT = []\ndef attack():\n    KEPT.append(b'x' * (@LIMIT@ // 2))\n    return len(KEPT)\n",
        steps=("run", "run", "run", "run"),
    ),
    _takes(
        "MemoryError caught, and on",
        "KEPT = []\ndef attack():\n"
        "    size = 2 * @LIMIT@\n"
        "    taken = 0\n"
        "    while size > 4096 and taken < 2 * @LIMIT@:\n"
        "        try:\n            KEPT.append(b'x' * size)\n            taken += size\n"
        "        except MemoryError:\n            size //= 2\n"
        "    return taken\n",
    ),
    _takes("text", "def attack():\n    global kept\n    kept = chr(0x1f600) * (@LIMIT@ // 2)\n    return len(kept)\n"),
    _takes(
        "text joined",
        "def attack():\n    global kept\n    kept = 'x'.join(['y' * 1000] * (@LIMIT@ // 500))\n    return len(kept)\n",
    ),
    _takes(
        "text formatted", "def attack():\n    global kept\n    kept = f'{1:>{2 * @LIMIT@}}'\n    return len(kept)\n"
    ),
    _takes(
        "text formatted the old way",
        "def attack():\n    global kept\n    kept = '%*d' % (2 * @LIMIT@, 1)\n    return len(kept)\n",
    ),
    _takes(
        "text replaced",
        "def attack():\n    global kept\n    kept = ('x' * 1000).replace('x', 'y' * (@LIMIT@ // 500))\n    return len(kept)\n",
    ),
    _takes("a list", "def attack():\n    global kept\n    kept = [0] * (@LIMIT@ // 4)\n    return len(kept)\n"),
    _takes(
        "a list of lists",
        "def attack():\n    global kept\n    kept = [[i] for i in range(@LIMIT@ // 50)]\n    return len(kept)\n",
        call_s=2.0,
    ),
    _takes(
        "a dictionary",
        "def attack():\n    global kept\n    kept = dict.fromkeys(range(@LIMIT@ // 55))\n    return len(kept)\n",
        call_s=2.0,
    ),
    _takes(
        "a set",
        "def attack():\n    global kept\n    kept = set(range(@LIMIT@ // 28))\n    return len(kept)\n",
        call_s=2.0,
    ),
    _takes(
        "a number", "def attack():\n    global kept\n    kept = 1 << (16 * @LIMIT@)\n    return kept.bit_length()\n"
    ),
    _takes(
        "a tuple that doubles",
        "def attack():\n    global kept\n    kept = (0,)\n    while len(kept) * 8 < 1.9 * @LIMIT@:\n        kept = kept + kept\n    return len(kept)\n",
    ),
    _takes(
        "bytearray",
        "def attack():\n    global kept\n    kept = bytearray(2 * @LIMIT@)\n    kept[::4096] = b'x' * len(kept[::4096])\n    return len(kept)\n",
    ),
    _takes(
        "an array of ones",
        "import numpy as np\ndef attack():\n    global kept\n    kept = np.ones(@LIMIT@ // 4)\n    return kept.sum()\n",
    ),
    _takes(
        "an array of zeros, touched",
        "import numpy as np\ndef attack():\n    global kept\n    kept = np.zeros(@LIMIT@ // 4)\n    kept[::500] = 1\n    return kept.sum()\n",
    ),
    _takes(
        "an outer product",
        "import numpy as np\ndef attack():\n    global kept\n    n = int((@LIMIT@ // 4) ** 0.5)\n    kept = np.multiply.outer(np.ones(n), np.ones(n))\n    return kept.sum()\n",
    ),
    _takes(
        "np.tile",
        "import numpy as np\ndef attack():\n    global kept\n    kept = np.tile(np.ones(1000), @LIMIT@ // 4000)\n    return kept.sum()\n",
    ),
    _takes(
        "an array that is resized",
        "import numpy as np\ndef attack():\n    global kept\n    kept = np.ones(10)\n    kept.resize(@LIMIT@ // 4, refcheck=False)\n    kept[:] = 2\n    return kept.sum()\n",
    ),
    _takes(
        "a window copied",
        "import numpy as np\ndef attack():\n    global kept\n    kept = np.lib.stride_tricks.sliding_window_view(np.ones(40000), @LIMIT@ // 160000).copy()\n    return kept.sum()\n",
    ),
    _takes(
        "an array of objects",
        "import numpy as np\ndef attack():\n    global kept\n    kept = np.full(@LIMIT@ // 4, None, dtype=object)\n    return len(kept)\n",
    ),
    _takes(
        "fragments",
        "KEPT = []\ndef attack():\n"
        "    many = [b'x' * 5000 for _ in range(@LIMIT@ // 10000)]\n"
        "    KEPT.append(many[::2])\n    del many\n"
        "    KEPT.append([b'y' * 9000 for _ in range(2 * @LIMIT@ // 9000)])\n"
        "    return len(KEPT)\n",
    ),
    _takes(
        "a shared map",
        "import mmap\ndef attack():\n    global kept\n"
        "    kept = mmap.mmap(-1, 2 * @LIMIT@)\n    kept[::4096] = b'x' * len(kept[::4096])\n    return len(kept)\n",
        "language seccomp",
    ),
    _takes(
        "a shared map by the raw call",
        "def attack():\n"
        "    at, error = syscall(@nr:mmap@, 0, 2 * @LIMIT@, 3, 0x21, -1, 0)\n"
        "    if at > 0:\n        ctypes.memset(at, 1, 2 * @LIMIT@)\n"
        "    return at, error\n",
        "language seccomp",
        raw=True,
    ),
    _takes(
        "a shared map of the validating kind",
        "def attack():\n"
        "    at, error = syscall(@nr:mmap@, 0, 2 * @LIMIT@, 3, 0x23, -1, 0)\n"
        "    if at > 0:\n        ctypes.memset(at, 1, 2 * @LIMIT@)\n"
        "    return at, error\n",
        "language seccomp",
        raw=True,
        bare=False,
    ),
    _takes(
        "private maps by the raw call",
        "def attack():\n"
        "    for _ in range(8):\n"
        "        at, error = syscall(@nr:mmap@, 0, @LIMIT@ // 4, 3, 0x22, -1, 0)\n"
        "        if at > 0:\n            ctypes.memset(at, 1, @LIMIT@ // 4)\n"
        "    return error\n",
        "language rlimits",
        raw=True,
    ),
    _takes(
        "a map that may not be written, then may",
        "def attack():\n"
        "    at, error = syscall(@nr:mmap@, 0, 2 * @LIMIT@, 1, 0x22, -1, 0)\n"
        "    done, error = syscall(@nr:mprotect@, at, 2 * @LIMIT@, 3)\n"
        "    if at > 0 and done == 0:\n        ctypes.memset(at, 1, 2 * @LIMIT@)\n"
        "    return at, done, error\n",
        "language rlimits",
        raw=True,
    ),
    _takes(
        "a map that grows down",
        "def attack():\n"
        "    at, error = syscall(@nr:mmap@, 0, 2 * @LIMIT@, 3, 0x122, -1, 0)\n"
        "    if at > 0:\n        ctypes.memset(at, 1, 2 * @LIMIT@)\n"
        "    return at, error\n",
        "language rlimits",
        raw=True,
    ),
    _takes(
        "the stack",
        "def attack():\n"
        "    syscall(@nr:setrlimit@, 3, (ctypes.c_long * 2)(-1, -1))\n"
        "    here = ctypes.c_long()\n"
        "    return 'no deeper'\n",
        "language seccomp rlimits",
        raw=True,
        bare=False,
    ),
    attack(
        "memory in a file of its own",
        "memory",
        "kernel",
        "language seccomp",
        "import os\ndef attack():\n"
        "    fd, error = syscall(@nr:memfd_create@, b'@MARK@', 0)\n"
        "    if fd >= 0:\n"
        "        for _ in range(100):\n            os.write(fd, b'x' * 1048576)\n"
        "    return fd, error\n",
        raw=True,
    ),
    attack(
        "memory in System V segments",
        "memory",
        "kernel",
        "language seccomp",
        "def attack():\n    return syscall(@nr:shmget@, @KEY@, 1048576, 0o1666)\n",
        raw=True,
    ),
    attack(
        "memory in pipes",
        "memory",
        "kernel",
        "language seccomp",
        "import os\ndef attack():\n    global kept\n    kept = [os.pipe() for _ in range(3)]\n    return kept\n",
    ),
    attack(
        "memory in many descriptors",
        "memory",
        "kernel",
        "language seccomp rlimits",
        "def attack():\n    return [syscall(@nr:eventfd2@, 0, 0) for _ in range(40)]\n",
        raw=True,
    ),
    attack(
        "memory that may not be moved out",
        "memory",
        "proof",
        "language seccomp rlimits",
        "def attack():\n"
        "    at, error = syscall(@nr:mmap@, 0, 1048576, 3, 0x22, -1, 0)\n"
        "    done, error = syscall(@nr:mlock@, at, 1048576)\n"
        "    return @PROOF@ if done == 0 else error\n",
        raw=True,
    ),
    attack(
        "memory that nobody may read",
        "memory",
        "kernel",
        "language seccomp",
        "def attack():\n    return syscall(@nr:memfd_secret@, 0)\n",
        raw=True,
        bare=False,
    ),
)
