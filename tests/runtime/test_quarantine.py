"""Quarantine: a message that crashed its actor twice is kept away from it; nothing else is."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocols.control import Quarantined
from tests.runtime import kit
from tests.runtime.kit import (
    Journal,
    Message,
    Noting,
    Refused,
    Request,
    RestartLimit,
    Unknown,
    receive,
    supervisor,
)


class Poison(Message, frozen=True, gc=False, tag="quarantine_poison"):
    dose: int
    harmless: bool = False


class PoisonRequest(Request[int], frozen=True, gc=False, tag="quarantine_poison_request"):
    dose: int


class Food(Message, frozen=True, gc=False, tag="quarantine_food"):
    dose: int


class Eater(Noting):
    @receive
    def poison(self, message: Poison) -> None:
        self.note(f"poison {message.dose}")
        if not message.harmless:
            raise ValueError("poisoned")

    @receive
    def request(self, request: PoisonRequest) -> int:
        self.note(f"poison {request.dose}")
        raise ValueError("poisoned")

    @receive
    def food(self, message: Food) -> None:
        self.note(f"food {message.dose}")


class Moody(Noting):
    """Crashes in its first life whatever it gets."""

    @receive
    def poison(self, message: Poison) -> None:
        self.note(f"poison {message.dose}")
        if self.incarnation.count == 1:
            raise ValueError("not today")


class Alarm(Noting):
    def on_start(self) -> None:
        self.subscribe(Quarantined)

    @receive
    def quarantined(self, message: Quarantined) -> None:
        self.note(f"{message.path} {message.kind}")


def eater(journal: Journal, kind: type[Noting] = Eater) -> kit.ChildSpec:
    return supervisor(
        "s", kit.actor("a", kind, journal, backoff=kit.backoff(0, 0)), limit=RestartLimit(count=100, seconds=5)
    )


async def feed(ref: kit.ActorRef, message: Message) -> bool:
    accepted = ref.tell(message)
    await kit.settle()
    return accepted


async def test_a_message_that_crashed_its_actor_is_not_delivered_again(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(eater(journal)) as node:
        await feed(node.ref("/s/a"), Poison(1))
        await trio.sleep(10)
    assert journal.lines == ["poison 1"]


async def test_after_the_second_crash_equal_messages_are_refused_and_reported(autojump_clock: MockClock) -> None:
    journal, dead, alarm = Journal(), Journal(), Journal()
    watchers = (kit.actor("dead", kit.DeadLetters, dead, why=True), kit.actor("alarm", Alarm, alarm))
    async with kit.running(*watchers, eater(journal)) as node:
        ref = node.ref("/s/a")
        assert await feed(ref, Poison(1))
        assert alarm.lines == []
        assert await feed(ref, Poison(1)), "one crash may have been bad luck"
        assert alarm.lines == ["/s/a Poison"]
        assert not await feed(ref, Poison(1))
        assert not await feed(ref, Poison(1))
        await kit.settle()
    assert journal.lines == ["poison 1", "poison 1"]
    assert dead.lines == ["dead /s/a Poison crashed"] * 2 + ["dead /s/a Poison quarantined"] * 2


async def test_everything_else_is_delivered_as_before(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(eater(journal)) as node:
        ref = node.ref("/s/a")
        for _ in range(2):
            await feed(ref, Poison(1))
        assert await feed(ref, Food(1))
        assert await feed(ref, Poison(2, harmless=True))
        assert await feed(ref, Poison(1, harmless=True)), "another content is another message"
    assert journal.lines[2:] == ["food 1", "poison 2", "poison 1"]


async def test_a_quarantined_ask_is_refused(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(eater(journal)) as node:
        for _ in range(2):
            with pytest.raises(Unknown):
                await node.ref("/s/a").ask(PoisonRequest(1))
            await kit.settle()
        with pytest.raises(Refused) as refusal:
            await node.ref("/s/a").ask(PoisonRequest(1))
        assert refusal.value.code == "quarantined"
        with pytest.raises(Refused):
            await node.ref("/s/a").send(PoisonRequest(1))
    assert len(journal.lines) == 2


async def test_equal_messages_that_wait_already_are_refused_too(autojump_clock: MockClock) -> None:
    journal, dead = Journal(), Journal()
    async with kit.running(kit.actor("dead", kit.DeadLetters, dead, why=True), eater(journal)) as node:
        ref = node.ref("/s/a")
        for message in (Poison(1), Poison(1), Poison(1), Food(1), Poison(1), Food(2)):
            assert ref.tell(message)
        await journal.until(4)
        await kit.settle()
    assert journal.lines == ["poison 1", "poison 1", "food 1", "food 2"]
    assert dead.lines.count("dead /s/a Poison quarantined") == 2


async def test_an_equal_message_that_is_handled_the_second_time_is_no_longer_kept_away(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(eater(journal, Moody)) as node:
        for _ in range(4):
            assert await feed(node.ref("/s/a"), Poison(1))
    assert journal.lines == ["poison 1"] * 4


async def test_a_suspect_is_forgotten_after_ten_minutes(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(eater(journal), limit=5000) as node:
        ref = node.ref("/s/a")
        await feed(ref, Poison(1))
        await trio.sleep(601)
        await feed(ref, Poison(1))
        assert await feed(ref, Poison(1)), "the second within ten minutes, the third of all"
        assert not await feed(ref, Poison(1))
    assert journal.lines == ["poison 1"] * 3


async def test_at_most_eight_suspects_are_kept(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(eater(journal)) as node:
        ref = node.ref("/s/a")
        for dose in range(9):
            await feed(ref, Poison(dose))
        await feed(ref, Poison(0))  # forgotten for the ninth; a suspect again
        assert await feed(ref, Poison(0))
        await feed(ref, Poison(8))
        assert not await feed(ref, Poison(8))
        assert not await feed(ref, Poison(0))


async def test_the_quarantine_is_that_of_one_path(autojump_clock: MockClock) -> None:
    one, other = Journal(), Journal()
    tree = supervisor(
        "s",
        kit.actor("a", Eater, one),
        kit.actor("b", Eater, other),
        limit=RestartLimit(count=5, seconds=1000),
    )
    async with kit.running(tree) as node:
        for _ in range(2):
            await feed(node.ref("/s/a"), Poison(1))
        assert not await feed(node.ref("/s/a"), Poison(1))
        assert await feed(node.ref("/s/b"), Poison(1))
    assert other.lines == ["poison 1"]


async def test_a_quarantine_slows_no_other_rule(autojump_clock: MockClock) -> None:
    """Order and the crash of a second message stay what they are while messages are compared."""
    journal = Journal()
    async with kit.running(eater(journal)) as node:
        ref = node.ref("/s/a")
        for _ in range(2):
            await feed(ref, Poison(1))
        for number in range(5):
            assert ref.tell(Food(number))
        assert not ref.tell(Poison(1))
        assert ref.tell(Poison(2))
        assert ref.tell(Food(5))
        await journal.until("food 5")
    assert journal.lines[2:] == [*(f"food {number}" for number in range(5)), "poison 2", "food 5"]
