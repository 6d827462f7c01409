"""Another control arm is another comparison: it ends the phase, and begins one with a new salt."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.control import Refused
from protocols.decisions import THRESHOLDS
from tests.actors.decisions.experiments.stage import experiment, stage


def control_of(plan: object) -> str:
    [arm] = [arm for arm in plan.arms if arm.name == "control"]  # type: ignore[attr-defined]
    return str(arm.serves)


async def test_thresholds_as_control_begin_a_phase_over_http_and_by_configuration(tmp_path: Path) -> None:
    async with stage(tmp_path, experiment(0.25)) as at:
        before = (await at.status()).plan
        decision = await at.predict("anna")
        assert decision.version == 1
        found = await at.configure(control=THRESHOLDS)
        assert (found.plan.version, control_of(found.plan)) == (2, THRESHOLDS)
        assert found.plan.salt != before.salt
        assert found.rl_traffic_percentage == 0.25
        assert found.total_requests == 0
        assert (await at.predict("anna")).version == 2
        same = await at.configure(control=THRESHOLDS)
        assert same.plan == found.plan
    async with stage(tmp_path, experiment(0.25)) as at:
        assert (await at.status()).plan == found.plan  # what was said over HTTP stays
    async with stage(tmp_path, experiment(0.25, control="other")) as at:
        plan = (await at.status()).plan
        assert (plan.version, control_of(plan)) == (3, "other")
        assert plan.salt not in (before.salt, found.plan.salt)


async def test_a_name_that_nothing_can_have_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        for name in ("", "fallback", "A B"):
            with pytest.raises(Refused) as refused:
                await at.configure(control=name)
            assert (refused.value.code, refused.value.field) == ("invalid", "control")
        assert (await at.status()).plan.version == 1
