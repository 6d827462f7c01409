"""The probe: the level follows from what got through when a layer is off."""

from __future__ import annotations

import pytest

from actors.strategies.sandbox.attempts import ATTEMPTS
from actors.strategies.sandbox.probe import probe
from tests.actors.strategies.sandbox.kit import needs_root, needs_seccomp, only, without


@needs_seccomp
async def test_with_every_layer_nothing_gets_through() -> None:
    result = await probe()
    assert [attempt.name for attempt in result.attempts] == list(ATTEMPTS)
    assert result.breaches == ()
    assert result.level == ("standard" if result.missing else "full")
    assert {attempt.name: attempt.how for attempt in result.attempts}["execute"].startswith("forbidden_syscall")


@needs_seccomp
@pytest.mark.parametrize("off", [("namespaces",), ("landlock",), ("user",), ("namespaces", "landlock", "user")])
async def test_without_a_layer_behind_the_filter_nothing_gets_through_but_the_level_is_standard(
    off: tuple[str, ...],
) -> None:
    result = await probe(layers=without(*off))
    assert result.breaches == ()
    assert result.level == "standard"
    assert {row.partition(":")[0] for row in result.missing} >= set(off)


@pytest.mark.parametrize(
    ("off", "through"),
    [
        (("seccomp",), {"ask_kernel", "take_shared_memory"}),
        (("rlimits",), {"take_memory"}),
        (("seccomp", "namespaces"), {"send_udp", "ask_kernel", "take_shared_memory"}),
    ],
)
async def test_what_gets_through_makes_the_level_degraded_and_is_named(off: tuple[str, ...], through: set[str]) -> None:
    result = await probe(layers=without(*off))
    assert {attempt.name for attempt in result.breaches} >= through
    assert result.level == "degraded"


@needs_root
async def test_without_any_layer_everything_gets_through_but_time() -> None:
    result = await probe(layers=only())
    assert result.level == "degraded"
    assert {attempt.name for attempt in result.attempts if attempt.held} == {"spin"}
