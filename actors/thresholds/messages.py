"""What the actors of thresholds say to each other. None of it leaves the node."""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.thresholds.pooling import Pool
from protocols.control import Message, Request
from protocols.thresholds import AdaptationRecord

# What evaluation needs.


class Served(Message, frozen=True, gc=False, tag="served_thresholds"):
    """The thresholds that are served, in the rules' order, and their versions. `provisional`: the defaults, or what was
    known in an earlier life, because what was stored could not be read yet."""

    user_id: str
    symbol: str
    values: tuple[float, ...]
    versions: tuple[int, ...]
    provisional: bool = False


class Serve(Request[Served], frozen=True, gc=False, tag="serve_thresholds"):
    """From the roster to a user's actor: what is to be judged by?"""

    symbol: str


# What is kept.


class StoredLesson(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An outcome as the learners were told it: scores on the gate axis by parameter, `now` as it was then."""

    lessons: tuple[tuple[str, float], ...]
    outcome: float | None
    ts: int
    now: int
    acted: bool


class Loaded(Message, frozen=True, gc=False, tag="loaded_thresholds"):
    """What is known of a user and symbol: the newest state (empty: none), and the lessons since, in order."""

    state: bytes = b""
    lessons: tuple[bytes, ...] = ()
    outcome_seq: int = 0


class Load(Request[Loaded], frozen=True, gc=False, tag="load_thresholds"):
    """From a user's actor to the keeper of states. Refused `unavailable` while it cannot be known."""

    user_id: str
    symbol: str


class KeepState(Request[int], frozen=True, gc=False, kw_only=True, tag="keep_threshold_state"):
    """From a user's actor to the keeper: the answer says that it survives a kill. Refused `log_full`."""

    user_id: str
    symbol: str
    outcome_seq: int
    why: str
    state: bytes
    thresholds: msgspec.Raw
    records: tuple[AdaptationRecord, ...]
    due: bool


class KeepLesson(Request[int], frozen=True, gc=False, kw_only=True, tag="keep_threshold_lesson"):
    """From a user's actor to the keeper; answered as `KeepState`."""

    user_id: str
    symbol: str
    outcome_seq: int
    signal_id: str
    lesson: bytes


class KnownKeys(Message, frozen=True, gc=False, tag="known_threshold_keys"):
    """Users and symbols that something is stored of. `due`: those where a cycle may move something: others have neither
    evidence that serves nor a value to go back from. `remark`: why there may be more; empty: these are all."""

    keys: tuple[tuple[str, str], ...]
    due: frozenset[tuple[str, str]]
    remark: str = ""


class ListKeys(Request[KnownKeys], frozen=True, gc=False, tag="list_threshold_keys"):
    """Asks the keeper of states for all of them."""


class SymbolPool(msgspec.Struct, frozen=True, gc=False):
    """What all users of a symbol have shown of one parameter."""

    symbol: str
    parameter: str
    pool: Pool


class Pools(Message, frozen=True, gc=False, tag="threshold_pools"):
    """For every symbol and parameter that enough users have learned. `remark`: why there are none."""

    pools: tuple[SymbolPool, ...]
    remark: str = ""


class GetPools(Request[Pools], frozen=True, gc=False, tag="get_threshold_pools"):
    """Asks the keeper of states."""


class StatesFigures(Message, frozen=True, gc=False, kw_only=True, tag="threshold_states_figures"):
    """Rows since its start; `waiting`: users and symbols whose last row the database has not got yet."""

    states: int
    lessons: int
    waiting: int
    loads: int
    failures: int
    trouble: str


class GetStatesFigures(Request[StatesFigures], frozen=True, gc=False, tag="get_threshold_states_figures"):
    """Asks the keeper of states."""


# A cycle of one user among all.


class Cycle(Request["Cycled"], frozen=True, gc=False, kw_only=True, tag="threshold_cycle"):
    """From the roster to a user's actor: a cycle of one symbol, with what others have shown, by parameter."""

    symbol: str
    force: bool = False
    pools: tuple[tuple[str, Pool], ...] = ()


class Cycled(Message, frozen=True, gc=False, tag="threshold_cycled"):
    """One record per parameter that has learned anything."""

    records: tuple[AdaptationRecord, ...]


# The second cache.


class CacheGet(Request["CacheFound"], frozen=True, gc=False, tag="threshold_cache_get"):
    """From the roster to the actor of the second cache. `life`: of the roster; what another one has put may be older
    than what was moved since. Refused `unavailable`."""

    user_id: str
    symbol: str
    life: str


class CacheFound(Message, frozen=True, gc=False, tag="threshold_cache_found"):
    """None: nothing, or nothing that can be used."""

    served: Served | None


class CachePut(Message, frozen=True, gc=False, tag="threshold_cache_put"):
    """Keep it, in the place of what was there."""

    served: Served
    life: str


class CacheState(Message, frozen=True, gc=False, tag="threshold_cache_state"):
    """The second cache to the roster, at each change: `down` says why, empty: it is up."""

    down: str


class CacheFigures(Message, frozen=True, gc=False, kw_only=True, tag="threshold_cache_figures"):
    """Since its start."""

    hits: int
    misses: int
    failures: int
    down: str
    dirty: int


class GetCacheFigures(Request[CacheFigures], frozen=True, gc=False, tag="get_threshold_cache_figures"):
    """Asks the second cache."""


# To itself.


class Sweep(Message, frozen=True, gc=False, tag="sweep_thresholds"):
    """A timer's beat."""


class Event(Message, frozen=True, gc=False, tag="threshold_event"):
    """A task to its actor: something to be counted."""

    what: Literal["outcome", "adaptation", "move", "failed"]
    count: int = 1
