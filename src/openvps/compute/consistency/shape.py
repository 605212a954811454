"""A report as the API shows it, and what is asked for one."""

from typing import Annotated, Any

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.core.clock import iso
from openvps.core.db import Record


class NewReport(BaseModel):
    """What `POST /admin/consistency-reports/` takes."""

    repair: Annotated[
        bool,
        Field(strict=True, description="Whether what can be mended without a person is mended.", examples=[False]),
    ] = False


class Finding(TypedDict):
    """One thing that engine and database, or two rows, don't agree on."""

    kind: Annotated[
        str,
        Field(
            description="What it is: machine, snapshot, volume, image, profile, server, backup, address, hold, "
            "meter, action, job or room.",
            examples=["machine"],
        ),
    ]
    problem: Annotated[
        str,
        Field(
            description="`orphan`: it is nobody's. `missing`: it should be there. `differs`: it should be otherwise. "
            "`stuck`: nobody sees to its end.",
            examples=["orphan"],
        ),
    ]
    subject: Annotated[
        str, Field(description="Its name in the engine, its address, or its number.", examples=["vps-12"])
    ]
    text: Annotated[str, Field(description="The finding in words.", examples=["vps-12 is no server's"])]
    repair: Annotated[
        str | None,
        Field(
            description="What a repair does about it; null: a person must decide.",
            examples=["delete it, with its disk"],
        ),
    ]
    cell: Annotated[str | None, Field(description="The cell that it is in.", examples=["local"])]


class Unseen(TypedDict):
    """A cell that couldn't be looked at."""

    cell: Annotated[str, Field(description="The cell's name.", examples=["eu-1"])]
    reason: Annotated[str, Field(description="Why it couldn't.", examples=["no answer within 4 s"])]


class Report(TypedDict):
    """A look at whether engine and database agree."""

    id: Annotated[int, Field(description="The report's number; later ones are higher.", examples=[12])]
    uuid: Annotated[str, Field(description="The report's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    status: Annotated[str, Field(description="`queued`, `running` or `completed`.", examples=["completed"])]
    asked_by: Annotated[str, Field(description="Who wanted it; `night`: nobody in particular.", examples=["night"])]
    repair: Annotated[bool, Field(description="Whether what could be mended was.", examples=[False])]
    found: Annotated[
        int | None, Field(description="How many findings there are, after any repair; null before.", examples=[1])
    ]
    repaired: Annotated[int | None, Field(description="How many were mended; null before.", examples=[0])]
    unseen: Annotated[
        int | None, Field(description="How many cells couldn't be looked at; null before.", examples=[0])
    ]
    created_at: Annotated[str, Field(description="When it was asked for, UTC.", examples=["2026-11-25T02:30:00Z"])]
    finished_at: Annotated[
        str | None, Field(description="When it was done, UTC; null before.", examples=["2026-11-25T02:30:09Z"])
    ]


class ReportDetail(Report):
    """A look at whether engine and database agree, with what it found."""

    findings: Annotated[list[Finding], Field(description="What is left; empty before it is done.")]
    mended: Annotated[list[Finding], Field(description="What was mended.", examples=[[]])]
    cells_unseen: Annotated[list[Unseen], Field(description="Cells that couldn't be looked at.", examples=[[]])]


def shown(row: Record) -> Report:
    """Return a report as the API shows it in a list."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "status": row.status,
        "asked_by": row.asked_by,
        "repair": row.repair,
        "found": row.found,
        "repaired": row.repaired,
        "unseen": row.unseen,
        "created_at": iso(row.created_at),
        "finished_at": iso(row.finished_at) if row.finished_at else None,
    }


def detail(row: Record) -> ReportDetail:
    """Return a report with what it found."""
    result: dict[str, list[Any]] = row.result or {}
    return {
        **shown(row),
        "findings": result.get("findings", []),
        "mended": result.get("repaired", []),
        "cells_unseen": result.get("unseen", []),
    }
