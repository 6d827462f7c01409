"""Market by order from Databento's DBN files (`.dbn`, `.dbn.zst`), through `databento-dbn`.

A DBN file is one instrument's or many's records of 56 bytes; prices are nanos already, sizes whole contracts. The
fields are those of Databento's MBO schema: actions A(dd), C(ancel), M(odify), R (clear), T(rade), F(ill); flag bit 7
ends an event, bit 5 marks the opening snapshot. The snapshot's records repeat old sequence numbers, so a step back in
`sequence` is no loss there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from actors.market.importers.imported import open_text
from actors.market.recordings.entries import RecordingError
from protocols.market import OrderAction, OrderUpdate, Side
from protocols.nanos import NANO

FORMAT: Final = "dbn"
MAGIC: Final = b"DBN"
LAST: Final = 1 << 7
SNAPSHOT: Final = 1 << 5
ACTIONS: Final[dict[str, OrderAction]] = {
    "A": "add",
    "C": "cancel",
    "M": "modify",
    "R": "clear",
    "T": "trade",
    "F": "fill",
}
SIDES: Final[dict[str, Side]] = {"B": "bid", "A": "ask"}
# The price that says that there is none.
_NO_PRICE: Final = 2**63 - 1
_READ_BYTES: Final = 1 << 20


def is_dbn(path: Path) -> bool:
    """Whether the file is one. Raises what is in READ_FAULTS."""
    if path.is_dir() or not path.name.removesuffix(".zst").endswith(".dbn"):
        return False
    with open_text(path) as file:
        return file.read(len(MAGIC)) == MAGIC


def read_orders(path: Path, *, session: str = "recording", marks: tuple[str, ...] = ()) -> Iterator[OrderUpdate]:
    """The MBO records of a DBN file, in its order. `seq` is the venue's own.

    Markets are raw symbols where the file's metadata name them, instrument ids where not. `ts_recv` is the capture
    server's; it never goes back here. Raises what is in READ_FAULTS, RecordingError for what is no DBN or no MBO.
    """
    # Heavy, and nothing that a node loads at its start needs it.
    import databento_dbn as dbn

    decoder = dbn.DBNDecoder()
    names: dict[int, str] = {}
    latest = 0
    with open_text(path) as file:
        while chunk := file.read(_READ_BYTES):
            try:
                decoder.write(chunk)
                records = decoder.decode()
            except (dbn.DBNError, ValueError) as error:
                raise RecordingError(f"{path}: {error}") from None
            for record in records:
                if isinstance(record, dbn.Metadata):
                    names = _names(record)
                elif isinstance(record, dbn.MBOMsg):
                    latest = max(latest, record.ts_recv)
                    market = names.get(record.instrument_id) or str(record.instrument_id)
                    yield _order(record, market, session, latest, marks)
                elif not isinstance(record, dbn.SystemMsg | dbn.SymbolMappingMsg):
                    raise RecordingError(f"{path}: {type(record).__name__} is no record of the schema mbo")


def _names(metadata: Any) -> dict[int, str]:
    # A dict by raw symbol at run time, whatever the stubs say: {"ESM4": [{"symbol": "5602", …}]}.
    return {int(span["symbol"]): raw for raw, spans in metadata.mappings.items() for span in spans}


def _order(record: Any, market: str, session: str, ts_recv: int, marks: tuple[str, ...]) -> OrderUpdate:
    return OrderUpdate(
        market=market,
        action=ACTIONS[str(record.action)],
        order_id=record.order_id,
        side=SIDES.get(str(record.side)),
        price=0 if record.price == _NO_PRICE else record.price,
        size=record.size * NANO,
        last=bool(int(record.flags) & LAST),
        session=session,
        seq=record.sequence,
        ts_event=record.ts_event,
        ts_recv=ts_recv,
        snapshot=bool(int(record.flags) & SNAPSHOT),
        marks=marks,
    )
