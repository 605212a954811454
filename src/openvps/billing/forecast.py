"""What a server costs in a month: what is charged, what is due, and what is to come if it stays as it is."""

from dataclasses import dataclass
from datetime import datetime

from openvps.billing.books import Used
from openvps.billing.hours import month_of
from openvps.billing.traffic import GB, Overage, included_by

PACE_H = 24  # the traffic of fewer hours says too little of a month


@dataclass(frozen=True)
class Forecast:
    """A server's month; amounts are micro-units, `whole`: by the month's end."""

    hours: int
    micro: int
    whole_micro: int
    included_bytes: int
    traffic_micro: int
    whole_traffic_micro: int


def forecast(used: Used, gb_micro: int, at: datetime) -> Forecast:
    """Return what a server costs in the month of `at`, where a GB beyond what is included costs `gb_micro`."""
    server, charged, traffic = used.server, used.charged, used.traffic
    hours, by_rates = server.month_until(at, at)
    all_hours, whole_by_rates = server.month_until(at, month_of(at)[1])
    due = by_rates - server.month_until(at, server.due_at or at)[1]
    included = included_by(server, at)
    paced = traffic.used_bytes * all_hours // max(hours, min(PACE_H, all_hours), 1)
    over = Overage(at, server.server_id, at, charged.over_bytes, traffic.over_bytes).cost(
        gb_micro, charged.charged_micro
    )
    more = max(0, paced - included - traffic.over_bytes) * gb_micro // GB
    so_far = used.charged_micro + due + over
    return Forecast(
        hours=hours,
        micro=so_far,
        whole_micro=so_far + whole_by_rates - by_rates + more,
        included_bytes=included,
        traffic_micro=charged.charged_micro + over,
        whole_traffic_micro=charged.charged_micro + over + more,
    )
