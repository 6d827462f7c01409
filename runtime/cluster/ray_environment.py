"""The environment that Ray reads when it is imported."""

from __future__ import annotations

import os

from runtime.cluster.gateway_messages import GatewaySettings

RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""Until Ray ends a driver that has lost the head; 60 if nothing is said (`ray_config_def.h`)."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def prepare_environment(settings: GatewaySettings) -> None:
    """Set what Ray reads when it is imported, whatever the node's own environment says."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token" if settings.token else "disabled"
    if settings.token:
        os.environ["RAY_AUTH_TOKEN"] = settings.token
    # Ray's own end of this process shall never come before ours.
    os.environ[RECONNECT] = str(max(60, int(3 * settings.lost_s)))
    if settings.address.rpartition(":")[0] in LOOPBACK:
        # Otherwise Ray takes loopback for a mistake, and dials the machine's outer address, where nobody listens.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
