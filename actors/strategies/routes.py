"""All routes of strategies."""

from __future__ import annotations

from actors.edge.routing import Route
from actors.strategies.run_routes import routes as run_routes

routes: list[Route] = [*run_routes]
