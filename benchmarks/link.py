"""Bytes over a link: how messages of several sizes get to an actor in a child process, and what they cost the node.

The sender waits for a full mailbox, and the time ends when all are handled. The machine has to pack, copy and unpack
every byte; the node's part is the processor time of its process.
"""

from __future__ import annotations

import time
from typing import Final

from benchmarks.cluster_actors import Add, Echo, Placed
from benchmarks.cluster_troupe import BURST, LONG_S, handled, on_a_node
from benchmarks.harness import TROUPE, Findings, Row, Sample, Scale, in_turns, measured
from protocols.control import Message
from runtime import ActorRef, Backoff, ChildSpec, Mailbox, Node, receive

TITLE = "Bytes over a link"
SIZES: Final = (10, 1_000, 10_000, 100_000)
BYTES: Final = 200_000_000
MOST: Final = 100_000
"""Messages of one size."""
IN_MAILBOX: Final = 8_000_000
"""Bytes that may wait in the mailbox."""


class Piece(Message, frozen=True, gc=False, tag="bench_link_piece"):
    """Some bytes."""

    content: bytes


class Receiving(Placed):
    """Counts pieces, too."""

    @receive
    def piece(self, message: Piece) -> None:
        """Count."""
        self.total += 1


def pieces(size: int, count: int) -> Sample:
    """Messages with `size` bytes each, to one actor in a child process."""
    capacity = max(16, min(8192, IN_MAILBOX // size))
    child = ChildSpec(
        "a0", Receiving, placement="process", mailbox=Mailbox(capacity), backoff=Backoff(0, 0), start_s=LONG_S
    )

    async def work(node: Node, refs: list[ActorRef]) -> Sample:
        (ref,) = refs
        await ref.ask(Echo(1))
        ref.tell(Add(0))
        content = bytes(size)
        cpu, began = time.process_time(), time.perf_counter()
        tell, sent = ref.tell, 0
        while sent < count:
            for _ in range(min(BURST, count - sent)):
                if not tell(Piece(content)):
                    await ref.send(Piece(content), LONG_S)
            sent += min(BURST, count - sent)
        await handled(ref, count)
        took, busy = time.perf_counter() - began, time.process_time() - cpu
        return {"messages/s": count / took, "MB/s": count * size / took / 1e6, "node µs": busy / count * 1e6}

    return on_a_node([child], "", work)


def run(scale: Scale) -> Findings:
    """Measure every size in turns."""
    counts = {size: scale.count(min(MOST, BYTES // size), 100) for size in SIZES}

    def side() -> Sample:
        sample: Sample = {}
        for size, count in counts.items():
            found = measured("benchmarks.link:pieces", size=size, count=count)
            sample |= {f"{size} {name}": value for name, value in found.items()}
        return sample

    found = in_turns({TROUPE: side}, scale)[TROUPE]
    rows = []
    for size in SIZES:
        figure = f"messages with {size:,} bytes"
        rows += [
            Row(figure, "messages/s", found[f"{size} messages/s"]),
            Row(f"{figure}: bytes", "MB/s", found[f"{size} MB/s"]),
            Row(f"{figure}: the node's part", "µs/message", found[f"{size} node µs"]),
        ]
    told = ", ".join(f"{count:,} of {size:,} bytes" for size, count in counts.items())
    return Findings(tuple(rows), (f"{told}; node and worker wherever the system puts them.",))
