"""OTP's supervisor as a plain machine, after supervisor.erl: what a script must show, line by line.

One supervisor with workers, one request or exit at a time, all inside one period of the restart limit. Retries are
made at once, as nothing else is in the inbox.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ABNORMAL = frozenset({"crash", "kill"})


@dataclass
class Child:
    name: str
    restart: str
    significant: bool = False
    state: str = "down"


@dataclass
class Model:
    strategy: str
    children: list[Child]
    limit: int
    auto: str = "never"
    starts: dict[str, list[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    recorded: int = 0
    gone: bool = False

    def take(self) -> list[str]:
        """The lines since the last call."""
        taken, self.lines = self.lines, []
        return taken

    def states(self) -> dict[str, str]:
        return {child.name: child.state for child in self.children}

    def named(self, name: str) -> Child | None:
        return next((child for child in self.children if child.name == name), None)

    # Starts and stops.

    def open(self) -> bool:
        """The first start. False: it failed, and what had started was stopped in reverse."""
        for child in tuple(self.children):
            if not self._start(child):
                self._stop_all()
                return False
        return True

    def _start(self, child: Child) -> bool:
        words = self.starts.get(child.name) or ["ok"]
        how = words.pop(0) if len(words) > 1 else words[0]
        self.lines.append(("up " if how == "ok" else f"{how} ") + child.name)
        child.state = "up" if how == "ok" else "down"
        if how == "decline" and child.restart == "temporary" and child in self.children:
            self.children.remove(child)
        return how in ("ok", "decline")

    def _stop(self, child: Child) -> None:
        if child.state == "up":
            self.lines.append(f"stop {child.name}")
        child.state = "down"

    def _stop_all(self) -> None:
        for child in reversed(self.children):
            self._stop(child)
        self.gone = True

    # Exits.

    def exit(self, name: str, how: str) -> None:
        child = self.named(name)
        assert child is not None
        assert child.state == "up"
        child.state = "down"
        if child.restart == "permanent" or (child.restart == "transient" and how in ABNORMAL):
            self._restart(child)
            return
        if child.restart == "temporary":
            self.children.remove(child)
        left = any(other.significant and other.state != "down" for other in self.children)
        if child.significant and (self.auto == "any_significant" or (self.auto == "all_significant" and not left)):
            self._stop_all()

    def _restart(self, child: Child) -> None:
        offender: Child | None = child
        while offender is not None:
            self.recorded += 1
            if self.recorded > self.limit:
                self._stop_all()
                return
            offender = self._attempt(offender)

    def _attempt(self, offender: Child) -> Child | None:
        """One try; the child that failed to start."""
        at = self.children.index(offender)
        members = {
            "one_for_one": [offender],
            "one_for_all": list(self.children),
            "rest_for_one": self.children[at:],
        }[self.strategy]
        for member in reversed(members):
            if member is not offender:
                self._stop(member)
                if member.restart == "temporary":
                    self.children.remove(member)
        offender.state = "down"
        for member in members:
            if member in self.children and not self._start(member):
                return member
        return None

    # Requests.

    def terminate(self, name: str) -> str | None:
        child = self.named(name)
        if child is None:
            return "not_found"
        self._stop(child)
        if child.restart == "temporary":
            self.children.remove(child)
        return None

    def restart(self, name: str) -> str | None:
        child = self.named(name)
        if child is None:
            return "not_found"
        if child.state == "up":
            return "running"
        return None if self._start(child) else "*"

    def delete(self, name: str) -> str | None:
        child = self.named(name)
        if child is None:
            return "not_found"
        if child.state == "up":
            return "running"
        self.children.remove(child)
        return None

    def start(self, child: Child) -> str | None:
        known = self.named(child.name)
        if known is not None:
            return "already_started" if known.state == "up" else "already_present"
        self.children.append(child)
        if not self._start(child):
            self.children.remove(child)
            return "*"
        return None
