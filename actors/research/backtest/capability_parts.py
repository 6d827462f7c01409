"""What backtests bring to the capability of research."""

from __future__ import annotations

from typing import Any, Final

from actors.research.backtest.routes import routes as routes
from actors.research.backtest.settings import SECTION, BacktestSettings, specs
from protocols.backtests import BACKTESTS, BacktestJobRow, BacktestTrialRow
from protocols.control import Row
from runtime import ChildSpec
from runtime.settings import Configuration

sections: Final[dict[str, Any]] = {SECTION: BacktestSettings}
rows: Final[tuple[type[Row], ...]] = (BacktestJobRow, BacktestTrialRow)
probes: Final = (("backtests", BACKTESTS),)


def children(configuration: Configuration) -> list[ChildSpec]:
    """The actors below `/research`."""
    settings: BacktestSettings = configuration.section(SECTION)
    return specs(settings, configuration.section("node").data_dir)
