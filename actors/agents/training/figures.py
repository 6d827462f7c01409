"""Figures of a comparison: what each contender made on the same tracks, and by how much one beat another. A core."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from actors.agents.training.evaluation import Played

DIGITS: Final = 6
TIE: Final = 1e-9


class Estimate(msgspec.Struct, frozen=True):
    """A mean over tracks and its standard error (deviation / √n); None of one track alone."""

    mean: float
    error: float | None


class Versus(msgspec.Struct, frozen=True):
    """One contender against another on the same tracks: differences of the return.

    `wins` and `losses` count tracks; `worst` and `best` are the differences of single ones.
    """

    difference: Estimate
    wins: int
    losses: int
    ties: int
    worst: float
    best: float


class Summary(msgspec.Struct, frozen=True):
    """What one contender made. `returns`: by track, in the order of the tracks."""

    return_: Estimate = msgspec.field(name="return")
    sharpe: Estimate
    drawdown: Estimate
    fees: Estimate
    orders: float
    returns: tuple[float, ...]
    versus: dict[str, Versus]


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and standard error. Raises ValueError for no values."""
    if not values:
        raise ValueError("values: expected one or more, got none")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Estimate(_short(mean), None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Estimate(_short(mean), _short(math.sqrt(variance / len(values))))


def versus(one: Sequence[Played], other: Sequence[Played]) -> Versus:
    """Track by track. Raises ValueError where the tracks are not the same."""
    if [each.track for each in one] != [each.track for each in other]:
        raise ValueError("tracks: expected the same ones in the same order")
    differences = [mine.return_ - theirs.return_ for mine, theirs in zip(one, other, strict=True)]
    wins = sum(difference > TIE for difference in differences)
    losses = sum(difference < -TIE for difference in differences)
    return Versus(
        estimate(differences),
        wins,
        losses,
        len(differences) - wins - losses,
        _short(min(differences)),
        _short(max(differences)),
    )


def summaries(played: Mapping[str, Sequence[Played]], baselines: Sequence[str]) -> dict[str, Summary]:
    """Of every contender, against every baseline but itself."""
    return {
        name: Summary(
            return_=estimate([each.return_ for each in runs]),
            sharpe=estimate([each.sharpe for each in runs]),
            drawdown=estimate([each.drawdown for each in runs]),
            fees=estimate([each.fees for each in runs]),
            orders=_short(math.fsum(each.orders for each in runs) / len(runs)),
            returns=tuple(_short(each.return_) for each in runs),
            versus={other: versus(runs, played[other]) for other in baselines if other != name},
        )
        for name, runs in played.items()
    }


def table(title: str, found: Mapping[str, Summary], baselines: Sequence[str]) -> str:
    """For people: one line for each contender."""
    lines = [
        f"{title:<34} return         sharpe  drawdown  orders" + "".join(f"   against {name:<23}" for name in baselines)
    ]
    for name, each in found.items():
        line = (
            f"  {name:<28} {each.return_.mean:>+8.2%} {_error(each.return_):>8} {each.sharpe.mean:>9.2f}"
            f" {each.drawdown.mean:>8.1%} {each.orders:>8.1f}"
        )
        for baseline in baselines:
            against = each.versus.get(baseline)
            line += "   " + (" " * 31 if against is None else _against(against))
        lines.append(line.rstrip())
    return "\n".join(lines)


def stands_out(found: Estimate) -> bool:
    """Whether it is more than two standard errors from nothing; one track alone never is."""
    return found.error is not None and abs(found.mean) > 2 * found.error


def verdict(name: str, found: Versus, baseline: str) -> str:
    """In words, whichever way it went: a difference counts where it is more than two standard errors."""
    mean = found.difference.mean
    told = f"{name} against {baseline}: {mean:+.2%} on average, {found.wins} won, {found.losses} lost"
    worst = f"; its worst track is {found.worst:+.2%} against it"
    if not stands_out(found.difference):
        return f"{told}: no difference that stands out of the noise{worst}"
    return f"{told}: {'better' if mean > 0 else 'WORSE'} after costs{worst}"


def _against(found: Versus) -> str:
    difference = f"{found.difference.mean:>+8.2%} {_error(found.difference):>8}"
    return f"{difference} {found.wins:>2} won {found.losses:>2} lost"


def _error(found: Estimate) -> str:
    return "" if found.error is None else f"±{found.error:.2%}"


def _short(value: float) -> float:
    return round(value, DIGITS)
