"""What can be set of the HTTP interface of thresholds: `[threshold_api]`."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from runtime.redaction import Secret
from runtime.settings import LocalPath

SECTION: Final = "threshold_api"


class ApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits and keys."""

    admin_key: Secret = ""
    """What `X-Admin-Key` has to be where everybody's thresholds are adapted; empty: that route is refused."""
    requests_per_minute: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 60
    """Requests of one client address; more are answered 429. 0: as many as it likes."""
    config_file: LocalPath = ""
    """A configuration file of the old threshold service (YAML or JSON), which can be read again while the node runs."""
