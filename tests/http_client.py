"""HTTP clients of what a test itself has started."""

from __future__ import annotations

from typing import Any

import httpx

from actors.edge.clients import TRUSTS_NOBODY


def http_client(**options: Any) -> httpx.AsyncClient:
    """An `httpx.AsyncClient` for plain HTTP on this machine: through no proxy, and reading no certificates."""
    return httpx.AsyncClient(verify=TRUSTS_NOBODY, trust_env=False, **options)
