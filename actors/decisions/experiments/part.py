"""Experiments: who is assigned to what, what came of it, and rollouts.

experiments             keeps plans, exposures and outcomes
rollouts                lets treatments in, and throws them out
"""

from __future__ import annotations

from typing import Any, Final

from actors.decisions.experiments.plans import DEFAULT_SETTINGS, ExperimentSettings, check_together
from actors.decisions.experiments.routes import routes as routes
from actors.edge.routing import Route
from protocols.control import Row
from protocols.experiments import AbTestRow, AssignmentRow, DecisionOutcomeRow, ExposureRow, ShadowPairRow
from protocols.paths import EXPERIMENTS, ROLLOUTS
from protocols.rollouts import RolloutRow
from runtime import Backoff, ChildSpec
from runtime.settings import Configuration, ConfigurationError, Issue

SECTION: Final = "experiments"
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)

sections: dict[str, Any] = {SECTION: tuple[ExperimentSettings, ...]}
rows: tuple[type[Row], ...] = (
    AbTestRow,
    AssignmentRow,
    ExposureRow,
    DecisionOutcomeRow,
    ShadowPairRow,
    RolloutRow,
)
__all__ = ["Route", "children", "probes", "routes", "rows", "sections", "specs"]


def children(configuration: Configuration) -> list[ChildSpec]:
    """Its actors below `/decisions`. Without a test in the configuration there is the usual one. Raises
    ConfigurationError for tests that cannot be together."""
    experiments = configuration.section(SECTION) or DEFAULT_SETTINGS
    try:
        check_together(experiments)
    except ValueError as error:
        raise ConfigurationError([Issue("invalid", str(error), SECTION)]) from None
    return specs(experiments)


def specs(experiments: tuple[ExperimentSettings, ...]) -> list[ChildSpec]:
    """The keeper and the rollouts of these tests."""
    return [
        ChildSpec(
            name=EXPERIMENTS.rpartition("/")[2],
            actor="actors.decisions.experiments.keeper:ExperimentKeeper",
            arguments={"experiments": experiments},
            backoff=BACKOFF,
        ),
        ChildSpec(
            name=ROLLOUTS.rpartition("/")[2],
            actor="actors.decisions.experiments.rollouts:Rollouts",
            arguments={"experiments": experiments},
            backoff=BACKOFF,
        ),
    ]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for it."""
    return [("experiments", EXPERIMENTS), ("rollouts", ROLLOUTS)]
