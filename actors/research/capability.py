"""Research as a capability: settings, branch of the tree, routes, tables.

/research               one for one
├── datasets            data sets: files, their validation, who may read them
├── runs                dynamic; the backtests that run, each with a process of its own
│   └── <job id>.<n>    temporary; in a worker, if backtests are placed in one
└── backtests           backtests: jobs, their turns, and what they came to
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from actors.edge.routing import Route
from actors.research.analysis.routes import routes as analysis_routes
from actors.research.backtest import capability_parts as backtests
from actors.research.datasets import capability_parts as datasets
from protocols.control import Row
from runtime import Backoff, ChildSpec, RestartLimit, supervisor
from runtime.capability import Whole
from runtime.settings import Configuration

LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)

sections: dict[str, Any] = {**datasets.sections, **backtests.sections}
routes: list[Route] = [*datasets.routes, *backtests.routes, *analysis_routes]


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """The branch `/research`."""
    parts = [*datasets.children(configuration), *backtests.children(configuration)]
    return [supervisor("research", *parts, limit=LIMIT, backoff=BACKOFF)]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for research."""
    return [*datasets.probes, *backtests.probes]


migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = (*datasets.rows, *backtests.rows)
commands: dict[str, str] = {
    "backtest": "actors.research.backtest.commands:backtest",
    "data import": "actors.research.datasets.commands:data_import",
    "data list": "actors.research.datasets.commands:data_list",
    "data show": "actors.research.datasets.commands:data_show",
    "data validate": "actors.research.datasets.commands:data_validate",
    "diff": "actors.research.analysis.diff_command:diff",
    "journal": "actors.research.analysis.journal_command:journal",
    "report": "actors.research.analysis.report_command:report",
    "tca": "actors.research.analysis.tca_command:tca",
}
