"""What was found, kept as data (`results.json`) and shown as tables (`RESULTS.md`, the terminal).

A run replaces the sections of the benchmarks that it measured and leaves the others. A quick run never replaces a full
one: it stands beside it, and only until the next full run.
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import mean

import msgspec

from benchmarks.harness import Findings, Row
from benchmarks.machine import Machine

FOLDER = Path(__file__).resolve().parent
DATA = "results.json"
PAGE = "RESULTS.md"

HEAD = """\
# Measured speeds

Written by `bin/troupe bench`; nothing here is typed by hand. Every figure is the median of several turns (the lowest
and the highest turn in brackets), and all sides of a comparison are measured in turns in the same run. A ratio is ours
divided by the peer's. Server and load generator run in processes of their own, pinned to a core each. A turn in which
others took more than a tenth of the machine was measured again, twice at most, and the least disturbed attempt counts.
"""


class Section(msgspec.Struct, frozen=True):
    """One benchmark of one run."""

    name: str
    title: str
    command: str
    date: str
    quick: bool
    turns: int
    seconds: float
    load_before: float
    others: tuple[float, ...]
    """Others' share of the machine in every turn that counts."""
    machine: Machine
    findings: Findings


class Kept(msgspec.Struct):
    """All sections, the last of each kind."""

    full: dict[str, Section] = {}
    quick: dict[str, Section] = {}

    def put(self, section: Section) -> None:
        """Replace what this section renews."""
        if section.quick:
            self.quick[section.name] = section
        else:
            self.full[section.name] = section
            self.quick.pop(section.name, None)


def load(folder: Path = FOLDER) -> Kept:
    """What was kept; nothing, if there is none or it was written by another version of this program."""
    try:
        return msgspec.json.decode((folder / DATA).read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return Kept()


def save(kept: Kept, order: list[str], folder: Path = FOLDER) -> None:
    """Write data and page."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / DATA, msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    _replace(folder / PAGE, page(kept, order).encode())


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".new")
    aside.write_bytes(content)
    os.replace(aside, path)


def page(kept: Kept, order: list[str]) -> str:
    """The whole page."""
    parts = [HEAD]
    machines: list[Machine] = []
    for name in order:
        for section in (kept.full.get(name), kept.quick.get(name)):
            if section is not None and section.machine not in machines:
                machines.append(section.machine)
    for number, machine in enumerate(machines, 1):
        packages = ", ".join(f"{name} {version}" for name, version in machine.packages)
        parts.append(
            f"Machine{f' {number}' if len(machines) > 1 else ''}: {machine.cpu}, {machine.cores} cores, "
            f"{machine.memory_gb:g} GB, {machine.system}, {machine.python}; {packages}.\n"
        )
    for name in order:
        full, quick = kept.full.get(name), kept.quick.get(name)
        first = full or quick
        if first is None:
            continue
        parts.append(f"## {first.title}\n")
        for section in (full, quick):
            if section is not None:
                which = machines.index(section.machine) + 1 if len(machines) > 1 else None
                parts.append(_section(section, which))
    return "\n".join(parts)


def _section(section: Section, machine: int | None) -> str:
    about = [
        f"`{section.command}`",
        section.date,
        f"{section.turns} turns, {section.seconds:.0f} s in all",
        f"load average before: {section.load_before:.2f}",
        f"others took {mean(section.others):.0%} of the machine meanwhile, {max(section.others):.0%} at most",
    ]
    if machine is not None:
        about.append(f"machine {machine}")
    if section.quick:
        about.insert(0, "**quick run, shorter and noisier**")
    lines = [" · ".join(about), ""]
    cells = table(section.findings.rows)
    lines.append("| " + " | ".join(cells[0]) + " |")
    lines.append("|---|" + "---:|" * 2 + "---|" + "---:|" * 3 + "---|")
    lines += ["| " + " | ".join(row) + " |" for row in cells[1:]]
    lines.append("")
    lines += [f"- {note}" for note in section.findings.notes]
    return "\n".join(lines) + "\n"


def table(rows: tuple[Row, ...]) -> list[list[str]]:
    """The cells of a table, its head first."""
    cells = [["figure", "measured", "spread", "peer", "peer measured", "ratio", "target", "verdict"]]
    for row in rows:
        peer, ratio = row.peer_median, row.ratio
        cells.append(
            [
                row.figure,
                f"{number(row.median)} {row.unit}",
                f"[{number(min(row.values))}, {number(max(row.values))}]",
                row.peer,
                "" if peer is None else f"{number(peer)} {row.unit}",
                "" if ratio is None else f"{ratio:.2f}x",
                _target(row),
                verdict(row),
            ]
        )
    return cells


def verdict(row: Row) -> str:
    """Whether the target is met, or by how much it is missed."""
    short = row.shortfall
    if short is None:
        return ""
    return "met" if short == 0 else f"missed by {short:.1%}" if short < 1 else f"missed {1 + short:.1f}-fold"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    sign = "≥" if row.target.at_least else "≤"
    bound = number(row.target.bound)
    return f"{sign} {bound}x" if row.target.of == "ratio" else f"{sign} {bound} {row.unit}"


def number(value: float) -> str:
    """Three or four digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def terminal(section: Section) -> str:
    """A section for people at a terminal."""
    cells = table(section.findings.rows)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [f"{section.title}  ({section.name}, load average before: {section.load_before:.2f})"]
    for row in cells:
        padded = (
            cell.ljust(width) if column in (0, 3, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  " + "  ".join(padded).rstrip())
    return "\n".join([*lines, *(f"  - {note}" for note in section.findings.notes)]) + "\n"
