"""What operators send: the fields of accounts, with their rules."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from openvps.accounts.passwords import NewPassword

MAX_EMAIL = 254  # RFC 5321, 4.5.3.1.3
MAX_COUNT = (1 << 31) - 1
MAX_CREDIT = 1_000_000

Email = Annotated[
    str,
    Field(
        strict=True,
        max_length=MAX_EMAIL,
        pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$",
        description="The e-mail address to sign in with; capitals don't matter.",
        examples=["ada@example.com"],
    ),
]
Name = Annotated[str, Field(strict=True, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
FirstName = Annotated[Name, Field(description="The person's first name.", examples=["Ada"])]
LastName = Annotated[Name, Field(description="The person's last name.", examples=["Lovelace"])]
CompanyName = Annotated[Name, Field(description="The company's name.", examples=["Analytical Engines Ltd"])]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
MaxServers = Annotated[
    Count | None,
    Field(description="How many servers it may have; null: the installation's setting.", examples=[10]),
]
MaxVcpus = Annotated[
    Count | None,
    Field(
        description="How many vCPUs its servers may have together; null: the installation's setting.", examples=[40]
    ),
]
CreatesAnHour = Annotated[
    Count | None,
    Field(
        description="How many servers it may create in any 60 minutes; null: the installation's setting.",
        examples=[20],
    ),
]


class NewAccount(BaseModel):
    """What `POST /admin/accounts/` takes."""

    email: Email
    first_name: FirstName = ""
    last_name: LastName = ""
    company_name: CompanyName = ""
    password: Annotated[
        NewPassword | None,
        Field(description="A first password; null or not given: the answer has an invite to hand on instead."),
    ] = None
    credit: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=1_000_000,
            description="Credit to begin with, in whole currency units.",
            examples=[10],
        ),
    ] = 0
    max_servers: MaxServers = None
    max_vcpus: MaxVcpus = None
    creates_an_hour: CreatesAnHour = None


class AccountChange(BaseModel):
    """What `PATCH /admin/accounts/{id}/` takes; what isn't given stays."""

    email: Email = ""
    first_name: FirstName = ""
    last_name: LastName = ""
    company_name: CompanyName = ""
    max_servers: MaxServers = None
    max_vcpus: MaxVcpus = None
    creates_an_hour: CreatesAnHour = None


class NewCredit(BaseModel):
    """What crediting an account takes."""

    amount: Annotated[
        Decimal,
        Field(
            ge=-MAX_CREDIT,
            le=MAX_CREDIT,
            decimal_places=6,
            description="How much, in the installation's currency; less than 0 only for an adjustment.",
            examples=["25.00"],
        ),
    ]
    adjustment: Annotated[
        bool, Field(strict=True, description="Whether it corrects the books, and is no payment.", examples=[False])
    ] = False
    reason: Annotated[
        str,
        Field(
            strict=True,
            max_length=500,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="Why; it stands in the ledger for the customer to see. An adjustment needs one.",
            examples=["bank transfer of May 3"],
        ),
    ] = ""
    reference: Annotated[
        str | None,
        Field(
            strict=True,
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="What it is known by elsewhere, like a payment's number; the same again changes nothing.",
            examples=["payment-4711"],
        ),
    ] = None


class Reason(BaseModel):
    """What disabling takes."""

    reason: Annotated[
        str,
        Field(
            strict=True,
            max_length=500,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="Why; operators see it, and the audit log keeps it.",
            examples=["unpaid since May"],
        ),
    ] = ""
