"""`ray start` whose loopback stays loopback: `python -m runtime.cluster.ray_start --head --node-ip-address 127.0.0.1`.

`ray start` takes 127.0.0.1 for a mistake in a cluster of several nodes: it puts the machine's outer address in its
place, and then every part listens on all interfaces. With the address that it asks for answered by loopback, every
part listens on loopback alone. Nothing else is changed; it ends as soon as the processes of the node run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Run `ray start` with this program's arguments."""
    from ray._private import services
    from ray.scripts import scripts

    services.get_node_ip_address = lambda address=None: LOOPBACK
    sys.argv = ["ray", "start", *sys.argv[1:]]
    start: Callable[[], None] = scripts.main
    start()


if __name__ == "__main__":
    main()
