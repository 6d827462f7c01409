"""The desk: what the routes of thresholds have to know, and may be told anew while the node runs."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import trio

from actors.thresholds.http.messages import Bounds, CheckAdmin, GetBounds, Reload, Reloaded
from actors.thresholds.http.settings import SECTION, ApiSettings
from actors.thresholds.intake.settings import SECTION as OUTCOMES
from actors.thresholds.intake.settings import OutcomeSettings
from actors.thresholds.old_service import FileError, read_file, settings_of
from protocols.control import Probe, ProbeReport, Refused
from runtime import Actor, receive

READ_S: Final = 5.0
DESK: Final = "/thresholds/desk"


class ThresholdDesk(Actor):
    """Keeps the limits, the administrator's key, and how performance is measured."""

    def __init__(self, settings: ApiSettings, outcomes: OutcomeSettings) -> None:
        self.settings = settings
        self.outcomes = outcomes
        self.known: dict[str, str] = {}

    async def on_start(self) -> None:
        """Remember what the file said, so that a later reading tells what is new."""
        if self.settings.config_file:
            try:
                self.known = await self._read()
            except Refused as refused:
                self.logger.warning("the configuration file cannot be read", why=refused.message)

    @receive
    def bounds(self, request: GetBounds) -> Bounds:
        """What holds now."""
        return Bounds(requests_per_minute=self.settings.requests_per_minute, performance=self.outcomes)

    @receive
    def admin(self, request: CheckAdmin) -> None:
        """Compare in a time that does not tell how much of the key is right."""
        if not self.settings.admin_key:
            raise Refused("forbidden", f"no administrator's key is configured ({SECTION}.admin_key)", "x-admin-key")
        if not hmac.compare_digest(request.key.encode(), self.settings.admin_key.encode()):
            raise Refused("unauthorized", "this needs the administrator's key", "x-admin-key")

    @receive
    async def reload(self, request: Reload) -> Reloaded:
        """Read the file again. What is wrong with it changes nothing."""
        if not self.settings.config_file:
            raise Refused("not_found", f"no configuration file is set ({SECTION}.config_file)")
        found = await self._read()
        changed = {key: found.get(key) for key in {*found, *self.known} if found.get(key) != self.known.get(key)}
        here = {key: text for key, text in changed.items() if text is not None and _held_here(key)}
        try:
            api = _changed(self.settings, SECTION, here)
            outcomes = _changed(self.outcomes, OUTCOMES, here)
        except (msgspec.ValidationError, ValueError) as error:
            raise Refused("invalid", str(error), "config_file") from error
        self.settings, self.outcomes, self.known = api, outcomes, found
        restart = tuple(sorted(set(changed) - set(here)))
        self.logger.info("the configuration file was read again", applied=sorted(here), restart=restart)
        return Reloaded(
            path=self.settings.config_file,
            applied=tuple(sorted(here)),
            restart=restart,
            unchanged=len(found) - len(set(found) & set(changed)),
        )

    async def _read(self) -> dict[str, str]:
        path = Path(self.settings.config_file)
        try:
            return await self.offload(lambda: settings_of(read_file(path)), timeout=READ_S)
        except FileError as error:
            raise Refused("invalid", str(error), error.field) from error
        except trio.TooSlowError:
            raise Refused("unavailable", f"{path} could not be read in time") from None

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """It serves always."""
        figures = (("requests_per_minute", self.settings.requests_per_minute),)
        return ProbeReport("ok", "", ready=True, figures=figures)


_MEASURES: Final = frozenset({"min_trades", "window_trades", "window_days", "poor_below"})


def _held_here(key: str) -> bool:
    section, _, name = key.partition(".")
    return (section == SECTION and name != "config_file") or (
        section == OUTCOMES and name.partition(".")[0] in {*_MEASURES, "weights"}
    )


S = TypeVar("S", ApiSettings, OutcomeSettings)


def _changed(settings: S, section: str, texts: dict[str, str]) -> S:
    """The settings with these of their section. Raises msgspec.ValidationError, ValueError."""
    fields = msgspec.to_builtins(settings)
    for key, text in texts.items():
        where, _, name = key.partition(".")
        if where == section:
            inside = fields
            *path, last = name.split(".")
            for step in path:
                inside = inside[step]
            inside[last] = text
    return msgspec.convert(fields, type(settings), strict=False)
