"""How an agent is configured, and how many there may be. A core."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec

from actors.edge.explaining import explained
from actors.market.bars_intervals import parse_interval
from protocols.control import Refused

SECTION: Final = "agents"
MOST_TEXT: Final = 200
"""Characters of a user's id, and of a symbol."""
_PLAIN: Final = ":@+,;=!$&'()*"
_VERBS: Final = frozenset({"stop", "start", "restart", "pause", "resume", "resize", "kill", ".", ".."})
"""Names that have a meaning in a path."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_TEXT)]


class AgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an agent is. `symbols`: each has an actor of its own; none: only decisions over HTTP are counted."""

    model_type: Literal["ensemble", "individual"] = "ensemble"
    """`ensemble`: its decisions are asked for with the probabilities of the regimes; `individual`: without."""
    model: Annotated[str, msgspec.Meta(max_length=MOST_TEXT)] = ""
    """The model that decides, outside of every experiment; empty: what the user's arm serves."""
    confidence_threshold: Share = 0.6
    """A decision below it becomes no signal."""
    enable_regime_detection: bool = True
    """Whether the regimes of its markets are followed; without, an ensemble is asked as if they were not known."""
    symbols: Annotated[tuple[Symbol, ...], msgspec.Meta(max_length=1000)] = ()
    """Each has an actor of its own."""
    timeframe: str = "1m"
    """The bars that it decides at: of a time (100ms to 1w), of trades (500t) or of volume (100v)."""
    decide_every: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    """In bars; those of a time begin at multiples of so many since 1970."""
    exchange: Annotated[str, msgspec.Meta(max_length=MOST_TEXT)] = ""
    """What its signals say of where the market is."""
    submit_signals: bool = True
    """Whether what it decides becomes signals."""
    explain: bool = False
    """Whether its decisions say which features they hang on; it costs one more pass, as wide as there are features."""
    priority: Literal[1, 2, 3] = 1
    """1: high, 2: normal, 3: low."""
    deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 500
    """By then there is a decision: the fallback's, if need be."""
    validity_s: Annotated[float, msgspec.Meta(ge=1, le=31_536_000)] | None = None
    """How long its signals may be acted on; not given: as long as a bar of its timeframe, at least a minute."""

    def __post_init__(self) -> None:
        try:
            parse_interval(self.timeframe)
        except ValueError as error:
            raise ValueError(f"timeframe: {error}") from None
        twice = sorted({each for each in self.symbols if self.symbols.count(each) > 1})
        if twice:
            raise ValueError(f"symbols: expected each once, got {twice[0]} twice")


class AgentsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[agents]`: actors that decide by a policy, one supervisor for a user."""

    most: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 1000
    """How many users' agents may run at once."""
    most_symbols: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    """Of one agent."""
    decisions_kept: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    """Of one agent, in memory, for who asks what it decided last."""
    note_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    """How often the figures of those that have done something are written to the database, in seconds."""
    defaults: AgentConfig = AgentConfig()
    """For what a start over HTTP leaves out."""


def config_of(given: msgspec.Raw, defaults: AgentConfig, most_symbols: int) -> AgentConfig:
    """A configuration, the defaults filled in. Raises Refused `invalid` with the field."""
    try:
        said = msgspec.json.decode(given) if bytes(given) else {}
    except msgspec.DecodeError as error:
        raise Refused("invalid", f"expected JSON: {error}", "config") from None
    if said is None:
        said = {}
    if not isinstance(said, dict):
        raise Refused("invalid", f"expected an object, got {type(said).__name__}", "config")
    fields: dict[str, Any] = {**msgspec.to_builtins(defaults), **said}
    try:
        config = msgspec.convert(fields, AgentConfig)
    except msgspec.ValidationError as error:
        message, field = explained(error, AgentConfig, fields)
        raise Refused("invalid", message, f"config.{field}" if field else "config") from None
    if len(config.symbols) > most_symbols:
        raise Refused(
            "invalid", f"expected at most {most_symbols} symbols, got {len(config.symbols)}", "config.symbols"
        )
    return config


def key(text: str) -> str:
    """A text as a name in the tree: percent-encoded where it could not be one, different for different texts."""
    name = quote(text, safe=_PLAIN)
    return f"%{ord(name[0]):02X}{name[1:]}" if name in _VERBS or name.startswith("_") else name
