"""All HTTP routes of execution."""

from __future__ import annotations

from actors.edge.routing import Route
from actors.execution.http import account_routes, live_routes, paper_routes, trading_routes

routes: list[Route] = [*account_routes.routes, *paper_routes.routes, *live_routes.routes, *trading_routes.routes]
