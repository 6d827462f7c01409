from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from actors.edge.readiness import Readiness


@asynccontextmanager
async def looked_after() -> AsyncIterator[tuple[Readiness, socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    readiness = Readiness()
    readiness.add(ours.fileno())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readiness.serve)
        with trio.fail_after(5):
            yield readiness, ours, theirs
        nursery.cancel_scope.cancel()
    readiness.close()
    ours.close()
    theirs.close()


async def test_who_waits_is_woken_and_what_came_before_the_wait_is_not_missed() -> None:
    async with looked_after() as (readiness, ours, theirs):
        theirs.send(b"a")
        await trio.testing.wait_all_tasks_blocked()
        await readiness.wait(ours.fileno())
        assert ours.recv(10) == b"a"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(readiness.wait, ours.fileno())
            await trio.testing.wait_all_tasks_blocked()
            theirs.send(b"b")
        assert ours.recv(10) == b"b"


async def test_what_was_left_is_read_again_if_the_reader_says_so() -> None:
    async with looked_after() as (readiness, ours, theirs):
        theirs.send(b"abc")
        await readiness.wait(ours.fileno())
        assert ours.recv(1) == b"a"
        readiness.again(ours.fileno())
        await readiness.wait(ours.fileno())
        assert ours.recv(10) == b"bc"


async def test_an_end_that_came_with_the_last_bytes_is_told_as_often_as_it_is_asked_for() -> None:
    async with looked_after() as (readiness, ours, theirs):
        theirs.send(b"a")
        theirs.shutdown(socket.SHUT_WR)
        await readiness.wait(ours.fileno())
        assert ours.recv(10) == b"a"
        for _ in range(3):
            await readiness.wait(ours.fileno())
            assert ours.recv(10) == b""


async def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    async with looked_after() as (readiness, ours, theirs):
        with trio.CancelScope() as scope:
            scope.cancel()
            await readiness.wait(ours.fileno())
        assert scope.cancelled_caught
        theirs.send(b"a")
        await trio.testing.wait_all_tasks_blocked()
        await readiness.wait(ours.fileno())


async def test_every_wait_is_a_checkpoint() -> None:
    async with looked_after() as (readiness, ours, theirs):
        theirs.close()
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with trio.testing.assert_checkpoints():
                await readiness.wait(ours.fileno())


async def test_a_removed_descriptor_is_forgotten_before_its_number_is_used_again() -> None:
    async with looked_after() as (readiness, ours, theirs):
        theirs.close()
        await readiness.wait(ours.fileno())
        number = ours.fileno()
        readiness.remove(number)
        ours.close()
        one, other = socket.socketpair()
        assert number in (one.fileno(), other.fileno())
        readiness.add(number)
        with trio.move_on_after(0.01) as scope:
            await readiness.wait(number)
            await readiness.wait(number)  # at most the first may be an edge of the new one
        assert scope.cancelled_caught
        one.close()
        other.close()
