"""The network: TCP, UDP, unix sockets, netlink, raw sockets, DNS."""

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack

TCP: Final = "language seccomp landlock namespaces"
OTHER: Final = "language seccomp namespaces"
UNIX: Final = "language seccomp landlock"


def _sends(name: str, layers: str, source: str, **more: object) -> Attack:
    return attack(name, "network", "network", layers, source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _sends(
        "TCP by socket.create_connection",
        TCP,
        "import socket\ndef attack():\n    socket.create_connection(('127.0.0.1', @TCP@)).send(b'x')\n",
    ),
    _sends(
        "TCP by _socket",
        TCP,
        "import _socket\ndef attack():\n    _socket.socket(2, 1).connect(('127.0.0.1', @TCP@))\n",
    ),
    _sends(
        "TCP over IPv6",
        TCP,
        "import socket\ndef attack():\n    socket.socket(socket.AF_INET6).connect(('::1', @TCP6@))\n",
        bare=False,
    ),
    _sends(
        "HTTP by urllib",
        TCP,
        "import urllib.request\ndef attack():\n"
        "    return urllib.request.urlopen('http://127.0.0.1:@TCP@/@MARK@', timeout=0.2).read()\n",
    ),
    _sends(
        "HTTP by http.client",
        TCP,
        "import http.client\ndef attack():\n    http.client.HTTPConnection('127.0.0.1', @TCP@).request('GET', '/')\n",
    ),
    _sends(
        "TCP by asyncio",
        TCP,
        "import asyncio\ndef attack():\n    asyncio.run(asyncio.open_connection('127.0.0.1', @TCP@))\n",
    ),
    _sends(
        "a remote table of numpy's",
        TCP,
        "import numpy as np\ndef attack():\n    return np.genfromtxt('http://127.0.0.1:@TCP@/a.csv')\n",
        bare=False,
        call_s=0.5,
    ),
    _sends(
        "mail",
        TCP,
        "import smtplib\ndef attack():\n    smtplib.SMTP('127.0.0.1', @TCP@, timeout=0.2)\n",
    ),
    _sends(
        "a log handler with a socket",
        TCP,
        "import logging, logging.handlers\ndef attack():\n"
        "    h = logging.handlers.SocketHandler('127.0.0.1', @TCP@)\n"
        "    h.emit(logging.LogRecord('a', 10, 'b', 1, '@MARK@', (), None))\n",
    ),
    _sends(
        "TCP by the raw calls",
        TCP,
        "import struct\ndef attack():\n"
        "    fd, error = syscall(@nr:socket@, 2, 1, 0)\n"
        "    address = struct.pack('<H', 2) + struct.pack('>H', @TCP@) + bytes([127, 0, 0, 1]) + bytes(8)\n"
        "    return fd, error, syscall(@nr:connect@, fd, address, 16)\n",
        raw=True,
    ),
    _sends(
        "TCP fast open",
        OTHER,
        "import struct\ndef attack():\n"
        "    fd, error = syscall(@nr:socket@, 2, 1, 0)\n"
        "    address = struct.pack('<H', 2) + struct.pack('>H', @TCP@) + bytes([127, 0, 0, 1]) + bytes(8)\n"
        "    return fd, error, syscall(@nr:sendto@, fd, b'@MARK@', 8, 0x20000000, address, 16)\n",
        raw=True,
    ),
    _sends(
        "multipath TCP",
        OTHER,
        "import socket\ndef attack():\n    socket.socket(2, 1, 262).connect(('127.0.0.1', @TCP@))\n",
        bare=False,
    ),
    _sends(
        "UDP by socket.sendto",
        OTHER,
        "import socket\ndef attack():\n    socket.socket(2, 2).sendto(b'@MARK@', ('127.0.0.1', @UDP@))\n",
    ),
    _sends(
        "UDP by the raw calls",
        OTHER,
        "import struct\ndef attack():\n"
        "    fd, error = syscall(@nr:socket@, 2, 2, 0)\n"
        "    address = struct.pack('<H', 2) + struct.pack('>H', @UDP@) + bytes([127, 0, 0, 1]) + bytes(8)\n"
        "    return fd, error, syscall(@nr:sendto@, fd, b'@MARK@', 8, 0, address, 16)\n",
        raw=True,
    ),
    _sends(
        "UDP by a log handler",
        OTHER,
        "import logging, logging.handlers\ndef attack():\n"
        "    h = logging.handlers.DatagramHandler('127.0.0.1', @UDP@)\n"
        "    h.emit(logging.LogRecord('a', 10, 'b', 1, '@MARK@', (), None))\n",
    ),
    _sends(
        "syslog over UDP",
        OTHER,
        "import logging, logging.handlers\ndef attack():\n"
        "    h = logging.handlers.SysLogHandler(('127.0.0.1', @UDP@))\n"
        "    h.emit(logging.LogRecord('a', 10, 'b', 1, '@MARK@', (), None))\n",
    ),
    _sends(
        "a raw IP socket",
        OTHER,
        "import socket, struct\ndef attack():\n"
        "    s = socket.socket(2, 3, 255)\n"
        "    udp = struct.pack('>HHHH', 9, @UDP@, 12, 0) + b'mark'\n"
        "    ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 32, 1, 0, 64, 17, 0, bytes([127,0,0,1]), bytes([127,0,0,1]))\n"
        "    s.sendto(ip + udp, ('127.0.0.1', 0))\n",
        root=True,
    ),
    _sends(
        "a unix stream socket",
        UNIX,
        "import socket\ndef attack():\n    socket.socket(1, 1).connect('@UNIX@')\n",
    ),
    _sends(
        "a unix datagram socket",
        UNIX,
        "import socket\ndef attack():\n    socket.socket(1, 2).sendto(b'@MARK@', '@DATAGRAM@')\n",
    ),
    _sends(
        "an abstract unix socket",
        UNIX,
        "import socket\ndef attack():\n    socket.socket(1, 1).connect('\\0@ABSTRACT@')\n",
    ),
    _sends(
        "DNS by the resolver of the C library",
        OTHER,
        "import ctypes, struct\ndef attack():\n"
        "    c = ctypes.CDLL(None)\n"
        "    c.__res_state.restype = ctypes.c_void_p\n"
        "    c.__res_init()\n"
        "    state = c.__res_state()\n"
        "    address = struct.pack('<H', 2) + struct.pack('>H', @UDP@) + bytes([127, 0, 0, 1]) + bytes(8)\n"
        "    ctypes.memmove(state + 16, struct.pack('<i', 1), 4)\n"
        "    ctypes.memmove(state + 20, address, 16)\n"
        "    room = ctypes.create_string_buffer(512)\n"
        "    query = getattr(c, 'res_query', None) or ctypes.CDLL('libresolv.so.2').res_query\n"
        "    return query(b'@MARK@.example.com', 1, 1, room, 512)\n",
        call_s=0.3,
    ),
    _sends(
        "DNS by hand",
        OTHER,
        "import socket, struct\ndef attack():\n"
        "    name = b''.join(bytes([len(p)]) + p for p in (b'@MARK@', b'example', b'com')) + b'\\0'\n"
        "    query = struct.pack('>HHHHHH', 7, 256, 1, 0, 0, 0) + name + struct.pack('>HH', 1, 1)\n"
        "    socket.socket(2, 2).sendto(query, ('127.0.0.1', @UDP@))\n",
    ),
    attack(
        "names of the machine's own table",
        "network",
        "proof",
        "language seccomp landlock",
        "import socket\ndef attack():\n"
        "    return @PROOF@ if socket.getaddrinfo('localhost', 80)[0][4][0] in ('127.0.0.1', '::1') else ''\n",
    ),
    attack(
        "the machine's interfaces by netlink",
        "network",
        "proof",
        OTHER,
        "import socket, struct\ndef attack():\n"
        "    s = socket.socket(16, 3, 0)\n"
        "    s.send(struct.pack('IHHIIB', 20, 18, 0x301, 1, 0, 0) + bytes(3))\n"
        "    return @PROOF@ if b'lo' in s.recv(65536) else ''\n",
    ),
    attack(
        "the machine's interfaces by ioctl",
        "network",
        "proof",
        OTHER,
        "import socket\ndef attack():\n    return @PROOF@ if socket.if_nameindex() else ''\n",
    ),
    attack(
        "a listening socket",
        "network",
        "kernel",
        OTHER,
        "import socket\ndef attack():\n"
        "    global kept\n    kept = socket.socket(1, 1)\n    kept.bind('\\0@MARK@')\n    kept.listen(1)\n",
    ),
    attack(
        "a socket pair",
        "network",
        "kernel",
        "language seccomp",
        "def attack():\n"
        "    room = ctypes.create_string_buffer(8)\n"
        "    return syscall(@nr:socketpair@, 1, 1, 0, room)\n",
        raw=True,
    ),
    attack(
        "a packet socket",
        "network",
        "kernel",
        "language seccomp user",
        "def attack():\n    return syscall(@nr:socket@, 17, 3, 0x300)\n",
        raw=True,
        root=True,
    ),
    attack(
        "a socket to other virtual machines",
        "network",
        "kernel",
        "language seccomp",
        "def attack():\n    return syscall(@nr:socket@, 40, 1, 0)\n",
        raw=True,
        bare=False,
    ),
    attack(
        "the kernel's cryptography by a socket",
        "network",
        "kernel",
        "language seccomp",
        "def attack():\n    return syscall(@nr:socket@, 38, 5, 0)\n",
        raw=True,
        bare=False,
    ),
)
