"""The context variable that says on behalf of which actor a task runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.cell import Cell

running_cell: ContextVar[Cell | None] = ContextVar("running_cell", default=None)
