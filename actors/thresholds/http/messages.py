"""What the routes of thresholds ask of the desk."""

from __future__ import annotations

from actors.thresholds.intake.settings import OutcomeSettings
from protocols.control import Message, Request


class Bounds(Message, frozen=True, gc=False, kw_only=True, tag="threshold_api_bounds"):
    """What holds now. `performance`: how it is measured."""

    requests_per_minute: int
    performance: OutcomeSettings


class GetBounds(Request[Bounds], frozen=True, gc=False, tag="get_threshold_api_bounds"):
    """Asks the desk."""


class CheckAdmin(Request[None], frozen=True, gc=False, tag="check_threshold_admin"):
    """Asks whether this is the administrator's key. Refused `unauthorized`, and `forbidden` where none is set."""

    key: str


class Reloaded(Message, frozen=True, gc=False, kw_only=True, tag="threshold_api_reloaded"):
    """The file was read. `applied`: settings that hold from now on; `restart`: those that hold after a restart."""

    path: str
    applied: tuple[str, ...]
    restart: tuple[str, ...]
    unchanged: int


class Reload(Request[Reloaded], frozen=True, gc=False, tag="reload_threshold_configuration"):
    """Asks the desk to read the configuration file again. Refused `invalid` (all that is wrong with it: nothing is
    changed), `not_found`."""
