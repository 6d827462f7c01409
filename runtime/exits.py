"""How an incarnation ended: from an exception to data, and to a line for people."""

from __future__ import annotations

import traceback

import trio

from protocols.control import Crashed, ExitReason, Killed, Normal, Shutdown
from runtime.errors import CannotStart


def without_cancelled(error: BaseException) -> BaseException | None:
    """What remains of an exception when trio's cancellations are split off; None if nothing does."""
    if isinstance(error, trio.Cancelled):
        return None
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1]
    return error


def crashed(error: BaseException) -> Crashed:
    """The exception as data."""
    trace = "" if isinstance(error, CannotStart) else "".join(traceback.format_exception(error))
    return Crashed(type(error).__name__, str(error), trace)


def describe(reason: ExitReason) -> str:
    """One line for people."""
    match reason:
        case Normal():
            return "normal"
        case Shutdown(detail):
            return f"shutdown: {detail}" if detail else "shutdown"
        case Crashed(error, text):
            return f"{error}: {text}" if text else error
        case Killed(detail):
            return f"killed: {detail}" if detail else "killed"
