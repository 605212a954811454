"""`/servers/{id}/metrics/`: what a server used over time, one measure a request."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams
from typing_extensions import TypedDict

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.servers import queries
from openvps.compute.usage import graph
from openvps.compute.usage.resolutions import floor
from openvps.core.clock import iso, now
from openvps.core.errors import InvalidFields, NotFound
from openvps.core.query import Parameter, asks
from openvps.core.requests import Reference

router = APIRouter(tags=["servers"], route_class=Route)

METRIC = Parameter("metric", "What to show.", {"type": "string", "enum": list(graph.METRICS), "default": "cpu"})
DATE_TIME = {"type": "string", "format": "date-time"}
START = Parameter("start", "From when, like `2026-11-24T08:00:00Z`; an hour before `end` if left out.", DATE_TIME)
END = Parameter("end", "Until when, in the same form; now if left out.", DATE_TIME)
STEP = Parameter(
    "step",
    "Seconds from value to value. 60 are kept for 24 hours, 300 for 7 days, 3600 for 13 months; "
    "the finest that fits if left out.",
    {"type": "integer", "enum": list(graph.STEPS_S)},
)

_MOMENT = TypeAdapter[datetime](AwareDatetime)


class Value(TypedDict):
    """One value."""

    at: Annotated[str, Field(description="When its step begins, UTC.")]
    value: Annotated[float, Field(description="A mean over the step for cpu, memory and disk; else a sum.")]


class Metrics(TypedDict):
    """One measure over time."""

    metric: Annotated[str, Field(description="What is shown: cpu, memory, disk, received or sent.")]
    unit: Annotated[str, Field(description="percent (of all vCPUs) or bytes.")]
    start: Annotated[str, Field(description="When the first step begins.")]
    end: Annotated[str, Field(description="When it ends.")]
    step: Annotated[int, Field(description="Seconds from value to value.")]
    values: Annotated[list[Value], Field(description="Oldest first; a step without a measurement is left out.")]


@router.get("/servers/{reference_id}/metrics/", openapi_extra=asks(METRIC, START, END, STEP))
async def get_server_metrics(
    request: Request, reference_id: Reference, caller: Annotated[Caller, guard("servers:read")], conn: Conn
) -> Metrics:
    """Show what a server used over time."""
    row = await queries.shown(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    metric, start, end, step_s = _asked(request.query_params, now())
    values = await graph.read(conn, row.id, graph.METRICS[metric], (start, end), step_s)
    return {
        "metric": metric,
        "unit": graph.METRICS[metric].unit,
        "start": iso(floor(start, timedelta(seconds=step_s))),
        "end": iso(end),
        "step": step_s,
        "values": [{"at": iso(one.at), "value": one.value} for one in values],
    }


def _asked(query: QueryParams, at: datetime) -> tuple[str, datetime, datetime, int]:
    """Return measure, start, end and step in seconds. Raises InvalidFields with all that is wrong."""
    wrong: dict[str, list[str]] = {}
    metric = query.get("metric", "cpu")
    if metric not in graph.METRICS:
        wrong["metric"] = [f"One of {', '.join(graph.METRICS)}."]
    end = _moment(query, "end", at, wrong)
    start = _moment(query, "start", end - timedelta(hours=1), wrong)
    step = query.get("step")
    if step is not None and step not in map(str, graph.STEPS_S):
        wrong["step"] = [f"One of {', '.join(map(str, graph.STEPS_S))}, in seconds."]
    if not wrong and start >= end:
        wrong["start"] = ["It must be before end."]
    elif not wrong and start < at - graph.LONGEST:
        wrong["start"] = [f"What was used is kept for {graph.LONGEST.days} days."]
    elif not wrong and end > at + timedelta(days=1):
        wrong["end"] = ["It must not be in the future."]
    if wrong:
        raise InvalidFields(wrong)
    least_s = graph.step_for(start, end, at)
    if step is not None and int(step) < least_s:
        raise InvalidFields({"step": [f"At least {least_s} for that start and end."]})
    return metric, start, end, int(step or least_s)


def _moment(query: QueryParams, name: str, default: datetime, wrong: dict[str, list[str]]) -> datetime:
    given = query.get(name)
    if given is None:
        return default
    try:
        moment = _MOMENT.validate_python(given).astimezone(UTC)
    except (ValidationError, OverflowError):
        moment = None
    if moment is None or not 2001 <= moment.year <= 9998:  # noqa: PLR2004 -- room for a day on both sides
        wrong[name] = ["A moment with its zone, like 2026-11-24T08:00:00Z."]
        return default
    return moment
