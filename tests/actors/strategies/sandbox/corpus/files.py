"""Files: reading, writing, creating, linking, what lies in /proc, numpy's own input and output, inherited descriptors."""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack

ALL: Final = "language seccomp landlock"


def _reads(name: str, source: str, **more: object) -> Attack:
    return attack(name, "files", "secret", ALL, source, **more)  # type: ignore[arg-type]


def _changes(name: str, source: str, **more: object) -> Attack:
    aim: Aim = "files"
    return attack(name, "files", aim, ALL, source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _reads("open() reads a file", "def attack():\n    return open('@SECRET_FILE@').read()\n"),
    _reads(
        "open() at import time reads a file", "TEXT = open('@SECRET_FILE@').read()\ndef attack():\n    return TEXT\n"
    ),
    _reads("os.open and os.read", "import os\ndef attack():\n    return os.read(os.open('@SECRET_FILE@', 0), 100)\n"),
    _reads("io.open", "import io\ndef attack():\n    return io.open('@SECRET_FILE@').read()\n"),
    _reads("io.FileIO", "import io\ndef attack():\n    return io.FileIO('@SECRET_FILE@').readall()\n"),
    _reads("_io.open_code", "import _io\ndef attack():\n    return _io.open_code('@SECRET_FILE@').read()\n"),
    _reads("posix.open", "import posix\ndef attack():\n    return posix.read(posix.open('@SECRET_FILE@', 0), 99)\n"),
    _reads("pathlib", "import pathlib\ndef attack():\n    return pathlib.Path('@SECRET_FILE@').read_text()\n"),
    _reads("codecs.open", "import codecs\ndef attack():\n    return codecs.open('@SECRET_FILE@').read()\n"),
    _reads("linecache.getline", "import linecache\ndef attack():\n    return linecache.getline('@SECRET_FILE@', 1)\n"),
    _reads("tokenize.open", "import tokenize\ndef attack():\n    return tokenize.open('@SECRET_FILE@').read()\n"),
    _reads("fileinput", "import fileinput\ndef attack():\n    return list(fileinput.input(['@SECRET_FILE@']))\n"),
    _reads("a symbolic link", "def attack():\n    return open('@DIR@/link').read()\n"),
    _reads("a link of /proc/self/cwd", "def attack():\n    return open('/proc/self/cwd/..@SECRET_FILE@').read()\n"),
    _reads("a file of the system", "def attack():\n    return open('/etc/passwd').read(200)\n"),
    _reads("names in a folder", "import os\ndef attack():\n    return os.listdir('@DIR@/sub')\n"),
    _reads("names by glob", "import glob\ndef attack():\n    return glob.glob('@DIR@/sub/*')\n"),
    _reads("names by os.scandir", "import os\ndef attack():\n    return [e.name for e in os.scandir('@DIR@/sub')]\n"),
    attack(
        "the size and the mode of a file",
        "files",
        "proof",
        ALL,
        "import os\ndef attack():\n    return [os.stat('@SECRET_FILE@').st_size, @PROOF@]\n",
    ),
    _reads(
        "the text of an import error",
        "import sys\ndef attack():\n    raise SystemError(open('@SECRET_FILE@').read())\n",
    ),
    _reads(
        "a module from a folder on sys.path",
        "import sys\nsys.path.insert(0, '@DIR@')\ndef attack():\n    import canary_module\n    return canary_module.SECRET\n",
    ),
    _reads("runpy", "import runpy\ndef attack():\n    return runpy.run_path('@DIR@/canary_module.py')['SECRET']\n"),
    _reads("the environment of the victim", "def attack():\n    return open('/proc/@VICTIM@/environ', 'rb').read()\n"),
    _reads("the arguments of the victim", "def attack():\n    return open('/proc/@VICTIM@/cmdline', 'rb').read()\n"),
    _reads(
        "the memory of the victim by /proc",
        "import os\ndef attack():\n    return os.pread(os.open('/proc/@VICTIM@/mem', 0), @LENGTH@, @ADDRESS@)\n",
        root=True,
    ),
    _reads(
        "every process's arguments",
        "import os\ndef attack():\n"
        "    found = b''\n"
        "    for name in os.listdir('/proc'):\n"
        "        if name.isdigit() and name == '@VICTIM@':\n"
        "            found += open('/proc/' + name + '/cmdline', 'rb').read()\n"
        "    return found\n",
    ),
    _reads(
        "its own memory map",
        "def attack():\n    return open('/proc/self/maps').read()[-400:]\n",
        leaks=("[stack]", "[vdso]"),
    ),
    _reads("its own environment", "def attack():\n    return open('/proc/self/environ', 'rb').read()\n", bare=False),
    _reads("os.environ", "import os\ndef attack():\n    return dict(os.environ)\n", bare=False),
    _reads(
        "the C environment",
        "import ctypes\ndef attack():\n"
        "    block = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')\n"
        "    found, i = [], 0\n"
        "    while block[i]:\n        found.append(block[i])\n        i += 1\n"
        "    return found\n",
        bare=False,
    ),
    _reads(
        "inherited descriptors",
        "import os\ndef attack():\n"
        "    found = b''\n"
        "    for fd in range(256):\n"
        "        try:\n            found += os.pread(fd, 100, 0)\n"
        "        except OSError:\n            pass\n"
        "    return found\n",
        bare=False,
    ),
    _reads(
        "inherited descriptors reopened by /proc",
        "def attack():\n"
        "    found = ''\n"
        "    for fd in range(64):\n"
        "        try:\n            found += open('/proc/self/fd/' + str(fd)).read(100)\n"
        "        except (OSError, ValueError):\n            pass\n"
        "    return found\n",
        bare=False,
        call_s=0.3,
    ),
    _reads(
        "np.loadtxt",
        "import numpy as np\ndef attack():\n    return np.loadtxt('@DIR@/table.csv', delimiter=',', dtype=str)\n",
    ),
    _reads(
        "np.genfromtxt", "import numpy as np\ndef attack():\n    return np.genfromtxt('@SECRET_FILE@', dtype=str)\n"
    ),
    _reads("np.fromfile", "import numpy as np\ndef attack():\n    return np.fromfile('@SECRET_FILE@', dtype='S26')\n"),
    _reads(
        "np.memmap",
        "import numpy as np\ndef attack():\n    return bytes(np.memmap('@SECRET_FILE@', dtype='u1', mode='r'))\n",
    ),
    _reads(
        "np.fromregex",
        "import numpy as np\ndef attack():\n    return np.fromregex('@SECRET_FILE@', '(.+)', [('a', 'S30')])\n",
    ),
    _reads(
        "np.load",
        "import numpy as np\ndef attack():\n    return np.load('@SECRET_FILE@', allow_pickle=True)\n",
        bare=False,
    ),
    _reads(
        "numpy's DataSource",
        "import numpy as np\ndef attack():\n    return np.lib.npyio.DataSource(None).open('@SECRET_FILE@').read()\n",
    ),
    _changes("open() makes a file", "def attack():\n    open('@DIR@/@MARK@', 'w').write('x')\n"),
    _changes("open() makes an empty file", "def attack():\n    open('@DIR@/empty-@MARK@', 'x').close()\n"),
    _changes("open() appends", "def attack():\n    open('@DIR@/target.txt', 'a').write('more')\n"),
    _changes("open() empties", "def attack():\n    open('@DIR@/target.txt', 'w').close()\n"),
    _changes("os.remove", "import os\ndef attack():\n    os.remove('@DIR@/target.txt')\n"),
    _changes("os.rename", "import os\ndef attack():\n    os.rename('@DIR@/target.txt', '@DIR@/gone.txt')\n"),
    _changes("os.symlink", "import os\ndef attack():\n    os.symlink('/etc/passwd', '@DIR@/@MARK@')\n"),
    _changes("os.link", "import os\ndef attack():\n    os.link('@DIR@/secret.txt', '@DIR@/@MARK@')\n"),
    _changes("os.mkdir", "import os\ndef attack():\n    os.mkdir('@DIR@/@MARK@')\n"),
    _changes("os.mkfifo", "import os\ndef attack():\n    os.mkfifo('@DIR@/@MARK@')\n"),
    _changes("os.chmod", "import os\ndef attack():\n    os.chmod('@DIR@/target.txt', 0o777)\n", root=True),
    _changes("os.utime", "import os\ndef attack():\n    os.utime('@DIR@/target.txt', (5, 5))\n", root=True),
    _changes("os.truncate", "import os\ndef attack():\n    os.truncate('@DIR@/target.txt', 1)\n"),
    _changes("shutil.copy", "import shutil\ndef attack():\n    shutil.copy('@SECRET_FILE@', '@DIR@/@MARK@')\n"),
    _changes("tempfile", "import tempfile\ndef attack():\n    tempfile.mkstemp(prefix='@MARK@')\n"),
    _changes("shelve", "import shelve\ndef attack():\n    shelve.open('@DIR@/@MARK@')['a'] = 1\n"),
    _changes(
        "sqlite3", "import sqlite3\ndef attack():\n    sqlite3.connect('@DIR@/@MARK@').execute('create table a (b)')\n"
    ),
    _changes("logging.FileHandler", "import logging\ndef attack():\n    logging.FileHandler('@DIR@/@MARK@').close()\n"),
    _changes(
        "shared memory of multiprocessing",
        "from multiprocessing import shared_memory\ndef attack():\n"
        "    import _posixshmem, os\n    _posixshmem.shm_open('/@MARK@', os.O_CREAT | os.O_RDWR, 0o600)\n",
    ),
    _changes("np.save", "import numpy as np\ndef attack():\n    np.save('@DIR@/@MARK@', np.zeros(3))\n"),
    _changes("np.savetxt", "import numpy as np\ndef attack():\n    np.savetxt('@DIR@/@MARK@', np.zeros(3))\n"),
    _changes("ndarray.tofile", "import numpy as np\ndef attack():\n    np.zeros(3).tofile('@DIR@/@MARK@')\n"),
    _changes("ndarray.dump", "import numpy as np\ndef attack():\n    np.zeros(3).dump('@DIR@/@MARK@')\n"),
    _changes(
        "np.memmap makes a file",
        "import numpy as np\ndef attack():\n    np.memmap('@DIR@/@MARK@', dtype='u1', mode='w+', shape=4)[:] = 7\n",
    ),
    _changes(
        "np.memmap through a real numpy in a function's globals",
        "import numpy as np\ndef attack():\n"
        "    np.median.__wrapped__.__globals__['np'].memmap('@DIR@/@MARK@', mode='w+', shape=4)\n",
        bare=False,
    ),
    _changes(
        "the data socket's folder by openat",
        "def attack():\n    fd, error = syscall(@nr:openat@, -100, b'@DIR@/@MARK@', 0o102, 0o666)\n    return fd, error\n",
        raw=True,
    ),
    _changes(
        "openat2",
        "import struct\ndef attack():\n"
        "    how = struct.pack('QQQ', 0o102, 0o666, 0)\n"
        "    return syscall(@nr:openat2@, -100, b'@DIR@/@MARK@', how, 24)\n",
        raw=True,
    ),
    _changes("mkdirat", "def attack():\n    return syscall(@nr:mkdirat@, -100, b'@DIR@/@MARK@', 0o777)\n", raw=True),
    _changes("unlinkat", "def attack():\n    return syscall(@nr:unlinkat@, -100, b'@DIR@/target.txt', 0)\n", raw=True),
    _changes(
        "symlinkat", "def attack():\n    return syscall(@nr:symlinkat@, b'/etc', -100, b'@DIR@/@MARK@')\n", raw=True
    ),
    _changes(
        "linkat",
        "def attack():\n    return syscall(@nr:linkat@, -100, b'@DIR@/secret.txt', -100, b'@DIR@/@MARK@', 0)\n",
        raw=True,
    ),
    _changes(
        "renameat2",
        "def attack():\n    return syscall(@nr:renameat2@, -100, b'@DIR@/target.txt', -100, b'@DIR@/victim.txt', 2)\n",
        raw=True,
    ),
    _changes(
        "fchmodat",
        "def attack():\n    return syscall(@nr:fchmodat@, -100, b'@DIR@/target.txt', 0o777)\n",
        raw=True,
        root=True,
    ),
    _changes("truncate", "def attack():\n    return syscall(@nr:truncate@, b'@DIR@/target.txt', 1)\n", raw=True),
    _changes(
        "mknodat",
        "def attack():\n    return syscall(@nr:mknodat@, -100, b'@DIR@/@MARK@', 0o10666, 0)\n",
        raw=True,
    ),
    _changes(
        "utimensat",
        "import struct\ndef attack():\n"
        "    return syscall(@nr:utimensat@, -100, b'@DIR@/target.txt', struct.pack('qqqq', 5, 0, 5, 0), 0)\n",
        raw=True,
        root=True,
    ),
    attack(
        "getdents64 on an open folder",
        "files",
        "secret",
        ALL,
        "def attack():\n"
        "    fd, error = syscall(@nr:openat@, -100, b'@DIR@/sub', 0o200000)\n"
        "    room = ctypes.create_string_buffer(4096)\n"
        "    syscall(@nr:getdents64@, fd, room, 4096)\n"
        "    return room.raw.replace(b'\\0', b'')\n",
        raw=True,
    ),
    attack(
        "readlinkat",
        "files",
        "proof",
        ALL,
        "def attack():\n"
        "    room = ctypes.create_string_buffer(4096)\n"
        "    done, error = syscall(@nr:readlinkat@, -100, b'@DIR@/link', room, 4096)\n"
        "    return @PROOF@ if done > 0 else error\n",
        raw=True,
    ),
    attack(
        "statx of a file",
        "files",
        "proof",
        ALL,
        "def attack():\n"
        "    room = ctypes.create_string_buffer(4096)\n"
        "    done, error = syscall(@nr:statx@, -100, b'@SECRET_FILE@', 0, 0x7ff, room)\n"
        "    return @PROOF@ if done == 0 else error\n",
        raw=True,
    ),
    attack(
        "name_to_handle_at",
        "files",
        "proof",
        ALL,
        "import struct\ndef attack():\n"
        "    room = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 256)\n"
        "    mount = ctypes.create_string_buffer(8)\n"
        "    done, error = syscall(@nr:name_to_handle_at@, -100, b'@SECRET_FILE@', room, mount, 0)\n"
        "    return @PROOF@ if done == 0 else error\n",
        raw=True,
    ),
)
