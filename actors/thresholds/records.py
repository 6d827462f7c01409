"""The records of adaptation: their text, made from their fields, and the thresholds, computed again from the records.

`replay` trusts no result: it starts from the value before the first record and does again what each says was proposed,
under the limits that each says held. What then differs from `applied` in the last bit raises `ReplayMismatch`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from actors.thresholds.parameters import Parameter
from actors.thresholds.safeguards import Limits, limited
from protocols.thresholds import MOVES, AdaptationRecord


class ReplayMismatch(Exception):
    """A record does not follow from the one before it, or not from its own fields."""


class Replayed(NamedTuple):
    """The threshold that is served and the candidate after all records."""

    value: float
    candidate: float


def parameter_of(record: AdaptationRecord) -> Parameter:
    """The axis that the record is on; its field does not matter there."""
    return Parameter(
        name=record.parameter,
        field="confidence",
        default=min(max(record.value_default, record.lower), record.upper),
        lower=record.lower,
        upper=record.upper,
        comparison=record.comparison,
        scale=record.scale,
    )


def limits_of(record: AdaptationRecord) -> Limits:
    """What its move was held to."""
    return Limits(record.lower, record.upper, record.scale, record.max_change, record.min_change)


def stepped(old: float, step: float, score_sd: float, parameter: Parameter) -> tuple[float, float]:
    """A candidate after a step of so many standard deviations of the score: as proposed, and within the bounds."""
    gate = parameter.gate(old) + step * score_sd
    on = -gate if parameter.comparison == "cap" else gate
    unbound = math.exp(min(on, 700.0)) if parameter.scale == "log" else on
    return unbound, min(max(unbound, parameter.lower), parameter.upper)


def replay(records: Iterable[AdaptationRecord], value: float, candidate: float | None = None) -> Replayed:
    """The threshold and the candidate after these records of one learner, in order, from those before the first.

    Records of cycles that moved nothing may be left out; those of blocks may too, all of them, with `candidate` None.
    Raises ReplayMismatch.
    """
    with_blocks = candidate is not None
    tried = value if candidate is None else candidate
    for record in records:
        if record.kind == "reset":
            value = min(max(record.proposed, record.lower), record.upper)
            tried = value
            _same(record, "applied", value, record.applied)
        elif record.kind == "block":
            if not with_blocks:
                continue
            _same(record, "old", tried, record.old)
            if record.reason_code == "REVERT_DRIFT":
                tried = record.value_default
            else:
                proposed, tried = stepped(tried, record.step, record.score_sd, parameter_of(record))
                _same(record, "proposed", proposed, record.proposed)
                if "lead" in record.clipped_by:
                    tried = limited(value, tried, limits_of(record), math.inf).applied
            _same(record, "applied", tried, record.applied)
        else:
            _same(record, "old", value, record.old)
            if record.reason_code in MOVES:
                value = limited(value, record.proposed, limits_of(record), record.travel_left).applied
            _same(record, "applied", value, record.applied)
    return Replayed(value, tried)


def _same(record: AdaptationRecord, field: str, expected: float, got: float) -> None:
    if expected != got:
        raise ReplayMismatch(f"{record.id}: {field} is {got!r}, but {expected!r} follows")


def changes(record: AdaptationRecord) -> bool:
    """Whether the record has to be kept: a cycle that moved nothing changes nothing."""
    return record.kind != "cycle" or record.reason_code in MOVES


def moved(record: AdaptationRecord) -> bool:
    """Whether the record is of a threshold that is served and now is another."""
    return record.kind != "block" and record.applied != record.old and record.reason_code in MOVES | {"BOUND"}


def confidence_of(record: AdaptationRecord) -> float:
    """How sure the evidence is, from 0 to 1: of a candidate that beats the default, Phi(t_D); 0 while not known."""
    t = record.t_candidate
    return 0.0 if t is None else 0.5 * (1 + math.erf(t / math.sqrt(2)))


def text_of(record: AdaptationRecord) -> str:
    """What happened and why, in words; made of the fields and nothing else."""
    whose = f"{record.parameter} of {record.user} on {record.symbol}"
    if record.kind == "reset":
        what = "set within its new bounds" if record.reason_code == "BOUND" else "set back to its default"
        return f"{whose}: {what}, {_n(record.old)} -> {_n(record.applied)}"
    if record.kind == "block":
        return f"{whose}: {_of_block(record)}"
    return f"{whose}: {_of_cycle(record)}"


def _of_block(record: AdaptationRecord) -> str:
    seen = f"after {record.n_block} more resolved decisions ({record.n_total} in all)"
    if record.reason_code == "REVERT_DRIFT":
        return (
            f"the outcomes have become worse {seen}; the evidence is dropped and the candidate is the default again, "
            f"{_n(record.old)} -> {_n(record.applied)}"
        )
    evidence = f"slope {_n(record.gradient)} +- {_n(record.se)}, t = {_t(record.t)}"
    judged = f"against the default t = {_t(record.t_candidate)}, {'serves' if record.gate_open else 'does not serve'}"
    if record.reason_code == "APPLIED":
        held = f", held back by {' and '.join(record.clipped_by)}" if record.clipped_by else ""
        moved = f"the candidate goes {_n(record.old)} -> {_n(record.applied)}{held}"
    elif record.reason_code == "BOUND":
        moved = f"the candidate stays at {_n(record.old)}, its bound"
    else:
        moved = f"the candidate stays at {_n(record.old)}: the evidence is too small to move it"
    return f"{moved} {seen}; {evidence}; {judged}"


def _of_cycle(record: AdaptationRecord) -> str:
    wanted = f"{_n(record.old)}, where {_n(record.proposed)} is proposed"
    code = record.reason_code
    if code == "FROZEN":
        return f"frozen at {_n(record.old)}: {', '.join(record.frozen_by)}"
    if code == "COOLDOWN":
        return f"stays at {wanted}: in a cooldown until {_when(record.until)}"
    if code == "TOO_SOON":
        return f"stays at {wanted}: the next cycle is at {_when(record.until)}"
    if code == "NO_EVIDENCE":
        return (
            f"stays at {_n(record.old)}: {record.n_total} resolved decisions show nothing that beats it "
            f"(t = {_t(record.t_candidate)})"
        )
    if code == "DEADBAND":
        return f"stays at {wanted}: less than {_p(record.min_change)} at once waits until it adds up"
    if code == "TRAVEL":
        return f"stays at {wanted}: only {_p(record.travel_left)} are left for today"
    if code == "BOUND":
        return f"stays at {_n(record.old)}, its bound, where {_n(record.proposed)} is proposed"
    moved = f"{_n(record.old)} -> {_n(record.applied)}"
    if record.clipped_by:
        moved += f" of {_n(record.proposed)} proposed (held back by {' and '.join(record.clipped_by)})"
    if code == "REVERT_DRIFT":
        return f"{moved}: back towards the default {_n(record.value_default)}, the outcomes have become worse"
    if code == "REVERT_HARM" and record.t_candidate is None:
        return f"{moved}: back towards the default {_n(record.value_default)}, which nothing is known to beat"
    if code == "REVERT_HARM":
        return (
            f"{moved}: back towards the default {_n(record.value_default)}, which does better "
            f"(t = {_t(record.t_candidate)}, of what was served {_t(record.t_served)})"
        )
    others = f", {_p(record.pooled_weight)} of it from other users" if record.pooled_weight else ""
    return (
        f"{moved}: {record.n_total} resolved decisions, the candidate {_n(record.value_candidate)} beats the default "
        f"{_n(record.value_default)} with t = {_t(record.t_candidate)}{others}{', forced' if record.forced else ''}"
    )


def _n(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"


def _t(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"


def _p(value: float) -> str:
    return f"{100 * value:.3g} %"


def _when(ts: int) -> str:
    return datetime.fromtimestamp(ts // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
