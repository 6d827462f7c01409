"""What all users of a symbol have shown: put together from what each has, and used for one who has little."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.thresholds.meta_gate import MetaGateSettings
from actors.thresholds.parameters import DEFAULTS, Registry
from actors.thresholds.pools import LEAST, Shown, pool_of
from protocols.thresholds import AdaptAll
from tests.actors.storage.test_storage import moved
from tests.actors.thresholds.stage import LIMIT_S, QUIET, stage

CONFIDENCE = Registry()["confidence"]
GATE = MetaGateSettings()


def users(count: int, advantage: float = 0.01, variance: float = 0.0001) -> list[Shown]:
    return [Shown(0.75 + 0.001 * place, 100 + place, 0.1, advantage, variance) for place in range(count)]


def test_many_with_little_evidence_each_have_much_together() -> None:
    alone = 0.01 / 0.0001**0.5
    assert alone < GATE.open_above
    pool = pool_of(CONFIDENCE, users(20), GATE)
    assert pool is not None
    assert 0.75 < pool.theta < 0.77
    assert pool.n == sum(100 + place for place in range(20))
    assert pool.trust > 0.9


def test_without_an_advantage_nobody_leans_on_the_others() -> None:
    pool = pool_of(CONFIDENCE, users(20, advantage=0.0), GATE)
    assert pool is not None
    assert pool.trust == 0.0


def test_a_few_are_no_pool_and_who_has_learned_nothing_does_not_count() -> None:
    assert pool_of(CONFIDENCE, users(LEAST - 1), GATE) is None
    idle = [Shown(0.65, 0, 0.0, 0.0, 0.0)] * 50
    assert pool_of(CONFIDENCE, users(LEAST - 1) + idle, GATE) is None
    assert pool_of(CONFIDENCE, users(LEAST) + idle, GATE) == pool_of(CONFIDENCE, users(LEAST), GATE)


@pytest.mark.parametrize("parameter", DEFAULTS, ids=lambda each: each.name)
def test_the_mean_of_equal_candidates_is_theirs_on_every_axis(parameter) -> None:  # type: ignore[no-untyped-def]
    inside = parameter.value((parameter.gate(parameter.lower) + parameter.gate(parameter.upper)) / 2)
    pool = pool_of(parameter, [Shown(inside, 50, 1.0, 1.0, 0.1)] * 10, GATE)
    assert pool is not None
    assert parameter.value(pool.theta) == pytest.approx(inside)


async def test_a_user_with_little_of_his_own_is_adapted_by_what_the_others_have_shown(
    tmp_path: Path, database: str
) -> None:
    async with stage(tmp_path, replace(QUIET, pooling=True), url=database) as at:
        for number in range(LEAST):
            await at.teach(200, user=f"user{number}")
        await at.teach(25, user="new")
        alone = await at.adapt("new", force=True)
        assert not any(record.reason_code == "APPLIED" for record in alone.records)
        await moved(at.node)
        done = await at.roster.ask(AdaptAll(), LIMIT_S)
        assert done.reasons == ()
        assert "new/BTC" in dict(done.results)
        found = (await at.records(user_id="new")).records
        leaning = [record for record in found if record.reason_code == "APPLIED" and record.kind == "cycle"]
        assert leaning
        assert all(record.pooled_weight > 0.5 for record in leaning)
