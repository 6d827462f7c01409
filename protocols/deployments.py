"""What a strategy that runs and the account that it is deployed to say to each other.

A deployment binds one run to one account. The account (an actor at `account`) is the authority: what a run knows of
its orders and positions is a mirror of what it was told.

    DeployRun, UndeployRun     account -> run      asked; the run trades from now on, or no more
    DeploymentNews             account -> run      sent (`send`), in the order of the account's events
    PlaceOrders                run -> account      asked; again with the same ids after an unknown outcome
    GetDeployment              run -> DEPLOYMENTS  asked by each new life of a run, before it takes an input

After a restart of the run its new life asks `GetDeployment`, and has the state and the open orders of that moment; it
asks again when it is loaded, and when it hears news of a deployment that it does not know. After a restart of the
account the account says `DeployRun` again: for a deployment that the run knows it replaces what the run knows. So
whoever has lost his memory speaks first, and both may at once: all of it may be said twice.

Only strategies of the SDK order by themselves. A run that cannot refuses `DeployRun` with `not_handled`: it gives
signals, and the account trades by these.

Prices, quantities and money in nanos; text where a number is a product or a sum of them (exact decimal digits). Times
in ns since the Unix epoch, UTC.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request
from protocols.instruments import Instrument
from protocols.orders import Order, OrderCommand, OrderEvent
from protocols.paths import STRATEGIES

DEPLOYMENTS: Final = "/execution/deployments"
"""The path of the actor that knows which runs are deployed to which accounts."""

RuleMeasure = Literal[
    "level", "order_size", "order_notional", "position_size", "position_notional", "positions", "exposure"
]
"""What a limit is compared with: the account's own figure alone (`level`, such as a daily loss or a lock), or what it
would be behind an order."""

Severity = Literal["low", "medium", "high", "critical"]


def run_actor(run: str) -> str:
    """The path of the actor of a strategy's run."""
    return f"{STRATEGIES}/{run}/runner"


class PositionShown(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A position of a deployment. `quantity` is negative for a short one, 0 for one closed since the last news.

    `average_price` is rounded, for people. `invested`: how much money went from the cash into it: the cost of what was
    bought, the collateral of a short position of a prediction market, "0" where it is on margin. Its value is this
    plus its unrealized profit. `price`: what it could be closed at, `value`: what that would bring (a short one costs:
    negative), `unrealized`: the profit that it would take; None: not known. `realized`: profit of all that was
    closed in this market since the deployment began, fees not taken off.
    """

    market: str
    quantity: int
    average_price: int | None
    invested: str = "0"
    realized: str = "0"
    price: int | None = None
    opened: int = 0
    value: str | None = None
    unrealized: str | None = None


class RuleShown(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A limit that the account keeps for this deployment. `limit`, `used`: decimal text in units; None: not known.

    `market`: of one market alone; empty: of all.
    """

    name: str
    limit: str
    used: str | None = None
    measure: RuleMeasure = "level"
    severity: Severity = "high"
    enabled: bool = True
    market: str = ""


class AccountShown(Message, frozen=True, gc=False, kw_only=True, tag="account_shown"):
    """How the part of an account stands that is a deployment's: all of it, or its share of the capital.

    `cash` is in no position. `equity`: cash and positions at the exit side; None: a price is missing. `initial`: the
    equity when the deployment began. `trades`, `wins`: positions that were closed since then, and those with a profit;
    None: not counted. `realized`, `fees`: since the deployment began.
    """

    deployment_id: str
    account: str
    currency: str
    cash: int
    equity: int | None
    positions: tuple[PositionShown, ...]
    realized: str
    fees: int
    ts: int
    initial: int | None = None
    trades: int | None = None
    wins: int | None = None
    rules: tuple[RuleShown, ...] = ()


class DeployRun(Request[None], frozen=True, gc=False, kw_only=True, tag="deploy_run"):
    """Tells a run's actor that it trades from now on, and how its account stands. Also the answer to GetDeployment.

    `account`: the path of the account's actor. `markets`: where it may order, names of its symbols; none: all of the
    run's. `instruments`: their definitions as the account has them; of others the run asks the instrument master.
    `open_orders`: all open orders of the deployment, whoever gave them.
    Refused `not_running`, `not_handled`, `deployed` (the run has another deployment).
    """

    deployment_id: str
    account: str
    currency: str
    markets: tuple[str, ...]
    shown: AccountShown
    open_orders: tuple[Order, ...] = ()
    instruments: tuple[Instrument, ...] = ()


class UndeployRun(Request[None], frozen=True, gc=False, tag="undeploy_run"):
    """Tells a run's actor that it does not trade any more. Its open orders are the account's business.

    A run that does not have this deployment has nothing to do.
    """

    deployment_id: str
    reason: str


class GetDeployment(Request[DeployRun], frozen=True, gc=False, tag="get_deployment"):
    """A new life of a run asks whether it is deployed. Refused `not_found`: it is not."""

    run: str


class Denied(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A command that was not taken: `index` in the request, the order, and why. An order is final then (`denied`).

    `told`: an OrderEvent says so, too; then the run's strategy hears of it by that alone.
    """

    index: int
    client_order_id: str
    code: str
    reason: str
    told: bool = False


class OrdersTaken(Message, frozen=True, gc=False, tag="orders_taken"):
    """The commands are on disk and judged. What becomes of those that are not named is told by DeploymentNews."""

    deployment_id: str
    denied: tuple[Denied, ...] = ()


class PlaceOrders(Request[OrdersTaken], frozen=True, gc=False, tag="place_orders"):
    """A run gives commands, to be done in this order. Each order carries the deployment's id and its own.

    An order whose id is known is the same order, said again: nothing is done. A cancel or a change of an order of
    another deployment is denied. Refused: none of them was done.
    """

    deployment_id: str
    commands: tuple[OrderCommand, ...]


class DeploymentNews(Message, frozen=True, gc=False, tag="deployment_news"):
    """Something happened to an order of the deployment, to its account, or both.

    A fill comes with the account behind it. `event` None: money or positions changed otherwise (funding, settlement,
    a deposit), or a limit did.
    """

    deployment_id: str
    event: OrderEvent | None
    shown: AccountShown | None
