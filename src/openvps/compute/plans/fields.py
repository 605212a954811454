"""What an operator says of a plan."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from openvps.core.money import MICRO

NAME = r"^[^\x00-\x1f\x7f]+$"
TEXT = r"^[^\x00-\x1f\x7f]*$"

Size = Annotated[int, Field(strict=True, ge=1, le=1 << 24)]
NAME_RULES = Field(max_length=100, pattern=NAME, description="Its name.", examples=["Large VPS"])
KIND_RULES = Field(
    description="`vm`, a machine of its own, or `container`, which shares the host's kernel.", examples=["vm"]
)
PRICE_RULES = Field(
    ge=0,
    le=1_000_000,
    decimal_places=6,
    description="Price of a month, in the installation's currency.",
    examples=["40.00"],
)
TEXT_RULES = Field(max_length=500, pattern=TEXT, description="What it is for.", examples=["For databases."])

Name = Annotated[str, NAME_RULES]
Kind = Annotated[str, KIND_RULES]
Price = Annotated[Decimal, PRICE_RULES]
Description = Annotated[str, TEXT_RULES]


class NewPlan(BaseModel):
    """What `POST /admin/plans/` takes."""

    slug: Annotated[
        str,
        Field(
            max_length=50,
            pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
            description="Its name in addresses and commands.",
            examples=["large-vps"],
        ),
    ]
    name: Name
    kind: Annotated[Literal["container", "vm"], KIND_RULES] = "container"
    vcpus: Annotated[Size, Field(description="Virtual CPUs.", examples=[4])]
    memory_mib: Annotated[Size, Field(description="Memory, in MiB.", examples=[8192])]
    storage_gb: Annotated[Size, Field(description="Disk, in GB.", examples=[160])]
    bandwidth_gb: Annotated[
        int, Field(strict=True, ge=0, le=1 << 24, description="Traffic included, in GB a month.", examples=[4096])
    ]
    price: Price
    description: Description = ""


class PlanChange(BaseModel):
    """What `PATCH /admin/plans/{id}/` takes; what isn't given stays. No size may change: servers were promised it."""

    name: Annotated[str | None, NAME_RULES] = None
    price: Annotated[Decimal | None, PRICE_RULES] = None
    description: Annotated[str | None, TEXT_RULES] = None
    apply_to_existing: Annotated[
        bool,
        Field(
            strict=True,
            description="Whether servers that have it cost its price from their next hour on; else they keep theirs.",
            examples=[False],
        ),
    ] = False


def columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return fields as columns' values: the price in micro-units."""
    named = {name: value for name, value in values.items() if value is not None and name != "price"}
    price = values.get("price")
    return named if price is None else {**named, "price_monthly_micro": int(price * MICRO)}
