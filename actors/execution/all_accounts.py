"""Exposure over all accounts: asks each of them, and sums up.

`ExposureWatch` holds it to the limits of `[execution.exposure]`. No account knows of the others before it sends an
order, so this is a control behind the trade: at a breach everybody who has part in it may only reduce, until the sum is
within its limits again. Between two looks an account goes as far as its own limits let it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import trio

from actors.execution.risk.exposure import Exposure, ExposureLimits, Holding, exposure
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.deployments import DEPLOYMENTS
from protocols.execution import GetAccount, GetRisk, ListAccounts, RiskShown, SwitchTrading, account_actor
from protocols.instruments import Instrument
from protocols.nanos import NANO
from runtime import Actor, receive

Mode = Literal["all", "paper", "live"]
ASK_S: Final = 10.0
REASON: Final = "exposure over all accounts"
"""How the reason begins that an account is told: what begins so may be lifted by the watch, and nothing else."""


class ExposureSettings(ExposureLimits, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[execution.exposure]`: limits over all accounts together, and how often they are looked at, seconds.

    Where one is passed, the accounts that have part in it may only reduce until the sum is within it again. A position
    whose price or rate is not known is told of, and counts as nothing.
    """

    accounts: Mode = "all"
    """Which accounts count: paper money is not real money, and may stand beside it."""
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] = "USD"
    """That the limits are in."""
    interval_s: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 1.0

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return any(getattr(self, field) is not None for field in ExposureLimits.__struct_fields__)


async def exposure_of_all(
    lookup: Callable[[str], Any], currency: str, limits: ExposureLimits, mode: Mode = "all"
) -> tuple[Exposure, tuple[str, ...]]:
    """(exposure over all accounts, those that did not answer). `lookup`: from a path to a ref.

    Rates are those of accounts whose own currency is the reporting one. Raises Refused, Unknown: the roster does not
    answer.
    """
    names = await _names(lookup, mode)
    shown: dict[str, RiskShown] = {}

    async def ask(name: str) -> None:
        try:
            shown[name] = await lookup(account_actor(name)).ask(GetRisk(), ASK_S)
        except (Refused, Unknown):
            return  # it is among those that did not answer

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(ask, name)
    return summed([shown[name] for name in names if name in shown], currency, limits), tuple(
        name for name in names if name not in shown
    )


async def _names(lookup: Callable[[str], Any], mode: Mode) -> list[str]:
    found = (await lookup(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts
    return [name for name, _, kind, *_ in found if mode in ("all", kind)]


def summed(accounts: Sequence[RiskShown], currency: str, limits: ExposureLimits) -> Exposure:
    """What these accounts come to together."""
    holdings: list[Holding] = []
    instruments: dict[str, Instrument] = {}
    prices: dict[str, int] = {}
    rates = {currency: NANO}
    for account in accounts:
        for held in account.holdings:
            holdings.append(Holding(account.account, held.market, held.quantity))
            if held.instrument is not None:
                instruments[held.market] = held.instrument
                if account.currency == currency and held.rate is not None:
                    rates[held.instrument.currency] = held.rate
            if held.price is not None:
                prices[held.market] = held.price
    return exposure(holdings, instruments, prices, rates, limits)


def reasons(found: Exposure) -> dict[str, str]:
    """Why each account that has part in a breach may only reduce."""
    parts = {("", "total"): found.total}
    parts |= {(each.name, each.scope): each for each in (*found.markets, *found.currencies)}
    told: dict[str, str] = {}
    for breach in found.breaches:
        kind = "total" if not breach.scope else "market" if "market" in breach.field else "currency"
        for account in parts[breach.scope, kind].accounts:
            told.setdefault(account, f"{REASON}: {breach.field}: {breach.reason}")
    return told


class _Look(Message, frozen=True, gc=False, tag="look_at_exposure"):
    """It is time."""


class _Seen(Message, frozen=True, gc=False, tag="exposure_seen"):
    """What a look has found. `problem`: why it was none."""

    breaches: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    problem: str = ""


class ExposureWatch(Actor):
    """Holds the sum of all accounts to its limits. `settings`: fields of ExposureSettings."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = msgspec.convert(settings, ExposureSettings)
        self.looking = False
        self.looks = 0
        self.seen = _Seen()

    def on_start(self) -> None:
        """Look, and look again."""
        self.every(self.settings.interval_s, _Look())
        self.ref.tell(_Look())

    @receive
    def look(self, message: _Look) -> None:
        """One look at a time, however long accounts take to answer."""
        if not self.looking:
            self.looking = True
            self.spawn(self._look, name="look")

    async def _look(self) -> None:
        settings = self.settings
        try:
            found, away = await exposure_of_all(self.lookup, settings.currency, settings, settings.accounts)
            reduced = await self._hold(reasons(found), away)
        except (Refused, Unknown) as error:
            self.ref.tell(_Seen(problem=str(error)))
            return
        breaches = tuple(f"{each.field}: {each.reason}" for each in found.breaches)
        self.ref.tell(_Seen(breaches, reduced, found.unknown, away))

    async def _hold(self, told: dict[str, str], away: tuple[str, ...]) -> tuple[str, ...]:
        """Let those that have part in a breach reduce only, and others that we held go on. Who is held now."""
        held = []
        for name in await _names(self.lookup, self.settings.accounts):
            if name in away:
                continue
            ref = self.lookup(account_actor(name))
            try:
                view = await ref.ask(GetAccount(), ASK_S)
                ours = view.trading == "reducing" and view.trading_reason.startswith(REASON)
                if name in told and view.trading == "active":
                    await ref.ask(SwitchTrading("reducing", told[name]), ASK_S)
                    self.logger.warning("an account may only reduce", account=name, why=told[name])
                elif ours and name not in told and not away:
                    # Whoever does not answer may hold what the limit was passed by.
                    await ref.ask(SwitchTrading("active", f"{REASON} is within its limits again"), ASK_S)
                    self.logger.info("an account trades again", account=name)
                    continue
                if name in told or ours:
                    held.append(name)
            except (Refused, Unknown) as error:
                self.logger.warning("an account does not answer", account=name, why=str(error))
        return tuple(held)

    @receive
    def note(self, message: _Seen) -> None:
        """Keep what the look has found."""
        self.looking = False
        self.looks += 1
        self.seen = message

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Within its limits, or what is not."""
        seen = self.seen
        figures = (("looks", self.looks), ("breaches", len(seen.breaches)), ("reducing", len(seen.reduced)))
        problem = (
            seen.problem
            or "; ".join(seen.breaches)
            or (f"no answer from {', '.join(seen.away)}" if seen.away else "")
            or (f"no price or rate of {', '.join(seen.unknown)}" if seen.unknown else "")
        )
        return ProbeReport("degraded" if problem else "ok", problem, True, figures)
