"""Where a venue is and with which key one gets in: of the configuration, or of this node's own simulated venue."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.market.connection import NotConnected
from actors.market.session_core import Credentials
from actors.market.venues import session_class
from protocols.control import Refused, Unknown
from protocols.market import DEMO, SYNTHETIC
from protocols.paths import VENUE
from protocols.venues.simulated import GetVenueAddress
from runtime import Actor

_READ_S: Final = 5.0


class Account(msgspec.Struct, frozen=True):
    """What a configuration says of a venue. `simulated`: ask this node's venue.

    Empty addresses: the venue's own. But where `url` is somebody else's, an empty `rest_url` is nobody's: a practice
    stream must never be joined with what the real venue says.
    """

    venue: str
    url: str = ""
    rest_url: str = ""
    simulated: bool = False
    key_id: str = ""
    key_file: str = ""


class Access(msgspec.Struct, frozen=True):
    """Where to connect, with which key, and the marks of everything that comes from there.

    `url` empty: the venue's own address; `rest_url` empty: there is none.
    """

    url: str
    rest_url: str
    credentials: Credentials | None
    marks: frozenset[str]


async def find(actor: Actor, account: Account) -> Access:
    """Look it up on behalf of `actor`. Raises NotConnected where there is nothing, or no key."""
    core = session_class(account.venue)
    if account.simulated:
        try:
            venue = await actor.lookup(VENUE).ask(GetVenueAddress(account.venue))
        except (Refused, Unknown) as error:
            raise NotConnected(f"the simulated venue does not answer: {error}") from None
        face = next((each for each in venue.faces if each.venue == account.venue), None)
        if face is None and account.venue != "kalshi":
            raise NotConnected(f"the simulated venue does not speak as {account.venue}")
        url, rest_url = (venue.url, "") if face is None else (face.url, face.rest_url)
        key_id, key_file = venue.key_id, venue.key_file
        marks = frozenset(venue.marks) | {SYNTHETIC}
    else:
        url = account.url
        rest_url = account.rest_url or ("" if url else core.REST_URL)
        key_id, key_file = account.key_id, account.key_file
        demo = any("demo" in address.partition("://")[2].partition("/")[0] for address in (url, rest_url))
        marks = core.marks_at(url or core.URL) | ({DEMO} if demo else frozenset())
    credentials: Credentials | None = None
    if key_file:
        try:
            credentials = Credentials(key_id, await actor.offload(Path(key_file).read_bytes, timeout=_READ_S))
        except (OSError, trio.TooSlowError) as error:
            raise NotConnected(f"the key cannot be read: {type(error).__name__}: {error}") from None
    return Access(url, rest_url, credentials, marks)
