"""Order events for clients of the WebSocket: each is handed to the connections that follow its account.

What a connection cannot hold is not kept for it: it has the place of each account's last event, and reads what it
missed from the database, as it does after this actor was started anew. So nothing is lost, only late.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final

import trio

from actors.edge.websocket import WebSocket
from protocols.control import Lagged, Message, Refused, Request
from protocols.orders import OrderEvent
from runtime import Actor, Mailbox, receive

ALL: Final = "*"
WAITING: Final = 1000
"""Events that may wait for one client; of what is more it reads the rest from the database."""
MOST: Final = 1000
"""Clients at a time."""


class Follower:
    """A client's connection: which accounts it follows, and what waits for it."""

    def __init__(self, name: str, socket: WebSocket) -> None:
        self.name = name
        self.socket = socket
        self.detached = trio.Event()
        self.accounts: set[str] = set()
        self.cursors: dict[str, int] = {}
        """The last event of each account that it has got."""
        self.waiting: deque[OrderEvent] = deque()
        self.heads: dict[str, int] = {}
        """Up to where an account's events are to be read from the database."""
        self.woken = trio.Event()

    def follows(self, account: str) -> bool:
        """Whether it wants an account's events."""
        return account in self.accounts or ALL in self.accounts

    def hand(self, event: OrderEvent) -> None:
        """An event has happened."""
        if self.waiting and len(self.waiting) >= WAITING:
            for each in self.waiting:
                self.heads[each.account] = max(each.seq, self.heads.get(each.account, 0))
            self.waiting.clear()
        self.waiting.append(event)
        self.woken.set()

    def catch_up(self, account: str, seq: int) -> None:
        """It lacks events of an account up to this one."""
        self.heads[account] = max(seq, self.heads.get(account, 0))
        self.woken.set()


class Follow(Request[None], frozen=True, gc=False, tag="follow_orders"):
    """Serve this connection (inside this node only). Refused `overloaded`: there are too many."""

    follower: Any


class Unfollow(Message, frozen=True, gc=False, tag="unfollow_orders"):
    """The connection is closed."""

    follower: Any


class ExecutionEvents(Actor):
    """Hands order events out."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384)

    def on_start(self) -> None:
        """Nobody follows yet; whoever did turns to this life."""
        self.followers: set[Follower] = set()
        self.subscribe(OrderEvent)
        self.spawn(self._keep, name="connections")

    async def _keep(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for each in self.followers:
                each.detached.set()

    @receive
    def follow(self, request: Follow) -> None:
        """Take a connection on."""
        if len(self.followers) >= MOST:
            raise Refused("overloaded", f"{MOST} clients follow orders")
        follower: Follower = request.follower
        follower.detached = trio.Event()
        self.followers.add(follower)

    @receive
    def unfollow(self, message: Unfollow) -> None:
        """Forget a connection."""
        self.followers.discard(message.follower)

    @receive
    def event(self, message: OrderEvent) -> None:
        """Hand it out."""
        for each in self.followers:
            if each.follows(message.account):
                each.hand(message)

    @receive
    def lagged(self, message: Lagged) -> None:
        """Events were lost on the way here: the next one of an account shows the hole, and it is read."""
