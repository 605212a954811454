"""What a process counts of its own work, for Prometheus: numbers in memory, read when somebody asks.

Counters begin at 0 with each process; Prometheus' `rate` and `increase` know that. Labels have few values: names of
operations, jobs, kinds of actions, never an account or a server.
"""

from prometheus_client import Counter, Gauge, Histogram

_FAST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

REQUESTS = Counter("openvps_requests", "Answered requests.", ["operation", "status"])
REQUEST_S = Histogram(
    "openvps_request_seconds",
    "Time until an answer began; requests that wait (?wait=) are left out.",
    ["operation"],
    buckets=_FAST_S,
)
KEPT_LISTS = Counter("openvps_kept_lists", "Lists of servers that were answered from memory.")
IN_FLIGHT = Gauge("openvps_requests_in_flight", "Requests that are being answered.")
STREAMS = Gauge("openvps_event_streams", "Event streams that are open.")
JOBS = Counter("openvps_jobs", "Jobs that a worker ran, by how they ended.", ["job", "result"])
JOB_S = Histogram("openvps_job_seconds", "How long jobs took.", ["job"], buckets=_LONG_S)
LOOKS = Counter("openvps_converge_looks", "Looks of converge at a server.")
ENGINE_FAILURES = Counter("openvps_engine_failures", "Looks that the engine failed, by how.", ["kind"])
ACTIONS = Counter("openvps_actions_finished", "Actions that ended, by how.", ["kind", "result"])
WATCHER_FAILURES = Counter("openvps_watcher_failures", "Turns of a watcher that failed.", ["watcher"])
WEBHOOK_ATTEMPTS = Counter("openvps_webhook_attempts", "Deliveries that were tried, by how it went.", ["result"])
