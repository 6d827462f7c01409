"""The attack corpus against the sandbox: nothing breaches; with a layer off, what the others still hold.

The table of what may be breached without which layer is that of the sandbox's design ("What holds with and without
each feature"), told by categories of the corpus and kinds of breach.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from actors.strategies.sandbox.zygote import Layers
from tests.actors.strategies.sandbox.corpus import ATTACKS
from tests.actors.strategies.sandbox.corpus.run import Outcome, run_attacks
from tests.actors.strategies.sandbox.kit import needs_root, needs_seccomp

STANDARD: Final = Layers(namespaces=False)
BARE: Final = Layers(language=False, seccomp=False, landlock=False, rlimits=False, user=False, namespaces=False)
SLOW: Final = frozenset({"cpu", "parser", "recursion", "memory", "floods"})
QUICK: Final = tuple(a for place, a in enumerate(ATTACKS) if place % (16 if a.category in SLOW else 4) == 0)
"""Every fourth, and of those that take the worker's whole time or memory every 16th; the long tests run all."""

# With the rules of the language off, code walks the objects of its own process and reads the machine's clock.
INSIDE: Final = frozenset({("objects", "proof"), ("clock", "clock")})
MEMORY: Final = frozenset((category, "memory") for category in ("memory", "parser", "floods", "recursion"))
# With seccomp and the rules of the language off: UDP, unix sockets, other ways to TCP, and the kernel's surface. Files,
# processes, signals and plain TCP hold by Landlock, by RLIMIT_NPROC for a user of its own, and by that user.
SURFACE: Final = frozenset(
    {
        ("files", "proof"),
        ("memory", "kernel"),
        ("memory", "memory"),
        ("network", "kernel"),
        ("network", "network"),
        ("network", "proof"),
        ("signals", "kernel"),
        ("state", "kernel"),
        ("syscalls", "kernel"),
        ("syscalls", "proof"),
    }
)
LANDLOCKS: Final = frozenset({"TCP by socket.create_connection", "TCP by the raw calls", "TCP over IPv6"})


def _unexpected(outcomes: list[Outcome], allowed: frozenset[tuple[str, str]] = frozenset()) -> list[str]:
    """What was breached and may not be."""
    return [
        str(outcome)
        for outcome in outcomes
        if {breach for breach in outcome.breaches if (outcome.attack.category, breach) not in allowed}
        - ({outcome.attack.aim} if outcome.attack.accepted else set())
    ]


def _wrong_ends(outcomes: list[Outcome]) -> list[str]:
    """Attacks after which the worker should have been ended for another cause."""
    return [str(each) for each in outcomes if each.attack.ends and each.ended not in each.attack.ends]


@needs_seccomp
async def test_no_attack_breaches_at_level_standard() -> None:
    assert _unexpected(await run_attacks(QUICK, STANDARD)) == []


def test_the_corpus_covers_every_category_with_attacks_that_differ() -> None:
    counts = Counter(attack.category for attack in ATTACKS)
    assert len(ATTACKS) >= 170
    assert min(counts.values()) >= 20, counts
    assert len({(attack.category, attack.name) for attack in ATTACKS}) == len(ATTACKS)
    assert len({attack.source for attack in ATTACKS}) == len(ATTACKS)
    assert all(attack.category == "clock" for attack in ATTACKS if attack.accepted)


@pytest.mark.long
@needs_root
async def test_with_all_layers_off_the_attacks_do_breach_so_that_the_conditions_are_proven() -> None:
    expected = [attack for attack in ATTACKS if attack.bare]
    assert len(expected) >= 300
    outcomes = await run_attacks(ATTACKS, BARE)
    assert [str(each) for each in outcomes if each.attack.bare and each.attack.aim not in each.breaches] == []
    # Time, results and the protocol are the node's own, and hold even so.
    node_s = {"deadline", "reply", "accepted"}
    assert [str(each) for each in outcomes if node_s & set(each.breaches)] == []


@pytest.mark.long
@needs_seccomp
async def test_without_the_rules_of_the_language_the_kernel_holds_and_ends_workers_for_the_right_cause() -> None:
    outcomes = await run_attacks(ATTACKS, Layers(namespaces=False, language=False))
    assert _unexpected(outcomes, INSIDE) == []
    assert _wrong_ends(outcomes) == []


@pytest.mark.long
@needs_seccomp
@pytest.mark.parametrize(
    ("off", "allowed"),
    [
        ("", frozenset()),
        ("seccomp", frozenset()),
        ("landlock", frozenset()),
        ("rlimits", MEMORY),
        ("user", frozenset()),
    ],
)
async def test_with_one_layer_off_the_others_hold(off: str, allowed: frozenset[tuple[str, str]]) -> None:
    layers = {"namespaces": False} | ({off: False} if off else {})
    assert _unexpected(await run_attacks(ATTACKS, Layers(**layers)), allowed) == []


@pytest.mark.long
@needs_root
@needs_seccomp
@pytest.mark.parametrize(
    ("off", "allowed"),
    [
        # Everything on, namespaces too: level full.
        ((), frozenset()),
        (("language",), INSIDE),
        (("language", "landlock", "namespaces"), INSIDE),
        (("language", "rlimits", "namespaces"), INSIDE | MEMORY),
        (("language", "user", "namespaces"), INSIDE),
        # Of the layers for files and the network, seccomp alone.
        (("language", "landlock", "user", "namespaces"), INSIDE),
        (("language", "landlock", "rlimits", "user", "namespaces"), INSIDE | MEMORY),
    ],
)
async def test_what_holds_without_more_of_the_layers(off: tuple[str, ...], allowed: frozenset[tuple[str, str]]) -> None:
    layers = Layers(**dict.fromkeys(off, False))
    assert _unexpected(await run_attacks(ATTACKS, layers), allowed) == []


@pytest.mark.long
@needs_root
async def test_without_seccomp_landlock_limits_and_the_user_still_keep_files_processes_and_others_safe() -> None:
    outcomes = await run_attacks(ATTACKS, Layers(language=False, seccomp=False, namespaces=False))
    assert _unexpected(outcomes, INSIDE | SURFACE) == []
    assert [str(each) for each in outcomes if each.attack.name in LANDLOCKS and "network" in each.breaches] == []


@pytest.mark.long
@needs_root
async def test_the_rules_of_the_language_alone_leave_nothing_but_memory() -> None:
    layers = Layers(seccomp=False, landlock=False, rlimits=False, user=False, namespaces=False)
    assert _unexpected(await run_attacks(ATTACKS, layers), MEMORY) == []
