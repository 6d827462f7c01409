"""Actors in workers: whoever talks to one need not know."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from protocols.control import Crashed, DeadLetter, Refused, Unknown
from runtime import ActorRef, ChildSpec, HostOptions, Mailbox, NodeSettings, Overflow, StartChild, TerminateChild
from runtime.cluster.settings import ClusterSettings
from runtime.log import open_log
from runtime.log_reader import LogReader
from runtime.node import Node, open_node
from runtime.spec import dynamic_supervisor
from tests.runtime.cluster import cast
from tests.runtime.cluster.cast import (
    Add,
    Attend,
    Block,
    Counter,
    Fail,
    Fencing,
    Heard,
    Job,
    Later,
    Ledger,
    Listener,
    Parameters,
    Pick,
    Pid,
    Relay,
    Say,
    Speaker,
    Stubborn,
    Total,
    Wait,
    Watcher,
    WhoAsks,
    Work,
    Writer,
)

LIMIT = 30.0


@asynccontextmanager
async def running(*children: ChildSpec, **options: Any) -> AsyncIterator[Node]:
    with trio.fail_after(LIMIT):
        async with open_node(NodeSettings(name="test"), children=children, **options) as node:
            yield node


def placed(name: str, kind: Any, arguments: dict[str, Any] | None = None, **options: Any) -> ChildSpec:
    return ChildSpec(name, kind, arguments or {}, placement="process", **options)


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for something that nobody announces."""
    while not (found := condition()):  # noqa: ASYNC110 - it has no event
        await trio.sleep(0.005)
    return found


def begun(node: Node, path: str) -> int:
    """How many messages the worker has begun and not finished, as far as the node knows."""
    return len(node.cells[path].running)  # type: ignore[attr-defined]


async def heard(ref: ActorRef, number: int) -> tuple[str, ...]:
    while True:
        found: tuple[str, ...] = await ref.ask(Heard())
        if len(found) >= number:
            return found
        await trio.sleep(0.005)


async def answered(ref: ActorRef, request: Any, timeout: float = 10.0) -> Any:
    """The answer, from the next life if need be."""
    while True:
        try:
            return await ref.ask(request, timeout)
        except Unknown:
            continue


async def test_an_actor_in_a_worker_is_told_asked_and_asks_like_any_other() -> None:
    async with running(ChildSpec("ledger", Ledger), placed("counter", Counter, {"start": 5})) as node:
        ref = node.ref("/counter")
        assert await ref.ask(Pid()) != os.getpid()
        assert ref.tell(Add(2))
        await ref.send(Add(3))
        assert await ref.ask(Total()) == 10
        assert await ref.ask(Later(0.0)) == "later"
        assert await ref.ask(Parameters(msgspec.Raw(b'{"a":[1,2.5]}'))) == msgspec.Raw(b'{"a":[1,2.5]}')
        with pytest.raises(Refused) as refused:
            await ref.ask(Pick())
        assert (refused.value.code, refused.value.message, refused.value.field) == ("not_today", "try tomorrow", "day")
        # A ref that travels is a ref again, and what is asked carries its sender's life.
        assert await ref.ask(Relay(node.ref("/ledger"))) == "/counter@1.1"
        with pytest.raises(Refused, match="cycle"):
            await ref.ask(Relay(ref))


async def test_an_ask_that_waits_behind_another_expires_refused_and_one_that_is_handled_is_unknown() -> None:
    async with running(placed("counter", Counter, stop_s=0)) as node, trio.open_nursery() as nursery:
        ref = node.ref("/counter")
        outcomes: dict[str, Any] = {}

        async def ask(name: str, request: Any, timeout: float) -> None:
            outcomes[name] = await ref.outcome(request, timeout)

        nursery.start_soon(ask, "begun", Wait(LIMIT), 0.3)
        await until(lambda: begun(node, "/counter"))
        nursery.start_soon(ask, "waiting", Total(), 0.1)
        await until(lambda: len(outcomes) == 2)
        assert isinstance(outcomes["begun"], Unknown)
        assert isinstance(outcomes["waiting"], Refused)
        assert outcomes["waiting"].code == "expired"


async def test_what_a_killed_worker_had_not_begun_goes_to_the_next_life_and_what_it_had_begun_is_seen() -> None:
    async with (
        running(ChildSpec("ledger", Ledger), placed("counter", Counter)) as node,
        trio.open_nursery() as nursery,
    ):
        ref = node.ref("/counter")
        pid = await ref.ask(Pid())
        outcomes: list[Any] = []

        async def ask(request: Any) -> None:
            outcomes.append(await ref.outcome(request, LIMIT))

        nursery.start_soon(ask, Wait(LIMIT))
        await until(lambda: begun(node, "/counter"))
        for number in range(10):
            ref.tell(Work(number))
        nursery.start_soon(ask, Job(10))
        await trio.testing.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(outcomes) == 2)
        assert isinstance(outcomes[0], Unknown)
        assert outcomes[1].value == 10
        entries = node.cells["/ledger"].actor.entries  # type: ignore[union-attr]
        await until(lambda: len(entries) == 11)
        assert [entry.number for entry in entries] == list(range(11))
        assert {entry.by for entry in entries} == {"1.2"}
        view = node.tree("/counter")
        assert view is not None
        assert view.restarts == 1
        assert f"(process {pid}) was ended by SIGKILL" in str(view.restart_reason)
        assert view.worker.startswith("1-2 (process ")


async def test_a_message_that_was_being_handled_when_its_worker_died_is_a_dead_letter() -> None:
    async with running(placed("counter", Counter)) as node:
        ref = node.ref("/counter")
        pid = await ref.ask(Pid())
        with node.open_tap((DeadLetter, "/counter")) as tap:
            ref.tell(Block(LIMIT))
            await until(lambda: begun(node, "/counter"))
            os.kill(pid, signal.SIGKILL)
            (letter,) = await tap.receive()
        assert isinstance(letter, DeadLetter)
        assert (letter.kind, letter.reason) == ("Block", "lost")
        assert await ref.ask(Total()) == 0


async def test_a_crash_in_a_worker_takes_the_message_alone_and_the_worker_stays() -> None:
    async with running(placed("counter", Counter, {"start": 1})) as node:
        ref = node.ref("/counter")
        pid = await ref.ask(Pid())
        with node.open_tap((DeadLetter, "/counter")) as tap:
            for message in (Add(1), Fail(), Add(10)):
                ref.tell(message)
            assert await ref.ask(Total()) == 11
            (letter,) = await tap.receive()
        assert isinstance(letter, DeadLetter)
        assert (letter.kind, letter.reason) == ("Fail", "crashed")
        assert await ref.ask(Pid()) == pid
        # The same message again: it is quarantined, and an equal one refused from then on.
        ref.tell(Fail())
        assert await ref.ask(Total()) == 1
        assert not ref.tell(Fail())
        cell = node.cells["/counter"]
        assert isinstance(cell.last_exit, Crashed)
        assert "told to fail" in cell.last_exit.traceback


async def test_a_full_mailbox_is_full_though_part_of_it_is_in_the_worker() -> None:
    small = Mailbox(capacity=10, overflow=Overflow.REJECT)
    async with running(placed("counter", Counter, mailbox=small)) as node:
        ref = node.ref("/counter")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.outcome, Wait(0.3))
            await until(lambda: begun(node, "/counter"))
            for _ in range(5):
                assert ref.tell(Add(1))
            await until(lambda: not node.cells["/counter"].queue)
            assert [ref.tell(Add(1)) for _ in range(6)] == [True] * 5 + [False]
        assert await ref.ask(Total()) == 10


async def test_a_worker_that_is_held_up_is_killed_when_its_actor_does_not_end() -> None:
    async with running(placed("stubborn", Stubborn, stop_s=0.2)) as node:
        ref = node.ref("/stubborn")
        pid = await ref.ask(Pid())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.outcome, Wait(LIMIT), LIMIT)
            await until(lambda: begun(node, "/stubborn"))
            await ref.stop(timeout=LIMIT)
        await until(lambda: not Path(f"/proc/{pid}").exists())


async def test_topics_cross_filtered_at_their_source() -> None:
    quiet = ChildSpec("near", Listener, {"market": "A"})
    async with running(
        quiet, placed("far", Listener, {"market": "A"}), placed("speaker", Speaker), ChildSpec("here", Speaker)
    ) as node:
        node.ref("/here").tell(Say("A", 2))
        node.ref("/here").tell(Say("B", 2))
        assert await heard(node.ref("/far"), 2) == ("A 0", "A 1")
        speaker = node.ref("/speaker")
        speaker.tell(Say("A", 3))
        assert await heard(node.ref("/near"), 5) == ("A 0", "A 1", "A 0", "A 1", "A 2")
        assert await heard(node.ref("/far"), 5) == ("A 0", "A 1", "A 0", "A 1", "A 2")
        # Of B nobody wants to hear: what is said of it does not leave the worker.
        host = node.cells["/speaker"].home  # type: ignore[attr-defined]
        received: list[str] = []
        publish = host._handlers[cast_publish()]
        host._handlers[cast_publish()] = lambda record: (received.append(record.cls), publish(record))
        speaker.tell(Say("B", 100))
        speaker.tell(Say("A", 1))
        await heard(node.ref("/near"), 6)
        assert len(received) == 1


def cast_publish() -> type:
    from runtime.cluster import wire

    return wire.Publish


async def test_a_slow_subscriber_in_a_worker_is_told_how_much_it_lost() -> None:
    async with running(placed("far", Listener, {"market": "A", "lossless": True}), ChildSpec("here", Speaker)) as node:
        far = node.ref("/far")
        far.tell(Block(0.2))
        await until(lambda: begun(node, "/far"))
        node.ref("/here").tell(Say("A", 1000))
        found = await heard(far, 2)
        await until(lambda: not node.cells["/far"].queue)
        found = await far.ask(Heard())
        lost = sum(int(line.split()[1]) for line in found if line.startswith("lost"))
        assert lost > 0
        assert len([line for line in found if line.startswith("A")]) + lost == 1000


async def test_watching_works_both_ways() -> None:
    async with running(
        placed("watcher", Watcher), ChildSpec("near", Watcher), placed("counter", Counter), ChildSpec("local", Counter)
    ) as node:
        far, near = node.ref("/watcher"), node.ref("/near")
        await far.ask(Attend("/local"))
        await far.ask(Attend("/counter"))
        await near.ask(Attend("/counter"))
        node.ref("/local").tell(Fail())
        assert await heard(far, 1) == ("/local Crashed",)
        os.kill(await node.ref("/counter").ask(Pid()), signal.SIGKILL)
        assert await heard(near, 1) == ("/counter Crashed",)
        assert await heard(far, 2) == ("/local Crashed", "/counter Crashed")
        await answered(node.ref("/counter"), Total())
        await node.ref("/counter").stop()
        assert await heard(near, 2) == ("/counter Crashed", "/counter Shutdown for good")


async def test_timers_rows_journals_metrics_and_logs_work_in_a_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_log(tmp_path / "log") as log:
        async with running(
            placed("writer", Writer, journal=True), placed("counter", Counter, {"start": 3}), log=log
        ) as node:
            writer = node.ref("/writer")
            while not await writer.ask(Total()):  # noqa: ASYNC110 - asked for, as anybody would
                await trio.sleep(0.005)
            writer.tell(Add(4))
            await writer.ask(Total())
            rows = log_rows(tmp_path / "log")
            assert ("noted", "added 4") in rows
            kinds = [text for name, text in rows if name == "journal"]
            assert any(text.endswith("Add") for text in kinds)
            assert [int(text.split()[0]) for text in kinds] == list(range(1, len(kinds) + 1))
            await until(lambda: b'cast_starts_total{worker="' in node.metrics.render())
            assert b"troupe_worker_memory_bytes{" in node.metrics.render()
            await until(lambda: node.tree("/counter").remark == "counts from 3")  # type: ignore[union-attr]
    lines = capsys.readouterr().out
    assert "the writer is up" in lines
    assert "actor=/writer" in lines


def log_rows(folder: Path) -> list[tuple[str, str]]:
    """Every row as its table and what is compared of it."""
    reader = LogReader(folder)
    try:
        rows = reader.read(1000, 1 << 20)
    finally:
        reader.close()
    return [
        (row.table.name, f"{row.fields[1]} {row.fields[3]}" if row.table.name == "journal" else str(row.fields[0]))
        for row in rows
    ]


async def test_a_branch_lives_whole_in_its_worker() -> None:
    async with running(cast.branch("desk", placement="process"), ChildSpec("here", Speaker)) as node:
        counter = node.ref("/desk/counter")
        assert await counter.ask(Total()) == 7
        pid = await counter.ask(Pid())
        assert pid != os.getpid()
        assert await node.ref("/desk/speaker").ask(Pid()) == pid
        node.ref("/here").tell(Say("A", 1))
        assert await heard(node.ref("/desk/listener"), 1) == ("A 0",)
        node.ref("/desk/speaker").tell(Say("A", 2))
        assert await heard(node.ref("/desk/listener"), 3) == ("A 0", "A 0", "A 1")
        # Its supervisor is there too: a crash is repaired in the worker.
        counter.tell(Add(1))
        counter.tell(Fail())
        assert await counter.ask(Total()) == 7
        view = await until(lambda: (found := node.tree("/desk/counter")) and found.restarts == 1 and found)
        assert view.worker == node.tree("/desk").worker  # type: ignore[union-attr]
        # And it can be asked for more.
        await node.ref("/desk").ask(StartChild(ChildSpec("extra", Counter, {"start": 1})))
        assert await node.ref("/desk/extra").ask(Total()) == 1
        await node.ref("/desk").ask(TerminateChild("extra"))
        with pytest.raises(Refused):
            await node.ref("/desk/extra").ask(Total())
        os.kill(pid, signal.SIGKILL)
        await until(lambda: node.cells["/desk"].restarts == 1 and node.cells["/desk"].started)
        assert await counter.ask(Total()) == 7
        assert await counter.ask(Pid()) != pid


async def test_children_that_share_a_worker_share_its_death_and_others_do_not() -> None:
    shared = HostOptions(share="two")
    async with running(
        placed("a", Counter, host=shared), placed("b", Counter, host=shared), placed("c", Counter)
    ) as node:
        pids = [await node.ref(f"/{name}").ask(Pid()) for name in "abc"]
        assert pids[0] == pids[1] != pids[2]
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: all(node.cells[f"/{name}"].restarts == 1 for name in "ab"))
        again = [await answered(node.ref(f"/{name}"), Pid()) for name in "abc"]
        assert again[0] == again[1] != pids[0]
        assert again[2] == pids[2]
        # One that crashes leaves the others alone, and the worker stays for whoever is left.
        await node.ref("/a").stop()
        assert await node.ref("/b").ask(Pid()) == again[1]


async def test_a_receiver_that_fences_sees_which_life_of_a_placed_actor_told_it_what() -> None:
    async with running(ChildSpec("fencing", Fencing), placed("relay", Teller)) as node:
        await node.ref("/relay").ask(Total())
        assert await heard(node.ref("/fencing"), 1) == ("/relay@1.1",)
        os.kill(await node.ref("/relay").ask(Pid()), signal.SIGKILL)
        await answered(node.ref("/relay"), Total())
        assert (await heard(node.ref("/fencing"), 2))[-1] == "/relay@1.2"


class Teller(Counter):
    """Tells the fencing actor when it is asked for its total."""

    def on_start(self) -> None:
        self.lookup("/fencing").tell(Add(1))


async def test_a_silent_worker_is_given_up_and_what_it_had_is_not_done_twice() -> None:
    settings = ClusterSettings(heartbeat_s=0.05, lost_s=0.3)
    async with running(ChildSpec("ledger", Ledger), placed("counter", Counter), cluster=settings) as node:
        ref = node.ref("/counter")
        pid = await ref.ask(Pid())
        os.kill(pid, signal.SIGSTOP)
        try:
            for number in range(5):
                ref.tell(Work(number))
            with node.open_tap((DeadLetter, "/counter")) as tap:
                # Whether the old life had begun them nobody can know: they are not given to another one.
                letters = await tap.receive()
            assert {letter.reason for letter in letters} == {"lost"}  # type: ignore[union-attr]
            assert await answered(ref, Job(99)) == 99
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await until(lambda: not Path(f"/proc/{pid}").exists())
        entries = node.cells["/ledger"].actor.entries  # type: ignore[union-attr]
        await until(lambda: entries)
        assert [entry.number for entry in entries] == [99]
        assert "nothing was heard" in str(node.tree("/counter").restart_reason)  # type: ignore[union-attr]


async def test_a_ref_among_the_arguments_is_a_ref_in_the_worker() -> None:
    async with running(ChildSpec("notes", Ledger), dynamic_supervisor("pool")) as node:
        spec = placed("x", Counter, {"ledger": node.ref("/notes")})
        ref = await node.ref("/pool").ask(StartChild(spec), LIMIT)
        assert await ref.ask(Job(3)) == 3
        entries = node.cells["/notes"].actor.entries  # type: ignore[union-attr]
        await until(lambda: entries)
        assert [entry.number for entry in entries] == [3]


async def test_a_spec_that_no_worker_can_start_is_a_failed_start_with_its_reason() -> None:
    async with running(dynamic_supervisor("pool")) as node:
        pool = node.ref("/pool")
        with pytest.raises(Refused, match=r"start_failed.*no_such_module"):
            await pool.ask(StartChild(ChildSpec("x", "no_such_module:Actor", placement="process")), LIMIT)
        with pytest.raises(Refused, match="start_failed"):
            await pool.ask(StartChild(placed("x", Counter, {"no_such_argument": 1})), LIMIT)


async def test_without_a_cluster_a_ray_child_waits_unplaced_or_falls_back() -> None:
    async with running(
        ChildSpec("waits", Counter, placement="ray"),
        ChildSpec("falls", Counter, placement=("ray", "process")),
        dynamic_supervisor("pool"),
    ) as node:
        waits, falls = node.tree("/waits"), node.tree("/falls")
        assert waits is not None
        assert falls is not None
        assert (waits.state, waits.restarts, falls.state, falls.placement) == ("unplaced", 0, "up", "process")
        assert "the configuration names no cluster" in str(waits.restart_reason)
        assert node.ref("/waits").tell(Add(1))
        assert await node.ref("/falls").ask(WhoAsks()) == ""


def test_placements_that_make_no_sense_are_refused_when_the_spec_is_made() -> None:
    for wrong in ("mars", (), ("local", "ray"), ("ray", "mars")):
        with pytest.raises(ValueError, match="expected placement"):
            ChildSpec("x", Counter, placement=wrong)
    with pytest.raises(ValueError, match="not both"):
        HostOptions(node="a", spread=True)
