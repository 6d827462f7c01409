"""x"""
from actors.edge.routing import Route
routes: list[Route] = []
