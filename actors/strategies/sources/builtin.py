"""The source `catalogue`: the trusted strategies that come with the runtime."""

from __future__ import annotations

import inspect

from actors.strategies.catalogue import CATALOGUE, find
from actors.strategies.package import Package


def catalogue_packages() -> dict[str, Package]:
    """The catalogue as packages, by id. Imports the strategies; raises StrategyError for one that cannot be had."""
    found = {}
    for name, path in CATALOGUE.items():
        kind = find(name)
        description = (inspect.getdoc(kind) or "").partition("\n")[0]
        found[name] = Package(
            strategy_id=name, source="catalogue", name=name, version=kind.version, description=description, path=path
        )
    return found
