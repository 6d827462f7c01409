"""The stage on which a supervisor is examined: scripted children, a witness, and the runner of a case.

A case is data: a tree, a script of events and what must be seen. The tree stands as `/stage/sut` (the supervisor
under test) beside `/witness`. Children report to the witness by message and ask it how to start, so a case does
not care where its children run. Every duration is a multiple of the placement's unit and every wait is for an event.

A script is lines of `ACTION -> what children do ; how incarnations end`, for example

    crash b        -> stop c, up b, up c ; b Crashed, c Shutdown
    delete a       => running

* `up b`: started. `stop b`: asked to stop. `fail b`, `hang b`, `slow b`: a start that raises, never ends, takes
  one unit; `slowfail b` takes one unit and raises, `doomed b` crashes half a unit after it is up, `decline b`
  has nothing to do. In verbose cases also `try b` (a start begins) and `end b` (`on_stop` has returned).
* `=>` a refusal with its code (`*`: any code). `;` may be left out, then ends are not compared.
* `& ACTION`: the script does not wait for its answer.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import trio

from runtime import DeleteChild, RestartChild, StartChild, TerminateChild
from runtime.cluster.settings import ClusterSettings
from tests.runtime import kit
from tests.runtime.kit import (
    Actor,
    AutoShutdown,
    ChildSpec,
    HostOptions,
    Journal,
    Mailbox,
    Message,
    Overflow,
    Refused,
    Request,
    Restart,
    RestartLimit,
    Strategy,
    Terminated,
    receive,
)


@dataclass(frozen=True)
class Placement:
    """Where children run, how long a unit of time is there, and when a wait has failed (seconds)."""

    name: str
    unit: float
    limit: float
    cluster: ClusterSettings | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """Of the node."""
    slack: float = 0.05
    """By how many units a time may differ."""

    @property
    def options(self) -> dict[str, Any]:
        """For `kit.running`."""
        return {"limit": self.limit, "cluster": self.cluster, **self.settings}


LOCAL = Placement("local", unit=1.0, limit=2000.0)
PROCESS = Placement("process", unit=0.1, limit=60.0, slack=1.9)
RAY = Placement("ray", unit=0.2, limit=150.0, slack=1.9)
FOR_EVER = 100.0
"""Units after which nothing can come any more, says a script; where time is real, fewer have to do."""
LONG = 15.0


# The cast.


class Begin(Request[str], frozen=True, gc=False, tag="stage_begin"):
    """A child begins to start; the answer is how it is to go on."""

    name: str


class Up(Message, frozen=True, gc=False, tag="stage_up"):
    name: str
    path: str
    incarnation: str


class Said(Message, frozen=True, gc=False, tag="stage_said"):
    line: str


class Attend(Request[None], frozen=True, gc=False, tag="stage_attend"):
    """Watch this path."""

    path: str


class Do(Message, frozen=True, gc=False, tag="stage_do"):
    """Numbered, because a message that crashes its actor twice would be quarantined."""

    what: str
    number: int


class Boom(Exception):
    pass


class Witness(Actor):
    """Writes what children do into one journal and how their incarnations end into another."""

    mailbox = Mailbox(capacity=100_000, overflow=Overflow.REJECT)

    def __init__(self, hooks: int, ends: int, starts: dict[str, str], verbose: bool) -> None:
        self.hooks = Journal.of(hooks)
        self.ends = Journal.of(ends)
        self.starts = {name: words.split() for name, words in starts.items()}
        self.verbose = verbose
        self.lives: set[tuple[str, str]] = set()
        self.told: dict[tuple[str, str], bool] = {}
        self.watched: set[str] = set()
        self.early: dict[tuple[str, str], str] = {}
        """Ends that overtook the message of their start (they come by the control lane), and failed starts."""

    @receive
    def begin(self, request: Begin) -> str:
        words = self.starts.get(request.name, ["ok"])
        how = words.pop(0) if len(words) > 1 else words[0]
        if self.verbose:
            self.hooks.note(f"try {request.name}")
        if how != "ok":
            self.hooks.note(f"{how} {request.name}")
        return how

    @receive
    def up(self, message: Up) -> None:
        self.lives.add((message.path, message.incarnation))
        if message.path not in self.watched:  # watching what has ended already would tell of that end again
            self.watched.add(message.path)
            self.watch(self.lookup(message.path))
        self.hooks.note(f"up {message.name}")
        if (end := self.early.pop((message.path, message.incarnation), None)) is not None:
            self.ends.note(end)

    @receive
    def said(self, message: Said) -> None:
        if self.verbose or not message.line.startswith("end "):
            self.hooks.note(message.line)

    @receive
    def attend(self, request: Attend) -> None:
        self.lives.add((request.path, "*"))
        self.watch(self.lookup(request.path))

    @receive
    def terminated(self, message: Terminated) -> None:
        name = message.path.rsplit("/", 1)[-1]
        life = (message.path, str(message.incarnation))
        if life in self.told:
            # Said to be not final, then its restart was given up: the same end again, now final.
            if self.told[life] or not message.final:
                self.ends.note(f"{name} told twice")
        elif life in self.lives or (message.path, "*") in self.lives:
            self.ends.note(f"{name} {type(message.reason).__name__}")
        else:
            self.early[life] = f"{name} {type(message.reason).__name__}"
        self.told[life] = message.final


class Player(Actor):
    """A child that starts as the witness says and does what it is told."""

    def __init__(self, name: str, unit: float, stop: str) -> None:
        self.name = name
        self.unit = unit
        self.manner = stop
        self.leaving = False

    def say(self, what: str) -> None:
        self.lookup("/witness").tell(Said(f"{what} {self.name}"))

    async def on_start(self) -> None:
        how = await self.lookup("/witness").ask(Begin(self.name))
        if how == "fail":
            raise Boom(self.name)
        if how == "exit":
            raise SystemExit(3)
        if how == "decline":
            raise kit.Declined(self.name)
        if how == "hang":
            await trio.sleep_forever()
        if how in ("slow", "slowfail"):
            await trio.sleep(self.unit)
        if how == "slowfail":
            raise Boom(self.name)
        if how == "doomed":
            self.after(self.unit / 2, Do("crash", -self.incarnation.count))
        self.lookup("/witness").tell(Up(self.name, self.path, str(self.incarnation)))

    @receive
    async def do(self, message: Do) -> None:
        match message.what:
            case "crash":
                raise Boom(self.name)
            case "crash_group":
                raise ExceptionGroup("several", [Boom(self.name), ValueError(self.name)])
            case "crash_exit":
                raise SystemExit(1)
            case "crash_interrupt":
                raise KeyboardInterrupt
            case "finish":
                self.leaving = True
                kit.finish(self)
            case "leave":
                self.leaving = True
                kit.leave(self)
            case "hang":
                self.say("busy")
                await trio.sleep_forever()
            case other:
                raise AssertionError(other)

    async def on_stop(self, reason: Any) -> None:
        if self.leaving:
            return
        self.say("stop")
        match self.manner:
            case "hang":
                await trio.sleep_forever()
            case "crash":
                raise Boom(self.name)
            case "slow":
                await trio.sleep(4 * self.unit)
            case "brief":
                await trio.sleep(self.unit)
        self.say("end")


# What a case is made of.


@dataclass(frozen=True)
class W:
    """A worker. Durations in units."""

    name: str
    restart: str = "permanent"
    significant: bool = False
    start_s: float = 10
    stop_s: float = 5
    stop: str = "ok"
    backoff: tuple[float, float, float] = (0.01, 0.01, 0.0)

    def spec(self, placement: Placement) -> ChildSpec:
        first, most, jitter = self.backoff
        return kit.child(
            self.name,
            Player,
            {"name": self.name, "unit": placement.unit, "stop": self.stop},
            restart=Restart[self.restart.upper()],
            significant=self.significant,
            start_s=self.start_s * placement.unit,
            stop_s=self.stop_s * placement.unit,
            backoff=kit.backoff(first * placement.unit, most * placement.unit, jitter),
            placement=placement.name,
            # One worker for the whole stage: what is examined is the supervisor, not how fast processes start.
            host=HostOptions() if placement.name == LOCAL.name else HostOptions(share="stage"),
        )


def workers(text: str) -> tuple[W, ...]:
    """`"a b:transient c:temporary!"`: `!` is significant."""
    made = []
    for word in text.split():
        name, _, restart = word.rstrip("!").partition(":")
        made.append(W(name, restart or "permanent", significant=word.endswith("!")))
    return tuple(made)


@dataclass(frozen=True)
class Sup:
    """A supervisor; `children` is a text for `workers` or a tuple of `W` and `Sup`."""

    children: Any = ""
    name: str = "sut"
    strategy: str = "one_for_one"
    limit: tuple[int, float] = (10, 5)
    auto: str = "never"
    restart: str = "temporary"
    significant: bool = False
    dynamic: bool = False
    max_children: int | None = None

    def parts(self) -> tuple[Any, ...]:
        return workers(self.children) if isinstance(self.children, str) else tuple(self.children)

    def spec(self, placement: Placement) -> ChildSpec:
        most, seconds = self.limit
        options: dict[str, Any] = {
            "limit": RestartLimit(count=most, seconds=seconds * placement.unit),
            "restart": Restart[self.restart.upper()],
            "backoff": kit.backoff(0.01 * placement.unit, 0.01 * placement.unit),
        }
        if self.dynamic:
            return kit.dynamic_supervisor(self.name, max_children=self.max_children, **options)
        return kit.supervisor(
            self.name,
            *(part.spec(placement) for part in self.parts()),
            strategy=Strategy[self.strategy.upper()],
            auto_shutdown=AutoShutdown[self.auto.upper()],
            significant=self.significant,
            **options,
        )


@dataclass(frozen=True)
class Case:
    """`first`: what the first start shows; `refused`: it fails. `after`: children at the end; None: the supervisor
    is gone. `extras`: workers for the action `start`."""

    name: str
    tree: Sup
    script: str = ""
    first: str | None = None
    refused: bool = False
    after: str | None = ""
    starts: dict[str, str] = field(default_factory=dict)
    extras: Any = ""
    verbose: bool = False

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


@dataclass(frozen=True)
class Step:
    action: str
    names: tuple[str, ...]
    hooks: list[str]
    ends: list[str] | None
    code: str | None
    aside: bool
    line: str


def steps(script: str) -> list[Step]:
    made = []
    for raw in script.replace(",\n", ", ").strip().splitlines():
        line = raw.split("#")[0].strip()
        if not line:
            continue
        head, arrow, tail = line.partition("->")
        code = None
        if not arrow and "=>" in line:
            head, _, right = line.partition("=>")
            code, _, tail = right.strip().partition(" ")
        hooks, semicolon, ends = tail.partition(";")
        aside = head.startswith("&")
        action, _, names = head.lstrip("& ").strip().partition(" ")
        split = _listed(names) if action == "see" else names.split()
        made.append(Step(action, tuple(split), _listed(hooks), _listed(ends) if semicolon else None, code, aside, line))
    return made


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


# The runner.

SUT = "/stage/sut"


class Run:
    """One case on one node."""

    def __init__(self, case: Case, placement: Placement) -> None:
        self.case = case
        self.placement = placement
        self.hooks = Journal()
        self.ends = Journal()
        self.seen_hooks = 0
        self.seen_ends = 0
        self.numbers = count(1)

    async def play(self) -> None:
        """Play the case. A failure comes without the nurseries around it."""
        if "wait 1500" in self.case.script and self.placement.name != LOCAL.name:
            pytest.skip("takes minutes where time is real, and is about the supervisor's own clock")
        try:
            await self._play()
        except BaseExceptionGroup as group:
            failures = [error for error in _leaves(group) if isinstance(error, AssertionError)]
            if len(failures) != 1:
                raise
            raise failures[0] from None

    async def _play(self) -> None:
        witness = kit.child(
            "witness",
            Witness,
            {
                "hooks": self.hooks.number,
                "ends": self.ends.number,
                "starts": dict(self.case.starts),
                "verbose": self.case.verbose,
            },
        )
        limit = RestartLimit(count=100, seconds=1000 * self.placement.unit)
        stage = kit.supervisor("stage", limit=limit)
        async with (
            kit.running(witness, stage, **self.placement.options) as self.node,
            trio.open_nursery() as self.aside,
        ):
            await self.open()
            for step in steps(self.case.script):
                await self.step(step)
            await self.close()
            self.aside.cancel_scope.cancel()

    async def open(self) -> None:
        case = self.case
        spec = case.tree.spec(self.placement)
        expected = _listed(case.first) if case.first is not None else [f"up {name}" for name in _names(case.tree)]
        try:
            await self.ref("/stage").ask(StartChild(spec), timeout=self.placement.limit)
            refused = False
        except Refused:
            refused = True
        await self.expect(expected, None, "the first start")
        assert refused == case.refused, f"refused: {refused}"
        if not refused:
            await self.ref("/witness").ask(Attend(SUT))

    async def close(self) -> None:
        case = self.case
        if case.refused:
            return
        if case.after:
            assert await kit.children_of(self.ref(SUT)) == dict(pair.split() for pair in _listed(case.after))
        await self.settle()
        hooks, ends = self.unseen()
        assert not hooks, f"more than expected: {hooks}"
        assert not ends or not self.compares_ends(), f"more ends than expected: {ends}"
        before = len(self.hooks.lines)
        if case.after is not None:
            await self.admin("terminate", "sut")
        await self.settle()
        assert not [line for line in self.hooks.lines[before:] if line.startswith(("up", "try"))]
        ups = Counter(line.split()[1] for line in self.hooks.lines if line.startswith("up "))
        ends_of = Counter(line.split()[0] for line in self.ends.lines)
        assert {name: ends_of[name] for name in ups} == dict(ups), f"{self.hooks.lines} but {self.ends.lines}"

    async def settle(self) -> None:
        """Wait until nothing more comes of what was done."""
        await kit.settle()
        if self.placement.name != LOCAL.name:
            await trio.sleep(self.placement.unit / 4)
            await kit.settle()

    def compares_ends(self) -> bool:
        return any(step.ends is not None for step in steps(self.case.script))

    def ref(self, path: str) -> kit.ActorRef[Any]:
        return self.node.ref(path)

    def path(self, name: str) -> str:
        return SUT if name == "sut" else f"{SUT}/{name}"

    def unseen(self) -> tuple[list[str], list[str]]:
        hooks, ends = self.hooks.lines[self.seen_hooks :], self.ends.lines[self.seen_ends :]
        self.seen_hooks, self.seen_ends = len(self.hooks.lines), len(self.ends.lines)
        return hooks, ends

    async def expect(self, hooks: list[str], ends: list[str] | None, line: str) -> None:
        limit = self.placement.limit / 2
        try:
            await self.hooks.until(self.seen_hooks + len(hooks), limit)
            await self.ends.until(self.seen_ends + len(ends or ()), limit)
        except AssertionError:
            seen, ended = self.unseen()
            raise AssertionError(f"{line}\n  expected {hooks} ; {ends}\n  saw      {seen} ; {ended}") from None
        await self.settle()
        seen, ended = self.unseen()
        assert seen == hooks, f"{line}\n  expected {hooks}\n  saw      {seen}"
        if ends is not None:
            assert ended == ends, f"{line}\n  expected ends {ends}\n  saw           {ended}"

    async def step(self, step: Step) -> None:
        if step.aside:
            self.aside.start_soon(self.quietly, step)
            await self.expect(step.hooks, step.ends, step.line)
            return
        code = await self.act(step)
        assert code == step.code or (step.code == "*" and code is not None), f"{step.line}: refused {code}"
        await self.expect(step.hooks, step.ends, step.line)

    async def quietly(self, step: Step) -> None:
        with suppress(kit.Unknown):
            await self.act(step)

    async def act(self, step: Step) -> str | None:
        """Do it; the code if it was refused."""
        match step.action:
            case "crash" | "crash_group" | "crash_exit" | "crash_interrupt" | "finish" | "leave" | "hang":
                refs = [self.ref(self.path(name)) for name in step.names]
                for ref in refs:
                    assert ref.tell(Do(step.action, next(self.numbers))), f"{ref.path} does not accept"
            case "kill":
                await kit.kill(self.node, self.path(step.names[0]))
            case "wait":
                units = float(step.names[0])
                if units == FOR_EVER and self.placement.name != LOCAL.name:
                    units = LONG
                await trio.sleep(units * self.placement.unit)
            case "see":
                await self.settle()
                sut = await kit.children_of(self.ref(SUT))
                assert sut == dict(pair.split() for pair in step.names), step.line
            case "gone":
                pass
            case action:
                try:
                    await self.admin(action, step.names[0])
                except Refused as refused:
                    return refused.code
        return None

    async def admin(self, action: str, name: str) -> Any:
        parent, _, last = self.path(name).rpartition("/")
        request: Any
        match action:
            case "start":
                extras = self.case.extras
                extras = workers(extras) if isinstance(extras, str) else extras
                request = StartChild(next(part for part in extras if part.name == last).spec(self.placement))
            case "terminate":
                request = TerminateChild(last)
            case "restart":
                request = RestartChild(last)
            case "delete":
                request = DeleteChild(last)
            case _:
                raise AssertionError(action)
        return await self.ref(parent).ask(request, timeout=self.placement.limit)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _names(tree: Any) -> list[str]:
    if isinstance(tree, W):
        return [tree.name]
    if tree.dynamic:
        return []
    return [name for part in tree.parts() for name in _names(part)]
