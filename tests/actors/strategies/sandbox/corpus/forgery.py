"""Forged frames: what code does that has found the data socket. It may say what a strategy may say, and nothing else.

The suite numbers its requests from 1 (Load), so the first run is 2. A frame whose log holds `@MARK@-next` must never be
taken for the reply to a later request; two replies to one request must end the worker.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, Step, attack

SOCKET: Final = """
import os, struct

def sockets():
    found = []
    for fd in range(3, 64):
        try:
            os.write(fd, b"")
            found.append(fd)
        except OSError:
            pass
    return found

def send(payload, size=None):
    frame = struct.pack("<I", len(payload) if size is None else size) + payload
    for fd in sockets():
        try:
            os.write(fd, frame)
        except OSError:
            pass

def text(value):
    raw = value.encode()
    return bytes([0xDA]) + struct.pack(">H", len(raw)) + raw

def number(value):
    return bytes([0xCE]) + struct.pack(">I", value)

def done(id, count=1, log="forged"):
    line = bytes([0x92]) + text("info") + text(log)
    return bytes([0x95]) + text("done") + number(id) + number(count) + bytes([0x90]) + bytes([0x91]) + line
"""


def _forges(
    name: str, source: str, steps: tuple[Step, ...] = ("run", "run"), *, bare: bool = False, **more: object
) -> Attack:
    return attack(name, "forgery", "reply", "language node", SOCKET + source, steps=steps, bare=bare, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _forges("a second reply", "def attack():\n    send(done(2, log='@MARK@-early'))\n", ends=("protocol", "closed")),
    _forges("a reply to the next request", "def attack():\n    send(done(3, log='@MARK@-next'))\n", ends=("protocol",)),
    _forges(
        # The second frame may also come when the next request is on its way already: then it is that one's answer, and a
        # strategy that has taken over its process may say what it likes there.
        "its own reply, twice",
        "def attack():\n    send(done(2))\n    send(done(2))\n    import time\n    time.sleep(30)\n",
        call_s=0.3,
        ends=("protocol", "timeout"),
    ),
    _forges(
        "both replies in one write",
        "def attack():\n    a, b = done(2), done(3, log='@MARK@-next')\n"
        "    both = struct.pack('<I', len(a)) + a + struct.pack('<I', len(b)) + b\n"
        "    for fd in sockets():\n        os.write(fd, both)\n    import time\n    time.sleep(30)\n",
        call_s=0.3,
        ends=("protocol",),
    ),
    _forges(
        "its reply and the beginning of the next",
        "def attack():\n    a, b = done(2), done(3, log='@MARK@-next')\n"
        "    both = struct.pack('<I', len(a)) + a + struct.pack('<I', len(b)) + b[:9]\n"
        "    for fd in sockets():\n        os.write(fd, both)\n    import time\n    time.sleep(30)\n",
        call_s=0.3,
        ends=("protocol",),
    ),
    _forges("a reply to an older request", "def attack():\n    send(done(1))\n", ends=("protocol",)),
    _forges("a reply to request 0", "def attack():\n    send(done(0))\n", ends=("protocol",)),
    _forges(
        "a reply to a negative request",
        "def attack():\n    send(bytes([0x93]) + text('done') + bytes([0xff]) + number(1))\n",
        ends=("protocol",),
    ),
    _forges(
        "a reply with an id of 64 bits",
        "def attack():\n    send(bytes([0x93]) + text('done') + bytes([0xcf]) + b'\\xff' * 8 + number(1))\n",
        ends=("protocol",),
    ),
    _forges(
        "a reply that is true",
        "def attack():\n    send(bytes([0x93]) + text('done') + bytes([0xc3]) + number(1))\n",
        ends=("protocol",),
    ),
    _forges(
        "a Saved to a run",
        "def attack():\n    send(bytes([0x93]) + text('saved') + number(2) + bytes([0xc0]))\n",
        ends=("protocol",),
    ),
    _forges(
        "a Rejected to a run",
        "def attack():\n    send(bytes([0x93]) + text('rejected') + number(2) + bytes([0x91, 0x92]) + text('a') + text('b'))\n",
        ends=("protocol",),
    ),
    _forges(
        "a Ready of its own during the load",
        "send(bytes([0x9a]) + text('ready') + number(1) + text('sdk') + text('forged') + bytes([0x91]) + text('order')"
        " + number(10_000) + bytes([0x90]) + text('{}') + bytes([0xc3, 0x90]) + number(0))\n"
        "def attack():\n    return 1\n",
        ends=("protocol",),
    ),
    _forges(
        "more inputs handled than given", "def attack():\n    send(done(2, count=4_000_000_000))\n", ends=("protocol",)
    ),
    _forges("fewer inputs handled than given", "def attack():\n    send(done(2, count=0))\n", ends=("protocol",)),
    _forges(
        "a signal of an input that was not given",
        "def attack():\n"
        "    signal = bytes([0x94]) + number(77) + text('AAA') + text('BUY') + bytes([0xcb]) + struct.pack('>d', 0.5)\n"
        "    send(bytes([0x94]) + text('done') + number(2) + number(1) + bytes([0x91]) + signal)\n"
        "    import time\n    time.sleep(30)\n",
        call_s=0.3,
        ends=("protocol",),
    ),
    _forges(
        "four hundred signals of one input",
        "def attack():\n"
        "    signal = bytes([0x94]) + number(0) + text('AAA') + text('BUY') + bytes([0xcb]) + struct.pack('>d', 0.5)\n"
        "    many = bytes([0xdc]) + struct.pack('>H', 400) + signal * 400\n"
        "    send(bytes([0x94]) + text('done') + number(2) + number(1) + many)\n"
        "    import time\n    time.sleep(30)\n",
        call_s=0.3,
        ends=("protocol",),
    ),
    _forges(
        "a signal whose confidence is no number",
        "def attack():\n"
        "    signal = bytes([0x94]) + number(0) + text('AAA') + text('BUY') + bytes([0xcb]) + struct.pack('>d', float('nan'))\n"
        "    send(bytes([0x94]) + text('done') + number(2) + number(1) + bytes([0x91]) + signal)\n",
        ends=("protocol",),
    ),
    _forges(
        "a signal with an action of its own",
        "def attack():\n"
        "    signal = bytes([0x94]) + number(0) + text('AAA') + text('WITHDRAW') + bytes([0xcb]) + struct.pack('>d', 0.5)\n"
        "    send(bytes([0x94]) + text('done') + number(2) + number(1) + bytes([0x91]) + signal)\n",
        ends=("protocol",),
    ),
    _forges(
        "a map where an array belongs",
        "def attack():\n    send(bytes([0x81]) + text('type') + text('done'))\n",
        ends=("protocol",),
    ),
    _forges(
        "a tag that is none",
        "def attack():\n    send(bytes([0x92]) + text('shutdown') + number(2))\n",
        ends=("protocol",),
    ),
    _forges(
        "a request for a reply",
        "def attack():\n    send(bytes([0x92]) + text('save') + number(2))\n",
        ends=("protocol",),
    ),
    _forges("an empty frame", "def attack():\n    send(b'')\n", ends=("protocol",)),
    _forges("garbage", "def attack():\n    send(bytes(range(256)))\n", ends=("protocol",)),
    _forges(
        "garbage without a header",
        "def attack():\n    for fd in sockets():\n        os.write(fd, b'\\xff' * 64)\n",
        ends=("protocol",),
    ),
    _forges("a header of four gigabytes", "def attack():\n    send(b'', 0xffff_ffff)\n", ends=("protocol",)),
    _forges(
        "a header a byte over the most",
        "def attack():\n    send(b'x' * 66_000, 65_536 + 128 + 1)\n",
        ends=("protocol",),
    ),
    _forges(
        "a header and then silence",
        "def attack():\n    send(b'abc', 1000)\n    import time\n    time.sleep(30)\n",
        call_s=0.3,
        ends=("timeout",),
    ),
    _forges(
        "half a header and then silence",
        "def attack():\n    for fd in sockets():\n        os.write(fd, b'\\x10\\x00')\n    import time\n    time.sleep(30)\n",
        call_s=0.3,
        ends=("timeout",),
    ),
    _forges(
        "a byte now and then",
        "def attack():\n    import time\n    frame = done(2)\n    for fd in sockets():\n"
        "        for byte in struct.pack('<I', len(frame)) + frame:\n            os.write(fd, bytes([byte]))\n            time.sleep(0.02)\n",
        call_s=0.3,
        ends=("timeout", "protocol"),
    ),
    _forges(
        "a frame from a finalizer after the reply",
        "class Late:\n    def __del__(self):\n        send(done(3, log='@MARK@-next'))\n"
        "class Strategy:\n    def generate_signal(self, data, parameters):\n"
        "        late = Late()\n        late.own = late\n        return None\n"
        "Strategy.generate_signals = None\n",
        steps=("run", "run", "run"),
    ),
    _forges(
        "arrays in arrays in a reply",
        "def attack():\n    send(b'\\x91' * 60_000 + b'\\x90')\n",
        ends=("protocol",),
    ),
    _forges(
        "lengths that promise four gigabytes",
        "def attack():\n    send(bytes([0xdd]) + b'\\xff' * 4)\n",
        ends=("protocol",),
    ),
    _forges(
        "text that is none",
        "def attack():\n    send(bytes([0x92, 0xa4]) + b'\\xff\\xfe\\xfd\\xfc' + number(2))\n",
        ends=("protocol",),
    ),
    _forges(
        "the socket closed",
        "def attack():\n    for fd in sockets():\n        os.close(fd)\n",
        ends=("crashed", "protocol", "closed"),
    ),
    _forges(
        "the socket closed and another in its place",
        "import socket\ndef attack():\n    fds = sockets()\n    a, b = socket.socketpair()\n"
        "    for fd in fds:\n        os.dup2(a.fileno(), fd)\n",
        ends=("crashed", "protocol", "closed", "timeout", ""),
        call_s=0.4,
    ),
    _forges(
        "the socket shut",
        "import socket\ndef attack():\n    for fd in sockets():\n        socket.socket(fileno=os.dup(fd)).shutdown(1)\n",
        ends=("crashed", "protocol", "closed", "timeout", ""),
    ),
    _forges(
        "descriptors sent along",
        "import socket, array\ndef attack():\n    for fd in sockets():\n"
        "        s = socket.socket(fileno=os.dup(fd))\n"
        "        s.sendmsg([struct.pack('<I', 1) + b'x'], [(1, 1, array.array('i', [0, 1, 2]))])\n",
        ends=("protocol", "crashed", "closed", ""),
    ),
    _forges(
        "the node's next request read by the strategy",
        "def attack():\n    send(done(2))\n    for fd in sockets():\n        return os.read(fd, 65536)\n",
        call_s=0.3,
        ends=("timeout", "protocol"),
    ),
    _forges(
        "the loop's functions replaced",
        "import sys\ndef attack():\n"
        "    for name, module in list(sys.modules.items()):\n"
        "        if name.endswith('sandbox.wire') and hasattr(module, 'MOST_REPLY'):\n"
        "            module.MOST_REPLY = 1 << 40\n            module.MOST_SIGNALS = 1 << 40\n"
        "    print('x' * 10_000_000)\n",
        steps=("run", "run", "run"),
    ),
    _forges("the process ended", "def attack():\n    os._exit(0)\n", ends=("crashed",)),
    _forges("the process ended politely", "import sys\ndef attack():\n    sys.exit(0)\n", ends=("crashed", "")),
    _forges(
        "the process ended by a signal of its own",
        "import signal\ndef attack():\n    signal.raise_signal(9)\n",
        ends=("oom_or_cpu", "crashed", ""),
    ),
)
