"""`[[providers]]`: which symbols have providers, and in which order they are believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from actors.market.instrument_master import InstrumentSource
from actors.market.venues import VENUES
from runtime import ChildSpec

Positive = Annotated[float, msgspec.Meta(gt=0)]


class ProviderSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider of a symbol."""

    market: str
    """The market whose quotes count, as our feeds name it: `AAPL.MASSIVE`."""
    venue: str = ""
    """The venue that is asked for bars over REST; empty: that of the feed that follows the market, or of its name."""
    max_age_s: Positive = 60.0
    """How old a quote may be. A book that stands still is not told anew; polled prices come rarely."""


class ProviderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[providers]]`: a symbol and who gives its quotes and bars, the preferred one first."""

    symbol: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """What it is asked for by."""
    sources: tuple[ProviderSource, ...]
    """Its providers in order."""
    open_s: Positive = 15.0
    """How long a provider that failed is left alone before it is tried again."""
    trials: Annotated[int, msgspec.Meta(ge=1)] = 3
    """At how many looks in a row, one a second, it has to be well before it is used again."""
    failures: Annotated[int, msgspec.Meta(ge=1)] = 3
    """How many requests for bars in a row may fail before it is left alone."""
    bars_timeout_s: Positive = 10.0
    """How long one provider may take to give bars."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError(f"{self.symbol} needs sources")
        if len({source.market for source in self.sources}) < len(self.sources):
            raise ValueError(f"{self.symbol} names a source twice")
        for source in self.sources:
            if source.venue and source.venue not in VENUES:
                raise ValueError(f"expected a venue out of {', '.join(sorted(VENUES))}, got {source.venue!r}")


def specs(settings: Sequence[ProviderSettings], feeds: Sequence[InstrumentSource] = ()) -> list[ChildSpec]:
    """The actor that answers for all symbols, at `/market/providers`; none where there are no symbols.

    `feeds`: each with its name, its venue, its markets and how to reach it. Raises ValueError for a symbol that is
    named twice.
    """
    if not settings:
        return []
    if len({each.symbol for each in settings}) < len(settings):
        raise ValueError("two providers have the same symbol")
    return [
        ChildSpec(
            name="providers",
            actor="actors.market.provider_selector:ProviderSelector",
            arguments={
                "symbols": [msgspec.to_builtins(each) for each in settings],
                "feeds": [msgspec.to_builtins(each) for each in feeds],
            },
        )
    ]
