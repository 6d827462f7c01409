"""The venue's side of Coinbase's WebSocket protocol for one client: commands in, frames out. No socket, no clock.

`sequence_num` counts every frame of the connection, acknowledgements and heartbeats too, from 0. `client_id`, which is
empty at the venue, says `synthetic`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import msgspec

from actors.market.simulated.ledger import Told
from protocols.market import SYNTHETIC
from protocols.venues import coinbase

CHANNELS: Final = (coinbase.LEVEL2, coinbase.MARKET_TRADES, coinbase.TICKER, coinbase.CANDLES, coinbase.HEARTBEATS)
_NAMES: Final = {coinbase.LEVEL2: coinbase.L2_DATA}
_encoder = msgspec.json.Encoder()


class CoinbaseDesk:
    """One client. `opening`: the events that begin a channel of a product, as JSON, and the version they show."""

    def __init__(
        self,
        products: Collection[str],
        opening: Callable[[str, str], tuple[bytes, int]],
        timestamp: Callable[[], str],
    ) -> None:
        self._products = products
        self._opening = opening
        self._timestamp = timestamp
        self._seq = 0
        self.subscribed: dict[str, dict[str, None]] = {}
        self.told = Told()

    def frame(self, channel: str, events: bytes, market: str = "", version: int = 0) -> bytes:
        """The next frame of the connection."""
        seq = self._seq
        self._seq += 1
        if version:
            self.told.add("", seq, market, version)
        return b'{"channel":"%b","client_id":"%b","timestamp":"%b","sequence_num":%d,"events":%b}' % (
            _NAMES.get(channel, channel).encode(),
            SYNTHETIC.encode(),
            self._timestamp().encode(),
            seq,
            events,
        )

    def wants(self, channel: str, product: str) -> bool:
        """Whether the client subscribed to it."""
        return product in self.subscribed.get(channel, ())

    def command(self, raw: bytes) -> list[bytes]:
        """Perform a client's command: the frames that answer it."""
        try:
            command = coinbase.decode_command(raw)
        except msgspec.DecodeError as error:
            return [_refused(f"failed to parse the message: {error}")]
        if command.channel not in CHANNELS:
            return [_refused(f"channel {command.channel} is not supported")]
        if unknown := [product for product in command.product_ids if product not in self._products]:
            return [_refused(f"{unknown[0]} is not a valid product")]
        if command.channel != coinbase.HEARTBEATS and not command.product_ids:
            return [_refused("product_ids are required")]
        products = command.product_ids or ("",)
        frames: list[bytes] = []
        mine = self.subscribed.setdefault(command.channel, {})
        for product in products:
            if command.type == "unsubscribe":
                mine.pop(product, None)
                continue
            mine[product] = None
            if product:
                events, version = self._opening(command.channel, product)
                if events:
                    frames.append(self.frame(command.channel, events, product, version))
        if not mine:
            del self.subscribed[command.channel]
        frames.append(self.frame(coinbase.SUBSCRIPTIONS, self._listed()))
        return frames

    def _listed(self) -> bytes:
        listed = {
            channel: [product or "heartbeats" for product in products] for channel, products in self.subscribed.items()
        }
        return _encoder.encode([{"subscriptions": listed}])


def _refused(message: str) -> bytes:
    return _encoder.encode({"type": "error", "message": message})
