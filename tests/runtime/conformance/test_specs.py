"""Specs that can never work are refused when they are made."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.runtime.conformance.stage import Player
from tests.runtime.kit import (
    INVALID,
    Actor,
    AutoShutdown,
    ChildSpec,
    Mailbox,
    Restart,
    RestartLimit,
    Strategy,
    backoff,
    child,
    dynamic_supervisor,
    supervisor,
)

ARGUMENTS = {"name": "a", "unit": 1.0, "stop": "ok"}
ANY = AutoShutdown.ANY_SIGNIFICANT
LATE = backoff(60.0, 60.0)


def worker(name: str = "a", **options: Any) -> ChildSpec:
    return child(name, Player, ARGUMENTS, **options)


class NotAnActor:
    pass


class Plain(Actor):
    pass


REFUSED: dict[str, Callable[[], object]] = {
    "a permanent child is significant": lambda: supervisor(
        "s", worker(restart=Restart.PERMANENT, significant=True), auto_shutdown=ANY
    ),
    "a child is significant where nothing shuts down": lambda: supervisor(
        "s", worker(restart=Restart.TRANSIENT, significant=True)
    ),
    "a supervisor is significant where nothing shuts down": lambda: supervisor(
        "s", supervisor("t", restart=Restart.TRANSIENT, significant=True)
    ),
    "a permanent supervisor is significant": lambda: supervisor(
        "s", supervisor("t", restart=Restart.PERMANENT, significant=True), auto_shutdown=ANY
    ),
    "two children have one name": lambda: supervisor("s", worker("a"), worker("a")),
    "the limit cannot be reached for its backoff": lambda: supervisor(
        "s", worker(backoff=LATE), limit=RestartLimit(count=3, seconds=5)
    ),
    "the limit cannot be reached for the backoff of one of several": lambda: supervisor(
        "s", worker("a"), worker("b", backoff=LATE), limit=RestartLimit(count=3, seconds=5)
    ),
    "the limit cannot be reached for the backoff of an inner supervisor": lambda: supervisor(
        "s", supervisor("t", backoff=LATE), limit=RestartLimit(count=3, seconds=5)
    ),
    "the limit cannot be reached for a short backoff made very often": lambda: supervisor(
        "s", worker(backoff=backoff(0.01, 0.01)), limit=RestartLimit(count=100_000, seconds=5)
    ),
    "a name is empty": lambda: worker(""),
    "a name contains a slash": lambda: worker("a/b"),
    "a supervisor's name contains a slash": lambda: supervisor("s/t"),
    "a negative count": lambda: RestartLimit(count=-1, seconds=5),
    "a period of nothing": lambda: RestartLimit(count=1, seconds=0),
    "a negative first delay": lambda: backoff(-1.0, 1.0),
    "the most is less than the first": lambda: backoff(2.0, 1.0),
    "a negative jitter": lambda: backoff(1.0, 1.0, -0.1),
    "a jitter above one": lambda: backoff(1.0, 1.0, 1.1),
    "a negative time to stop": lambda: worker(stop_s=-1),
    "no time to start": lambda: worker(start_s=0),
    "a negative maximum of children": lambda: dynamic_supervisor("d", max_children=-1),
    "an argument is no data": lambda: child("a", Player, {"name": object(), "unit": 1.0, "stop": "ok"}),
    "an argument is a function": lambda: child("a", Player, {"name": len, "unit": 1.0, "stop": "ok"}),
    "what is to be started is no actor": lambda: child("a", NotAnActor),  # type: ignore[arg-type]
    "an import path without a class": lambda: child("a", "tests.runtime.conformance.stage"),
    "a mailbox without room": lambda: Mailbox(capacity=0),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=[name.replace(" ", "_") for name in REFUSED])
def test_refused_at_construction_when(make: Callable[[], object]) -> None:
    with pytest.raises(INVALID):
        make()


@pytest.mark.parametrize("verb", ["stop", "start", "restart", "pause", "resume", "kill"])
def test_the_verbs_of_control_are_no_names(verb: str) -> None:
    with pytest.raises(INVALID):
        worker(verb)


ACCEPTED: dict[str, Callable[[], object]] = {
    "significant with transient": lambda: supervisor(
        "s", worker(restart=Restart.TRANSIENT, significant=True), auto_shutdown=ANY
    ),
    "significant with temporary": lambda: supervisor(
        "s",
        worker(restart=Restart.TEMPORARY, significant=True),
        auto_shutdown=AutoShutdown.ALL_SIGNIFICANT,
    ),
    "a backoff that fits its limit": lambda: supervisor(
        "s",
        worker(backoff=backoff(1.0, 1.0)),
        limit=RestartLimit(count=3, seconds=5),
    ),
    "a limit of one is reached whatever the backoff, as the first restart is immediate": lambda: supervisor(
        "s", worker(backoff=LATE), limit=RestartLimit(count=1, seconds=5)
    ),
    "a limit of none is reached whatever the backoff": lambda: supervisor(
        "s", worker(backoff=LATE), limit=RestartLimit(count=0, seconds=5)
    ),
    "a temporary child is never restarted, whatever its backoff": lambda: supervisor(
        "s", worker(backoff=LATE, restart=Restart.TEMPORARY), limit=RestartLimit(count=3, seconds=5)
    ),
    "an import path": lambda: child("a", "tests.runtime.conformance.stage:Player", ARGUMENTS),
    "equal names under different supervisors": lambda: supervisor(
        "s", supervisor("t", worker("a")), supervisor("u", worker("a"))
    ),
    "the defaults": lambda: supervisor("s", child("a", Plain), supervisor("t"), dynamic_supervisor("d")),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=[name.replace(" ", "_") for name in ACCEPTED])
def test_accepted_is(make: Callable[[], object]) -> None:
    make()


def test_the_defaults_are_otps_or_elixirs() -> None:
    spec = child("a", Plain)
    assert spec.restart is Restart.PERMANENT
    assert (spec.start_s, spec.stop_s, spec.significant) == (10, 5, False)
    limit = RestartLimit()
    assert (limit.count, limit.seconds) == (3, 5)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_supervisor_is_a_child_spec(strategy: Strategy) -> None:
    spec = supervisor("s", worker(), strategy=strategy)
    assert isinstance(spec, ChildSpec)
    assert spec.name == "s"
