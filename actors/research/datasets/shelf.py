"""The data sets of a node, and which of them a question means. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from actors.research.datasets.rows import DatasetRow, DatasetSummary, Filters, SortBy
from protocols.control import Refused

MOST_NAME: Final = 255
MOST_DESCRIPTION: Final = 1000
MOST_TAGS: Final = 50
MOST_TAG: Final = 100

_SORTED: Final[dict[SortBy, Callable[[DatasetRow], Any]]] = {
    "created_at": lambda row: row.ts_created,
    "updated_at": lambda row: row.ts,
    "name": lambda row: row.name.casefold(),
    "row_count": lambda row: row.row_count,
    "file_size": lambda row: row.stored_bytes,
    "start_date": lambda row: row.ts_first,
    "end_date": lambda row: row.ts_last,
    "quality_score": lambda row: row.quality_score,
    "completeness_score": lambda row: row.completeness_score,
}
_ONE_OF: Final = ("asset_class", "category", "source", "status", "kind", "frequency", "data_format")
_AT_LEAST: Final = (
    ("min_rows", "row_count"), ("min_size", "stored_bytes"), ("min_quality_score", "quality_score"),
    ("min_completeness_score", "completeness_score"), ("created_after", "ts_created"), ("start", "ts_last"),
)  # fmt: skip
_AT_MOST: Final = (("max_rows", "row_count"), ("max_size", "stored_bytes"))


class Shelf:
    """The newest row of every data set."""

    def __init__(self) -> None:
        self._newest: dict[str, DatasetRow] = {}

    def add(self, row: DatasetRow) -> None:
        """Remember a row, if it is the newest of its data set."""
        known = self._newest.get(row.dataset_id)
        if known is None or known.seq < row.seq:
            self._newest[row.dataset_id] = row

    def all(self) -> list[DatasetRow]:
        """Those that are not deleted."""
        return [row for row in self._newest.values() if row.status != "deleted"]

    def get(self, dataset_id: str) -> DatasetRow:
        """A data set. Raises Refused `not_found`."""
        found = self._newest.get(dataset_id)
        if found is None or found.status == "deleted":
            raise Refused("not_found", f"there is no data set {dataset_id[:100]!r}", "dataset_id")
        return found

    def same_content(self, row: DatasetRow) -> tuple[str, ...]:
        """Ids of other data sets with equal rows."""
        if not row.content_hash:
            return ()
        return tuple(
            sorted(
                each.dataset_id
                for each in self.all()
                if each.content_hash == row.content_hash and each.dataset_id != row.dataset_id
            )
        )

    def page(
        self, filters: Filters, sort_by: SortBy, descending: bool, limit: int, offset: int
    ) -> tuple[tuple[DatasetRow, ...], int]:
        """Some of those that are meant, and how many there are; equal ones by their id."""
        found = sorted((row for row in self.all() if meant(row, filters)), key=lambda row: row.dataset_id)
        found.sort(key=_SORTED[sort_by], reverse=descending)
        return tuple(found[offset : offset + limit]), len(found)

    def summary(self, running: int, waiting: int) -> DatasetSummary:
        """All together."""
        rows = self.all()
        scores = [row.quality_score for row in rows if row.quality_score >= 0]
        return DatasetSummary(
            datasets=len(rows),
            rows=sum(row.row_count for row in rows),
            stored_bytes=sum(row.stored_bytes for row in rows),
            by_status=_counted(rows, "status"),
            by_kind=_counted(rows, "kind"),
            by_source=_counted(rows, "source"),
            by_asset_class=_counted(rows, "asset_class"),
            by_frequency=_counted(rows, "frequency"),
            symbols=len({symbol for row in rows for symbol in row.symbols}),
            mean_quality_score=sum(scores) / len(scores) if scores else None,
            running=running,
            waiting=waiting,
        )


def meant(row: DatasetRow, filters: Filters) -> bool:
    """Whether a question means this one."""
    query, name = filters.query.casefold(), filters.name.casefold()
    if query and not any(query in text.casefold() for text in (row.name, row.description, row.dataset_id)):
        return False
    if name and name not in row.name.casefold():
        return False
    for field in _ONE_OF:
        wanted = getattr(filters, field)
        if wanted and getattr(row, field) not in wanted:
            return False
    if filters.symbols and not set(filters.symbols) & set(row.symbols):
        return False
    if filters.tags and not set(filters.tags) & set(row.tags):
        return False
    if filters.user_id and row.user_id != filters.user_id:
        return False
    if filters.content_hash and not row.content_hash.startswith(filters.content_hash):
        return False
    if filters.is_public is not None and row.is_public != filters.is_public:
        return False
    if filters.is_validated is not None and bool(row.ts_validated) != filters.is_validated:
        return False
    if filters.is_valid is not None and (row.status == "ready") != filters.is_valid:
        return False
    return _within(row, filters)


def _within(row: DatasetRow, filters: Filters) -> bool:
    for bound, field in _AT_LEAST:
        least = getattr(filters, bound)
        if least is not None and getattr(row, field) < least:
            return False
    for bound, field in _AT_MOST:
        most = getattr(filters, bound)
        if most is not None and getattr(row, field) > most:
            return False
    if filters.end is not None and (row.ts_first == 0 or row.ts_first >= filters.end):
        return False
    return filters.created_before is None or row.ts_created < filters.created_before


def check_words(name: str | None, description: str | None, tags: tuple[str, ...] | None) -> None:
    """Raises Refused `invalid` for words that cannot be kept."""
    if name is not None and not 1 <= len(name) <= MOST_NAME:
        raise Refused("invalid", f"expected 1 to {MOST_NAME} characters, got {len(name)}", "name")
    if description is not None and len(description) > MOST_DESCRIPTION:
        message = f"expected at most {MOST_DESCRIPTION} characters, got {len(description)}"
        raise Refused("invalid", message, "description")
    if tags is not None and (len(tags) > MOST_TAGS or any(not 1 <= len(tag) <= MOST_TAG for tag in tags)):
        raise Refused("invalid", f"expected at most {MOST_TAGS} tags of 1 to {MOST_TAG} characters", "tags")


def _counted(rows: list[DatasetRow], field: str) -> dict[str, int]:
    counts = Counter(getattr(row, field) for row in rows)
    return {value: count for value, count in sorted(counts.items()) if value}
