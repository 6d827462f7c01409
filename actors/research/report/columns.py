"""A run as parquet: equity, round trips and metrics, each a file with the run's identity in its schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Metric
from actors.research.results import RoundTrip, RunResult, Series


def write_parquet(folder: Path, result: RunResult, metrics: Sequence[Metric]) -> tuple[Path, ...]:
    """Write `equity.parquet`, `trades.parquet`, `metrics.parquet` into a folder, made if missing; returns the paths.

    Times are UTC timestamps in ns. The schema's metadata hold run id, strategy, order hash, data hashes, marks and
    seed. Raises OSError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = {
        "equity": pa.table(_equity(result)),
        "trades": pa.Table.from_pylist([_trade(trip) for trip in result.round_trips], schema=_trade_schema()),
        "metrics": pa.Table.from_pylist([_metric(metric) for metric in metrics], schema=_metric_schema()),
    }
    metadata = {
        "run_id": result.run_id,
        "strategy": result.strategy,
        "order_hash": result.order_hash,
        "data_hashes": ",".join(result.data_hashes),
        "marks": ",".join(result.marks),
        "seed": str(result.seed),
        "currency": result.currency,
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")
        paths.append(path)
    return tuple(paths)


def _equity(result: RunResult) -> dict[str, Any]:
    """Columns; a benchmark or price that was not there at a sample is null."""
    import pyarrow as pa

    times = result.equity.times()
    columns = {"ts": pa.array(times, pa.timestamp("ns", "UTC")), "equity": pa.array(result.equity.array())}
    for name, series in (("benchmark", result.benchmark), ("price", result.price)):
        if series is not None:
            values, known = _at(times, series)
            columns[name] = pa.array(values, mask=~known)
    return columns


def _at(times: NDArray[np.int64], series: Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    stamps, values = series.times(), series.array()
    if not stamps.size:
        return np.zeros(times.size), np.zeros(times.size, dtype=bool)
    # Two samples at one moment: the later one holds.
    places = np.searchsorted(stamps, times, side="right") - 1
    known = (places >= 0) & (stamps[np.maximum(places, 0)] == times)
    return values[np.maximum(places, 0)], known


def _trade_schema() -> Any:
    import pyarrow as pa

    kinds = {"float": pa.float64(), "int": pa.int64(), "str": pa.string(), "bool": pa.bool_()}
    fields = []
    for name in RoundTrip.__struct_fields__:
        if name.endswith("_ts"):
            kind = pa.timestamp("ns", "UTC")
        elif name in ("market", "side", "exit_reason", "deployment_id"):
            kind = kinds["str"]
        elif name in ("entry_bar", "exit_bar"):
            kind = kinds["int"]
        else:
            kind = kinds["bool"] if name == "open" else kinds["float"]
        fields.append(pa.field(name.rstrip("_"), kind))
    return pa.schema(fields)


def _trade(trip: RoundTrip) -> dict[str, Any]:
    return {name.rstrip("_"): getattr(trip, name) for name in RoundTrip.__struct_fields__}


def _metric_schema() -> Any:
    import pyarrow as pa

    numbers = {"value": pa.float64(), "benchmark": pa.float64(), "minimum": pa.int64(), "samples": pa.int64()}
    return pa.schema([pa.field(name, numbers.get(name, pa.string())) for name in Metric.__struct_fields__])


def _metric(metric: Metric) -> dict[str, Any]:
    return {name: getattr(metric, name) for name in Metric.__struct_fields__}
