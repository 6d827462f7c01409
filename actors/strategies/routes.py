"""All routes of strategies."""

from __future__ import annotations

from actors.edge.routing import Route
from actors.strategies.library_routes import routes as library_routes
from actors.strategies.metrics_routes import routes as metrics_routes
from actors.strategies.run_routes import routes as run_routes
from actors.strategies.workflows.routes import routes as workflow_routes

routes: list[Route] = [*run_routes, *metrics_routes, *library_routes, *workflow_routes]
