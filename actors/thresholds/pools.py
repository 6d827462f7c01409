"""What all users of a symbol have shown of a parameter, put together from what each has. A core.

theta    the candidates' mean, by their decisions
trust    of a meta-gate that has seen what all candidates together have won over the default: the sums of their
         advantages and of their variances, each weighted by its decisions
k        by empirical Bayes from how the candidates lie around theta (pooling.py)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from actors.thresholds.gate import Evidence
from actors.thresholds.meta_gate import MetaGate, MetaGateSettings
from actors.thresholds.parameters import Parameter
from actors.thresholds.pooling import DEFAULT_K, LEAST_USERS, Estimate, Pool, empirical_k


class Shown(NamedTuple):
    """One user's threshold: `candidate` in its unit; `advantage`, `variance`: smoothed, against the default."""

    candidate: float
    n: int
    score_sd: float
    advantage: float
    variance: float


LEAST: Final = LEAST_USERS
"""With fewer users that have learned anything there is no pool."""


def pool_of(parameter: Parameter, users: Sequence[Shown], settings: MetaGateSettings) -> Pool | None:
    """The pool of a symbol; None: too few users have shown anything."""
    learned = [user for user in users if user.n > 0 and user.score_sd > 0]
    if len(learned) < LEAST:
        return None
    n = sum(user.n for user in learned)
    default = parameter.gate(parameter.default)
    theta = math.fsum(parameter.gate(user.candidate) * user.n for user in learned) / n
    won = Evidence(
        math.fsum(user.advantage * user.n for user in learned) / n,
        math.fsum(user.variance * user.n**2 for user in learned) / n**2,
        1,
    )
    t = won.t
    gate = MetaGate(open=t is not None and t > settings.open_above, candidate=won)
    estimates = [Estimate((parameter.gate(user.candidate) - default) / user.score_sd, user.n) for user in learned]
    return Pool(theta=theta, n=n, trust=gate.trust(settings), k_symbol=DEFAULT_K, k_user=empirical_k(estimates))
