"""features.md: the table of features, actors/decisions/features/table.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actors.decisions.features import names
from actors.decisions.features.aggregate import KEYS
from actors.decisions.features.table import AGES, FEATURES, HOUR
from docs.generating.markdown import table

_GROUPS: dict[str, tuple[str, ...]] = {
    "Price": names.PRICE,
    "Indicators": names.INDICATORS,
    "Momentum": names.MOMENTUM,
    "Chain": names.ON_CHAIN,
    "Whales": names.WHALES,
    "Funding": names.FUNDING,
    "Smart money": names.SMART_MONEY,
    "Liquidations": names.LIQUIDATIONS,
}


def features() -> Iterator[str]:
    """What policies see."""
    yield "# Features"
    yield (
        "What a policy sees of a market, by name. One builder makes them of bars and of figures from elsewhere, in "
        "training, over tables of past bars and on a node, so the same bars give the same numbers everywhere.\n\n"
        "A **raw field** has the unit that is given here. A request for a decision (`POST /api/v1/predict`) says raw "
        "fields in `signal_data`, under these names: `macd` and `atr` there in units of the price, with `price` beside "
        "them; a `market_data.candles` says all that come of bars. The **feature** is the raw field scaled into its "
        "range. A field that is not known is missing: never 0, never a default, and a policy is told that it is "
        "missing. [Train a policy](../how-to/train-a-policy.md) shows them in use."
    )
    yield f"## `{names.MARKET_29}`"
    yield f"The {len(names.FEATURE_SETS[names.MARKET_29])} features of one market, in the order of an observation."
    first = 1
    for group, members in _GROUPS.items():
        yield f"### {group}"
        if members[0] in AGES:
            block = KEYS[members[0]][0]
            yield (
                f"From elsewhere: the block `{block}` of a data aggregator's answer, or the request itself. A value is "
                f"missing again after {AGES[members[0]] // HOUR} h."
            )
        yield _features(members, first)
        first += len(members)
    yield f"## `{names.BOOK}`"
    yield f"The {len(names.FEATURE_SETS[names.BOOK])} features of one order book, in the order of an observation."
    yield _features(names.FEATURE_SETS[names.BOOK], 1)


def _features(members: Sequence[str], first: int) -> str:
    rows = []
    for number, feature in enumerate((FEATURES[name] for name in members), first):
        source = "" if feature.source == "external" else feature.source
        span = f"{feature.low:g} to {feature.high:g}"
        rows.append((str(number), f"`{feature.name}`", feature.meaning, feature.unit, source, feature.transform, span))
    return table(("", "Name", "Meaning of the raw field", "Its unit", "Made of", "Scaled", "Range"), rows)
