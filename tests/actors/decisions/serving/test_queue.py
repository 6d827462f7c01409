"""The queue of requests, and their deadlines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.decisions.serving.queue import Deadlines, RequestQueue, Waiting
from protocols.decisions import HIGH, LOW, NORMAL, PRIORITIES, RISK_EXIT

classes = st.sampled_from(PRIORITIES)


class Job(Waiting):
    """What waits in these tests; `name` says in which place of its class it came."""

    __slots__ = ("name",)

    def __init__(self, priority: int, deadline: int = 0, name: int = 0) -> None:
        super().__init__(priority, deadline)
        self.name = name


def drained(queue: RequestQueue[Job]) -> list[Job]:
    found = []
    while (job := queue.pop()) is not None:
        found.append(job)
    return found


def test_the_more_urgent_goes_first_and_within_a_class_who_came_first() -> None:
    queue: RequestQueue[Job] = RequestQueue()
    for name, priority in enumerate([LOW, HIGH, RISK_EXIT, NORMAL, HIGH, RISK_EXIT]):
        assert queue.push(Job(priority, name=name))
    assert [job.name for job in drained(queue)] == [2, 5, 1, 4, 3, 0]


def test_who_is_overtaken_by_a_quantum_of_others_is_served() -> None:
    queue: RequestQueue[Job] = RequestQueue(quantum=3)
    queue.push(Job(LOW, name=100))
    queue.push(Job(NORMAL, name=101))
    for name in range(10):
        queue.push(Job(HIGH, name=name))
    assert [job.name for job in drained(queue)] == [0, 1, 2, 100, 3, 4, 5, 101, 6, 7, 8, 9]


def test_the_last_places_are_for_risk_exits() -> None:
    queue: RequestQueue[Job] = RequestQueue(capacity=4, reserve=2)
    assert queue.push(Job(HIGH))
    assert queue.push(Job(LOW))
    assert not queue.push(Job(HIGH))
    assert queue.push(Job(RISK_EXIT))
    assert queue.push(Job(RISK_EXIT))
    assert not queue.push(Job(RISK_EXIT))


def test_a_full_class_takes_no_place_from_the_others() -> None:
    queue: RequestQueue[Job] = RequestQueue(capacity=100, reserve=0, per_class=(1, 2, 3, 4))
    taken = [sum(queue.push(Job(priority)) for _ in range(10)) for priority in PRIORITIES]
    assert taken == [1, 2, 3, 4]
    assert queue.depths() == (1, 2, 3, 4)


@pytest.mark.parametrize("wrong", [{"capacity": 4, "reserve": 4}, {"quantum": 0}, {"per_class": (1, 0, 1, 1)}])
def test_bounds_that_leave_no_place_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= reserve < capacity"):
        RequestQueue(**wrong)  # type: ignore[arg-type]


@given(st.lists(classes, max_size=200), st.integers(1, 5))
def test_nobody_waits_for_more_than_the_older_ones_below_and_their_quanta(arrivals: list[int], quantum: int) -> None:
    """Behind n older requests of lower classes: served after at most (n + 1) * (quantum + 1) others, however many of
    the most urgent class keep coming."""
    queue: RequestQueue[Job] = RequestQueue(capacity=10_000, reserve=0, quantum=quantum)
    below = [priority for priority in arrivals if priority != RISK_EXIT]
    for place, priority in enumerate(below):
        queue.push(Job(priority, name=place))
    waited = 0
    left = len(below)
    while left:
        queue.push(Job(RISK_EXIT, name=-1))
        job = queue.pop()
        assert job is not None
        waited += 1
        if job.name >= 0:
            left -= 1
            assert waited <= (job.name + 1) * (quantum + 1)


class QueueMachine(RuleBasedStateMachine):
    """Pushes, pops and discards in any order, against lists."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: RequestQueue[Job] = RequestQueue(capacity=12, reserve=3, per_class=(9, 8, 7, 6), quantum=4)
        self.model: dict[int, list[Job]] = {priority: [] for priority in PRIORITIES}
        self.name = 0

    @rule(priority=classes)
    def push(self, priority: int) -> None:
        self.name += 1
        job = Job(priority, name=self.name)
        total = sum(map(len, self.model.values()))
        room = total < (12 if priority == RISK_EXIT else 9) and len(self.model[priority]) < (9, 8, 7, 6)[priority]
        assert self.queue.push(job) is room
        if room:
            self.model[priority].append(job)

    @rule()
    def pop(self) -> None:
        job = self.queue.pop()
        if job is None:
            assert not any(self.model.values())
        else:
            assert self.model[job.priority].pop(0) is job

    @rule(priority=classes, index=st.integers(0, 8))
    def discard(self, priority: int, index: int) -> None:
        if index < len(self.model[priority]):
            job = self.model[priority].pop(index)
            self.queue.discard(job)
            self.queue.discard(job)

    @invariant()
    def the_counts_are_right(self) -> None:
        assert self.queue.depths() == tuple(len(self.model[priority]) for priority in PRIORITIES)
        assert len(self.queue) == sum(map(len, self.model.values()))


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestQueueMachine = QueueMachine.TestCase


def test_what_is_discarded_does_not_fill_a_queue_that_nobody_empties() -> None:
    queue: RequestQueue[Job] = RequestQueue(capacity=10, reserve=0)
    for _ in range(5000):
        job = Job(HIGH)
        assert queue.push(job)
        queue.discard(job)
    assert len(queue) == 0
    assert len(queue._lanes[HIGH]) < 200


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans())), st.integers(0, 50))
def test_what_is_due_is_what_is_open_and_late_the_earliest_first(jobs: list[tuple[int, bool]], now: int) -> None:
    deadlines: Deadlines[Job] = Deadlines()
    every = [Job(HIGH, deadline) for deadline, _ in jobs]
    for job, (_, answered) in zip(every, jobs, strict=True):
        deadlines.add(job)
        job.open = not answered
    due = deadlines.due(now)
    assert [job.deadline for job in due] == sorted(job.deadline for job in every if job.open and job.deadline <= now)
    rest = [job.deadline for job in every if job.open and job.deadline > now]
    assert deadlines.earliest() == min(rest, default=None)


def test_what_was_answered_is_forgotten_though_something_earlier_is_open() -> None:
    deadlines: Deadlines[Job] = Deadlines()
    deadlines.add(Job(HIGH, deadline=1))
    for _ in range(5000):
        job = Job(HIGH, deadline=2)
        deadlines.add(job)
        job.open = False
        deadlines.sweep(1)
    assert len(deadlines) < 200
    assert deadlines.earliest() == 1
