"""A/B routing: which variant of an actor serves a key, the same in every process and after every restart.

Theory of operation
===================

A salted hash sends each key to a point of [0, 1), here an integer of 64 bits. The variants divide that line
in the order in which they are declared, each getting a range as long as its share of the weights (the
*split*). An experiment rarely begins with everybody: of each range only the first part, as long as the
*coverage* says, is enrolled.

      A: 3 parts                              B: 1 part
    |#######........................|##......|      coverage 0.25: # is enrolled, . gets the default variant
    |###############................|####....|      coverage 0.5: every # stays where it was

Raising the coverage grows each range from its own start, so no enrolled key moves. Changing the split does
move keys (at a fixed total weight raising a share must), which would mix two experiments; it is refused
unless the salt changes, too. A new salt is a new experiment: every key is drawn again, independently of the
old draw.

Shadow variants have no part of the line. They get a copy of every message; their answers are recorded,
never returned.

No I/O, no clock: a key comes in, a route goes out.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from fractions import Fraction

import msgspec

from protocols.control import Message, Refused

POINTS = 1 << 64
"""The line is divided into so many points; `point` is one of them."""


class VariantSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the actors that may serve. `weight` is its part of the split; a shadow has none, whatever it
    says."""

    name: str
    path: str
    weight: float = 1.0
    shadow: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name of a variant must not be empty")
        if not self.path.startswith("/"):
            raise ValueError(f"path of variant {self.name} must begin with '/', not {self.path!r}")
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight of variant {self.name} must be 0 or more, not {self.weight}")


class RouterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment. Raises `ValueError` at construction (`msgspec.ValidationError` when decoded), naming
    the field."""

    salt: str
    """Names the draw. Two experiments with different salts enrol and divide keys independently."""
    variants: tuple[VariantSettings, ...]
    coverage: float = 1.0
    """The fraction of each variant's range that is enrolled."""
    default: str = ""
    """The name of the variant that serves the keys outside the coverage; empty: the first that is no
    shadow."""
    key: str = ""
    """The field of a message that is its key; empty: its `topic_key()`."""

    def __post_init__(self) -> None:
        if not self.salt:
            raise ValueError("salt must not be empty: name the experiment")
        names = [variant.name for variant in self.variants]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"variants are named twice: {', '.join(twice)}")
        serving = [variant.name for variant in self.variants if not variant.shadow]
        if not any(variant.weight for variant in self.variants if not variant.shadow):
            raise ValueError("variants must have at least one with a weight above 0 that is no shadow")
        if self.default and self.default not in serving:
            raise ValueError(f"default must be one of {', '.join(serving)}, not {self.default!r}")
        _check_coverage(self.coverage)


def _check_coverage(coverage: float) -> None:
    if not 0 <= coverage <= 1:
        raise ValueError(f"coverage must be from 0 to 1, not {coverage}")


class Route(msgspec.Struct, frozen=True):
    """Where a message goes. `enrolled`: its key takes part in the experiment; else the default serves it."""

    variant: str
    path: str
    enrolled: bool


class VariantSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What one variant got and did since the router was made. `share` is its part of the whole line just
    now."""

    name: str
    path: str
    shadow: bool
    weight: float
    share: float
    routed: int
    enrolled: int
    done: int
    refused: int
    failed: int


class RouterSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A router at one moment."""

    salt: str
    coverage: float
    default: str
    variants: tuple[VariantSnapshot, ...]


class _Figures:
    __slots__ = ("done", "enrolled", "failed", "refused", "routed")

    def __init__(self) -> None:
        self.routed = self.enrolled = self.done = self.refused = self.failed = 0


class Router:
    """The routes of one experiment, and what came of them."""

    def __init__(self, settings: RouterSettings) -> None:
        self._figures: dict[str, _Figures] = {}
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._ranges: list[Route] = []
        self._arrange(settings)

    @property
    def settings(self) -> RouterSettings:
        """As they are now: the coverage is the current one."""
        return self._settings

    @property
    def shadows(self) -> tuple[Route, ...]:
        """Who gets a copy of every message."""
        return self._shadows

    def point(self, key: str) -> int:
        """The point of a key: the first 8 bytes, big-endian, of BLAKE2b-64 over its UTF-8, keyed with the
        salt's hash."""
        drawn = self._draw.copy()
        drawn.update(key.encode("utf-8", "surrogatepass"))
        return int.from_bytes(drawn.digest(), "big")

    def assign(self, key: str | None) -> Route:
        """The route of a key; None (the message has no key) gets the default. Counts nothing."""
        if key is None:
            return self._default
        point = self.point(key)
        position = bisect_right(self._starts, point) - 1
        return self._ranges[position] if point < self._ends[position] else self._default

    def route(self, key: str | None) -> Route:
        """`assign`, counted; the shadows are counted as getting their copy."""
        route = self.assign(key)
        figures = self._figures[route.variant]
        figures.routed += 1
        figures.enrolled += route.enrolled
        for shadow in self._shadows:
            self._figures[shadow.variant].routed += 1
        return route

    def key_of(self, message: Message) -> str | None:
        """The key by which a message is routed: None when it lacks the field, or the key is empty."""
        if not self._settings.key:
            return message.topic_key() or None
        value = getattr(message, self._settings.key, None)
        return None if value is None or value == "" else str(value)

    def settle(self, variant: str, error: BaseException | None) -> None:
        """Count an outcome: what the ask of this variant raised, or None for an answer. Cancellation counts
        nothing."""
        figures = self._figures.get(variant)
        if figures is None or (error is not None and not isinstance(error, Exception)):
            return
        figures.done += error is None
        figures.refused += isinstance(error, Refused)
        figures.failed += error is not None and not isinstance(error, Refused)

    def set_coverage(self, coverage: float) -> None:
        """Enrol this fraction of each range. Raises `Refused` (code `invalid`) outside of 0 to 1.

        Raising it moves no enrolled key. Lowering it sends those beyond the new end back to the default.
        """
        try:
            _check_coverage(coverage)
        except ValueError as error:
            raise Refused("invalid", str(error), "coverage") from None
        self._arrange(msgspec.structs.replace(self._settings, coverage=coverage))

    def reconfigure(self, settings: RouterSettings) -> None:
        """Go on with other settings; figures of variants that stay are kept.

        Raises `Refused` (code `split_changed`) when the split differs though the salt does not.
        """
        check_split(self._settings, settings)
        self._arrange(settings)

    def snapshot(self) -> RouterSnapshot:
        """The router as it is now, variants in the order of their declaration."""
        total = _total(self._settings)
        coverage = Fraction(repr(self._settings.coverage))
        rows = []
        for variant in self._settings.variants:
            weight = _part(variant)
            share = weight / total * coverage
            if variant.name == self._default.variant:
                share += 1 - coverage
            figures = self._figures[variant.name]
            rows.append(
                VariantSnapshot(
                    name=variant.name,
                    path=variant.path,
                    shadow=variant.shadow,
                    weight=float(weight),
                    share=float(share),
                    routed=figures.routed,
                    enrolled=figures.enrolled,
                    done=figures.done,
                    refused=figures.refused,
                    failed=figures.failed,
                )
            )
        return RouterSnapshot(
            salt=self._settings.salt,
            coverage=self._settings.coverage,
            default=self._default.variant,
            variants=tuple(rows),
        )

    def _arrange(self, settings: RouterSettings) -> None:
        self._settings = settings
        # Keyed by the salt's hash: a salt of any length fits, and no pair (salt, key) spells the same bytes
        # as another.
        salt = hashlib.blake2b(settings.salt.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        self._draw = hashlib.blake2b(key=salt, digest_size=8, person=b"troupe.router")
        self._figures = {variant.name: self._figures.get(variant.name) or _Figures() for variant in settings.variants}
        serving = [variant for variant in settings.variants if not variant.shadow]
        fallback = next((each for each in serving if each.name == settings.default), serving[0])
        self._default = Route(fallback.name, fallback.path, enrolled=False)
        self._shadows = tuple(Route(each.name, each.path, False) for each in settings.variants if each.shadow)
        self._starts, self._ends, self._ranges = [], [], []
        coverage = Fraction(repr(settings.coverage))
        total = _total(settings)
        before = Fraction(0)
        for variant in serving:
            start = int(before / total * POINTS)
            before += _part(variant)
            length = int(before / total * POINTS) - start
            if length:
                self._starts.append(start)
                self._ends.append(start + int(length * coverage))
                self._ranges.append(Route(variant.name, variant.path, enrolled=True))


def check_split(old: RouterSettings, new: RouterSettings) -> None:
    """Raises `Refused` (code `split_changed`) if keys enrolled under `old` could move under `new`.

    That is: the same salt with another split (the serving variants' names, order or proportions). Paths,
    shadows, the coverage and the default may change freely.
    """
    if old.salt == new.salt and _split(old) != _split(new):
        raise Refused(
            "split_changed",
            f"the split of {old.salt!r} is {_show(old)}; {_show(new)} would move keys and needs a new salt",
            "salt",
        )


def _split(settings: RouterSettings) -> tuple[tuple[str, Fraction], ...]:
    total = _total(settings)
    return tuple((each.name, _part(each) / total) for each in settings.variants if _part(each))


def _show(settings: RouterSettings) -> str:
    return " / ".join(f"{name} {float(share):.4g}" for name, share in _split(settings))


def _total(settings: RouterSettings) -> Fraction:
    return sum((_part(variant) for variant in settings.variants), Fraction(0))


def _part(variant: VariantSettings) -> Fraction:
    # Through the decimal digits: weights of 0.1, 0.2 and 0.7 make exactly 1.
    return Fraction(0) if variant.shadow else Fraction(repr(variant.weight))
