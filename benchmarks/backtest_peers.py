"""The peers of `benchmarks.backtest`, in the environment that has them: this file imports nothing of ours.

    PYTHON -m benchmarks.backtest_peers WHAT DATA PARAMETERS(JSON) CPU

Tells one line of JSON: events a second, what came of the run, and the peer's version. Each goes the way its users go:

* nautilus: its `BacktestEngine` with a strategy in Python. Of quotes its own (compiled) averages, fed by its engine; of
  level changes its L2 book, kept by its data engine, whose middle is averaged where it has moved. The time is that of
  `engine.run`; that of making its objects and adding them is told beside it. No log, no analysis of the result.
* backtesting: `Backtest.run` with averages by pandas, and `Backtest.optimize` over two processes.
* vectorbt: `MA.run` and `Portfolio.from_signals`, one column for each pair of periods; compiled before it is measured.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
import time
import warnings
from decimal import Decimal
from typing import Any

import numpy as np

Found = dict[str, Any]


def read(path: str) -> dict[str, Any]:
    """The arrays of a stream."""
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


# NautilusTrader.


def _engine(book_type: Any) -> tuple[Any, Any]:
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
    from nautilus_trader.model.instruments import Equity
    from nautilus_trader.model.objects import Money, Price, Quantity

    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("BENCH-001"), logging=LoggingConfig(bypass_logging=True), run_analysis=False
        )
    )
    engine.add_venue(
        Venue("SIM"),
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(1_000_000, USD)],
        base_currency=USD,
        default_leverage=Decimal(4),
        book_type=book_type,
    )
    instrument = Equity(
        instrument_id=InstrumentId.from_str("A.SIM"),
        raw_symbol=Symbol("A"),
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )
    engine.add_instrument(instrument)
    return engine, instrument


def _crossing(base: Any, instrument: Any, quantity: int, fast: int, slow: int) -> Any:
    """The rule: long while the fast average is above the slow one, else flat. The first sign alone is no order."""
    from nautilus_trader.indicators import ExponentialMovingAverage
    from nautilus_trader.model.enums import OrderSide, PriceType
    from nautilus_trader.model.objects import Quantity

    size = Quantity.from_int(quantity)

    class Cross(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.fast = ExponentialMovingAverage(fast, PriceType.MID)
            self.slow = ExponentialMovingAverage(slow, PriceType.MID)
            self.sign = 0
            self.orders = self.events = self.held = 0

        def judge(self) -> None:
            difference = self.fast.value - self.slow.value
            sign = 1 if difference > 1e-9 else -1 if difference < -1e-9 else 0
            if sign and sign != self.sign:
                before, self.sign = self.sign, sign
                if before and (sign > 0) != bool(self.held):
                    self.held = 1 - self.held
                    side = OrderSide.BUY if sign > 0 else OrderSide.SELL
                    self.submit_order(self.order_factory.market(instrument.id, side, size))
                    self.orders += 1

    return Cross


def nautilus_quotes(path: str, quantity: int, fast: int, slow: int) -> Found:
    """Quote ticks of the best bid and ask."""
    import pandas as pd
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.persistence.wranglers import QuoteTickDataWrangler
    from nautilus_trader.trading.strategy import Strategy

    data = read(path)
    engine, instrument = _engine(BookType.L1_MBP)
    began = time.perf_counter()
    frame = pd.DataFrame(
        {
            "bid_price": data["bid"] / 100,
            "ask_price": data["ask"] / 100,
            "bid_size": data["bid_size"].astype(float),
            "ask_size": data["ask_size"].astype(float),
        },
        index=pd.to_datetime(data["ts"], utc=True),
    )
    engine.add_data(QuoteTickDataWrangler(instrument).process(frame))
    made = time.perf_counter() - began

    class QuoteCross(_crossing(Strategy, instrument, quantity, fast, slow)):  # type: ignore[misc]
        def on_start(self) -> None:
            self.register_indicator_for_quote_ticks(instrument.id, self.fast)
            self.register_indicator_for_quote_ticks(instrument.id, self.slow)
            self.subscribe_quote_ticks(instrument.id)

        def on_quote_tick(self, tick: Any) -> None:
            self.events += 1
            if self.slow.initialized:
                self.judge()

    return _ran(engine, QuoteCross(), len(data["ts"]), made)


def nautilus_l2(path: str, quantity: int, fast: int, slow: int) -> Found:
    """Level changes, one at a time behind the first book."""
    from nautilus_trader.model.data import BookOrder, OrderBookDelta
    from nautilus_trader.model.enums import BookAction, BookType, OrderSide, RecordFlag
    from nautilus_trader.model.objects import Price, Quantity
    from nautilus_trader.trading.strategy import Strategy

    data = read(path)
    engine, instrument = _engine(BookType.L2_MBP)
    began = time.perf_counter()
    prices = {cents: Price(cents / 100, 2) for cents in np.unique(data["price"]).tolist()}
    sizes = {units: Quantity(units, 0) for units in np.unique(data["size"]).tolist()}
    sides = {1: OrderSide.BUY, -1: OrderSide.SELL}
    update, delete, last = BookAction.UPDATE, BookAction.DELETE, RecordFlag.F_LAST
    rows = zip(*(data[name].tolist() for name in ("ts", "side", "price", "size", "snapshot")), strict=True)
    first_book = int(data["snapshot"].sum())
    deltas = []
    for number, (ts, side, price, size, snapshot) in enumerate(rows, 1):
        order = BookOrder(sides[side], prices[price], sizes[size], 0)
        flags = 0 if snapshot and number < first_book else last
        deltas.append(OrderBookDelta(instrument.id, update if size else delete, order, flags, number, ts, ts))
    engine.add_data(deltas)
    made = time.perf_counter() - began

    class BookCross(_crossing(Strategy, instrument, quantity, fast, slow)):  # type: ignore[misc]
        def on_start(self) -> None:
            self.middle = 0.0
            self.book = self.cache.order_book
            self.subscribe_order_book_deltas(instrument.id, BookType.L2_MBP)

        def on_order_book_deltas(self, deltas: Any) -> None:
            self.events += len(deltas.deltas)
            middle = self.book(instrument.id).midpoint()
            if middle is None or middle == self.middle:
                return
            self.middle = middle
            self.fast.update_raw(middle)
            self.slow.update_raw(middle)
            if self.slow.initialized:
                self.judge()

    return _ran(engine, BookCross(), len(deltas), made)


def _ran(engine: Any, strategy: Any, count: int, made: float) -> Found:
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.identifiers import Venue

    engine.add_strategy(strategy)
    began = time.perf_counter()
    engine.run()
    took = time.perf_counter() - began
    balance = engine.portfolio.account(Venue("SIM")).balance_total(USD).as_decimal()
    unrealized = engine.portfolio.unrealized_pnl(engine.cache.instruments()[0].id)
    filled = sum(1 for order in engine.cache.orders() if order.is_closed and order.filled_qty == order.quantity)
    return {
        "rate": count / took,
        "whole": count / (took + made),
        "told": strategy.events,
        "orders": strategy.orders,
        "fills": filled,
        "equity": float(balance) + (float(unrealized.as_decimal()) if unrealized is not None else 0.0),
        "version": _version("nautilus_trader"),
    }


# Bars.


def _frame(path: str) -> Any:
    import pandas as pd

    data = read(path)
    return pd.DataFrame(
        {
            "Open": data["open"] / 100,
            "High": data["high"] / 100,
            "Low": data["low"] / 100,
            "Close": data["close"] / 100,
            "Volume": 1.0,
        },
        index=pd.to_datetime(data["start"], utc=True).tz_localize(None),
    )


def _backtest(path: str) -> Any:
    import pandas as pd
    from backtesting import Backtest, Strategy
    from backtesting.lib import crossover

    class SmaCross(Strategy):  # type: ignore[misc]
        fast, slow, quantity = 50, 200, 10

        def init(self) -> None:
            closes = pd.Series(self.data.Close)
            self.quick = self.I(lambda: closes.rolling(self.fast).mean(), name="fast")
            self.calm = self.I(lambda: closes.rolling(self.slow).mean(), name="slow")

        def next(self) -> None:
            if crossover(self.quick, self.calm):
                self.position.close()
                self.buy(size=self.quantity)
            elif crossover(self.calm, self.quick):
                self.position.close()
                self.sell(size=self.quantity)

    # Another process finds it by its name.
    SmaCross.__qualname__ = "SmaCross"
    globals()["SmaCross"] = SmaCross
    return Backtest(_frame(path), SmaCross, cash=1_000_000, commission=0, finalize_trades=True)


def backtesting_bars(path: str, quantity: int, fast: int, slow: int) -> Found:
    """One run with its statistics."""
    backtest = _backtest(path)
    with _quiet():
        began = time.perf_counter()
        found = backtest.run(fast=fast, slow=slow, quantity=quantity)
        took = time.perf_counter() - began
    return {
        "rate": len(backtest._data) / took,
        "trades": int(found["# Trades"]),
        "equity": float(found["Equity Final [$]"]),
        "version": _version("backtesting"),
    }


def backtesting_sweep(path: str, quantity: int, pairs: list[list[int]]) -> Found:
    """Every pair of a grid, over two processes."""
    from multiprocessing import Pool

    import backtesting

    backtesting.Pool = lambda processes=None, *rest: Pool(2, *rest)
    backtest = _backtest(path)
    fasts, slows = sorted({fast for fast, _ in pairs}), sorted({slow for _, slow in pairs})
    with _quiet():
        began = time.perf_counter()
        _, table = backtest.optimize(
            fast=fasts, slow=slows, quantity=[quantity], maximize="Equity Final [$]", return_heatmap=True
        )
        took = time.perf_counter() - began
    equities = {(int(fast), int(slow)): float(value) for (fast, slow, _), value in table.items()}
    return {
        "rate": len(table) / took,
        "runs": len(table),
        "equity": max(equities.values()),
        "version": _version("backtesting"),
    }


def _portfolio(path: str, quantity: int, fasts: list[int], slows: list[int]) -> tuple[Any, int]:
    """One column for each pair: long `quantity` or short as much, filled at the next open, as the others do."""
    import pandas as pd
    import vectorbt as vbt

    frame = _frame(path)
    quick = vbt.MA.run(frame["Close"], window=fasts, short_name="fast")
    calm = vbt.MA.run(frame["Close"], window=slows, short_name="slow")
    up = np.reshape(quick.ma_crossed_above(calm).to_numpy(), (len(frame), -1))
    down = np.reshape(quick.ma_crossed_below(calm).to_numpy(), (len(frame), -1))
    # A signal of a close is an order at the next open; that of the last bar but one is not, as nothing comes of it.
    entries, exits = (np.vstack([np.zeros((1, each.shape[1]), bool), each[:-1]]) for each in (up, down))
    prices = pd.concat([frame["Open"]] * len(fasts), axis=1)
    found = vbt.Portfolio.from_signals(
        prices,
        entries=entries,
        short_entries=exits,
        price=prices,
        size=float(quantity),
        init_cash=1_000_000.0,
        upon_opposite_entry="reverse",
        freq="1min",
    )
    return found, len(frame)


def vectorbt_bars(path: str, quantity: int, fast: int, slow: int) -> Found:
    """One run, its equity included; the functions are compiled by one before it."""
    _portfolio(path, quantity, [fast], [slow])[0].stats(silence_warnings=True)
    began = time.perf_counter()
    portfolio, count = _portfolio(path, quantity, [fast], [slow])
    equity = float(np.asarray(portfolio.final_value()).ravel()[-1])
    portfolio.stats(silence_warnings=True)
    took = time.perf_counter() - began
    return {
        "rate": count / took,
        "trades": int(np.asarray(portfolio.trades.count()).sum()),
        "equity": equity,
        "version": _version("vectorbt"),
    }


def vectorbt_sweep(path: str, quantity: int, pairs: list[list[int]]) -> Found:
    """All pairs as columns, their final value and Sharpe ratio; one process, as it is used."""
    fasts, slows = [fast for fast, _ in pairs], [slow for _, slow in pairs]
    _portfolio(path, quantity, fasts[:2], slows[:2])[0].sharpe_ratio()
    began = time.perf_counter()
    portfolio, _ = _portfolio(path, quantity, fasts, slows)
    values = np.asarray(portfolio.final_value())
    portfolio.sharpe_ratio()
    took = time.perf_counter() - began
    return {
        "rate": len(pairs) / took,
        "runs": len(values),
        "equity": float(values.max()),
        "version": _version("vectorbt"),
    }


@contextlib.contextmanager
def _quiet() -> Any:
    """Without progress bars and warnings of what is not asked here."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def main(arguments: list[str]) -> int:
    """Run one peer and tell what came of it."""
    what, path, parameters, cpu = arguments
    if cpu != "any":
        os.sched_setaffinity(0, {int(cpu)})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    found = globals()[what](path, **json.loads(parameters))
    answers.write(json.dumps(found) + "\n")
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
