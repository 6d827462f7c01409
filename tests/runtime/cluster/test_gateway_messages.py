from __future__ import annotations

import msgspec
import pytest

from runtime.cluster import gateway_messages as messages
from runtime.cluster.gateway_messages import ClusterMember, Command, Event, Lines
from runtime.spec import HostOptions

MEMBER = ClusterMember("ab", "head", "127.0.0.1", True, {"CPU": 2.0})
COMMANDS: list[Command] = [
    messages.Place(host="a", settings=b"\x00\xff\n", options=HostOptions(cpus=1, node="head"), avoid=("x",)),
    messages.Kill(host="a"),
    messages.Describe(),
]
EVENTS: list[Event] = [
    messages.Connected(address="127.0.0.1:1", nodes=(MEMBER,)),
    messages.Nodes(nodes=()),
    messages.Placed(host="a", node_id="ab", node_name="head", node_address="127.0.0.1", pid=3),
    messages.NotPlaced(host="a", reason="a line\nand another"),
    messages.Ended(host="a", reason="it ended"),
    messages.Lost(reason="refused"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_arrives_as_it_was_sent(command: Command) -> None:
    assert messages.decode_command(messages.encode(command)) == command


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_arrives_as_it_was_sent(event: Event) -> None:
    assert messages.decode_event(messages.encode(event)) == event


def test_every_message_is_one_line() -> None:
    for message in [*COMMANDS, *EVENTS, messages.GatewaySettings(address="a:1")]:
        assert messages.encode(message).count(b"\n") == 1


def test_lines_come_whole_out_of_pieces_of_any_size() -> None:
    sent = b"".join(messages.encode(event) for event in EVENTS)
    for size in (1, 2, 7, len(sent)):
        lines = Lines()
        got = [line for start in range(0, len(sent), size) for line in lines.feed(sent[start : start + size])]
        assert [messages.decode_event(line) for line in got] == EVENTS


@pytest.mark.parametrize("line", [b"", b"{}", b'{"type":"lost"}', b'{"type":"kill","host":"a","more":1}', b"[]"])
def test_what_is_no_command_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode_command(line)
