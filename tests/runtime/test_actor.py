"""Handlers: found by type, one message at a time, answers, refusals and crashes."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.runtime import kit
from tests.runtime.kit import (
    Actor,
    Crashed,
    Journal,
    Killed,
    Mailbox,
    Message,
    Noting,
    Overflow,
    Refused,
    Request,
    RestartLimit,
    Terminated,
    Unknown,
    receive,
    supervisor,
)


class Number(Message, frozen=True, gc=False, tag="actor_number"):
    value: int


class Word(Message, frozen=True, gc=False, tag="actor_word"):
    text: str


class Pause(Message, frozen=True, gc=False, tag="actor_pause"):
    text: str


class GetSum(Request[int], frozen=True, gc=False, tag="actor_get_sum"):
    pass


class GetSlowly(Request[int], frozen=True, gc=False, tag="actor_get_slowly"):
    pass


class Nothing(Request[None], frozen=True, gc=False, tag="actor_nothing"):
    pass


class Deny(Request[None], frozen=True, gc=False, tag="actor_deny"):
    pass


class Raise(Request[None], frozen=True, gc=False, tag="actor_raise"):
    what: str


class Unheard(Request[None], frozen=True, gc=False, tag="actor_unheard"):
    pass


class Summing(Noting):
    """Handlers of every kind."""

    def __init__(self, journal: int, start: int = 0) -> None:
        super().__init__(journal)
        self.total = start

    @receive
    def add(self, message: Number) -> None:
        self.total += message.value
        self.note(f"number {message.value}")

    @receive
    async def word(self, message: Word) -> None:
        self.note(f"word {message.text}")

    @receive
    async def pause(self, message: Pause) -> None:
        self.note(f"begin {message.text}")
        await trio.sleep(1)
        self.note(f"end {message.text}")

    @receive
    def get(self, request: GetSum) -> int:
        return self.total

    @receive
    async def get_slowly(self, request: GetSlowly) -> int:
        await trio.sleep(1)
        return self.total

    @receive
    def nothing(self, request: Nothing) -> None:
        self.note("nothing")

    @receive
    def deny(self, request: Deny) -> None:
        raise Refused("closed", "not today", "door")

    @receive
    async def fail(self, request: Raise) -> None:
        match request.what:
            case "error":
                raise ValueError("bad")
            case "system_exit":
                raise SystemExit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "group":
                raise ExceptionGroup("both", [ValueError("one"), LookupError("two")])
            case "base_group":
                raise BaseExceptionGroup("both", [SystemExit(1), ValueError("two")])
            case "nursery":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    nursery.start_soon(raising)
            case "own_scope":
                with trio.move_on_after(1):
                    await trio.sleep_forever()
                self.note("moved on")
            case "unknown":
                raise Unknown("somewhere below")
            case "while_cancelled":
                try:
                    await trio.sleep_forever()
                finally:
                    raise ValueError("in clean-up")
            case "refused_group":
                raise ExceptionGroup("wrapped", [Refused("closed")])


async def raising() -> None:
    raise ValueError("inside")


class Either(Noting):
    @receive
    def either(self, message: Number | Word) -> None:
        self.note(type(message).__name__)


class Louder(Summing):
    @receive
    def add(self, message: Number) -> None:
        self.note(f"NUMBER {message.value}")


class Watcher(Noting):
    def __init__(self, journal: int, path: str) -> None:
        super().__init__(journal)
        self.target = path

    def on_start(self) -> None:
        self.watch(self.lookup(self.target))

    @receive
    def ended(self, message: Terminated) -> None:
        self.note(f"{message.incarnation.count} {type(message.reason).__name__}")
        ENDS.append(message)


ENDS: list[Terminated] = []


class Selfish(Noting):
    def on_start(self) -> None:
        self.ref.tell(Word("from on_start"))
        self.note("started")

    @receive
    def word(self, message: Word) -> None:
        self.note(message.text)


async def test_sync_and_async_handlers_are_found_by_the_type_of_the_message(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Summing, journal)) as node:
        ref = node.ref("/a")
        for message in (Number(1), Word("x"), Number(2), Word("y")):
            assert ref.tell(message)
        await journal.until(4)
        assert await ref.ask(GetSum()) == 3
    assert journal.lines == ["number 1", "word x", "number 2", "word y"]


async def test_one_handler_may_take_a_union(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Either, journal)) as node:
        node.ref("/a").tell(Number(1))
        node.ref("/a").tell(Word("x"))
        await journal.until(2)
    assert journal.lines == ["Number", "Word"]


async def test_a_subclass_inherits_and_overrides_handlers(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Louder, journal)) as node:
        node.ref("/a").tell(Number(1))
        node.ref("/a").tell(Word("x"))
        await journal.until(2)
    assert journal.lines == ["NUMBER 1", "word x"]


async def test_what_a_handler_returns_answers_the_ask(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Summing, journal, start=7)) as node:
        assert await node.ref("/a").ask(GetSum()) == 7
        assert await node.ref("/a").ask(GetSlowly()) == 7
        assert await node.ref("/a").ask(Nothing()) is None


async def test_a_request_may_be_told_and_its_answer_goes_nowhere(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Summing, journal)) as node:
        assert node.ref("/a").tell(Nothing())
        await journal.until("nothing")
        assert await node.ref("/a").ask(GetSum()) == 0


async def test_one_message_is_handled_at_a_time(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Summing, journal)) as node:
        for text in "xy":
            node.ref("/a").tell(Pause(text))
        node.ref("/a").tell(Number(1))
        await journal.until(5)
    assert journal.lines == ["begin x", "end x", "begin y", "end y", "number 1"]


async def test_messages_of_one_sender_keep_their_order(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Summing, journal)) as node:
        for value in range(500):
            node.ref("/a").tell(Number(value))
        await journal.until(500)
    assert journal.lines == [f"number {value}" for value in range(500)]


async def test_a_sync_handler_does_not_run_in_the_stack_of_its_sender(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Summing, journal)) as node:
        await kit.settle()
        node.ref("/a").tell(Number(1))
        assert journal.lines == []
        await journal.until(1)


async def test_an_actor_may_tell_itself_something_before_it_has_started(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Selfish, journal)):
        await journal.until(2)
    assert journal.lines == ["started", "from on_start"]


async def test_an_actor_wakes_once_for_all_that_is_queued(autojump_clock: MockClock) -> None:
    class Steps(trio.abc.Instrument):
        count = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.count += task.name == "/a"

    journal = Journal()
    async with kit.running(kit.actor("a", Summing, journal)) as node:
        await kit.settle()
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        for value in range(50):
            node.ref("/a").tell(Number(value))
        await journal.until(50)
        trio.lowlevel.remove_instrument(steps)
    assert steps.count <= 5


async def test_a_message_that_nobody_handles_is_a_dead_letter_and_no_crash(autojump_clock: MockClock) -> None:
    journal, dead = Journal(), Journal()
    async with kit.running(kit.actor("dead", kit.DeadLetters, dead), kit.actor("a", Summing, journal)) as node:
        node.ref("/a").tell(Unheard())
        await dead.until("dead /a Unheard")
        assert await node.ref("/a").ask(GetSum()) == 0
        with pytest.raises(Refused):
            await node.ref("/a").ask(Unheard())


async def test_refused_in_a_handler_is_an_answer_and_no_crash(autojump_clock: MockClock) -> None:
    journal, ends = Journal(), Journal()
    async with kit.running(kit.actor("a", Summing, journal), kit.actor("watcher", Watcher, ends, path="/a")) as node:
        node.ref("/a").tell(Number(5))
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Deny())
        assert (refusal.value.code, refusal.value.message, refusal.value.field) == ("closed", "not today", "door")
        node.ref("/a").tell(Deny())
        await kit.settle()
        assert await node.ref("/a").ask(GetSum()) == 5, "the same incarnation, with its state"
        assert ends.lines == []


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("error", "ValueError"),
        ("system_exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("group", "ExceptionGroup"),
        ("base_group", "BaseExceptionGroup"),
        ("nursery", "ExceptionGroup"),
        ("unknown", "Unknown"),
        ("refused_group", "ExceptionGroup"),
    ],
)
async def test_any_other_exception_is_a_crash_and_the_actor_starts_anew(
    what: str, error: str, autojump_clock: MockClock
) -> None:
    ENDS.clear()
    journal, ends = Journal(), Journal()
    async with kit.running(
        kit.actor("a", Summing, journal, start=1), kit.actor("watcher", Watcher, ends, path="/a")
    ) as node:
        node.ref("/a").tell(Number(5))
        with pytest.raises(Unknown):
            await node.ref("/a").ask(Raise(what))
        await ends.until("1 Crashed")
        reason = ENDS[0].reason
        assert isinstance(reason, Crashed)
        assert reason.error == error
        assert await node.ref("/a").ask(GetSum()) == 1, "made again from its arguments"


async def test_an_exception_group_is_kept_whole(autojump_clock: MockClock) -> None:
    ENDS.clear()
    journal, ends = Journal(), Journal()
    async with kit.running(kit.actor("a", Summing, journal), kit.actor("watcher", Watcher, ends, path="/a")) as node:
        node.ref("/a").tell(Raise("group"))
        await ends.until(1)
    reason = ENDS[0].reason
    assert isinstance(reason, Crashed)
    assert "both" in reason.text
    assert "ValueError: one" in reason.traceback
    assert "LookupError: two" in reason.traceback


async def test_cancellation_inside_a_handler_is_no_crash(autojump_clock: MockClock) -> None:
    journal, ends = Journal(), Journal()
    async with kit.running(
        kit.actor("a", Summing, journal, start=2), kit.actor("watcher", Watcher, ends, path="/a")
    ) as node:
        assert await node.ref("/a").ask(Raise("own_scope")) is None
        assert await node.ref("/a").ask(GetSum()) == 2
        assert ends.lines == []


async def test_a_killed_actor_was_killed_and_not_crashed(autojump_clock: MockClock) -> None:
    ENDS.clear()
    journal, ends = Journal(), Journal()
    async with kit.running(kit.actor("a", Summing, journal), kit.actor("watcher", Watcher, ends, path="/a")) as node:
        node.ref("/a").tell(Pause("x"))
        await journal.until("begin x")
        await kit.kill(node, "/a")
        await ends.until("1 Killed")
        assert isinstance(ENDS[0].reason, Killed)
        await trio.sleep(10)
        assert journal.lines == ["begin x"], "the message is not delivered again"


async def test_what_is_raised_beside_a_cancellation_is_the_reason(autojump_clock: MockClock) -> None:
    ENDS.clear()
    journal, ends = Journal(), Journal()
    async with kit.running(kit.actor("a", Summing, journal), kit.actor("watcher", Watcher, ends, path="/a")) as node:
        node.ref("/a").tell(Raise("while_cancelled"))
        await kit.settle()
        await kit.kill(node, "/a")
        await ends.until(1)
    reason = ENDS[0].reason
    assert isinstance(reason, Crashed)
    assert reason.error == "ValueError"


def test_a_handler_without_one_annotated_message_is_an_error_of_its_class() -> None:
    def bare(self: Any, message) -> None: ...  # type: ignore[no-untyped-def]

    def wrong(self: Any, message: int) -> None: ...

    def many(self: Any, message: Number, more: Number) -> None: ...

    for handler in (bare, wrong, many):
        with pytest.raises(TypeError):
            receive(handler)


def test_two_handlers_of_one_message_in_one_class_are_an_error() -> None:
    with pytest.raises(TypeError):

        class Twice(Actor):
            @receive
            def first(self, message: Number) -> None: ...

            @receive
            def second(self, message: Number) -> None: ...


class Busy(Noting):
    """Always has one more message waiting."""

    mailbox = Mailbox(capacity=8, overflow=Overflow.REJECT)
    handled = 0

    @receive
    def again(self, message: Number) -> None:
        type(self).handled += 1
        self.ref.tell(message)


class Ticking(Noting):
    def on_start(self) -> None:
        self.after(5, Word("tick"))

    @receive
    def tick(self, message: Word) -> None:
        self.note(message.text)


async def test_busy_actors_do_not_starve_other_tasks_or_a_timer(mock_clock: MockClock) -> None:
    """Measured in turns of the loop: a bystander's wakes against messages handled between them."""
    actors = 50
    journal, quiet = Journal(), Journal()
    Busy.handled = 0
    busy = [kit.actor(f"busy{number}", Busy, quiet) for number in range(actors)]
    async with kit.open_node(kit.settings(), children=(kit.actor("t", Ticking, journal), *busy)) as node:
        for number in range(actors):
            node.ref(f"/busy{number}").tell(Number(number))
        most = 0
        for _ in range(100):
            before = Busy.handled
            await trio.lowlevel.checkpoint()
            most = max(most, Busy.handled - before)
        assert Busy.handled > 0
        # A task gets a turn in every batch of the loop, in which an actor handles 256 messages at most.
        assert most <= 3 * actors * 256
        mock_clock.jump(6)
        turns = 0
        while not journal.lines:
            turns += 1
            assert turns < 50
            await trio.lowlevel.checkpoint()


async def test_arguments_come_from_the_spec_and_a_restart_uses_them_again(autojump_clock: MockClock) -> None:
    journal = Journal()
    tree = supervisor("s", kit.actor("a", Summing, journal, start=40), limit=RestartLimit(count=3, seconds=5))
    async with kit.running(tree) as node:
        ref = node.ref("/s/a")
        ref.tell(Number(2))
        assert await ref.ask(GetSum()) == 42
        ref.tell(Raise("error"))
        assert await ref.ask(GetSum()) == 40
