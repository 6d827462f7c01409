"""The names of features, in the order in which policies take them. A core.

A name stands in one set only, and its meaning never changes: another meaning is another name, or a new set.
"""

from __future__ import annotations

from typing import Final

MARKET_29: Final = "market29"
"""Price, indicators, momentum, and what may be known of chain, whales, funding, smart money and liquidations."""
BOOK: Final = "book"
"""What an order book says."""

PRICE: Final = ("change_percent", "return_1", "return_5", "volume_ratio")
INDICATORS: Final = ("rsi", "macd", "bollinger_position", "atr")
MOMENTUM: Final = ("sma_ratio", "momentum_10", "momentum_20", "adx")
ON_CHAIN: Final = ("active_addresses_change", "transaction_count_change", "exchange_netflow", "network_growth")
WHALES: Final = ("whale_net_flow", "whale_transactions", "whale_volume_share", "whale_accumulation")
FUNDING: Final = ("funding_rate", "funding_rate_change", "open_interest_change")
SMART_MONEY: Final = ("smart_money_net_flow", "smart_money_buy_share", "smart_money_activity")
LIQUIDATIONS: Final = ("long_liquidations", "short_liquidations", "liquidation_imbalance")

FEATURE_SETS: Final[dict[str, tuple[str, ...]]] = {
    MARKET_29: PRICE + INDICATORS + MOMENTUM + ON_CHAIN + WHALES + FUNDING + SMART_MONEY + LIQUIDATIONS,
    BOOK: (
        "spread",
        "microprice_offset",
        "imbalance_1",
        "imbalance_2",
        "imbalance_3",
        "imbalance_4",
        "imbalance_5",
        "depth_ratio",
        "flow_fast",
        "flow_middle",
        "flow_slow",
        "realised_volatility",
    ),
}
"""The features of every set; a set's length is the length of its observations."""

REGIMES: Final = ("bull", "bear", "sideways", "high_volatility")
"""The order of regime probabilities everywhere."""
