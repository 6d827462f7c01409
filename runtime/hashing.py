"""Rendezvous hashing: which member of a set owns a key, the same in every process and after every restart.

Theory of operation. Every pair of key and member draws a number that depends on nothing else; the member with the
highest draw owns the key (Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996). So a member that
leaves gives up its own keys and moves no other, and one that joins takes only what it now wins: about one key in n.

The draw is 64 bits of BLAKE2b. With u its upper 52 bits as a number inside (0, 1), the score of a member of weight w is
w / -ln u: of independent exponential times with rates w the shortest belongs to each member with a chance that is its
part of the weights. Changing a weight moves keys to or from that member alone.

No I/O, no clock: a key comes in, a member goes out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping


class Rendezvous:
    """A set of members, by name, each with a weight (1 where only names are given).

    Raises ValueError if there is none, one is named twice, or a weight is not positive and finite.
    """

    __slots__ = ("_draws", "names")

    def __init__(self, members: Iterable[str] | Mapping[str, float]) -> None:
        names = list(members)
        if not names:
            raise ValueError("expected at least one member")
        if len(set(names)) < len(names):
            raise ValueError(f"a member is named twice among {', '.join(names)}")
        weights = members if isinstance(members, Mapping) else dict.fromkeys(names, 1.0)
        for name, weight in weights.items():
            if not 0 < weight < math.inf:
                raise ValueError(f"the weight of {name} must be above 0 and finite, not {weight}")
        self.names = frozenset(names)
        self._draws = [(name, weights[name], _draw(name)) for name in names]

    def owner(self, key: str) -> str:
        """The member that owns a key."""
        return max(self._scores(key))[2]

    def ranked(self, key: str) -> tuple[str, ...]:
        """The owner of a key, then who would own it without the ones before."""
        return tuple(name for _, _, name in sorted(self._scores(key), reverse=True))

    def _scores(self, key: str) -> list[tuple[float, int, str]]:
        text = key.encode("utf-8", "surrogatepass")
        scores = []
        for name, weight, draw in self._draws:
            drawn = draw.copy()
            drawn.update(text)
            number = int.from_bytes(drawn.digest(), "big")
            # 52 bits and a half: neither 0 nor 1 can come out, and every value is exact in a float. The whole number
            # decides between scores that are equal.
            scores.append((weight / -math.log(((number >> 12) + 0.5) / (1 << 52)), number, name))
        return scores


def assign(keys: Iterable[str], members: Iterable[str] | Mapping[str, float]) -> dict[str, tuple[str, ...]]:
    """Every member with the keys that it owns, in the order in which they came. Raises ValueError as `Rendezvous`."""
    ring = Rendezvous(members)
    owned: dict[str, list[str]] = {name: [] for name, _, _ in ring._draws}
    for key in keys:
        owned[ring.owner(key)].append(key)
    return {name: tuple(found) for name, found in owned.items()}


def _draw(member: str) -> hashlib.blake2b:
    # Keyed by the member's own hash, so that a name of any length fits and no pair (member, key) spells another.
    name = hashlib.blake2b(member.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    return hashlib.blake2b(key=name, digest_size=8, person=b"troupe.hashing")
