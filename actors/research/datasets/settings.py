"""`[datasets]`: how large a data set may be, and where recordings may be that one refers to."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from actors.research.datasets.rows import DATASETS
from runtime import Backoff, ChildSpec
from runtime.settings import LocalPath

SECTION: Final = "datasets"


class DatasetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[datasets]`."""

    max_upload_bytes: Annotated[int, msgspec.Meta(ge=1_024, le=68_719_476_736)] = 2_147_483_648
    """The largest file that may be sent."""
    max_rows: Annotated[int, msgspec.Meta(ge=1)] = 100_000_000
    """Rows of a data set; a file with more is refused."""
    memory_mb: Annotated[int, msgspec.Meta(ge=256)] = 8_192
    """What a process that reads a file may allocate, in MiB; a file that takes more is refused."""
    imports: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """How many files are read at a time, each in a process of its own."""
    waiting: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """How many may wait to be read; one more is refused."""
    recordings: tuple[LocalPath, ...] = ()
    """Folders whose recordings a data set may refer to without a copy, beside the data folder."""


def specs(settings: DatasetSettings) -> list[ChildSpec]:
    """The actor that keeps data sets; it answers the probe."""
    return [
        ChildSpec(
            name=DATASETS.rpartition("/")[2],
            actor="actors.research.datasets.keeper:DatasetKeeper",
            arguments={"settings": settings},
            backoff=Backoff(first_s=0.1, most_s=2.0),
        )
    ]
