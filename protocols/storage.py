"""What is said to storage. Rows are written by `log.append(row)` alone; here they are read."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from protocols.control import Message, Request

PAGE = 500
"""The most rows that one answer holds; the next page is another query, behind the last row's key."""

S = TypeVar("S", bound=msgspec.Struct)


class RunQuery(Request["QueryResult"], frozen=True, gc=False, tag="run_query"):
    """Run one SELECT in a transaction that cannot write.

    `arguments` are for $1, $2 … and have the types that the database expects there: an int for bigint, a str for text,
    a tuple for an array. `timeout_s` bounds the query itself, beside the deadline of the ask.

    Refused with `invalid` (limit), `unavailable` (no database, too many queries waiting), `timed_out` or
    `query_failed` (the database's own words).
    """

    sql: str
    arguments: tuple[Any, ...] = ()
    limit: int = PAGE
    timeout_s: float = 5.0


class QueryResult(Message, frozen=True, gc=False, tag="query_result"):
    """Rows in the order of the query. Arrays are tuples, JSON is `msgspec.Raw`, numeric is `Decimal`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool = False
    """True: there were more rows than the limit."""

    def into(self, row: type[S]) -> tuple[S, ...]:
        """Return the rows as structs with the columns as fields; JSON becomes what the field's type says.

        Raises msgspec.ValidationError. Goes through JSON, where a float that is no number is null.
        """
        named = [dict(zip(self.columns, fields, strict=True)) for fields in self.rows]
        return msgspec.json.decode(msgspec.json.encode(named), type=tuple[row, ...])  # type: ignore[valid-type]


class DatabaseReady(Message, frozen=True, gc=False, tag="database_ready"):
    """Published when the database can be used: at the start, and again after it was away."""
