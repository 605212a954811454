"""Usage out of Incus's metrics: Prometheus text with every counter of every machine at once.

Of some forty lines a machine five matter, so this reads just those.
"""

import re
from collections import defaultdict

from openvps.engine.protocol import Usage

LINE = re.compile(r"incus_(cpu_seconds_total|memory_Mem\w+_bytes|network_\w+_bytes_total)\{([^}]*)\} (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
IDLE = {"idle", "iowait"}


def usage_of(text: str) -> dict[str, Usage]:
    """Return the counters by machine; the network is `eth0`'s."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for metric, written, value in LINE.findall(text):
        labels = dict(LABEL.findall(written))
        if labels.get("mode") not in IDLE and labels.get("device", "eth0") == "eth0":
            sums[labels["name"]][metric] += float(value)
    return {
        name: Usage(
            cpu_seconds=seen["cpu_seconds_total"],
            memory_used_bytes=int(seen["memory_MemTotal_bytes"] - seen["memory_MemAvailable_bytes"]),
            received_bytes=int(seen["network_receive_bytes_total"]),
            sent_bytes=int(seen["network_transmit_bytes_total"]),
        )
        for name, seen in sums.items()
        if name
    }
