"""An actor with a journal: what may change it is in the node's log before it is handled."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import trio
from trio.testing import MockClock

from protocols.control import Message, Refused, Request, Unknown
from runtime import Actor, ChildSpec, Done, NodeSettings, open_node, receive
from runtime.log import open_log
from runtime.log_reader import LogReader


class Put(Message, frozen=True, gc=False, tag="put"):
    value: int


class Total(Request[int], frozen=True, gc=False, tag="total"):
    pass


class Break(Request[None], frozen=True, gc=False, tag="break"):
    pass


class Adder(Actor):
    def __init__(self) -> None:
        self.total = 0

    def on_start(self) -> None:
        self.after(3600, Put(1000))

    @receive
    def put(self, message: Put) -> None:
        self.total += message.value

    @receive
    async def answer(self, request: Total) -> int:
        return self.total

    @receive
    def fail(self, request: Break) -> None:
        raise ArithmeticError(request)


class Asker(Actor):
    @receive
    async def answer(self, request: Total) -> int:
        return await self.lookup("/adder").ask(Total())


TREE = (ChildSpec("adder", Adder, journal=True), ChildSpec("asker", Asker))


class Entry(NamedTuple):
    seq: int
    kind: str
    sender: str
    payload: bytes


def entries(folder: Path) -> list[Entry]:
    found = []
    for row in LogReader(folder).read(1000, 1 << 20):
        assert row.table.name == "journal"
        stream, seq, _, kind, sender, payload = row.fields
        assert stream == "journal:/adder"
        found.append(Entry(seq, kind, sender, payload))
    return found


async def test_messages_asks_and_timers_are_numbered_in_the_order_of_their_handling(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with open_log(tmp_path) as log:
        async with open_node(NodeSettings(), TREE, log=log) as node:
            adder = node.ref("/adder")
            adder.tell(Put(5))
            assert await adder.ask(Total()) == 5
            assert await node.ref("/asker").ask(Total()) == 5
            await trio.sleep(3601)
            assert await adder.ask(Total()) == 1005
        kinds = ["Put", "Total", "Total", "Put", "Total"]
        assert [(each.seq, each.kind) for each in entries(tmp_path)] == list(enumerate(kinds, 1))
        senders = [each.sender for each in entries(tmp_path)]
        assert senders == ["", "", f"/asker@{log.epoch}.1", "", ""]
        assert msgspec.msgpack.decode(entries(tmp_path)[3].payload, type=Put) == Put(1000)


async def test_the_message_that_crashes_the_actor_is_in_the_journal(tmp_path: Path, autojump_clock: MockClock) -> None:
    with open_log(tmp_path) as log:
        async with open_node(NodeSettings(), TREE, log=log) as node:
            with pytest.raises(Unknown):
                await node.ref("/adder").ask(Break())
        assert [each.kind for each in entries(tmp_path)] == ["Break"]


async def test_the_numbers_go_on_in_the_next_life_of_the_node(tmp_path: Path, autojump_clock: MockClock) -> None:
    for _ in range(2):
        with open_log(tmp_path) as log:
            async with open_node(NodeSettings(), TREE, log=log) as node:
                await node.ref("/adder").ask(Total())
    assert [each.seq for each in entries(tmp_path)] == [1, 2]


async def test_what_the_log_cannot_take_is_not_handled(tmp_path: Path, autojump_clock: MockClock) -> None:
    with open_log(tmp_path, segment_bytes=1 << 16, max_bytes=1 << 17) as log:
        async with open_node(NodeSettings(), TREE, log=log) as node:
            adder = node.ref("/adder")
            handled = 0
            while isinstance(outcome := await adder.outcome(Total()), Done):
                handled += 1
            assert isinstance(outcome, Refused)
            assert outcome.code == "log_full"
            assert handled > 100
            with pytest.raises(Refused, match="log_full"):
                await adder.ask(Total())
            assert node.ref("/adder")._cell.restarts == 0
