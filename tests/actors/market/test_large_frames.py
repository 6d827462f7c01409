"""The process that decodes large frames: what it answers, what happens when it dies, and that the loop goes on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from actors.market.large_frames import DecodeFrame, decode, specs
from actors.market.session_core import SessionOptions
from actors.market.sessions.coinbase import CoinbaseSession
from protocols.control import Probe, Refused
from protocols.market import BookUpdate
from protocols.paths import LARGE_FRAMES
from protocols.venues import coinbase
from protocols.venues.coinbase_large import decode_large
from protocols.venues.errors import WireError
from runtime import ActorRef, ChildSpec, Node, open_node
from runtime.orphans import read_process

TIME = "2026-08-09T21:05:48.483587501Z"
TARGET = CoinbaseSession.LARGE
PATIENCE_S = 20.0
NAME = LARGE_FRAMES.rpartition("/")[2]


def snapshot(levels: int, number: int = 0) -> bytes:
    """A frame like the venue's: `levels` a side around 65,000."""
    updates = [
        coinbase.LevelUpdate("bid", TIME, f"{65_000 - at / 100:.2f}", f"0.{at + 1:08d}") for at in range(levels)
    ] + [coinbase.LevelUpdate("offer", TIME, f"{65_001 + at / 100:.2f}", f"1.{at:08d}") for at in range(levels)]
    event = coinbase.BookEvent("snapshot", "BTC-USD", tuple(updates))
    return coinbase.encode(coinbase.BookFrame(timestamp=TIME, sequence_num=number, events=(event,)))


@asynccontextmanager
async def decoder(program: tuple[str, ...] | None = None) -> AsyncIterator[tuple[Node, ActorRef]]:
    arguments = {} if program is None else {"program": program}
    spec = ChildSpec(name=NAME, actor="actors.market.large_frames:LargeFrames", arguments=arguments)
    async with open_node(children=(spec,)) as node:
        with trio.fail_after(PATIENCE_S):
            yield node, node.ref(f"/{NAME}")


async def figures(ref: ActorRef) -> dict[str, object]:
    return dict((await ref.ask(Probe())).figures)


async def dead(pid: int) -> None:
    """Wait until the node has reaped it."""
    while read_process(pid) is not None:
        await trio.lowlevel.checkpoint()


def test_its_place_in_the_tree_is_the_well_known_one() -> None:
    (spec,) = specs()
    assert f"/market/{spec.name}" == LARGE_FRAMES


async def test_a_frame_is_decoded_by_the_process_as_it_would_be_here() -> None:
    frame = snapshot(3_000)
    assert len(frame) > 256 * 1024
    async with decoder() as (_, ref):
        assert (await figures(ref))["pid"] is None, "started with the first frame only"
        assert await decode(ref, TARGET, frame) == decode_large(frame)
        first = await figures(ref)
        assert await decode(ref, TARGET, frame) == decode_large(frame)
        second = await figures(ref)
    assert second["pid"] == first["pid"] not in (None, os.getpid())
    assert (second["frames"], second["starts"], second["on threads"]) == (2, 1, 0)


async def test_it_ends_with_its_owner() -> None:
    async with decoder() as (_, ref):
        await decode(ref, TARGET, snapshot(1))
        pid = (await figures(ref))["pid"]
    assert isinstance(pid, int)
    assert read_process(pid) is None


async def test_a_process_that_dies_is_started_again() -> None:
    async with decoder() as (_, ref):
        await decode(ref, TARGET, snapshot(1))
        pid = (await figures(ref))["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        await dead(pid)
        assert await decode(ref, TARGET, snapshot(2)) == decode_large(snapshot(2))
        after = await figures(ref)
    assert after["pid"] != pid
    assert (after["starts"], after["on threads"]) == (2, 0)


async def test_a_process_that_dies_in_the_middle_of_a_frame_loses_nothing() -> None:
    # Reads some of its first question and is gone.
    dies = (sys.executable, "-c", "import sys; sys.stdin.buffer.read(70_000)")
    frame = snapshot(3_000)
    async with decoder(dies) as (_, ref):
        assert await decode(ref, TARGET, frame) == decode_large(frame)
        report = await ref.ask(Probe())
    assert report.status == "degraded"
    assert dict(report.figures)["starts"] == 2
    assert dict(report.figures)["on threads"] == 1


async def test_without_a_process_a_thread_decodes_and_the_reason_is_told() -> None:
    async with decoder(("/nowhere/python",)) as (_, ref):
        assert await decode(ref, TARGET, snapshot(5)) == decode_large(snapshot(5))
        with pytest.raises(WireError):
            await decode(ref, TARGET, b"not a frame")
        report = await ref.ask(Probe())
    assert report.status == "degraded"
    assert "there is no program /nowhere/python" in report.detail


async def test_what_is_no_frame_is_said_and_the_process_lives_on() -> None:
    async with decoder() as (_, ref):
        with pytest.raises(WireError):
            await decode(ref, TARGET, b"[" * 300_000)
        assert await decode(ref, TARGET, snapshot(1)) == decode_large(snapshot(1))
        assert (await figures(ref))["starts"] == 1


async def test_a_function_that_is_none_is_refused() -> None:
    async with decoder() as (_, ref):
        for target in ("os:getcwd", "protocols.venues.coinbase:nothing", "protocols.nowhere:decode", "protocols."):
            with pytest.raises(Refused) as refused:
                await ref.ask(DecodeFrame(target, b""))
            assert refused.value.code == "invalid"


async def test_questions_are_answered_in_their_order() -> None:
    frames = [snapshot(levels) for levels in (2_000, 1, 500, 2)]
    answers: list[bytes] = []

    async def ask(frame: bytes) -> None:
        packed = await decode(ref, TARGET, frame)
        assert packed == decode_large(frame)
        answers.append(packed)

    async with decoder() as (_, ref), trio.open_nursery() as nursery:
        for frame in frames:
            nursery.start_soon(ask, frame)
    assert len(answers) == len(frames)


async def test_other_work_goes_on_while_a_frame_is_decoded() -> None:
    turns = 0
    done = trio.Event()

    async def work() -> None:
        nonlocal turns
        while not done.is_set():
            await trio.lowlevel.checkpoint()
            turns += 1

    async with decoder() as (_, ref), trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await decode(ref, TARGET, snapshot(10_000))
        done.set()
    # Each of the many pieces of the frame lets the others have a turn; a decode on the loop would give them none.
    assert turns > 20


async def test_the_session_reads_what_was_decoded_elsewhere_as_if_it_had_decoded_it() -> None:
    frame = snapshot(3_000)
    here, there = (
        CoinbaseSession("f", ("BTC-USD.COINBASE",), options=SessionOptions(listening=True)) for _ in range(2)
    )
    for core in (here, there):
        core.connected("s", (), 0, 0)
    async with decoder() as (_, ref):
        packed = await decode(ref, there.LARGE, frame)
    expected = here.receive(frame, 7, 7)
    assert there.receive_decoded(packed, 7, 7) == expected
    assert there.tally == here.tally
    assert there.live_markets() == {"BTC-USD.COINBASE"}
    (update,) = expected
    assert isinstance(update, BookUpdate)
    assert update.snapshot
    assert len(update.packed_bids) == len(update.packed_asks) == 3_000 * 16
