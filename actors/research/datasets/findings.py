"""What a validation says: findings, and the scores that follow from them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Severity = Literal["error", "warning", "info"]
FIRST_ROWS: Final = 10
SCORE_OF_FILE: Final = 0.05
"""What a warning that concerns the whole file takes off the score."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong or worth knowing.

    `rows`: the first of them, numbered from 1 in the order of the data set; none where it concerns the whole of it.
    `examples` are in words. `advice`: what to do.
    """

    kind: str
    severity: Severity
    count: int
    message: str
    advice: str
    market: str = ""
    rows: tuple[int, ...] = ()
    examples: tuple[str, ...] = ()


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """All findings of a data set, and its scores, each 0 to 1.

    completeness   of bars: those that are there, of those that should be (`holes`); else rows that have all their
                   values, of all rows
    validity       1 - rows with an error / rows
    quality        completeness * validity * (1 - 0.5 * rows with a warning / rows) * 0.95 for each warning that
                   concerns the whole file

    `valid`: there is no error.
    """

    rows: int
    valid: bool
    completeness_score: float
    quality_score: float
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    """The kinds that were looked for."""
    ts: int = 0


def scored(rows: int, completeness: float, findings: list[Finding], checked: tuple[str, ...]) -> ValidationReport:
    """The report of these findings."""
    errors = sum(finding.count for finding in findings if finding.severity == "error" and finding.rows)
    warned = sum(finding.count for finding in findings if finding.severity == "warning" and finding.rows)
    whole = sum(finding.severity == "warning" and not finding.rows and finding.kind != "holes" for finding in findings)
    validity = 1.0 - min(1.0, errors / rows) if rows else 0.0
    score = completeness * validity * (1.0 - 0.5 * min(1.0, warned / rows if rows else 0.0))
    score *= (1.0 - SCORE_OF_FILE) ** whole
    order = {"error": 0, "warning": 1, "info": 2}
    return ValidationReport(
        rows=rows,
        valid=not any(finding.severity == "error" for finding in findings),
        completeness_score=round(completeness, 6),
        quality_score=round(score, 6),
        findings=tuple(sorted(findings, key=lambda finding: order[finding.severity])),
        checked=checked,
    )
