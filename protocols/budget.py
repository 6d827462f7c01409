"""What is said to the keeper of a venue's rate limits. Sessions, downloads and order gateways share one."""

from __future__ import annotations

from typing import Final

from protocols.control import Message, Request

REST: Final = "rest"
CONNECT: Final = "connect"
WRITE: Final = "write"
"""Buckets by name; a venue has those that it limits. What it does not limit is granted at once."""

CANCEL: Final = 0
RECOVERY: Final = 1
NORMAL: Final = 2
BULK: Final = 3
"""Priorities: cancels may use the reserve; a snapshot of a book that is stale goes before questions, history last."""


class Granted(Message, frozen=True, gc=False, tag="granted"):
    """The tokens are taken. `waited_s`: how long that took."""

    waited_s: float


class TakeBudget(Request[Granted], frozen=True, gc=False, tag="take_budget"):
    """Wait for `cost` tokens of a bucket; the lower `priority` first, in order of arrival within one.

    Refused `invalid` for more than the bucket can ever hold, `overloaded` when too many wait.
    """

    bucket: str
    cost: float = 1.0
    priority: int = NORMAL


class CloseBudget(Message, frozen=True, gc=False, tag="close_budget"):
    """The venue has said "too many": take nothing from the bucket for `seconds`."""

    bucket: str
    seconds: float


class SetBudget(Message, frozen=True, gc=False, tag="set_budget"):
    """The venue has named the account's own limits: tokens that fit, and tokens a second."""

    bucket: str
    tokens: float
    tokens_s: float
