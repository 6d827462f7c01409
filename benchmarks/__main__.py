"""`bin/troupe bench [NAME ...] [--quick] [--list]`: measure, and write RESULTS.md.

Exit status 0 when everything was measured, whether or not a target is missed: the page says which. 1 when a benchmark
could not be measured, 2 for a name that does not exist.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

import msgspec

from benchmarks import machine, report
from benchmarks.harness import FULL, QUICK, ChildFailed, Scale, disturbances

BENCHMARKS = (
    "tell",
    "ask",
    "population",
    "restart",
    "route",
    "fanout",
    "path",
    "lag",
    "log",
    "wake",
    "market",
    "feed",
    "books",
    "store",
    "strategies",
    "channels",
    "backtest",
    "execution",
    "cluster",
    "link",
    "decisions",
    "thresholds",
    "thresholds_serving",
)
"""In the order of the page."""


def main(arguments: list[str]) -> int:
    """Run the benchmarks that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="troupe bench", description="Measure the speeds that are claimed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a few minutes in all; never replaces a full result")
    parser.add_argument("--list", action="store_true", help="say what there is, and measure nothing")
    parser.add_argument("--folder", type=Path, default=report.FOLDER, help="where RESULTS.md and results.json are kept")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        print(f"error: there is no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    if options.list:
        for name in BENCHMARKS:
            print(f"{name:12} {title_of(name)}")
        return 0
    scale = QUICK if options.quick else FULL
    failed = []
    for name in [name for name in BENCHMARKS if name in (options.names or BENCHMARKS)]:
        print(f"{name}: {title_of(name)}", file=sys.stderr, flush=True)
        try:
            section = measure(name, scale)
        except ChildFailed as error:
            print(f"error: {name} could not be measured: {error}", file=sys.stderr)
            failed.append(name)
            continue
        kept = report.load(options.folder)
        kept.put(section)
        report.save(kept, list(BENCHMARKS), options.folder)
        print(report.terminal(section), flush=True)
    print(f"written: {options.folder / report.PAGE}", file=sys.stderr)
    return 1 if failed else 0


def title_of(name: str) -> str:
    """What a benchmark measures, in a few words."""
    return str(importlib.import_module(f"benchmarks.{name}").TITLE)


def measure(name: str, scale: Scale) -> report.Section:
    """Run one benchmark. Raises ChildFailed."""
    load_before = machine.load_average()
    disturbances.clear()
    began = time.perf_counter()
    module = importlib.import_module(f"benchmarks.{name}")
    turns = min(scale.repeats, getattr(module, "TURNS", scale.repeats))
    findings = module.run(msgspec.structs.replace(scale, repeats=turns))
    return report.Section(
        name=name,
        title=title_of(name),
        command=f"bin/troupe bench {name}{' --quick' if scale is QUICK else ''}",
        date=machine.now(),
        quick=scale is QUICK,
        turns=turns,
        seconds=time.perf_counter() - began,
        load_before=load_before,
        others=tuple(disturbances),
        machine=machine.describe(),
        findings=findings,
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        # Children end with their parent; what was measured before is written already.
        sys.exit(130)
