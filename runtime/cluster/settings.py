"""`[cluster]`: where actors with `placement = "ray"` may run, and how their hosts find the node."""

from __future__ import annotations

from typing import Annotated

import msgspec

from runtime.settings import Configuration, Issue, LocalPath

Positive = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class ClusterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[cluster]`. Without an address the node starts no gateway and never imports Ray."""

    address: str = ""
    """Of the cluster's head, `host:port`; `local`: the cluster that `troupe cluster up` started on this machine;
    empty: none."""
    token_file: LocalPath = ""
    """A file with the cluster's authentication token; empty: that of the local cluster, if it is one."""
    listen: str = "127.0.0.1"
    """The address at which hosts on other machines reach this node; loopback: this machine's alone."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """The port for hosts; 0: any that is free."""
    heartbeat_s: Positive = 1.0
    """How often both ends of a link say that they live, in seconds."""
    lost_s: Positive = 10.0
    """A host that was silent for so long is given up, in seconds; a host ends itself when its node was."""
    place_s: Positive = 60.0
    """How long a worker may take to come up, in seconds."""
    connect_s: Positive = 30.0
    """How long the gateway may take to reach the cluster, in seconds; then it is tried again."""

    def __post_init__(self) -> None:
        if self.lost_s <= 2 * self.heartbeat_s:
            raise ValueError(
                f"lost_s must be more than two heartbeats, got lost_s = {self.lost_s:g} with heartbeat_s = "
                f"{self.heartbeat_s:g}"
            )


def without_cluster(configuration: Configuration, key: str, placement: str | tuple[str, ...]) -> list[Issue]:
    """What is wrong with a placement (the setting `key`) of this configuration: only a cluster could have it, and none
    is named."""
    places = (placement,) if isinstance(placement, str) else placement
    if set(places) != {"ray"} or configuration.section("cluster").address:
        return []
    text = f"{key} ({configuration.source(key)}): 'ray' needs a cluster: expected an address in [cluster], got none"
    return [Issue("invalid", text, key)]


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told when it is made. `address`: of the node, `host:port`; empty: its standard input is the
    link."""

    host: str
    token: str
    address: str
    node: str
    node_name: str
    worker: str
    epoch: int
    data_dir: str
    threads: int
    heartbeat_s: float
    lost_s: float
    debug: bool
    main: str
    """The module that the node runs as its main program."""
