"""What several replicas of one strategy say of themselves, as one."""

from __future__ import annotations

from collections.abc import Mapping

from actors.strategies.status import RunnerStatus
from actors.strategies.strategy import Figure


def together(runners: Mapping[str, RunnerStatus]) -> RunnerStatus:
    """The status of a run of which these, by path, are all that answered: at least one.

    Counts are added; it began with the first, and the last execution is the latest. A figure that is a whole number is
    added, too; of any other each replica's own is given, with its name.
    """
    statuses = [runners[path] for path in sorted(runners)]
    if len(statuses) == 1:
        return statuses[0]
    return RunnerStatus(
        statuses[0].incarnation,
        min(each.ts_started for each in statuses),
        max(each.ts_last_execution for each in statuses),
        sum(each.signals_generated for each in statuses),
        sum(each.signals_waiting for each in statuses),
        sum(each.errors for each in statuses),
        next((each.last_error for each in statuses if each.last_error), ""),
        tuple(_figures(runners)),
    )


def _figures(runners: Mapping[str, RunnerStatus]) -> list[Figure]:
    sums: dict[str, int] = {}
    others: list[Figure] = []
    for path in sorted(runners):
        replica = path.rpartition("/")[2]
        for name, value in runners[path].figures:
            if isinstance(value, int) and not isinstance(value, bool):
                sums[name] = sums.get(name, 0) + value
            else:
                others.append((f"{name} of {replica}", value))
    return [*sums.items(), *others]
