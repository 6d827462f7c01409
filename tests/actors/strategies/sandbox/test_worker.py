"""Calls of a worker: replies that count, replies that cost it its life, and deadlines."""

from __future__ import annotations

import os
import select
import signal
import time

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.orders import Desk
from actors.strategies.sandbox.wire_orders import CancelAllCommand, CancelCommand, ModifyCommand, PlaceCommand
from actors.strategies.sandbox.worker import Worker, WorkerEnded, _check_run, _Violation
from actors.strategies.sandbox.zygote import Layers
from protocols.orders import SubmitOrders
from tests.actors.strategies.deployed import CENT, deployment, instrument
from tests.actors.strategies.sandbox.kit import ONLY, bar, end_of, gone, tell, wish, worker_of, zygote_of

PACK = msgspec.msgpack.encode


async def forged(payload: bytes) -> WorkerEnded:
    async with worker_of() as worker:
        return await end_of(worker, "other_reply", payload=payload)


async def test_a_request_has_exactly_one_reply_with_its_number() -> None:
    async with worker_of() as worker:
        for number in (1, 2, 99):
            assert await worker.call(wire.Run(number, (bar(), bar())), 5) == wire.Done(number, 2)
        assert worker.ended is None


async def test_a_request_and_a_reply_as_long_as_allowed_get_through() -> None:
    async with worker_of() as worker:
        state = await worker.call(wire.Save(1, wire.MOST_STATE), 5)
        assert isinstance(state, wire.Saved)
        assert state.state == b"x" * wire.MOST_STATE
        source = "x" * (wire.MOST_REQUEST - 200)
        load = wire.Load(2, "s", "1", "f.py", source, (), msgspec.Raw(PACK({})), 1, True)
        end = await end_of_call(worker, load)
        # The stand-in answers every Load with Done, which is not an answer to it.
        assert end.detail == "Done in reply to Load"


async def end_of_call(worker: Worker, request: wire.Request) -> WorkerEnded:
    with pytest.raises(WorkerEnded) as caught:
        await worker.call(request, 5)
    return caught.value


async def test_a_request_over_the_cap_is_refused_and_harms_nobody() -> None:
    async with worker_of() as worker:
        with pytest.raises(ValueError, match=r"^request to one: expected at most 4194304 bytes, got "):
            await worker.call(wish("nothing", data=b"x" * wire.MOST_REQUEST), 5)
        assert await tell(worker, "nothing") == "nothing"


async def test_a_deadline_that_passes_kills_at_once_and_for_good() -> None:
    async with worker_of() as worker:
        end = await end_of(worker, "spin", within=0.1)
        assert (end.cause, end.detail) == ("timeout", "there was no reply after 0.1 s")
        with pytest.raises(WorkerEnded) as again:
            await worker.call(wish("nothing"), 5)
        assert (again.value.cause, again.value.detail) == (end.cause, end.detail)
        assert worker.cpu_ns() > 0


async def test_a_worker_that_does_not_read_its_request_misses_the_deadline() -> None:
    async with worker_of() as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(WorkerEnded) as caught:
            await worker.call(wish("nothing", data=b"x" * (wire.MOST_REQUEST // 2)), 0.1)
        assert caught.value.cause == "timeout"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "a reply that is none"),
        (b"\xc1", "a reply that is none"),
        (PACK(["done", 7]), "a reply that is none"),
        (PACK(["unknown", 7, 0]), "a reply that is none"),
        (PACK({"done": 7}), "a reply that is none"),
        (PACK(["done", 7, -1]), "a reply that is none"),
        (PACK(["done", 7, 0, [[0, "BTC-USD", "BUY", 1.5]]]), "a reply that is none"),
        (PACK(["done", 7, 0, [[0, "BTC-USD", "BUY", float("nan")]]]), "a reply that is none"),
        (PACK(["done", 7, 0, [[0, "x" * 300, "BUY", 0.5]]]), "a reply that is none"),
        (PACK(["done", 7, 0, [[0, "BTC-USD", "STEAL", 0.5]]]), "a reply that is none"),
        (PACK(["done", 7, 0, [], [], [], 0, 0, [["steal", 0, "a"]]]), "a reply that is none"),
        (
            PACK(["done", 7, 0, [], [], [], 0, 0, [["place", 0, "k", "A", "buy", "market", -1.0, "DAY"]]]),
            "a reply that is",
        ),
        (
            PACK(["done", 7, 0, [], [], [], 0, 0, [["place", 0, "a b", "A", "buy", "market", 1.0, "DAY"]]]),
            "a reply that is",
        ),
        (
            PACK(["done", 7, 0, [], [], [], 0, 0, [["place", 0, "k\n", "A", "buy", "market", 1.0, "DAY"]]]),
            "a reply that is",
        ),
        (PACK(["done", 7, 0, [], [], [], 0, 0, [["cancel", 0, "d-1"]]]), "1 commands in reply to Configure"),
        (PACK(["done", 7, 0]) + b"\x00", "a reply that is none"),
        (b"\x91" * 50_000, "a reply that is none"),
        (b"\xdd\xff\xff\xff\xff", "a reply that is none"),
        (b"\x94\xa4done\x07\x00\xdd\xff\xff\xff\xff", "a reply that is none"),
        (b"\x93\xa4done\x07\xd9\xff", "a reply that is none"),
        (b"\x96\xa6failed\x07\x00\xa2\xff\xfe\xa0\x00", "a reply that is none"),
        (PACK(wire.Done(8, 0)), "a reply to request 8, where 7 was asked"),
        (PACK(wire.Saved(7, None)), "Saved in reply to Configure"),
    ],
)
async def test_a_forged_reply_is_a_violation(payload: bytes, said: str) -> None:
    end = await forged(payload)
    assert end.cause == "protocol"
    assert end.detail.startswith(said), end


def test_a_reply_to_inputs_must_speak_of_those_inputs() -> None:
    signal_ = wire.WireSignal(2, "BTC-USD", "BUY", 0.5)
    for reply in (
        wire.Done(1, 3),
        wire.Done(1, 1),
        wire.Failed(1, 3, "ValueError", ""),
        wire.Done(1, 2, (signal_,)),
        wire.Done(1, 2, (msgspec.structs.replace(signal_, index=1),) * 129),
    ):
        with pytest.raises(_Violation):
            _check_run(reply, 2)
    _check_run(wire.Done(1, 2, (msgspec.structs.replace(signal_, index=1),) * 128), 2)
    _check_run(wire.Failed(1, 1, "ValueError", ""), 2)


def test_commands_must_be_of_inputs_that_were_handled_in_their_order_and_no_more_than_the_bound() -> None:
    def of(*places: int) -> tuple[wire.WireCommand, ...]:
        return tuple(CancelCommand(place, "d-1") for place in places)

    for reply, until_command in (
        (wire.Done(1, 3, orders=of(3)), False),
        (wire.Done(1, 3, orders=of(2, 1)), False),
        (wire.Done(1, 2, orders=of(1)), False),
        (wire.Done(1, 3, orders=of(*[1] * 65)), False),
        (wire.Failed(1, 1, "ValueError", "", orders=of(1)), False),
        (wire.Failed(1, 1, "ValueError", "", orders=of(0)), True),
        (wire.Done(1, 2, orders=of(0)), True),
        (wire.Done(1, 2), True),
        (wire.Done(1, 0, orders=of(0)), True),
    ):
        with pytest.raises(_Violation):
            _check_run(reply, 3, until_command=until_command)
    _check_run(wire.Done(1, 3, orders=of(0, *[1] * 64, *[2] * 64)), 3)
    _check_run(wire.Done(1, 2, orders=of(1, 1)), 3, until_command=True)
    _check_run(wire.Done(1, 3), 3, until_command=True)
    _check_run(wire.Failed(1, 2, "ValueError", "", orders=of(0, 1)), 3)


COMMANDS = (
    PlaceCommand(0, "k-1", "A", "buy", "stop_limit", 1.5, "GTC", 1.0, 2.0, 0.5, 1.0, True, True),
    CancelCommand(0, "d-k-1"),
    CancelAllCommand(0, "A"),
    ModifyCommand(0, "d-k-1", 1.0, 2.0, 3.0),
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(COMMANDS), st.integers(0, 13), ANYTHING)
@settings(max_examples=150, deadline=None)
def test_a_command_with_any_one_field_replaced_is_no_message_or_one_within_all_bounds(
    command: wire.WireCommand, place: int, value: object
) -> None:
    fields: list[object] = msgspec.msgpack.decode(PACK(command))
    fields[place % len(fields)] = value
    try:
        reply = wire.REPLY.decode(PACK(["done", 7, 1, [], [], [], 0, 0, [fields]]))
        assert isinstance(reply, wire.Done)
        _check_run(reply, 1)
    except (msgspec.MsgspecError, _Violation):
        return
    taken = Desk(deployment(), ("A",)).commands(reply.orders, (), 1)
    for each in taken.commands:
        for order in each.orders if isinstance(each, SubmitOrders) else ():
            assert order.client_order_id.startswith("d-")
            assert 0 < order.size < 2**63
            assert order.size % instrument().lot == 0
            assert all(price is None or price % CENT == 0 for price in (order.price, order.stop_price, order.trail))
            assert (order.market, order.deployment_id) == ("A", "d")
    assert len(taken.commands) + len(taken.refused) == 1


async def test_a_reply_over_its_cap_is_a_violation_before_it_is_read() -> None:
    async with worker_of() as worker:
        end = await end_of(worker, "raw", data=wire.HEADER.pack(wire.MOST_REPLY + 1), then="silence")
        assert (end.cause, end.detail) == ("protocol", "a reply of 65537 bytes, where 65536 are allowed")
    async with worker_of() as worker:
        end = await end_of(worker, "long_reply", size=wire.MOST_REPLY + 1)
        assert (end.cause, end.detail) == ("protocol", "a reply of 65537 bytes, where 65536 are allowed")


async def test_half_a_reply_is_none() -> None:
    async with worker_of() as worker:
        frame = wire.HEADER.pack(100) + b"x" * 50
        assert (await end_of(worker, "raw", within=0.1, data=frame, then="silence")).cause == "timeout"


async def test_two_replies_are_a_violation_whether_they_come_together_or_not() -> None:
    frame = PACK(wire.Done(7, 0))
    async with worker_of() as worker:
        twice = (wire.HEADER.pack(len(frame)) + frame) * 2
        end = await end_of(worker, "raw", data=twice, then="silence")
        assert (end.cause, end.detail) == ("protocol", f"{len(frame) + 4} bytes after the reply")


async def test_bytes_that_nobody_asked_for_are_a_violation_at_the_next_call() -> None:
    async with worker_of() as worker:
        assert await worker.call(wish("reply_and_flood", size=65_536), 5) == wire.Done(7, 0)
        os.kill(worker.pid, signal.SIGUSR1)
        await trio.lowlevel.wait_readable(worker._fd)
        end = await end_of(worker, "nothing")
        assert (end.cause, end.detail) == ("protocol", "it spoke unasked")


async def test_bytes_that_nobody_asked_for_are_found_without_a_call_too() -> None:
    async with worker_of() as worker:
        worker.check_idle()
        assert worker.ended is None
        await worker.call(wish("reply_and_flood", size=65_536), 5)
        os.kill(worker.pid, signal.SIGUSR1)
        await trio.lowlevel.wait_readable(worker._fd)
        worker.check_idle()
        with trio.fail_after(10):
            assert (await worker.wait()).cause == "protocol"


async def test_a_reply_in_many_small_pieces_is_a_violation() -> None:
    async with worker_of() as worker:
        end = await end_of(worker, "trickle", size=60_000)
        assert end.cause == "protocol"
        assert " pieces for " in end.detail


async def test_what_a_process_ends_by_is_its_cause() -> None:
    async with zygote_of() as zygote:
        for do, arguments, cause, detail in (
            ("leave", {"status": 3}, "crashed", "it exited with status 3"),
            ("leave", {"status": 0}, "crashed", "it exited with status 0"),
            ("abort", {}, "crashed", "it was ended by SIGABRT"),
            ("crash", {}, "crashed", "it was ended by SIGSEGV"),
            ("execute", {}, "forbidden_syscall", "it made a system call that ends a process (SIGSYS)"),
            ("close_socket", {}, "crashed", "it closed its socket"),
        ):
            end = await end_of(await zygote.create(do), do, **arguments)
            assert (end.cause, end.detail) == (cause, detail)
        worker = await zygote.create("killed")
        os.kill(worker.pid, signal.SIGKILL)
        with trio.fail_after(10):
            assert (await worker.wait()).cause == "oom_or_cpu"


async def test_a_worker_that_was_killed_by_the_node_says_why() -> None:
    async with zygote_of() as zygote:
        worker = await zygote.create("one")
        worker.kill("memory", "two MemoryErrors in a row")
        worker.kill("protocol", "too late to count")
        with trio.fail_after(10):
            end = await worker.wait()
        assert (end.cause, end.detail) == ("memory", "two MemoryErrors in a row")
        worker.kill()
        await worker.close()
        assert worker.ended is end


async def test_killing_a_worker_ends_the_call_that_is_under_way() -> None:
    ends: list[WorkerEnded] = []

    async def hear_its_end(worker: Worker) -> None:
        ends.append(await end_of(worker, "spin"))

    async with worker_of() as worker:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear_its_end, worker)
                await trio.testing.wait_all_tasks_blocked()
                worker.kill("closed", "stop")
        assert (ends[0].cause, ends[0].detail) == ("closed", "stop")


async def test_a_call_that_is_cancelled_kills_the_worker() -> None:
    async with worker_of() as worker:
        with trio.move_on_after(0.05):
            await worker.call(wish("spin"), 60)
        assert worker.ended is not None
        assert (worker.ended.cause, worker.ended.detail) == ("closed", "the call was cancelled")
        await gone(worker.pid)


async def test_two_calls_at_once_are_refused_loudly() -> None:
    async with worker_of() as worker:

        async def call_long() -> None:
            with pytest.raises(WorkerEnded):
                await worker.call(wish("spin"), 0.2)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call_long)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(RuntimeError, match=r"is called by two tasks at once$"):
                await worker.call(wish("nothing"), 5)


async def test_what_was_begun_goes_on_beside_its_caller_whose_own_time_is_not_held_against_it() -> None:
    async with worker_of() as worker:
        worker.begin(wire.Run(1, (bar(),)), 0.1)
        with pytest.raises(RuntimeError, match=r"is called by two tasks at once$"):
            worker.begin(wire.Run(2, (bar(),)), 5)
        time.sleep(0.3)  # noqa: ASYNC251 -- a caller that is no event loop
        assert await worker.finish() == wire.Done(1, 1)
        with pytest.raises(RuntimeError, match=r"was not asked anything$"):
            await worker.finish()
        assert await worker.call(wire.Run(3, (bar(),)), 5) == wire.Done(3, 1)


async def test_what_was_begun_has_the_deadline_of_its_beginning() -> None:
    async with worker_of() as worker:
        worker.begin(wish("spin"), 0.1)
        time.sleep(0.3)  # noqa: ASYNC251
        with pytest.raises(WorkerEnded, match=r"there was no reply after 0\.1 s"):
            await worker.finish()


async def test_what_cannot_be_sent_is_told_by_the_reply() -> None:
    async with worker_of() as worker:
        descriptor = os.pidfd_open(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)
        select.select([descriptor], [], [], 5)  # and the loop has not heard of it
        os.close(descriptor)
        worker.begin(wish("nothing"), 5)
        with pytest.raises(WorkerEnded) as caught:
            await worker.finish()
        assert caught.value.cause == "oom_or_cpu"
        with pytest.raises(WorkerEnded):
            worker.begin(wish("nothing"), 5)


async def test_closing_lets_it_end_by_itself_and_kills_what_does_not() -> None:
    async with zygote_of() as zygote:
        quiet, busy = await zygote.create("quiet"), await zygote.create("busy")
        await quiet.close()
        await quiet.close()
        os.kill(busy.pid, signal.SIGSTOP)
        await busy.close()
        for worker in (quiet, busy):
            assert worker.ended is not None
            assert (worker.ended.cause, worker.ended.detail) == ("closed", "it was closed")
            await gone(worker.pid)
        assert zygote.live == 0


async def test_its_processor_time_and_memory_can_be_read() -> None:
    async with worker_of() as worker:
        before, memory = worker.cpu_ns(), worker.memory()
        own = int(await tell(worker, "burn", seconds=0.05))
        assert before + 50_000_000 <= worker.cpu_ns()
        assert worker.cpu_ns() >= own
        await tell(worker, "allocate", size=20_000_000)
        assert worker.memory() >= memory + 19_000_000
        await worker.close()
        assert worker.cpu_ns() >= own
        assert worker.memory() == 0


def test_the_stand_in_can_switch_off_every_layer() -> None:
    assert set(ONLY) == set(Layers.__struct_fields__)
