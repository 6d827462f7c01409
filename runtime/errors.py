"""Errors that are for people."""

from __future__ import annotations


class CannotStart(Exception):
    """What keeps an actor from starting, in words for people: a port that is taken, a folder that cannot be written.

    Raised in `on_start`. It is a failed start like any other, but logged without a traceback: nothing is wrong with the
    code.
    """


class Declined(Exception):
    """The actor has nothing to do here and does not want to run. Raised in `on_start` (OTP's `ignore`).

    The start counts as done: the child is stopped, its spec is kept (a temporary or dynamic child's is not), and the
    next child is started.
    """
