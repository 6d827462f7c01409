"""The process that decodes large frames: reads them from its standard input, answers on its standard output.

Run as `python -m actors.market.large_frames_main` by the actor in `large_frames.py`. It imports the codec that is named
with a frame and nothing of the node. A question is `QUESTION`, the name of the function ("module:function") and the
frame; an answer is `ANSWER` and its bytes.
"""

from __future__ import annotations

import importlib
import os
import struct
import sys
from collections.abc import Callable
from typing import BinaryIO, Final, cast

from protocols.venues.errors import WireError

QUESTION: Final = struct.Struct("<IQ")
"""Length of the function's name, length of the frame."""
ANSWER: Final = struct.Struct("<BQ")
"""One of the words below, length of what follows."""
DECODED, FAULT, FAILED = 0, 1, 2
"""What the function made; why it is no frame (WireError); another error, which is one of ours."""

# Decoding can wait; the loop, which may share the processor, cannot.
_NICE: Final = 5


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the questions end."""
    functions: dict[str, Callable[[bytes], bytes]] = {}
    while len(header := questions.read(QUESTION.size)) == QUESTION.size:
        name_length, frame_length = QUESTION.unpack(header)
        name = questions.read(name_length).decode()
        frame = questions.read(frame_length)
        if len(frame) < frame_length:
            return
        try:
            if name not in functions:
                module, _, function = name.partition(":")
                functions[name] = cast("Callable[[bytes], bytes]", getattr(importlib.import_module(module), function))
            kind, payload = DECODED, functions[name](frame)
        except WireError as error:
            kind, payload = FAULT, str(error).encode()
        except Exception as error:  # whatever it is, the asker has to hear of it, and the next frame may be better
            kind, payload = FAILED, f"{type(error).__name__}: {error}".encode()
        answers.write(ANSWER.pack(kind, len(payload)))
        answers.write(payload)
        answers.flush()


if __name__ == "__main__":
    os.nice(_NICE)
    serve(sys.stdin.buffer, sys.stdout.buffer)
