"""The stand-in as a process of its own: its key, its traders, its recording, and where everything is."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from actors.market.recordings.entries import READ_FAULTS
from actors.market.simulated.kalshi_face import KEY_ID
from actors.market.simulated.play import Player
from actors.market.simulated.standin import StandIn, StandInSettings
from actors.market.simulated.venue import demo_key
from protocols.control import Refused
from protocols.market import SYNTHETIC
from protocols.venues import kalshi_signing


class Program:
    """`key_file` empty: a key of its own, for this run. `play`: a recording instead of the faces."""

    def __init__(self, settings: StandInSettings, key_file: str = "", play: str = "", speed: float = 1.0) -> None:
        self.settings = settings
        self.key_file = key_file
        self.play = play
        self.speed = speed

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[dict[str, Any]]:
        """Serve while the context is open; gives the addresses. Raises Refused for a port, key or file that is no
        good."""
        with tempfile.TemporaryDirectory(prefix="troupe-venue-") as folder:
            key_file = Path(self.key_file or f"{folder}/kalshi-key.pem")
            try:
                key = kalshi_signing.public_key_of(demo_key(key_file))
            except (OSError, ValueError) as error:
                raise Refused("invalid", f"{key_file} holds no key: {error}", "key-file") from None
            standin = self._standin(key)
            try:
                await standin.open()
            except OSError as error:
                raise Refused("invalid", f"a port cannot be used: {error}") from None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(standin.run)
                nursery.start_soon(standin.trade)
                yield self._addresses(standin, key_file)
                nursery.cancel_scope.cancel()

    def _standin(self, key: kalshi_signing.PublicKey) -> StandIn:
        play = (Path(self.play), self.speed) if self.play else None
        try:
            return StandIn(self.settings, key, time.time_ns, time.monotonic_ns, play)
        except (*READ_FAULTS, ValueError) as error:
            raise Refused("invalid", f"{self.play} cannot be played: {error}", "play") from None

    def _addresses(self, standin: StandIn, key_file: Path) -> dict[str, Any]:
        addresses: dict[str, Any] = {
            "marks": [SYNTHETIC],
            "venues": [
                {"venue": each.venue, "url": each.url, "rest_url": each.rest_url, "markets": list(each.markets)}
                for each in standin.addresses()
            ],
            "control": standin.control_url,
        }
        for face in standin.faces.values():
            if isinstance(face, Player):
                addresses["marks"] = list(face.marks)
                addresses["venues"][-1]["markets"] = list(face.header.markets)
            elif face.word == "kalshi":
                addresses |= {"key_id": KEY_ID, "key_file": str(key_file)}
        return addresses
