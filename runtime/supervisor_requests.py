"""How a supervisor answers what it is asked at run time (`administration.py`), with OTP's refusals.

One request at a time, in the supervisor's own task: while it starts or stops a child for somebody, exits and other
requests wait, as in OTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols.control import Refused
from runtime import administration as ask_for
from runtime.cell import RUNNING, Cell, State
from runtime.exits import describe
from runtime.mailbox import Ask, Lag, content
from runtime.spec import ChildFigures, ChildSpec, check_child

if TYPE_CHECKING:
    from runtime.supervisor import SupervisorCell


async def serve(supervisor: SupervisorCell, item: Any) -> None:
    """Take one item out of a supervisor's mailbox: answer an ask, or make a dead letter of anything else."""
    if type(item) is not Ask:
        if type(item) is not Lag:
            supervisor.node.dead_letter(supervisor.path, content(item), "not_handled")
        return
    if item.task is None:
        return
    item.begun = True
    supervisor.handled += 1
    try:
        value = await supervisor.answer(item.request)
    except Refused as refusal:
        item.settle(refusal)
    except BaseException:
        item.lose(f"{supervisor.path} ended while handling the request")
        raise
    else:
        item.answer(value)


async def answer(supervisor: SupervisorCell, request: Any) -> Any:
    """Do what every supervisor can be asked for. Raises Refused."""
    match request:
        case ask_for.StartChild(spec):
            return await _start_child(supervisor, spec)
        case ask_for.TerminateChild(name):
            return await supervisor.stop_child(_child(supervisor, name))
        case ask_for.RestartChild(name):
            return await _restart_child(supervisor, _child(supervisor, name))
        case ask_for.DeleteChild(name):
            return _delete_child(supervisor, _child(supervisor, name))
        case ask_for.KillChild(name):
            cell = _child(supervisor, name)
            if cell.state not in RUNNING:
                raise Refused("stopped", f"{cell.path} is not running")
            return cell.kill("on request")
        case ask_for.PauseChild(name) | ask_for.ResumeChild(name):
            return _pause_child(supervisor, _child(supervisor, name), isinstance(request, ask_for.PauseChild))
        case ask_for.WhichChildren():
            return tuple(
                ask_for.ChildState(
                    c.name, c.path, c.state.value, "actor" if c.spec.supervisor is None else "supervisor"
                )
                for c in supervisor.children.values()
            )
        case ask_for.CountChildren():
            return _count(supervisor)
    raise Refused("not_handled", f"supervisor {supervisor.path} does not handle {type(request).__name__}")


def _child(supervisor: SupervisorCell, name: str) -> Cell:
    cell = supervisor.children.get(name)
    if cell is None:
        raise Refused("not_found", f"supervisor {supervisor.path} has no child {name!r}", "name")
    return cell


async def _start_child(supervisor: SupervisorCell, spec: ChildSpec) -> Any:
    known = supervisor.children.get(spec.name)
    if known is not None:
        code = "already_present" if known.state is State.STOPPED else "already_started"
        raise Refused(
            code, f"supervisor {supervisor.path} has a child {spec.name!r} that is {known.state.value}", "name"
        )
    most = supervisor.options.max_children
    if most is not None and len(supervisor.children) >= most:
        raise Refused("max_children", f"supervisor {supervisor.path} has its {most} children")
    try:
        check_child(supervisor.path, supervisor.options, spec)
    except ValueError as error:
        raise Refused("invalid", str(error), "spec") from None
    cell = supervisor.add(spec)
    failure = await supervisor.start(cell)
    if failure is not None:
        supervisor.finish(cell, failure)
        if cell.name in supervisor.children:
            supervisor.remove(cell)
        raise Refused("start_failed", describe(failure))
    return cell.ref


async def _restart_child(supervisor: SupervisorCell, cell: Cell) -> Any:
    if cell.state is State.BACKOFF:
        raise Refused("restarting", f"{cell.path} is being restarted")
    if cell.state is not State.STOPPED:
        raise Refused("running", f"{cell.path} is {cell.state.value}")
    failure = await supervisor.start(cell)
    if failure is not None:
        cell.close()
        raise Refused("start_failed", describe(failure))
    return cell.ref


def _delete_child(supervisor: SupervisorCell, cell: Cell) -> None:
    if cell.state is State.BACKOFF:
        raise Refused("restarting", f"{cell.path} is being restarted")
    if cell.state is not State.STOPPED:
        raise Refused("running", f"{cell.path} is {cell.state.value}")
    supervisor.remove(cell)


def _pause_child(supervisor: SupervisorCell, cell: Cell, pause: bool) -> None:
    if cell.spec.supervisor is not None:
        raise Refused("invalid", f"{cell.path} is a supervisor: pause its children", "name")
    expected = State.UP if pause else State.PAUSED
    if cell.state is not expected:
        raise Refused("not_running" if pause else "not_paused", f"{cell.path} is {cell.state.value}")
    cell.pause() if pause else cell.resume()


def _count(supervisor: SupervisorCell) -> ChildFigures:
    cells = supervisor.children.values()
    return ChildFigures(
        specs=len(cells),
        active=sum(c.state in RUNNING for c in cells),
        supervisors=sum(c.spec.supervisor is not None for c in cells),
        restarting=sum(c.state is State.BACKOFF for c in cells),
    )
