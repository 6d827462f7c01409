"""Actors: classes whose instances own their state and handle one message at a time.

    class Counter(Actor):
        def __init__(self, start: int = 0) -> None:
            self.value = start

        @receive
        def add(self, message: Add) -> None:
            self.value += message.amount

        @receive
        def read(self, request: GetValue) -> int:
            return self.value

A handler is found by the type of its message. A plain function runs without a task switch; a coroutine function is
awaited, and nothing else is handled meanwhile. What a handler returns answers the ask.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from protocols.control import ExitReason, Incarnation, Message, Normal
from runtime.mailbox import Mailbox, OnCrash, Sender

if TYPE_CHECKING:
    from runtime.actor_cell import ActorCell
    from runtime.clock import Clock
    from runtime.log import NodeLog
    from runtime.node import Node
    from runtime.promise import Promise
    from runtime.ref import ActorRef
    from runtime.timers import Timer

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def receive(handler: F) -> F:
    """Mark a method as the handler of the message type (or union of types) that its parameter is annotated with.

    Raises TypeError if the method has no single annotated parameter beside `self`.
    """
    parameters = list(inspect.signature(handler).parameters.values())
    if len(parameters) != 2 or parameters[1].annotation is inspect.Parameter.empty:
        raise TypeError(f"{handler.__qualname__}: a handler takes self and one annotated message")
    annotation = parameters[1].annotation
    if isinstance(annotation, str):
        annotation = _evaluate(annotation, handler)
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    for member in members:
        if not (isinstance(member, type) and issubclass(member, Message)):
            raise TypeError(f"{handler.__qualname__}: expected a message type, got {member!r}")
    handler.__receives__ = members  # type: ignore[attr-defined]
    return handler


def _evaluate(annotation: str, handler: Callable[..., Any]) -> Any:
    # The class body and the function around it are still running: their names are only in their frames.
    names: dict[str, Any] = {}
    frame: types.FrameType | None = sys._getframe(2)
    scopes = []
    while frame is not None and frame.f_globals is handler.__globals__:
        scopes.append(frame.f_locals)
        frame = frame.f_back
    for scope in reversed(scopes):
        names.update(scope)
    try:
        return eval(annotation, handler.__globals__, names)  # noqa: S307 - our own source
    except NameError as error:
        raise TypeError(
            f"{handler.__qualname__}: the message type {annotation!r} must be importable at run time ({error})"
        ) from None


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


class Actor:
    """The base of every actor. A subclass adds handlers with `@receive`.

    The constructor takes plain data (it comes from a child spec); everything of the runtime is there from `on_start`
    on. An exception in a hook or a handler, other than `Refused`, is a crash: the supervisor then makes a new
    instance from the same arguments.
    """

    mailbox: ClassVar[Mailbox] = Mailbox()
    on_crash: ClassVar[OnCrash] = OnCrash.KEEP
    fences: ClassVar[bool] = False
    """True: every message carries its sender (`self.sender`), and one of an older incarnation can be refused."""
    stash_capacity: ClassVar[int] = 1000
    later_capacity: ClassVar[int] = 1000
    """How many requests may wait for `answer_later` at once; one more is Refused `overloaded`."""

    remark: str = ""
    """One line on how it is, in its own words; the tree shows it."""

    _cell: ActorCell
    _logger: Any = None
    _sync_handlers: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {}
    _async_handlers: ClassVar[dict[type, Callable[[Any, Any], Awaitable[Any]]]] = {}
    _handler_of: ClassVar[Callable[[type], Callable[[Any, Any], Any] | None]] = _sync_handlers.get

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._sync_handlers = {}
        cls._async_handlers = {}
        cls._handler_of = cls._sync_handlers.get
        for base in reversed(cls.__mro__):
            seen: set[type] = set()
            for handler in vars(base).values():
                for message_type in getattr(handler, "__receives__", ()):
                    if message_type in seen:
                        raise TypeError(f"{base.__qualname__} has two handlers of {message_type.__name__}")
                    seen.add(message_type)
                    cls._sync_handlers.pop(message_type, None)
                    cls._async_handlers.pop(message_type, None)
                    if inspect.iscoroutinefunction(handler):
                        cls._async_handlers[message_type] = handler
                    else:
                        cls._sync_handlers[message_type] = handler

    # What a subclass may define.

    def on_start(self) -> Awaitable[None] | None:
        """Prepare; the supervisor waits for it. May be a coroutine function."""
        return None

    def on_stop(self, reason: ExitReason) -> Awaitable[None] | None:
        """Clean up before an orderly end. Not called after a crash or a kill, so nothing may depend on it."""
        return None

    # `on_continue`, if defined as a coroutine function, runs after the start and before the first message.
    on_continue: ClassVar[Callable[[Any], Awaitable[None]] | None] = None

    # What the runtime offers.

    @property
    def ref(self) -> ActorRef:
        """This actor's own address."""
        return self._cell.ref

    @property
    def path(self) -> str:
        """This actor's place in the tree."""
        return self._cell.path

    @property
    def incarnation(self) -> Incarnation:
        """Which life of the path this is."""
        return Incarnation(self._cell.node.epoch, self._cell.count)

    @property
    def sender(self) -> Sender | None:
        """Who asked (or, of a fencing actor, who told) what is being handled; None if it was no actor."""
        return self._cell.sender

    @property
    def node(self) -> Node:
        """The node this actor lives on."""
        return self._cell.node

    @property
    def clock(self) -> Clock:
        """The node's clock."""
        return self._cell.node.clock

    @property
    def log(self) -> NodeLog:
        """The node's log: `append(row)` accepts a row. Raises RuntimeError on a node that has none."""
        return self._cell.node.require_log()

    @property
    def logger(self) -> Any:
        """A structlog logger bound to this actor's path."""
        if self._logger is None:
            self._logger = self._cell.node.logger.bind(actor=self._cell.path)
        return self._logger

    def lookup(self, path: str) -> ActorRef:
        """Return the address of `path`, whether or not somebody lives there yet."""
        return self._cell.node.ref(path)

    def publish(self, message: Message) -> int:
        """Publish to the topic (type, `topic_key()`); never waits. Returns how many subscribers took it."""
        return self._cell.node.topics.publish(message)

    def subscribe(self, message_type: type[Message], key: str | None = None, *, lossless: bool = False) -> None:
        """Receive what is published of this type, under one key or (None) all.

        A full mailbox loses: the loss is told as `Lagged` ahead of what waits, or, `lossless`, at the exact place.
        """
        self._cell.node.topics.subscribe(self._cell, message_type, key, lossless)

    def unsubscribe(self, message_type: type[Message], key: str | None = None) -> None:
        """Undo a `subscribe` with the same type and key; without one, nothing happens."""
        self._cell.node.topics.unsubscribe(self._cell, message_type, key)

    def watch(self, ref: ActorRef) -> None:
        """Be told `Terminated` at the end of every incarnation of `ref`; an actor without a handler for it crashes."""
        self._cell.node.watch(self._cell, ref.path)

    def unwatch(self, ref: ActorRef) -> None:
        """Undo `watch`."""
        self._cell.node.unwatch(self._cell, ref.path)

    def after(self, seconds: float, message: Message) -> Timer:
        """Tell this actor `message` once, after `seconds`. It ends with this life, which a message to its own ref does
        not: so 0 seconds is how a task of the actor hands over what it has found."""
        return self._cell.add_timer(message, seconds, None)

    def every(self, seconds: float, message: Message) -> Timer:
        """Tell this actor `message` every `seconds`; a beat that finds the last one unhandled merges with it."""
        return self._cell.add_timer(message, seconds, seconds)

    def spawn(self, function: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> None:
        """Run `function(*args)` as an owned task: it dies with this actor, and its crash is this actor's crash."""
        self._cell.spawn(function, args, name)

    def answer_later(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Let an owned task answer the request being handled, and handle the next message meanwhile.

        What `function(*args)` returns is the answer; Refused and Unknown are, too. Any other exception is this actor's
        crash. The task is cancelled at the request's deadline. It must not change the actor's state: what it finds out
        it tells `self.ref`. Raises Refused `overloaded` beyond `later_capacity`.
        """
        self._cell.answer_later(function, args)

    def promise(self) -> Promise:
        """Owe the answer of the request being handled; a later handler gives it. What this one returns is not sent.

        What the end of this incarnation leaves open is Unknown to its askers. How many are open is the actor's affair:
        it should have a bound.
        """
        return self._cell.promise()

    @property
    def mailbox_depth(self) -> int:
        """How many messages wait in the mailbox, without the one being handled."""
        return len(self._cell.queue)

    @property
    def answering(self) -> int:
        """How many requests `answer_later` is working on."""
        return self._cell.later

    async def offload(self, function: Callable[..., T], *args: Any, timeout: float) -> T:
        """Run blocking work on a thread of the node's bounded pool.

        Raises trio.TooSlowError when `timeout` seconds have passed; the thread's result is then thrown away.
        """
        return await self._cell.node.offload(function, args, timeout)

    def stash(self) -> None:
        """Keep the message being handled for later. Raises StashOverflow beyond `stash_capacity`."""
        self._cell.stash()

    def unstash(self) -> None:
        """Put everything stashed back in front of the mailbox, in its order."""
        self._cell.unstash()

    def stop(self) -> None:
        """End after the current message, with reason Normal."""
        self._cell.request_stop(Normal())
