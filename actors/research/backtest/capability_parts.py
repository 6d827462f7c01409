"""What backtests bring to the capability of research."""

from __future__ import annotations

from typing import Any, Final

from actors.research.backtest.routes import routes as routes
from actors.research.backtest.settings import SECTION, BacktestSettings, specs
from protocols.backtests import BACKTESTS, BacktestJobRow, BacktestTrialRow
from protocols.control import Row
from runtime import ChildSpec
from runtime.cluster.settings import without_cluster
from runtime.settings import Configuration, ConfigurationError

sections: Final[dict[str, Any]] = {SECTION: BacktestSettings}
rows: Final[tuple[type[Row], ...]] = (BacktestJobRow, BacktestTrialRow)
probes: Final = (("backtests", BACKTESTS),)


def children(configuration: Configuration) -> list[ChildSpec]:
    """The actors below `/research`. Raises ConfigurationError for a place that cannot be had."""
    settings: BacktestSettings = configuration.section(SECTION)
    if issues := without_cluster(configuration, f"{SECTION}.placement", settings.placement):
        raise ConfigurationError(issues)
    return specs(settings, configuration.section("node").data_dir)
