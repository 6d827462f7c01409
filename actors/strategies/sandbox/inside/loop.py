"""The locked worker's loop: it reads a request, lets the strategy answer, and writes exactly one reply.

`prepare` is called once in the zygote, before anything is locked; `serve` in each worker, when it is.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any, Final, Literal, NoReturn

import msgspec

from actors.strategies.sandbox.inside import guarded, preload
from actors.strategies.sandbox.inside.contract import Contract, ContractError, infos
from actors.strategies.sandbox.inside.failure import Failure, failure_of
from actors.strategies.sandbox.inside.journal import Journal, clean
from actors.strategies.sandbox.inside.program import NotAccepted, built
from actors.strategies.sandbox.wire import (
    HEADER,
    MOST_REPLY,
    MOST_REQUEST,
    MOST_STATE,
    REPLY_PER_INPUT,
    Configure,
    Done,
    Failed,
    History,
    Input,
    Load,
    LogLine,
    Metric,
    Problem,
    Ready,
    Rejected,
    Reply,
    Save,
    Saved,
    WireSignal,
)
from actors.strategies.sandbox.wire_orders import WireCommand
from actors.strategies.sdk.parameters import ParametersError

READ: Final = 65_536
ENDED: Final = 0
BAD_REQUEST: Final = 70
"""Exit status for a request that is none: it is the node's mistake, and there is no id to answer to."""
MOST_PROBLEMS: Final = 50


class Batch(msgspec.Struct, frozen=True, array_like=True, tag="run"):
    """wire.Run as it is read here: each input is decoded when it is its turn, so that none is in reach before."""

    id: int
    inputs: tuple[msgspec.Raw, ...]
    until_command: bool = False
    until_signal: bool = False


Request = Load | History | Batch | Configure | Save

_REQUEST: Final = msgspec.msgpack.Decoder(Request)
_INPUT: Final = msgspec.msgpack.Decoder(Input)
_ENCODE: Final = msgspec.msgpack.Encoder().encode


def prepare(*, pandas: bool = False) -> None:
    """Import and use everything that user code may need, because a locked worker opens no file any more.

    `pandas`: strategies may ask for it; it costs memory and time, and raises ImportError where it is not installed.
    """
    preload.everything(pandas=pandas)


def serve(fd: int, *, language: bool) -> NoReturn:
    """Answer requests on a blocking stream socket until it ends. `language` False: without the language layer."""
    if language:
        guarded.harden()
    worker = Worker(language=language)
    sys.stdout = sys.stderr = worker.journal
    warnings.showwarning = worker.warn  # type: ignore[assignment]
    received = bytearray()
    while True:
        body = _read(fd, received)
        if body is None:
            worker.finalize()
            os._exit(ENDED)
        _write(fd, worker.answer(body, time.thread_time_ns()))


class Worker:
    """One strategy and what it has to say."""

    def __init__(self, *, language: bool) -> None:
        self.language = language
        self.journal = Journal(0)
        self.contract: Contract | None = None
        self.filename = ""

    def answer(self, body: bytes | bytearray, started: int) -> bytes:
        """The packed reply to a packed request; never more than the node takes. `started`: of the thread, ns."""
        try:
            request = _REQUEST.decode(body)
        except (msgspec.DecodeError, RecursionError):
            os._exit(BAD_REQUEST)
        most = MOST_REPLY
        try:
            if type(request) is Batch:
                most += REPLY_PER_INPUT * len(request.inputs)
                reply = self._run(request, started)
            else:
                most += MOST_STATE if type(request) is Save else 0
                reply = self._other(request, started)
        except BaseException as error:  # user code may raise anything, SystemExit too
            reply = self._failed(request.id, 0, error, (), started)
        try:
            return self._fitting(reply, most)
        except Exception as error:
            # A text that cannot be sent, or no memory left to pack it.
            found = failure_of(error, self.filename)
            self._unsent(reply)
            return _packed(Failed(request.id, 0, found.error, found.message, memory=found.memory))

    def finalize(self) -> None:
        """The run has ended in order; nobody hears what the strategy still says."""
        if self.contract is not None:
            with contextlib.suppress(BaseException):
                self.contract.finalize()

    def warn(self, message: Warning | str, category: type[Warning], *_: Any) -> None:
        """Put a warning (of numpy: a division by zero) into the log; once for each line of the strategy."""
        self.journal.log("warning", f"{category.__name__}: {message}")

    def _run(self, request: Batch, started: int) -> Reply:
        contract = self.contract
        if contract is None:
            return _not_loaded(request.id)
        signals: list[WireSignal] = []
        orders: list[WireCommand] = []
        index = excess = 0
        handle, commands, decode = contract.handle, contract.commands, _INPUT.decode
        try:
            for raw in request.inputs:
                if found := handle(decode(raw), index):
                    signals += found
                said, too_many = commands(index)
                index += 1
                excess += too_many
                if said:
                    orders += said
                    if request.until_command or request.until_signal:
                        break
                if found and request.until_signal:
                    break
        except BaseException as error:
            contract.discard()
            return self._failed(request.id, index, error, tuple(signals), started, tuple(orders), excess)
        logs, cut = self.journal.take()
        return Done(
            request.id, index, tuple(signals), logs, self._metrics(), _since(started), cut, tuple(orders), excess
        )

    def _other(self, request: Load | History | Configure | Save, started: int) -> Reply:
        if isinstance(request, Load):
            return self._load(request, started)
        contract = self.contract
        if contract is None:
            return _not_loaded(request.id)
        if isinstance(request, History):
            contract.windows.fill(request.bars)
            return Done(request.id, len(request.bars), cpu_us=_since(started))
        if isinstance(request, Configure):
            return self._configure(contract, request, started)
        return Saved(request.id, contract.save(), _since(started))

    def _load(self, request: Load, started: int) -> Reply:
        if self.contract is not None:
            return Failed(request.id, 0, "AlreadyLoaded", "this worker runs a strategy already")
        self.filename = request.filename
        self.journal.per_minute = request.log_bytes
        try:
            contract = built(request, self.journal, language_rules=self.language)
        except (NotAccepted, ContractError, ParametersError) as error:
            return Rejected(request.id, _problems(error), _since(started))
        self.contract = contract
        logs, self.journal.cut = self.journal.take()
        return Ready(
            request.id,
            contract.kind,
            clean(contract.name, 200),
            contract.handles,
            contract.windows.lookback,
            infos(contract.declared),
            json.dumps(contract.values),
            contract.keeps_state,
            logs,
            _since(started),
        )

    def _configure(self, contract: Contract, request: Configure, started: int) -> Reply:
        before = dict(contract.values)
        try:
            contract.settled(msgspec.msgpack.decode(request.parameters))
        except (ContractError, ParametersError) as error:
            return Rejected(request.id, _problems(error), _since(started))
        try:
            contract.changed()
        except BaseException:
            contract.values.clear()
            contract.values.update(before)
            raise
        logs, cut = self.journal.take()
        return Done(request.id, 0, (), logs, self._metrics(), _since(started), cut)

    def _failed(
        self,
        request: int,
        count: int,
        error: BaseException,
        signals: tuple[WireSignal, ...],
        started: int,
        orders: tuple[WireCommand, ...] = (),
        excess: int = 0,
    ) -> Failed:
        found: Failure = failure_of(error, self.filename)
        if found.memory:
            error.__traceback__ = None
            gc.collect()
        logs, cut = self.journal.take()
        return Failed(
            request, count, found.error, found.message, found.line, found.memory, signals, logs, self._metrics(),
            _since(started), cut, orders, excess,
        )  # fmt: skip

    def _metrics(self) -> tuple[Metric, ...]:
        if self.contract is None or not (figures := self.contract.metrics()):
            return ()
        return tuple(Metric(clean(name, 200), value) for name, value in figures.items())

    def _fitting(self, reply: Reply, most: int) -> bytes:
        """Pack a reply; where it is too long, without its oldest log lines; else say that it is too long."""
        packed = _packed(reply)
        while len(packed) > most and not isinstance(reply, Rejected | Saved) and reply.logs:
            kept = _shorter(reply.logs, len(packed) - most)
            cut = sum(len(line.text) for line in reply.logs[: len(reply.logs) - len(kept)])
            if isinstance(reply, Ready):
                self.journal.cut += cut
                reply = msgspec.structs.replace(reply, logs=kept)
            else:
                reply = msgspec.structs.replace(reply, logs=kept, cut=reply.cut + cut)
            packed = _packed(reply)
        if len(packed) <= most:
            return packed
        self._unsent(reply)
        message = f"the answer is too long: {len(packed)} bytes, of at most {most}"
        return _packed(Failed(reply.id, 0, "AnswerTooLong", message))

    def _unsent(self, reply: Reply) -> None:
        if isinstance(reply, Done | Failed) and reply.orders and self.contract is not None:
            self.contract.unsent(reply.orders)


def _shorter(lines: Sequence[LogLine], surplus: int) -> tuple[LogLine, ...]:
    """The lines without as many of the oldest as make up at least `surplus` bytes."""
    gone = 0
    for place, line in enumerate(lines):
        if surplus <= 0:
            break
        surplus -= len(line.text.encode()) + 4
        gone = place + 1
    return tuple(lines[gone:])


def _packed(reply: Reply) -> bytes:
    return _ENCODE(reply)


def _problems(error: NotAccepted | ContractError | ParametersError) -> tuple[Problem, ...]:
    if isinstance(error, NotAccepted):
        found = error.problems
    elif isinstance(error, ContractError):
        rule: Literal["parameter", "contract"] = "parameter" if error.field == "parameters" else "contract"
        found = [Problem(rule, clean(str(error)), field=clean(error.field, 200))]
    else:
        found = [Problem("parameter", clean(str(each)), field=clean(each.field, 200)) for each in error.problems]
    return tuple(found[:MOST_PROBLEMS])


def _not_loaded(request: int) -> Failed:
    return Failed(request, 0, "NotLoaded", "no strategy was loaded")


def _since(started: int) -> int:
    # There is one thread. The clock of the process only moves with the kernel's ticks once its time is limited.
    return (time.thread_time_ns() - started) // 1000


def _read(fd: int, received: bytearray) -> bytes | None:
    """The next request's body; None at the end. `received`: what was read beyond the last one."""
    size = HEADER.size
    known = False
    while len(received) < size or not known:
        if len(received) >= size:
            known = True
            size += HEADER.unpack_from(received)[0]
            if size > MOST_REQUEST + HEADER.size:
                os._exit(BAD_REQUEST)
            continue
        data = os.read(fd, READ)
        if not data:
            if received:
                os._exit(BAD_REQUEST)
            return None
        received += data
    body = bytes(received[HEADER.size : size])
    del received[:size]
    return body


def _write(fd: int, packed: bytes) -> None:
    frame = memoryview(HEADER.pack(len(packed)) + packed)
    while frame:
        frame = frame[os.write(fd, frame) :]
