"""On-chain, whale, funding, smart-money and liquidation figures out of a data aggregator's answer. A core.

The answer of `POST /api/data/aggregate` has the blocks `onchain`, `whales`, `funding`, `smartMoney`, `liquidations`,
each for one symbol or by symbol. Whatever is not there is missing, and so is a block whose `status` says so. Keys are
read in camelCase and snake_case alike; which, stands in `KEYS` and `BALANCES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from actors.decisions.features.checking import FeatureError, number
from actors.decisions.features.table import AGES, HOUR, checked

Block = Mapping[str, object]

BLOCKS: Final = ("onchain", "whales", "funding", "smart_money", "liquidations")

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "active_addresses_change": ("onchain", "active_addresses_change"),
    "transaction_count_change": ("onchain", "transaction_count_change"),
    "exchange_netflow": ("onchain", "exchange_netflow", "netflow"),
    "network_growth": ("onchain", "network_growth"),
    "whale_net_flow": ("whales", "whale_net_flow", "net_flow"),
    "whale_transactions": ("whales", "whale_transactions", "transactions", "count"),
    "whale_volume_share": ("whales", "whale_volume_share", "volume_share"),
    "whale_accumulation": ("whales", "whale_accumulation", "accumulation"),
    "funding_rate": ("funding", "funding_rate", "rate"),
    "funding_rate_change": ("funding", "funding_rate_change", "rate_change"),
    "open_interest_change": ("funding", "open_interest_change"),
    "smart_money_net_flow": ("smart_money", "smart_money_net_flow", "net_flow"),
    "smart_money_buy_share": ("smart_money", "smart_money_buy_share", "buy_share"),
    "smart_money_activity": ("smart_money", "smart_money_activity", "activity"),
    "long_liquidations": ("liquidations", "long_liquidations", "longs"),
    "short_liquidations": ("liquidations", "short_liquidations", "shorts"),
    "liquidation_imbalance": ("liquidations", "liquidation_imbalance", "imbalance"),
}
"""Feature: its block, and the keys that it may have there; the first that is there counts."""

BALANCES: Final[dict[str, tuple[str, str, str]]] = {
    "exchange_netflow": ("onchain", "exchange_inflow", "exchange_outflow"),
    "whale_net_flow": ("whales", "bought", "sold"),
    "smart_money_net_flow": ("smart_money", "bought", "sold"),
    "liquidation_imbalance": ("liquidations", "longs", "shorts"),
}
"""Features that are (a - b) / (a + b) of two sums of a block, where they are not told themselves. Of 0 and 0 there is
no balance: it is missing."""

_COUNTED: Final = frozenset({"whales", "liquidations"})
"""Blocks that are counted over a window."""


def from_aggregate(
    body: Mapping[str, object], symbol: str = "", ts: int = 0, field: str = ""
) -> dict[str, float]:  # fmt: skip
    """The raw fields of features that an aggregator's answer has for `symbol`, by feature.

    `symbol` may be empty where each block is of one symbol. `ts` (ns): when it is used; a window that was not watched
    from its beginning is then left out, and so is a funding rate that is too old (0: neither is judged). `field`: what
    an error says before the name. Raises FeatureError for a value that is no number, or out of its feature's range.
    """
    found: dict[str, float] = {}
    blocks = {name: block for name, block in _blocks(body, symbol, field) if _usable(name, block, ts, field)}
    if not blocks:
        return found
    for feature, (name, *keys) in KEYS.items():
        block = blocks.get(name, {})
        for key in keys:
            if block.get(key) is not None:
                found[feature] = checked(feature, block[key], f"{field}{name}.{key}")
                break
    for feature, (name, more, less) in BALANCES.items():
        block = blocks.get(name, {})
        if feature in found or block.get(more) is None or block.get(less) is None:
            continue
        gained = number(f"{field}{name}.{more}", block[more], 0.0, 1e30)
        lost = number(f"{field}{name}.{less}", block[less], 0.0, 1e30)
        if gained + lost > 0:
            found[feature] = (gained - lost) / (gained + lost)
    return found


def marks_of(body: Mapping[str, object], symbol: str = "", field: str = "") -> tuple[str, ...]:
    """What kind of data the blocks say that they are made of (`origin.marks`), sorted."""
    found: set[str] = set()
    for _, block in _blocks(body, symbol, field):
        origin = block.get("origin")
        told = origin.get("marks") if isinstance(origin, Mapping) else None
        if isinstance(told, list | tuple):
            found.update(mark for mark in told if isinstance(mark, str))
    return tuple(sorted(found))


def snake(key: str) -> str:
    """`smartMoney` as `smart_money`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()


def _blocks(body: Mapping[str, object], symbol: str, field: str) -> Iterator[tuple[str, Block]]:
    """The blocks that are there and are about the symbol, with their keys in snake_case."""
    for key, value in body.items():
        name = snake(key)
        if name not in BLOCKS or value is None:
            continue
        if not isinstance(value, Mapping):
            raise FeatureError(f"{field}{key}", "an object", value)
        told: object = value
        if value and all(isinstance(each, Mapping) for each in value.values()):
            told = value.get(symbol) if symbol or len(value) > 1 else next(iter(value.values()))
        if isinstance(told, Mapping):
            yield name, {snake(str(inner)): each for inner, each in told.items()}


def _usable(name: str, block: Block, ts: int, field: str) -> bool:
    if block.get("status") == "missing":
        return False
    watched, hours = block.get("watched_from"), block.get("window_hours")
    if name in _COUNTED and ts and watched is not None and hours is not None:
        window = number(f"{field}{name}.window_hours", hours, 0.0, 1e6) * HOUR
        number(f"{field}{name}.watched_from", watched)
        # Whole nanoseconds do not fit into a float.
        return isinstance(watched, int | float) and ts - watched >= window
    origin = block.get("origin")
    if name == "funding" and isinstance(origin, Mapping) and origin.get("age_ms") is not None:
        return number(f"{field}{name}.origin.age_ms", origin["age_ms"]) * 1e6 <= AGES["funding_rate"]
    return True
