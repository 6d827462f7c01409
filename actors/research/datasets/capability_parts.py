"""What data sets bring to the capability of research."""

from __future__ import annotations

from typing import Any, Final

from actors.research.datasets.routes import routes as routes
from actors.research.datasets.rows import DATASETS, DatasetRow
from actors.research.datasets.settings import SECTION, DatasetSettings, specs
from protocols.control import Row
from runtime import ChildSpec
from runtime.settings import Configuration

sections: Final[dict[str, Any]] = {SECTION: DatasetSettings}
rows: Final[tuple[type[Row], ...]] = (DatasetRow,)
probes: Final = (("datasets", DATASETS),)


def children(configuration: Configuration) -> list[ChildSpec]:
    """The actors below `/research`."""
    settings: DatasetSettings = configuration.section(SECTION)
    return specs(settings)
