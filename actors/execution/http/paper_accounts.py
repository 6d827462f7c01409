"""Paper accounts: what they are opened with, and all of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.execution.http.account_routes import view_of
from actors.execution.http.numbers import (
    digits,
)
from actors.execution.http.paper_requests import (
    NewPaperAccount,
    NewSession,
)
from actors.execution.matching.settings import FeeSettings, SlippageSettings
from actors.execution.risk.limits import PAPER_DEFAULTS
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    AccountView,
    GetPaperDefaults,
    ListAccounts,
)
from protocols.nanos import NANO, exact_nanos

ASK_S: Final = 15.0
CAPITAL: Final = "initial_capital"


async def account_fields(
    call: Call, request: NewSession | NewPaperAccount, name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of AccountSettings and of EngineSettings. Raises HttpError 400."""
    defaults = await call.ref(DEPLOYMENTS).ask(GetPaperDefaults(), ASK_S)
    capital = defaults.capital if request.initial_capital is None else digits(request.initial_capital, CAPITAL)
    if not exact_nanos(capital) > 0:
        raise HttpError(400, "invalid", f"expected above 0, got {capital}", CAPITAL)
    rate, slippage = request.commission_rate, request.slippage_rate
    fills = request.fills
    share = None if rate is None else digits(rate, "commission_rate")
    if share is not None and not 0 <= exact_nanos(share) < NANO:
        raise HttpError(400, "invalid", f"expected a share from 0 to below 1, got {share}", "commission_rate")
    if share is not None and fills.fees == FeeSettings():
        fills = msgspec.structs.replace(fills, fees=FeeSettings(maker=share, taker=share))
    if slippage and fills.slippage == SlippageSettings():
        try:
            found = SlippageSettings(model="share", share=digits(slippage, "slippage_rate"))
        except ValueError as error:
            raise HttpError(400, "invalid", str(error), "slippage_rate") from None
        fills = msgspec.structs.replace(fills, slippage=found)
    account = {
        "account_id": name,
        "user": request.user,
        "currency": request.currency,
        "kind": request.account_kind,
        "leverage": digits(request.leverage, "leverage"),
        "position_mode": request.position_mode,
        "initial_capital": capital,
    }
    engine = {
        "fills": msgspec.to_builtins(fills),
        "limits": msgspec.to_builtins(
            request.limits or msgspec.structs.replace(PAPER_DEFAULTS, max_positions=defaults.positions)
        ),
        "protections": msgspec.to_builtins(request.protections),
        "seed": request.seed,
    }
    return account, engine


async def names_of(call: Call, user: str = "") -> list[str]:
    """The paper accounts that are up, of a user or of all."""
    listed = (await call.ref(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts
    return [name for name, owner, mode, _, _, up in listed if mode == "paper" and up and user in ("", owner)]


async def views(call: Call, user: str = "") -> list[AccountView]:
    """How they stand."""
    return [await view_of(call, name) for name in await names_of(call, user)]
