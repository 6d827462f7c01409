"""Breakers and routers at work: what stands in front of an actor whose child spec declares one.

A ref to the path goes through its guard, so callers know nothing of it. A router sends each message to the variant of
its key (the actor at the path itself may be one of them) and a copy to every shadow; the breaker protects the path's
own actor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols.control import Message, Refused
from runtime.actor import Actor
from runtime.breaker import REFUSING, CircuitBreaker, CircuitOpen
from runtime.router import Router

if TYPE_CHECKING:
    from runtime.cell import Cell


class Junction(Actor):
    """The actor of a path that is nothing but a router: every variant lives elsewhere."""


class ShadowAnswer(Message, frozen=True, gc=False, tag="shadow_answer"):
    """What a shadow variant answered, or how its ask failed. Published under the router's path; never returned."""

    path: str
    variant: str
    request: Any
    answer: Any = None
    error: str = ""

    def topic_key(self) -> str:
        """The router's path."""
        return self.path


class Guard:
    """The router and the breaker of one path; either may be missing."""

    __slots__ = ("breaker", "cell", "router")

    def __init__(self, cell: Cell, breaker: CircuitBreaker | None, router: Router | None) -> None:
        self.cell = cell
        self.breaker = breaker
        self.router = router

    async def ask(self, request: Message, timeout: float) -> Any:
        """Ask the variant of the request's key, through the breaker where it is this path's own actor."""
        if self.router is None:
            return await self._protected(request, timeout)
        for shadow in self.router.shadows:
            self.cell.node.background(self._shadow, shadow.variant, shadow.path, request, timeout)
        route = self.router.route(self.router.key_of(request))
        try:
            if route.path == self.cell.path:
                answer = await self._protected(request, timeout)
            else:
                answer = await self.cell.node.ref(route.path).ask(request, timeout)  # type: ignore[arg-type]
        except BaseException as error:
            self.router.settle(route.variant, error)
            raise
        self.router.settle(route.variant, None)
        return answer

    async def _shadow(self, variant: str, path: str, request: Message, timeout: float) -> None:
        assert self.router is not None
        node = self.cell.node
        outcome = await node.ref(path).outcome(request, timeout)  # type: ignore[arg-type]
        failed = isinstance(outcome, Exception)
        self.router.settle(variant, outcome if isinstance(outcome, Exception) else None)
        answer = None if isinstance(outcome, Exception) else outcome.value
        node.topics.publish(ShadowAnswer(self.cell.path, variant, request, answer, str(outcome) if failed else ""))

    async def _protected(self, request: Message, timeout: float) -> Any:
        breaker = self.breaker
        if breaker is None:
            return await self.cell.ask_directly(request, timeout)
        clock = self.cell.node.clock
        try:
            permit = breaker.acquire(clock.monotonic(), exempt=self._exempt(request))
        except CircuitOpen:
            if breaker.settings.fallback is None:
                raise
            return await self.cell.node.ref(breaker.settings.fallback).ask(request, timeout)  # type: ignore[arg-type]
        error: BaseException | None = None
        try:
            return await self.cell.ask_directly(request, timeout)
        except BaseException as raised:
            error = raised
            raise
        finally:
            permit.settle(clock.monotonic(), error)

    def passes(self, *, asked: bool) -> bool:
        """Whether the breaker would let an ask through now, or a tell or send. Looking changes nothing."""
        if self.breaker is None:
            return True
        # A tell is no trial call: it needs a breaker that some ask has closed.
        return self.breaker.passes(self.cell.node.clock.monotonic()) and (asked or self.breaker.state not in REFUSING)

    def _exempt(self, message: Message) -> bool:
        assert self.breaker is not None
        return type(message).__struct_config__.tag in self.breaker.settings.exempt

    def tell(self, message: Message) -> bool:
        """Tell the variant of the message's key; through an open breaker it is a dead letter."""
        target = self._target(message)
        if target is not self.cell:
            return target.tell(message)
        if self._closed_to(message):
            self.cell.node.dead_letter(self.cell.path, message, "circuit_open")
            return False
        return self.cell.tell_directly(message)

    async def send(self, message: Message, timeout: float) -> None:
        """Send like `tell`, waiting for room. Raises Refused `circuit_open` through an open breaker."""
        target = self._target(message)
        if target is not self.cell:
            await target.send(message, timeout)
            return
        if self._closed_to(message):
            raise Refused("circuit_open", f"the breaker of {self.cell.path} is open")
        await self.cell.send_directly(message, timeout)

    def _closed_to(self, message: Message) -> bool:
        return self.breaker is not None and self.breaker.state in REFUSING and not self._exempt(message)

    def _target(self, message: Message) -> Cell:
        if self.router is None:
            return self.cell
        node = self.cell.node
        for shadow in self.router.shadows:
            node.ref(shadow.path).tell(message)
        route = self.router.route(self.router.key_of(message))
        return self.cell if route.path == self.cell.path else node.resolve(route.path)
