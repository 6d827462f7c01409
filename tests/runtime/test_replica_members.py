"""Replicas that are told who they are: at each start and each change, and who gives up before who gets."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from runtime import KillChild, ReplicaMembers, ReplicaSettings, ResizeReplicas, RestartChild, TerminateChild
from tests.runtime import kit
from tests.runtime.kit import Journal, Noting, Refused, receive


class Sharing(Noting):
    """Answers after so many seconds where there are more members than `quick`."""

    def __init__(self, journal: int, quick: int = 64, seconds: float = 0.0) -> None:
        super().__init__(journal)
        self.quick = quick
        self.seconds = seconds

    @receive
    async def members(self, request: ReplicaMembers) -> None:
        assert self.path == f"/x/{request.own}"
        if len(request.names) > self.quick:
            await trio.sleep(self.seconds)
        self.note(f"{request.own}: {' '.join(request.names)}")


def sharing(journal: Journal, count: int, *, stop_s: float = 5.0, **arguments: Any) -> kit.ChildSpec:
    return kit.actor("x", Sharing, journal, stop_s=stop_s, replicas=ReplicaSettings(count=count), **arguments)


async def resize(node: Any, count: int) -> None:
    await node.ref("/x").ask(ResizeReplicas(count), timeout=60)


async def test_all_are_told_at_the_start_before_the_set_is_up(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sharing(journal, 2, quick=1, seconds=3)):
        assert sorted(journal.lines) == ["0: 0 1", "1: 0 1"]


async def test_when_it_grows_those_who_give_up_are_told_before_those_who_get(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sharing(journal, 1, quick=2, seconds=3)) as node:
        del journal.lines[:]
        await resize(node, 3)
        assert next(line for line in journal.lines if line[3:]) == "0: 0 1 2"
        assert sorted(line for line in journal.lines if line[3:]) == ["0: 0 1 2", "1: 0 1 2", "2: 0 1 2"]


async def test_when_it_shrinks_those_who_leave_are_told_before_those_who_stay(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sharing(journal, 3)) as node:
        del journal.lines[:]
        await resize(node, 1)
        assert sorted(journal.lines[:2]) == ["1: 0", "2: 0"]
        assert journal.lines[2:] == ["0: 0"]


async def test_a_new_life_is_told_again_and_the_others_are_not(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sharing(journal, 2)) as node:
        del journal.lines[:]
        await node.ref("/x").ask(KillChild("1"))
        assert await journal.until(1) == ["1: 0 1"]
        await node.ref("/x").ask(TerminateChild("0"))
        await node.ref("/x").ask(RestartChild("0"))
        assert await journal.until(2) == ["1: 0 1", "0: 0 1"]


async def test_growing_is_undone_where_an_old_member_does_not_answer(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sharing(journal, 2, stop_s=2, quick=2, seconds=4)) as node:
        with pytest.raises(Refused) as refused:
            await resize(node, 3)
        assert refused.value.code == "busy"
        assert await kit.children_of(node.ref("/x")) == {"0": "up", "1": "up"}
        await trio.sleep(20)
        last = {line[0]: line for line in journal.lines}
        assert (last["0"], last["1"]) == ("0: 0 1", "1: 0 1")
        assert "2: 0 1 2" not in journal.lines
