"""System calls that no strategy needs, made directly: what holds when the language layer has fallen."""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack


def _calls(name: str, source: str, aim: Aim = "kernel", layers: str = "language seccomp", **more: object) -> Attack:
    return attack(name, "syscalls", aim, layers, source, raw=True, **more)  # type: ignore[arg-type]


FORBIDDEN: Final = ("forbidden_syscall",)

ATTACKS: Final[tuple[Attack, ...]] = (
    _calls("io_uring_setup", "def attack():\n    return syscall(@nr:io_uring_setup@, 4, bytes(120))\n", ends=FORBIDDEN),
    _calls(
        "ptrace of the victim",
        "def attack():\n    return syscall(@nr:ptrace@, 0x4206, @VICTIM@, 0, 0)\n",
        "victim",
        ends=FORBIDDEN,
    ),
    _calls(
        "ptrace of itself by its parent", "def attack():\n    return syscall(@nr:ptrace@, 0, 0, 0, 0)\n", ends=FORBIDDEN
    ),
    _calls(
        "process_vm_readv",
        "import struct\ndef attack():\n"
        "    room = ctypes.create_string_buffer(@LENGTH@)\n"
        "    here = struct.pack('QQ', ctypes.addressof(room), @LENGTH@)\n"
        "    there = struct.pack('QQ', @ADDRESS@, @LENGTH@)\n"
        "    syscall(@nr:process_vm_readv@, @VICTIM@, here, 1, there, 1, 0)\n"
        "    return room.raw\n",
        "secret",
        ends=FORBIDDEN,
    ),
    _calls(
        "process_vm_writev",
        "import struct\ndef attack():\n"
        "    room = ctypes.create_string_buffer(b'owned')\n"
        "    here = struct.pack('QQ', ctypes.addressof(room), 5)\n"
        "    there = struct.pack('QQ', @ADDRESS@, 5)\n"
        "    return syscall(@nr:process_vm_writev@, @VICTIM@, here, 1, there, 1, 0)\n",
        "victim",
        ends=FORBIDDEN,
    ),
    _calls(
        "kcmp",
        "import os\ndef attack():\n    done, error = syscall(@nr:kcmp@, os.getpid(), @VICTIM@, 1, 0, 0)\n    return @PROOF@ if error == 0 else error\n",
        "proof",
        bare=False,
    ),
    _calls("userfaultfd", "def attack():\n    return syscall(@nr:userfaultfd@, 1)\n", ends=FORBIDDEN),
    _calls(
        "bpf",
        "import struct\ndef attack():\n    return syscall(@nr:bpf@, 0, struct.pack('IIII', 2, 4, 8, 1) + bytes(100), 116)\n",
        ends=FORBIDDEN,
        root=True,
    ),
    _calls(
        "perf_event_open",
        "import struct\ndef attack():\n    return syscall(@nr:perf_event_open@, struct.pack('IIQ', 1, 128, 0) + bytes(112), 0, -1, -1, 0)\n",
        ends=FORBIDDEN,
        bare=False,
    ),
    _calls(
        "add_key",
        "def attack():\n    return syscall(@nr:add_key@, b'user', b'@MARK@', b'x', 1, -4)\n",
        ends=FORBIDDEN,
        bare=False,
    ),
    _calls(
        "keyctl",
        "def attack():\n    done, error = syscall(@nr:keyctl@, 0, -4, 1)\n    return @PROOF@ if done > 0 else error\n",
        "proof",
        ends=FORBIDDEN,
        bare=False,
    ),
    _calls(
        "mount",
        "def attack():\n    return syscall(@nr:mount@, b'none', b'@DIR@/sub', b'tmpfs', 0, None)\n",
        "files",
        ends=FORBIDDEN,
        root=True,
    ),
    _calls("umount2", "def attack():\n    return syscall(@nr:umount2@, b'/nowhere', 0)\n", ends=FORBIDDEN, bare=False),
    _calls("fsopen", "def attack():\n    return syscall(@nr:fsopen@, b'tmpfs', 0)\n", root=True),
    _calls("open_tree", "def attack():\n    return syscall(@nr:open_tree@, -100, b'/', 0)\n"),
    _calls("unshare of users", "def attack():\n    return syscall(@nr:unshare@, 0x10000000)\n", ends=FORBIDDEN),
    _calls(
        "unshare of the network",
        "def attack():\n    return syscall(@nr:unshare@, 0x40000000)\n",
        ends=FORBIDDEN,
        root=True,
    ),
    _calls(
        "unshare of the name",
        "def attack():\n    return syscall(@nr:unshare@, 0x04000000)\n",
        ends=FORBIDDEN,
        root=True,
    ),
    _calls(
        "setns",
        "def attack():\n    fd, error = syscall(@nr:pidfd_open@, @VICTIM@, 0)\n    return fd, syscall(@nr:setns@, fd, 0x04000000)\n",
        ends=FORBIDDEN,
        root=True,
    ),
    _calls("chroot", "def attack():\n    return syscall(@nr:chroot@, b'@DIR@')\n", root=True),
    _calls("chdir", "def attack():\n    return syscall(@nr:chdir@, b'@DIR@')\n"),
    _calls("pidfd_open", "def attack():\n    return syscall(@nr:pidfd_open@, @VICTIM@, 0)\n"),
    _calls(
        "pidfd_getfd",
        "def attack():\n    fd, error = syscall(@nr:pidfd_open@, @VICTIM@, 0)\n    return fd, syscall(@nr:pidfd_getfd@, fd, 0, 0)\n",
    ),
    _calls("memfd_create", "def attack():\n    return syscall(@nr:memfd_create@, b'@MARK@', 0)\n"),
    _calls("dup", "def attack():\n    return syscall(@nr:dup@, 0)\n"),
    _calls("dup by fcntl", "def attack():\n    return syscall(@nr:fcntl@, 0, 0, 0)\n"),
    _calls(
        "ioctl",
        "def attack():\n    done, error = syscall(@nr:ioctl@, 0, 0x5451, 0)\n    return @PROOF@ if done == 0 else error\n",
        "proof",
    ),
    _calls(
        "the terminal's input by ioctl",
        "def attack():\n    done, error = syscall(@nr:ioctl@, 0, 0x5412, b'x')\n    return @PROOF@ if done == 0 else error\n",
        "proof",
        bare=False,
    ),
    _calls("eventfd", "def attack():\n    return syscall(@nr:eventfd2@, 0, 0)\n"),
    _calls("epoll", "def attack():\n    return syscall(@nr:epoll_create1@, 0)\n"),
    _calls("inotify", "def attack():\n    return syscall(@nr:inotify_init1@, 0)\n"),
    _calls("fanotify", "def attack():\n    return syscall(@nr:fanotify_init@, 0, 0)\n", bare=False),
    _calls("signalfd", "def attack():\n    return syscall(@nr:signalfd4@, -1, bytes(8), 8, 0)\n"),
    _calls("timerfd", "def attack():\n    return syscall(@nr:timerfd_create@, 1, 0)\n"),
    _calls("a pipe", "def attack():\n    return syscall(@nr:pipe2@, ctypes.create_string_buffer(8), 0)\n"),
    _calls("no_new_privs taken back", "def attack():\n    return syscall(@nr:prctl@, 38, 0, 0, 0, 0)\n", bare=False),
    _calls(
        "made readable again for processes of the same user",
        "def attack():\n    done, error = syscall(@nr:prctl@, 4, 1, 0, 0, 0)\n    return @PROOF@ if done == 0 else error\n",
        "proof",
    ),
    _calls(
        "the death signal switched off",
        "def attack():\n    done, error = syscall(@nr:prctl@, 1, 0, 0, 0, 0)\n    return @PROOF@ if done == 0 else error\n",
        "proof",
    ),
    _calls(
        "securebits",
        "def attack():\n    done, error = syscall(@nr:prctl@, 28, 1, 0, 0, 0)\n    return @PROOF@ if done == 0 else error\n",
        "proof",
        root=True,
    ),
    _calls(
        "adopting orphans",
        "def attack():\n    done, error = syscall(@nr:prctl@, 36, 1, 0, 0, 0)\n    return @PROOF@ if done == 0 else error\n",
        "proof",
    ),
    _calls("seccomp by prctl", "def attack():\n    return syscall(@nr:prctl@, 22, 1, 0, 0, 0)\n", bare=False),
    _calls(
        "a filter of its own that allows everything",
        "import struct\ndef attack():\n"
        "    code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))\n"
        "    program = struct.pack('HxxxxxxQ', 1, ctypes.addressof(code))\n"
        "    syscall(@nr:prctl@, 38, 1, 0, 0, 0)\n"
        "    first = syscall(@nr:seccomp@, 1, 0, program)\n"
        "    syscall(@nr:prctl@, 22, 2, program, 0, 0)\n"
        "    return first\n",
    ),
    _calls(
        "the limit of memory raised",
        "import struct\ndef attack():\n    return syscall(@nr:prlimit64@, 0, 2, struct.pack('Qq', 2 ** 63 - 1, -1), None), syscall(@nr:setrlimit@, 2, struct.pack('qq', -1, -1))\n",
        bare=False,
        layers="language seccomp user",
    ),
    _calls(
        "the limit of files raised",
        "import struct\ndef attack():\n    return syscall(@nr:prlimit64@, 0, 7, struct.pack('QQ', 4096, 4096), None), syscall(@nr:setrlimit@, 7, struct.pack('QQ', 4096, 4096))\n",
        bare=False,
        layers="language seccomp user",
    ),
    _calls(
        "the limit of time raised",
        "import struct\ndef attack():\n    return syscall(@nr:prlimit64@, 0, 0, struct.pack('qq', -1, -1), None)\n",
        bare=False,
        layers="language seccomp user",
    ),
    _calls(
        "a better priority",
        "def attack():\n    return syscall(@nr:setpriority@, 0, 0, -15)\n",
        root=True,
        layers="language seccomp user",
    ),
    _calls(
        "real-time scheduling",
        "import struct\ndef attack():\n    return syscall(@nr:sched_setscheduler@, 0, 1, struct.pack('i', 10))\n",
        root=True,
        bare=False,
        layers="language seccomp user",
    ),
    _calls(
        "other cores", "def attack():\n    return syscall(@nr:sched_setaffinity@, 0, 8, (1).to_bytes(8, 'little'))\n"
    ),
    _calls(
        "another user",
        "def attack():\n    return syscall(@nr:setresuid@, 0, 0, 0)\n",
        bare=False,
        layers="language seccomp user",
    ),
    _calls(
        "capabilities",
        "import struct\ndef attack():\n    return syscall(@nr:capset@, struct.pack('Ii', 0x20080522, 0), b'\\xff' * 24)\n",
        bare=False,
        layers="language seccomp user",
    ),
    _calls(
        "fewer capabilities",
        "import struct\ndef attack():\n    return syscall(@nr:capset@, struct.pack('Ii', 0x20080522, 0), bytes(24))\n",
        root=True,
    ),
    _calls("a session of its own", "def attack():\n    return syscall(@nr:setsid@)\n", bare=False),
    _calls("executable memory", "def attack():\n    return syscall(@nr:mmap@, 0, 4096, 7, 0x22, -1, 0)\n"),
    _calls(
        "memory made executable",
        "def attack():\n    at, error = syscall(@nr:mmap@, 0, 4096, 3, 0x22, -1, 0)\n    return syscall(@nr:mprotect@, at, 4096, 5)\n",
    ),
    _calls(
        "machine code of its own",
        "import os\ndef attack():\n"
        "    at, error = syscall(@nr:mmap@, 0, 4096, 7, 0x22, -1, 0)\n"
        "    if at <= 0:\n        return error\n"
        "    code = b'\\xb8\\x2a\\x00\\x00\\x00\\xc3' if os.uname().machine == 'x86_64' else bytes.fromhex('40058052c0035fd6')\n"
        "    ctypes.memmove(at, code, len(code))\n"
        "    return @PROOF@ if ctypes.CFUNCTYPE(ctypes.c_int)(at)() == 42 else 0\n",
        "proof",
    ),
    _calls("memory readable as executable", "def attack():\n    return syscall(@nr:personality@, 0x0400000)\n"),
    _calls(
        "the host's name",
        "def attack():\n    syscall(@nr:unshare@, 0x04000000)\n    done, error = syscall(@nr:sethostname@, b'owned', 5)\n    return @PROOF@ if done == 0 else error\n",
        "proof",
        root=True,
    ),
    _calls(
        "the kernel's log",
        "def attack():\n    done, error = syscall(@nr:syslog@, 10, None, 0)\n    return @PROOF@ if done >= 0 else error\n",
        "proof",
        root=True,
    ),
    _calls(
        "a Landlock rule set",
        "import struct\ndef attack():\n    return syscall(@nr:landlock_create_ruleset@, struct.pack('Q', 4), 8, 0)\n",
        bare=False,
    ),
    _calls("System V semaphores", "def attack():\n    return syscall(@nr:semget@, @KEY@, 1, 0o1666)\n"),
    _calls("System V messages", "def attack():\n    return syscall(@nr:msgget@, @KEY@, 0o1666)\n"),
    _calls(
        "POSIX messages",
        "def attack():\n    return syscall(@nr:mq_open@, b'@MARK@', 0o102, 0o666, None), syscall(@nr:mq_unlink@, b'@MARK@')\n",
        bare=False,
    ),
    _calls(
        "a timer of the kernel",
        "def attack():\n    room = ctypes.create_string_buffer(8)\n    done, error = syscall(@nr:timer_create@, 1, None, room)\n    return @PROOF@ if done == 0 else error\n",
        "proof",
    ),
    _calls(
        "x32: open by the other table",
        "def attack():\n    return syscall(0x40000000 + 2, b'@DIR@/x32-@MARK@', 0o102, 0o666)\n",
        "files",
        bare=False,
        ends=(*FORBIDDEN, ""),
    ),
    _calls(
        "x32: getppid",
        "def attack():\n    done, error = syscall(0x40000000 + 110)\n    return @PROOF@ if done > 0 else error\n",
        "proof",
        bare=False,
        ends=(*FORBIDDEN, ""),
    ),
    _calls(
        "x32: numbers of its own",
        "def attack():\n    done, error = syscall(0x40000000 + 520, b'/bin/true', None, None)\n    return done, error\n",
        bare=False,
        ends=(*FORBIDDEN, ""),
    ),
    _calls(
        "a number beyond the table",
        "def attack():\n    done, error = syscall(100_000)\n    return @PROOF@ if error != 38 and error != 1 else error\n",
        "proof",
        bare=False,
    ),
    _calls(
        "a negative number",
        "def attack():\n    done, error = syscall(-1)\n    return @PROOF@ if error not in (38, 1) else error\n",
        "proof",
        bare=False,
    ),
    _calls("a number with high bits", "def attack():\n    return syscall(0x1_0000_0000 + @nr:dup@, 0)\n", bare=False),
    _calls(
        "the segment's base",
        "def attack():\n    done, error = syscall(@nr:arch_prctl@, 0x1003, ctypes.create_string_buffer(8))\n    return @PROOF@ if done == 0 else error\n",
        "proof",
    ),
    _calls(
        "its parent's number",
        "def attack():\n    done, error = syscall(@nr:getppid@)\n    return @PROOF@ if done >= 0 and error == 0 else error\n",
        "proof",
    ),
    _calls(
        "the clock set",
        "import struct\ndef attack():\n    return syscall(@nr:clock_settime@, 1, struct.pack('qq', 1, 0))\n",
        bare=False,
    ),
    _calls(
        "open_by_handle_at",
        "import struct\ndef attack():\n    return syscall(@nr:open_by_handle_at@, -100, struct.pack('Ii', 8, 1) + bytes(8), 0)\n",
        bare=False,
    ),
    _calls(
        "remap_file_pages",
        "def attack():\n    done, error = syscall(@nr:remap_file_pages@, 0, 4096, 0, 0, 0)\n    return @PROOF@ if error == 22 else error\n",
        "proof",
    ),
    _calls(
        "vmsplice",
        "def attack():\n    done, error = syscall(@nr:vmsplice@, -1, None, 0, 0)\n    return @PROOF@ if error == 9 else error\n",
        "proof",
    ),
    _calls(
        "sendfile from a held descriptor",
        "def attack():\n    done, error = syscall(@nr:sendfile@, -1, -1, None, 1)\n    return @PROOF@ if error == 9 else error\n",
        "proof",
    ),
    _calls(
        "copy_file_range",
        "def attack():\n    done, error = syscall(@nr:copy_file_range@, -1, None, -1, None, 1, 0)\n    return @PROOF@ if error == 9 else error\n",
        "proof",
    ),
    _calls(
        "process_madvise",
        "def attack():\n    done, error = syscall(@nr:process_madvise@, -1, None, 0, 0, 0)\n    return @PROOF@ if error in (9, 14, 22) else error\n",
        "proof",
    ),
    _calls(
        "a system call of 32 bits",
        "import os\ndef attack():\n"
        "    at, error = syscall(@nr:mmap@, 0, 4096, 7, 0x22, -1, 0)\n"
        "    if at <= 0 or os.uname().machine != 'x86_64':\n        return error\n"
        "    code = bytes.fromhex('53b814000000cd805bc3')\n"
        "    ctypes.memmove(at, code, len(code))\n"
        "    return @PROOF@ if ctypes.CFUNCTYPE(ctypes.c_int)(at)() == os.getpid() else 0\n",
        "proof",
        bare=False,
    ),
)
