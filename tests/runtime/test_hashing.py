"""Rendezvous hashing: the same everywhere, moves only what it must, and gives everybody a fair part."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.hashing import Rendezvous, assign
from tests.runtime.kit import said_under_other_hash_seeds

KEYS = [f"KXBTC-{number}" for number in range(20_000)]

members = st.lists(st.text(max_size=8), min_size=1, max_size=8, unique=True)
weighted = st.dictionaries(st.text(max_size=8), st.floats(0.1, 10), min_size=1, max_size=8)
keys = st.lists(st.text(), max_size=30)


def drawn(key: str, member: str) -> int:
    """The 64 bits of a pair, worked out from the definition."""
    name = hashlib.blake2b(member.encode(), digest_size=32).digest()
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=name, person=b"troupe.hashing").digest()
    return int.from_bytes(digest, "big")


# The hash


def test_the_owner_of_a_key_never_changes() -> None:
    # Known answers: whoever changes the hash moves the keys of every running set.
    ring = Rendezvous(("0", "1", "2", "3"))
    assert [ring.ranked(key) for key in ("BTC-USD", "ETH-USD", "", "Zürich")] == [
        ("2", "3", "0", "1"),
        ("3", "0", "1", "2"),
        ("3", "1", "2", "0"),
        ("0", "3", "2", "1"),
    ]


def test_equal_weights_rank_the_members_by_their_draw() -> None:
    names = [f"m{number}" for number in range(5)]
    ring = Rendezvous(names)
    for key in KEYS[:300]:
        assert ring.ranked(key) == tuple(sorted(names, key=lambda name: drawn(key, name), reverse=True))


def test_with_weights_the_shortest_exponential_time_wins() -> None:
    weights = {"a": 1.0, "b": 2.5, "c": 0.5}
    ring = Rendezvous(weights)
    for key in KEYS[:300]:
        # -ln u / w, the time of a clock of rate w; u from 52 bits and a half, exactly.
        times = {
            name: -math.log(Fraction(2 * (drawn(key, name) >> 12) + 1, 1 << 53)) / weight
            for name, weight in weights.items()
        }
        assert ring.owner(key) == min(times, key=times.__getitem__)


def test_another_process_with_another_hash_seed_assigns_the_same() -> None:
    program = (
        "from runtime.hashing import assign\n"
        "print(assign([f'k{i}' for i in range(300)], {'a': 0.2, 'b': 0.7, 'c': 0.1}))\n"
    )
    outputs = said_under_other_hash_seeds(program)
    assert outputs == {f"{assign([f'k{i}' for i in range(300)], {'a': 0.2, 'b': 0.7, 'c': 0.1})}\n"}


def test_member_and_key_are_never_mistaken_for_each_other() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")]
    assert len({drawn(key, member) for member, key in pairs}) == len(pairs)
    rest = [f"m{number}" for number in range(60)]
    assert {Rendezvous(["ab", *rest]).ranked(f"c{x}").index("ab") for x in range(9)} != {
        Rendezvous(["a", *rest]).ranked(f"bc{x}").index("a") for x in range(9)
    }


@given(members, keys, st.randoms())
def test_the_order_in_which_members_are_named_does_not_matter(
    names: list[str], some: list[str], random: Random
) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)
    first, second = Rendezvous(names), Rendezvous(shuffled)
    assert all(first.ranked(key) == second.ranked(key) for key in some)


# What moves


@given(members, st.text(max_size=8), keys)
def test_a_member_that_joins_takes_keys_and_moves_no_other(names: list[str], newcomer: str, some: list[str]) -> None:
    before, after = Rendezvous(names), Rendezvous([*dict.fromkeys([*names, newcomer])])
    for key in some:
        assert after.owner(key) in (before.owner(key), newcomer)


@given(weighted, keys, st.data())
def test_a_member_that_leaves_gives_its_keys_to_the_next_and_moves_no_other(
    weights: dict[str, float], some: list[str], data: st.DataObject
) -> None:
    leaver = data.draw(st.sampled_from(sorted(weights)))
    rest = {name: weight for name, weight in weights.items() if name != leaver}
    before = Rendezvous(weights)
    for key in some if rest else []:
        expected = [name for name in before.ranked(key) if name != leaver]
        assert Rendezvous(rest).ranked(key) == tuple(expected)


@given(weighted, st.floats(0.1, 10), keys, st.data())
def test_another_weight_moves_keys_only_to_or_from_that_member(
    weights: dict[str, float], weight: float, some: list[str], data: st.DataObject
) -> None:
    changed = data.draw(st.sampled_from(sorted(weights)))
    before, after = Rendezvous(weights), Rendezvous({**weights, changed: weight})
    for key in some:
        old, new = before.owner(key), after.owner(key)
        if old != new:
            assert changed == (new if weight > weights[changed] else old)


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_about_one_key_in_n_moves_to_a_member_that_joins(count: int) -> None:
    names = [f"shard-{number}" for number in range(count + 1)]
    before, after = Rendezvous(names[:-1]), Rendezvous(names)
    moved = sum(before.owner(key) != after.owner(key) for key in KEYS)
    share = 1 / (count + 1)
    # Binomial: four standard deviations; the keys are fixed.
    assert abs(moved - len(KEYS) * share) < 4 * math.sqrt(len(KEYS) * share * (1 - share))


# The parts


@pytest.mark.parametrize("weights", [(1, 1), (9, 1), (5, 3, 2), (0.1, 0.2, 0.7), (1, 1, 1, 1, 1)])
def test_every_member_owns_its_part_of_the_weights(weights: tuple[float, ...]) -> None:
    owned = assign(KEYS, {f"m{place}": float(weight) for place, weight in enumerate(weights)})
    expected = [weight / sum(weights) * len(KEYS) for weight in weights]
    chi_square = sum((len(got) - wanted) ** 2 / wanted for got, wanted in zip(owned.values(), expected, strict=True))
    # The 99.9 % quantiles of chi-square with 1, 2 and 4 degrees of freedom; the keys are fixed.
    assert chi_square < {2: 10.828, 3: 13.816, 5: 18.467}[len(weights)]


@given(keys, weighted)
def test_assign_gives_every_key_once_to_its_owner_and_names_members_without_any(
    some: list[str], weights: dict[str, float]
) -> None:
    owned = assign(some, weights)
    assert list(owned) == list(weights)
    assert sorted(key for part in owned.values() for key in part) == sorted(some)
    ring = Rendezvous(weights)
    for member, part in owned.items():
        assert part == tuple(key for key in some if ring.owner(key) == member)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [([], "at least one"), (["a", "a"], "twice"), ({"a": 0.0}, "weight of a"), ({"a": math.inf}, "weight of a")],
)
def test_members_that_could_own_nothing_are_an_error(wrong: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Rendezvous(wrong)  # type: ignore[arg-type]
