"""`bin/troupe monitoring generate` and `check`: files for Prometheus and Grafana, made of a configuration's rules."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.monitor.alerts.rules import Rule, RuleError, rules
from actors.monitor.alerts.settings import RULES_SECTION, SECTION
from actors.monitor.generating.checking import unknown_in
from actors.monitor.generating.dashboard import dashboard
from actors.monitor.generating.rules_file import rules_file
from protocols.control import Refused

if TYPE_CHECKING:
    from runtime.settings import Configuration

Answer = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int]
OUT: Final = "config/monitoring"
RULES_FILE: Final = "troupe-rules.yaml"
DASHBOARD_FILE: Final = "troupe-dashboard.json"
FAILED: Final = 1


def generate(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Write rules for Prometheus and a dashboard for Grafana, made of the configuration's rules.

    Raises Refused for a rule that is none, or a folder that cannot be written.
    """
    folder = _folder(generate, "the folder to write to", arguments)
    assert configuration is not None
    written = []
    for name, text in files(configuration).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Refused("invalid", f"{path} cannot be written: {error.strerror or error}", "out") from error
        written.append(str(path))
    unknown = unknown_in(*_rules(configuration))
    lines = [*(f"written: {path}" for path in written), *(f"doubtful: {each}" for each in unknown)]
    return "\n".join(lines), {"files": written, "unknown": unknown}


def check(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Say whether the files are what would be written, and name only metrics that there are; 1 where they do not.

    Raises Refused for a rule that is none, or a file that cannot be read.
    """
    folder = _folder(check, "the folder with the files", arguments)
    assert configuration is not None
    wrong = []
    for name, text in files(configuration).items():
        path = folder / name
        try:
            if path.read_text(encoding="utf-8") != text:
                wrong.append(f"{path} is not what these rules make; write it with: troupe monitoring generate")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise Refused("not_found", f"{path} cannot be read: {why}", "out") from error
    wrong += unknown_in(*_rules(configuration))
    if wrong:
        return "\n".join(wrong), {"problems": wrong}, FAILED
    return f"{folder}: as these rules make it, and every metric is one that a node shows", {"problems": []}


def files(configuration: Configuration) -> dict[str, str]:
    """The files by name. Raises Refused `invalid` for a rule that is none."""
    known, interval_s = _rules(configuration)
    return {RULES_FILE: rules_file(known, interval_s), DASHBOARD_FILE: dashboard(known)}


def _rules(configuration: Configuration) -> tuple[list[Rule], float]:
    settings = configuration.section(SECTION)
    given = configuration.section(RULES_SECTION)
    try:
        known = rules(given, settings.interval_s, settings.retention_s, defaults=settings.default_rules)
    except RuleError as error:
        raise Refused("invalid", str(error), f"{RULES_SECTION}.{error.index}.{error.field}") from error
    return known, settings.interval_s


def _folder(command: Callable[..., Answer], what: str, arguments: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(
        prog=f"troupe monitoring {command.__name__}", description=(command.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", default=OUT, metavar="DIR", help=f"{what} (default: {OUT})")
    return Path(parser.parse_args(arguments).out)
