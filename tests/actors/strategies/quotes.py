"""Quotes to test with."""

from __future__ import annotations

from protocols.market import Quote

NOW = 1_750_000_000_000_000_000
SECOND = 1_000_000_000
CENT = 10_000_000


def quote(
    at_s: float,
    imbalance: float = 0.0,
    mid_cents: float = 50.0,
    *,
    market: str = "A",
    marks: tuple[str, ...] = (),
    seq: int = 1,
    session: str = "s",
) -> Quote:
    """A quote two cents wide with 100 at both sides together 200, leaning by `imbalance`."""
    ts = NOW + round(at_s * SECOND)
    bid_size = round(100 * (1 + imbalance)) * SECOND
    return Quote(
        market=market,
        bid=round((mid_cents - 1) * CENT),
        bid_size=bid_size,
        ask=round((mid_cents + 1) * CENT),
        ask_size=200 * SECOND - bid_size,
        session=session,
        seq=seq,
        ts_event=ts,
        ts_recv=ts + 1,
        marks=marks,
    )
