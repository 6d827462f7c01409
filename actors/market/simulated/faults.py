"""What can be ordered to go wrong, and what becomes of a frame or an answer that it hits. No socket, no clock.

A fault of frames counts for each connection that is open when it is ordered; with count 0 it holds, for later
connections too, until it is cleared. A fault of answers counts over all of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec

from protocols.venues.simulated import Fault, FaultOrder

FaceWord = Literal["kalshi", "binance", "binance-usdm", "coinbase"]
FACES: Final[tuple[FaceWord, ...]] = get_args(FaceWord)
FRAME_KINDS: Final = frozenset({"drop", "duplicate", "reorder", "garble", "checksum"})
AnswerKind = Literal["late", "old_snapshot", "lost_request", "late_request", "lost_answer", "failed_answer"]
ANSWER_KINDS: Final = frozenset({"http", *get_args(AnswerKind)})


class Kind(NamedTuple):
    """One kind of fault, for people: what it does and which options it takes."""

    summary: str
    options: tuple[str, ...]


_FRAMES: Final = ("venue", "connection", "count", "probability", "of")
KINDS: Final[dict[Fault, Kind]] = {
    "drop": Kind("frames take their sequence numbers and are not sent", _FRAMES),
    "duplicate": Kind("frames are sent twice", _FRAMES),
    "reorder": Kind("frames are sent after the one behind them", _FRAMES),
    "garble": Kind("bytes are cut out of frames, so that they are no JSON", _FRAMES),
    "checksum": Kind("the checksum in frames that carry one (a recording of Kraken) is changed", _FRAMES),
    "silence": Kind("nothing is sent any more, for `seconds` or until `speak`", ("venue", "connection", "seconds")),
    "speak": Kind("what was held back is sent, and all that follows", ("venue", "connection")),
    "slow": Kind(
        "at most `rate` bytes a second are sent, or `seconds` pass before each frame",
        ("venue", "connection", "rate", "seconds"),
    ),
    "close": Kind("the connection is closed with `code`; 1006: cut, without a word", ("venue", "connection", "code")),
    "http": Kind(
        "requests, reads, writes, handshakes or `all` (`on`) are answered with `status`, and `retry_after` seconds if "
        "given",
        ("venue", "count", "probability", "status", "retry_after", "on"),
    ),
    "late": Kind("answers to requests take `seconds`", ("venue", "count", "probability", "seconds", "on")),
    "lost_request": Kind("requests are cut off and not performed", ("venue", "count", "probability", "on")),
    "late_request": Kind(
        "requests are performed after `seconds`, whoever still waits",
        ("venue", "count", "probability", "seconds", "on"),
    ),
    "lost_answer": Kind(
        "requests are performed, and cut off instead of answered", ("venue", "count", "probability", "on")
    ),
    "failed_answer": Kind(
        "requests are performed, and answered with `status`", ("venue", "count", "probability", "status", "on")
    ),
    "old_snapshot": Kind("Binance's depth is that of `seconds` ago", ("venue", "count", "seconds")),
    "clock": Kind("the venue's clock is wrong by `seconds`, either way; 0 puts it right", ("venue", "seconds")),
    "lag": Kind("Kalshi's portfolio is `seconds` behind its exchange", ("venue", "seconds")),
    "burst": Kind("`count` events happen at once", ("venue", "count")),
    "channel_error": Kind("Kalshi ends every subscription with error 10", ("connection",)),
    "overflow": Kind("Kalshi ends every subscription with error 25", ("connection",)),
    "shutdown": Kind(
        "Binance says serverShutdown, and closes after `seconds`", ("venue", "connection", "seconds", "code")
    ),
}


class BadFault(ValueError):
    """The order makes no sense; the text says why, `field` where."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def fault_order(given: dict[str, Any]) -> FaultOrder:
    """The order out of its JSON or its command line: only options of its kind, each in its range. Raises BadFault."""
    kind = given.get("kind")
    if kind not in KINDS:
        raise BadFault(f"expected a kind of fault out of {', '.join(KINDS)}, got {kind!r}", "kind")
    for option in given.keys() - {"kind"}:
        if option not in KINDS[kind].options:
            options = ", ".join(KINDS[kind].options)
            raise BadFault(f"the fault {kind} takes the options {options}, not {option!r}", option)
    try:
        order = msgspec.convert(given, FaultOrder, strict=True)
    except msgspec.ValidationError as error:
        raise BadFault(str(error)) from None
    return checked(order)


def checked(order: FaultOrder) -> FaultOrder:
    """The same order. Raises BadFault where its values are out of range."""
    if not 0 < order.probability <= 1:
        raise BadFault(f"a probability lies above 0 and up to 1, got {order.probability}", "probability")
    if not 0 <= order.count <= 100_000:
        raise BadFault(f"a count lies between 0 and 100000, got {order.count}", "count")
    if order.kind == "close" and not (1000 <= order.code <= 4999):
        raise BadFault(f"a close code lies between 1000 and 4999, got {order.code}", "code")
    if order.kind in ("http", "failed_answer") and not 400 <= order.status <= 599:
        raise BadFault(f"a status lies between 400 and 599, got {order.status}", "status")
    if order.kind != "clock" and order.seconds < 0:
        raise BadFault(f"seconds are not negative, got {order.seconds}", "seconds")
    if order.kind == "slow" and not (order.rate > 0 or order.seconds > 0):
        raise BadFault("slow needs rate (bytes a second) or seconds (before each frame)", "rate")
    if order.kind == "clock" and abs(order.seconds) > 86_400:
        raise BadFault(f"a clock is wrong by a day at most, got {order.seconds}", "seconds")
    return order


class Standing:
    """An order that is in force. `left`: what is left of its count, by connection; under 0 for answers."""

    def __init__(self, id: int, order: FaultOrder, links: Iterable[int]) -> None:
        self.id = id
        self.order = order
        self.hits = 0
        counts = [0] if order.kind in ANSWER_KINDS else [*links]
        self.left = dict.fromkeys(counts, order.count)

    def take(self, key: int) -> bool:
        """Whether it still applies; it is counted then."""
        if self.order.count:
            if self.left.get(key, 0) <= 0:
                return False
            self.left[key] -= 1
        self.hits += 1
        return True

    @property
    def spent(self) -> bool:
        """Whether nothing more will come of it."""
        return bool(self.order.count) and not any(left > 0 for left in self.left.values())

    def forget(self, link: int) -> None:
        """A connection has ended."""
        self.left.pop(link, None)


class Faults:
    """All faults in force that hit single frames or answers."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(f"faults/{seed}")  # noqa: S311 - repeatable on purpose
        self._made = 0
        self._standing: dict[int, Standing] = {}
        self._held: dict[int, bytes] = {}
        self.of_frames = False
        """Whether any frame can be hit: nothing needs to be asked where it is False."""

    def __iter__(self) -> Iterator[Standing]:
        return iter(self._standing.values())

    def add(self, order: FaultOrder, links: Iterable[int]) -> Standing:
        """Put an order into force, for the connections that are open."""
        self._made += 1
        standing = Standing(self._made, order, links)
        self._standing[standing.id] = standing
        self._tidy()
        return standing

    def clear(self, id: int | None = None) -> int:
        """Take one order back, or all; how many there were."""
        gone = [each for each in self._standing if id in (None, each)]
        for each in gone:
            del self._standing[each]
        self._tidy()
        return len(gone)

    def forget(self, link: int) -> None:
        """A connection has ended."""
        self._held.pop(link, None)
        for each in self._standing.values():
            each.forget(link)
        self._tidy()

    def _tidy(self) -> None:
        self._standing = {id: each for id, each in self._standing.items() if not each.spent}
        self.of_frames = bool(self._held) or any(each.order.kind in FRAME_KINDS for each in self)

    # -- frames --------------------------------------------------------------------------------------------

    def passing(self, link: int, venue: str, payload: bytes, answer: bool) -> tuple[str, list[bytes]]:
        """What becomes of a frame: a word for it, empty if nothing, and what is sent in its place."""
        fate, sent = "", [payload]
        for each in list(self._standing.values()):
            order = each.order
            if order.kind not in FRAME_KINDS or order.venue not in ("", venue) or order.connection not in (0, link):
                continue
            if order.of != "all" and answer != (order.of == "answers"):
                continue
            if order.kind == "checksum" and _CHECKSUM.search(payload) is None:
                continue
            if (order.probability < 1 and self._random.random() >= order.probability) or not each.take(link):
                continue
            fate, sent = order.kind, self._changed(order.kind, link, payload)
            break
        held = self._held.pop(link, None) if fate != "reorder" else None
        if held is not None:
            sent = [*sent, held]
        if fate or held is not None:
            self._tidy()
        return fate, sent

    def _changed(self, kind: str, link: int, payload: bytes) -> list[bytes]:
        if kind == "drop":
            return []
        if kind == "duplicate":
            return [payload, payload]
        if kind == "reorder":
            held = self._held.pop(link, None)
            self._held[link] = payload
            return [] if held is None else [held]
        if kind == "garble":
            return [self._garbled(payload)]
        return [_CHECKSUM.sub(lambda found: found[1] + b"%d" % (int(found[2]) ^ 1) + found[3], payload, count=1)]

    def _garbled(self, payload: bytes) -> bytes:
        """Part of the payload, and never JSON: a changed digit inside would be a lie that nobody can find out."""
        for _ in range(16):
            begin = self._random.randrange(len(payload))
            cut = payload[:begin] + payload[begin + 1 + self._random.randrange(24) :]
            try:
                msgspec.json.decode(cut)
            except msgspec.DecodeError:
                return cut
            except UnicodeDecodeError:
                continue
        return payload[: len(payload) // 2]

    # -- answers -------------------------------------------------------------------------------------------

    def http(self, venue: str, *, handshake: bool, write: bool = False) -> FaultOrder | None:
        """The order that says how to refuse this request or handshake."""
        return self._first("http", venue, "handshakes" if handshake else "writes" if write else "reads")

    def answering(self, kind: AnswerKind, venue: str, *, write: bool = False) -> FaultOrder | None:
        """The order of this kind that hits an answer of `venue`."""
        return self._first(kind, venue, "writes" if write else "reads")

    def _first(self, kind: str, venue: str, request: Literal["reads", "writes", "handshakes"]) -> FaultOrder | None:
        for each in list(self._standing.values()):
            order = each.order
            if order.kind != kind or order.venue not in ("", venue):
                continue
            meant = order.on in ("all", request) or (order.on == "requests" and request != "handshakes")
            if meant and self._hits(each):
                return order
        return None

    def _hits(self, each: Standing) -> bool:
        if each.order.probability < 1 and self._random.random() >= each.order.probability:
            return False
        hit = each.take(0)
        self._tidy()
        return hit


# Kraken v2 says "checksum":123, v1 "c":"123".
_CHECKSUM: Final = re.compile(rb'("checksum":\s*|"c":\s*")(\d+)("?)')
