"""What is placed in workers: the messages and the actor of the cluster's benchmark, and the same as a plain class.

The times are of the machine's monotonic clock, which all of its processes share.
"""

from __future__ import annotations

import os
import time

import msgspec

from protocols.control import Message, Request
from runtime import Actor, receive


class Add(Message, frozen=True, gc=False, tag="bench_cluster_add"):
    """A number to be added."""

    amount: int


class Work(Message, frozen=True, gc=False, tag="bench_cluster_work"):
    """So many nanoseconds of a processor."""

    busy_ns: int


class Timed(Message, frozen=True, gc=False, tag="bench_cluster_timed"):
    """A message that knows when it was sent."""

    sent_ns: int


class Tick(Message, frozen=True, gc=False, tag="bench_cluster_tick"):
    """What is published."""

    sent_ns: int
    price: int


class Tock(Message, frozen=True, gc=False, tag="bench_cluster_tock"):
    """What is published, and nobody elsewhere wants."""

    sent_ns: int
    price: int


class Echo(Request[int], frozen=True, gc=False, tag="bench_cluster_echo"):
    """A number to be given back."""

    value: int


class GetTotal(Request[int], frozen=True, gc=False, tag="bench_cluster_total"):
    """How many messages were handled."""


class GetProcess(Request[int], frozen=True, gc=False, tag="bench_cluster_process"):
    """In which process the actor lives."""


class GetTaken(Request[tuple[int, ...]], frozen=True, gc=False, tag="bench_cluster_taken"):
    """The nanoseconds of every timed message since the last such request."""


class Publish(Request[int], frozen=True, gc=False, tag="bench_cluster_publish"):
    """Publish so many messages that nobody elsewhere wants; answered with its nanoseconds of processor time."""

    count: int


class Placed(Actor):
    """Counts, answers, works, and takes times; `ticks`: it subscribes to `Tick`."""

    def __init__(self, ticks: bool = False) -> None:
        self.total = 0
        self.taken: list[int] = []
        self.ticks = ticks

    def on_start(self) -> None:
        """Subscribe."""
        if self.ticks:
            self.subscribe(Tick)

    @receive
    def add(self, message: Add) -> None:
        """Count."""
        self.total += message.amount

    @receive
    def work(self, message: Work) -> None:
        """Use the processor."""
        burn(message.busy_ns)
        self.total += 1

    @receive
    def timed(self, message: Timed) -> None:
        """Take the time."""
        self.taken.append(time.perf_counter_ns() - message.sent_ns)
        self.total += 1

    @receive
    def tick(self, message: Tick) -> None:
        """Take the time, if it is one to be timed."""
        if message.sent_ns:
            self.taken.append(time.perf_counter_ns() - message.sent_ns)
        self.total += 1

    @receive
    def echo(self, request: Echo) -> int:
        """Give the value back."""
        return request.value

    @receive
    def get_total(self, request: GetTotal) -> int:
        """Tell the count."""
        return self.total

    @receive
    def get_process(self, request: GetProcess) -> int:
        """Tell the process."""
        return os.getpid()

    @receive
    def get_taken(self, request: GetTaken) -> tuple[int, ...]:
        """Tell the times, and forget them."""
        taken, self.taken = self.taken, []
        return tuple(taken)

    @receive
    def publish_unwanted(self, request: Publish) -> int:
        """Publish."""
        began = time.thread_time_ns()
        for number in range(request.count):
            self.publish(Tock(0, number))
        return time.thread_time_ns() - began


class Plain:
    """The same as a class that Ray makes an actor of."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int) -> None:
        """Count."""
        self.value += amount

    def add_numbers(self, amounts: list[int]) -> None:
        """Count a batch of plain numbers."""
        for amount in amounts:
            self.value += amount

    def add_messages(self, packed: bytes) -> None:
        """Count a batch of messages, as they travel between processes."""
        for message in DECODER.decode(packed):
            self.value += message.amount

    def work(self, busy_ns: int) -> None:
        """Use the processor."""
        burn(busy_ns)
        self.value += 1

    def echo(self, value: int) -> int:
        """Give the value back."""
        return value

    def total(self) -> int:
        """Tell the count."""
        return self.value

    def process(self) -> int:
        """Tell the process."""
        return os.getpid()


DECODER = msgspec.msgpack.Decoder(list[Add])


def burn(busy_ns: int) -> None:
    """Use so many nanoseconds of a processor, however long others hold it meanwhile."""
    until = time.thread_time_ns() + busy_ns
    while time.thread_time_ns() < until:
        pass
