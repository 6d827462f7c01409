"""`troupe doctor`: what could keep a node from running well on this machine, each finding with its fix."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from actors.cli import machine_checks, node_checks
from actors.cli.finding import Finding, Surroundings
from actors.cli.report import CommandError, Exit, Issue, Report, paint

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "grey"}

Check = Callable[[Surroundings], Iterable[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", machine_checks.python),
    ("packages", machine_checks.packages),
    ("clock", machine_checks.clock),
    ("open files", machine_checks.open_files),
    ("sandbox", machine_checks.sandbox),
    ("configuration", node_checks.configuration),
    ("data folder", node_checks.data_folder),
    ("disk", node_checks.disk),
    ("node", node_checks.node),
    ("port", node_checks.port),
    ("database", node_checks.database),
)


def doctor(arguments: argparse.Namespace) -> Report:
    """Run every check; exit status 1 if one fails."""
    surroundings = Surroundings(arguments)
    findings = [finding for name, check in CHECKS for finding in run(name, check, surroundings)]
    return report(findings)


def run(name: str, check: Check, surroundings: Surroundings) -> list[Finding]:
    """One check's findings. A check that breaks is itself a finding: the others still run."""
    try:
        return list(check(surroundings))
    except CommandError as error:
        return [Finding(name, "skip", f"not possible without what failed above: {error}")]
    except Exception as error:
        return [Finding(name, "fail", f"the check itself broke: {type(error).__name__}: {error}")]


def report(findings: list[Finding]) -> Report:
    """The findings as a table, and as data."""
    failed = [finding for finding in findings if finding.status == "fail"]
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        status = paint(finding.status.ljust(4), _COLOURS[finding.status])
        lines.append(f"{finding.check.ljust(width)}  {status}  {finding.detail}")
        if finding.fix:
            lines.append(f"{' ' * width}        fix: {finding.fix}")
    issues = tuple(
        Issue(f"doctor_{finding.check.replace(' ', '_')}", finding.detail, None, finding.fix) for finding in failed
    )
    text = "\n".join(lines)
    data = {"checks": [finding._asdict() for finding in findings]}
    if failed:
        return Report(text, data, Exit.FAILED, "error", issues)
    return Report(text, data)
