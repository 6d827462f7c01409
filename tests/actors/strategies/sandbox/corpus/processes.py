"""Processes and threads: fork, vfork, clone, exec, and everything in the library that starts one."""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack

ALL: Final = "language seccomp rlimits"


def _starts(name: str, source: str, layers: str = ALL, **more: object) -> Attack:
    return attack(name, "processes", "process", layers, source, **more)  # type: ignore[arg-type]


# Children wait until they are killed by the suite; each attack makes one.
ATTACKS: Final[tuple[Attack, ...]] = (
    _starts(
        "os.fork",
        "import os, signal\ndef attack():\n    if os.fork() == 0:\n        while True:\n            signal.pause()\n",
    ),
    _starts(
        "os.forkpty",
        "import os, signal\ndef attack():\n    if os.forkpty()[0] == 0:\n        while True:\n            signal.pause()\n",
    ),
    _starts("os.posix_spawn", "import os\ndef attack():\n    os.posix_spawn('/bin/sleep', ['sleep', '60'], {})\n"),
    _starts("subprocess.Popen", "import subprocess\ndef attack():\n    subprocess.Popen(['/bin/sleep', '60'])\n"),
    _starts(
        "_posixsubprocess",
        "import subprocess\ndef attack():\n    subprocess.Popen(['/bin/sleep', '60'], close_fds=True, start_new_session=True)\n",
    ),
    _starts(
        "os.system",
        "import os\ndef attack():\n    os.system('touch @DIR@/@MARK@')\n",
        bare=False,
    ),
    attack(
        "a command that makes a file",
        "processes",
        "files",
        ALL,
        "import os\ndef attack():\n    os.system('echo > @DIR@/by-command-@MARK@')\n",
    ),
    attack(
        "os.popen",
        "processes",
        "secret",
        ALL,
        "import os\ndef attack():\n    return os.popen('cat @SECRET_FILE@').read()\n",
    ),
    attack(
        "another program in its place",
        "processes",
        "files",
        ALL,
        "import os\ndef attack():\n    os.execv('/bin/sh', ['sh', '-c', 'echo > @DIR@/by-exec-@MARK@'])\n",
        ends=("crashed", "forbidden_syscall"),
    ),
    attack(
        "another Python in its place",
        "processes",
        "files",
        ALL,
        "import os, sys\ndef attack():\n"
        "    os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', \"open('@DIR@/python-@MARK@', 'w')\"])\n",
        ends=("crashed", "forbidden_syscall"),
    ),
    attack(
        "execveat",
        "processes",
        "files",
        ALL,
        "def attack():\n"
        "    words = (ctypes.c_char_p * 4)(b'sh', b'-c', b'echo > @DIR@/by-execveat-@MARK@', None)\n"
        "    return syscall(@nr:execveat@, -100, b'/bin/sh', words, None, 0)\n",
        raw=True,
        ends=("forbidden_syscall",),
    ),
    attack(
        "a program from memory",
        "processes",
        "files",
        ALL,
        "def attack():\n"
        "    fd, error = syscall(@nr:memfd_create@, b'x', 0)\n"
        "    import os\n"
        "    os.write(fd, b'#!/bin/sh\\necho > @DIR@/by-memory-@MARK@\\n')\n"
        "    words = (ctypes.c_char_p * 2)(b'x', None)\n"
        "    return syscall(@nr:execveat@, fd, b'', words, None, 0x1000)\n",
        raw=True,
    ),
    _starts(
        "fork by the raw call",
        "def attack():\n"
        "    pid, error = syscall(@nr:clone@, 17, 0, 0, 0, 0)\n"
        "    if pid == 0:\n"
        "        _libc.pause()\n        _libc._exit(0)\n"
        "    return pid, error\n",
        raw=True,
    ),
    _starts(
        "clone3",
        "import struct\ndef attack():\n"
        "    asked = struct.pack('QQQQQQQQ', 0, 0, 0, 0, 17, 0, 0, 0)\n"
        "    pid, error = syscall(@nr:clone3@, asked, 64)\n"
        "    if pid == 0:\n        _libc.pause()\n        _libc._exit(0)\n"
        "    return pid, error\n",
        raw=True,
    ),
    _starts(
        "clone with its parent as the child's parent",
        "def attack():\n"
        "    pid, error = syscall(@nr:clone@, 0x8000 | 17, 0, 0, 0, 0)\n"
        "    if pid == 0:\n        _libc.pause()\n        _libc._exit(0)\n"
        "    return pid, error\n",
        raw=True,
    ),
    _starts(
        "a process in namespaces of its own",
        "def attack():\n"
        "    pid, error = syscall(@nr:clone@, 0x10000000 | 17, 0, 0, 0, 0)\n"
        "    if pid == 0:\n        _libc.pause()\n        _libc._exit(0)\n"
        "    return pid, error\n",
        raw=True,
    ),
    _starts(
        "fork, and fork again",
        "import os, signal\ndef attack():\n"
        "    if os.fork() == 0:\n"
        "        if os.fork() == 0:\n            while True:\n                signal.pause()\n"
        "        os._exit(0)\n"
        "    os.wait()\n",
    ),
    _starts(
        "vfork by the C library",
        "import ctypes\ndef attack():\n"
        "    c = ctypes.CDLL(None)\n"
        "    pid = ctypes.c_int()\n"
        "    words = (ctypes.c_char_p * 3)(b'sleep', b'60', None)\n"
        "    return c.posix_spawn(ctypes.byref(pid), b'/bin/sleep', None, None, words, None)\n",
    ),
    _starts(
        "a thread by threading",
        "import threading, time\ndef attack():\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
        "language seccomp rlimits",
    ),
    _starts(
        "a thread by _thread",
        "import _thread, time\ndef attack():\n    return _thread.start_new_thread(time.sleep, (60,))\n",
        "language seccomp rlimits",
    ),
    _starts(
        "a thread pool",
        "import concurrent.futures, time\ndef attack():\n"
        "    global pool\n    pool = concurrent.futures.ThreadPoolExecutor(1)\n    pool.submit(time.sleep, 60)\n"
        "    return 'started'\n",
    ),
    _starts(
        "a process pool",
        "import multiprocessing, time\ndef attack():\n"
        "    multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,), daemon=True).start()\n",
    ),
    _starts(
        "multiprocessing by spawning",
        "import multiprocessing, time\ndef attack():\n"
        "    multiprocessing.get_context('spawn').Process(target=time.sleep, args=(60,), daemon=True).start()\n",
        bare=False,
    ),
    _starts("pty.spawn", "import pty\ndef attack():\n    pty.spawn(['/bin/sleep', '60'])\n", call_s=0.3, bare=False),
    _starts(
        "asyncio's subprocess",
        "import asyncio\ndef attack():\n"
        "    async def go():\n        global kept\n        kept = await asyncio.create_subprocess_exec('/bin/sleep', '60')\n"
        "        await asyncio.sleep(60)\n"
        "    asyncio.run(go())\n",
        call_s=0.3,
    ),
    _starts(
        "subprocess found in a module of another",
        "import statistics, random\ndef attack():\n"
        "    sys = statistics.sys if hasattr(statistics, 'sys') else random._os.sys\n"
        "    sys.modules.get('subprocess', __import__('subprocess')).Popen(['/bin/sleep', '60'])\n",
    ),
    _starts(
        "the compiler of numpy's f2py",
        "import numpy.f2py\ndef attack():\n    return numpy.f2py.subprocess.Popen(['/bin/sleep', '60'])\n",
    ),
    _starts(
        "platform's commands",
        "import platform\ndef attack():\n    return platform._syscmd_ver, platform.subprocess\n",
        bare=False,
    ),
    _starts(
        "webbrowser",
        "import webbrowser\ndef attack():\n    webbrowser.BackgroundBrowser('/bin/sleep').open('60')\n",
    ),
    _starts(
        "a new session",
        "import os, signal\ndef attack():\n"
        "    if os.fork() == 0:\n        os.setsid()\n        while True:\n            signal.pause()\n",
    ),
)
