"""The plans of experiments as somebody other than the server knows them: for the arm of an answer that is made without
the server, because it is full, restarting or gone.
"""

from __future__ import annotations

from typing import Final

from actors.decisions.experiments.assignment import Assigner
from protocols.control import Refused, Unknown
from protocols.experiments import GetPlans, UsePlans
from runtime import ActorRef

FRESH_NS: Final = 5_000_000_000
ASK_S: Final = 0.05


class KnownPlans:
    """The last plans that the keeper of experiments told; asked for again when they are older than five seconds."""

    def __init__(self) -> None:
        self.assigner: Assigner | None = None
        self._plans: UsePlans | None = None
        self._asked: int | None = None

    async def at(self, keeper: ActorRef, now: int, deadline: int) -> Assigner | None:
        """Who is assigned to what, as far as it is known at `now` (monotonic, ns); None: nobody has told yet.

        One who asks waits for the keeper, 50 ms or a quarter of his time until `deadline` at most; the others meanwhile
        get what was known before.
        """
        if (self._asked is not None and now - self._asked < FRESH_NS) or deadline <= now:
            return self.assigner
        self._asked = now
        try:
            plans = await keeper.ask(GetPlans(), min(ASK_S, (deadline - now) / 4e9))
        except (Refused, Unknown):
            return self.assigner  # the keeper is restarting: what it told before holds
        if plans != self._plans:
            self._plans, self.assigner = plans, Assigner(plans.plans, plans.sticky)
        return self.assigner
