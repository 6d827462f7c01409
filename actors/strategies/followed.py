"""Which markets a run listens to, and which of them speak for its symbols.

A symbol is a market itself, or a name with several providers (`[[providers]]`): then the run hears all of them, and
takes what the one says that is chosen now. What a provider says is taken under the symbol's name.
"""

from __future__ import annotations


class Followed:
    """The markets of one run."""

    def __init__(self) -> None:
        self._symbol_of: dict[str, str] = {}
        self._chosen: dict[str, str] = {}

    def add(self, symbol: str, providers: tuple[str, ...] = (), chosen: str = "") -> tuple[str, ...]:
        """Follow a symbol; returns the markets to listen to. `chosen` "": none of the providers is well."""
        if not providers:
            self._symbol_of[symbol] = symbol
            return (symbol,)
        for market in providers:
            self._symbol_of[market] = symbol
        self._chosen[symbol] = chosen
        return providers

    def switch(self, symbol: str, market: str) -> None:
        """Another provider speaks for a symbol from now on; "": none."""
        if symbol in self._chosen:
            self._chosen[symbol] = market

    def symbol(self, market: str) -> str | None:
        """The symbol that a market speaks for now; None: it is not listened to."""
        symbol = self._symbol_of.get(market)
        return symbol if symbol is None or self._chosen.get(symbol, market) == market else None
