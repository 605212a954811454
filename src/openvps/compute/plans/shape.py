"""A plan as operators see it, by the API and on the host."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.compute.plans.fields import Description, Kind, Name
from openvps.core.clock import iso
from openvps.core.db import Record
from openvps.core.money import MICRO


class SoldPlan(TypedDict):
    """A plan as operators see it, on offer or retired."""

    id: Annotated[int, Field(description="The plan's id: what `plan_id` names.", examples=[5])]
    uuid: Annotated[str, Field(description="The plan's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    slug: Annotated[str, Field(description="Its name in addresses and commands.", examples=["large-vps"])]
    name: Name
    kind: Kind
    vcpus: Annotated[int, Field(description="Virtual CPUs.", examples=[4])]
    memory_mib: Annotated[int, Field(description="Memory, in MiB.", examples=[8192])]
    storage_gb: Annotated[int, Field(description="Disk, in GB.", examples=[160])]
    bandwidth_gb: Annotated[int, Field(description="Traffic included, in GB a month.", examples=[4096])]
    price: Annotated[str, Field(description="Price of a month, in the installation's currency.", examples=["40.00"])]
    description: Description
    servers: Annotated[int, Field(description="How many servers have it.", examples=[3])]
    retired_at: Annotated[
        str | None, Field(description="Since when it isn't sold any more, UTC; null: it is.", examples=[None])
    ]


class ChangedPlan(SoldPlan):
    """A plan that was changed."""

    servers_changed: Annotated[int, Field(description="How many servers have another price now.", examples=[0])]


def shown(row: Record) -> SoldPlan:
    """Return a plan as operators see it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "slug": row.slug,
        "name": row.name,
        "kind": row.kind,
        "vcpus": row.vcpus,
        "memory_mib": row.memory_mib,
        "storage_gb": row.storage_gb,
        "bandwidth_gb": row.bandwidth_gb,
        "price": _price(row.price_monthly_micro),
        "description": row.description,
        "servers": row.servers,
        "retired_at": iso(row.retired_at) if row.retired_at else None,
    }


def _price(micro: int) -> str:
    """Return a price with all its digits, and at least two after the point."""
    exact = (Decimal(micro) / MICRO).normalize()
    return f"{exact:.2f}" if exact == round(exact, 2) else f"{exact:f}"
