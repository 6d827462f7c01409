"""What an exception of user code says: its name, its text, and the line of the strategy's file it came through."""

from __future__ import annotations

from types import FrameType

import msgspec

from actors.strategies.sandbox.inside.journal import clean

MOST_NAME = 200
MOST_TEXT = 1024


class Failure(msgspec.Struct, frozen=True, gc=False):
    """An exception as plain text. `line` is the last one in the strategy's file, 0: none."""

    error: str
    message: str
    line: int
    memory: bool


def failure_of(error: BaseException, filename: str) -> Failure:
    """Describe an exception, and free what its frames hold. The text comes from user code and may not be sound."""
    line = 0
    frames: list[FrameType] = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    name = clean(type.__getattribute__(type(error), "__name__"), MOST_NAME)
    memory = isinstance(error, MemoryError)
    if memory:
        # What was being calculated is still held by the frames it was calculated in.
        for frame in frames:
            try:
                frame.clear()
            except RuntimeError:  # the loop's own frames are running
                continue
        return Failure(name, "the memory limit is reached", line, True)
    return Failure(name, _text_of(error), line, False)


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException as another:
        return f"(its text cannot be shown: {clean(type(another).__name__, 80)})"
    return clean(text, MOST_TEXT)
