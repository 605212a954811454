"""`/account/second-factor/`: set up, seen, and given up by who knows the password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.accounts import audit, passwords
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.second_factor import check, codes, queries
from openvps.accounts.sign_in import enter
from openvps.accounts.sign_in import queries as sign_in
from openvps.accounts.transaction import Conn, Tx
from openvps.core.clock import iso, now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InvalidFields
from openvps.core.requests import Body, accepts, body_of

router = APIRouter(prefix="/account/second-factor", tags=["account"], route_class=Route)

Reader = Annotated[Caller, guard("account:read")]
Writer = Annotated[Caller, guard("account:write")]

Password = Annotated[
    str,
    Field(
        strict=True,
        min_length=1,
        max_length=passwords.MAX_LENGTH,
        description="The account's password.",
        examples=["four words nobody guesses"],
    ),
]
Typed = Annotated[str, Field(strict=True, min_length=1, max_length=100)]


class NewSecondFactor(BaseModel):
    """What beginning a second factor takes: a token alone can't lock its owner out."""

    password: Password


class FirstCode(BaseModel):
    """What confirming a second factor takes."""

    code: Annotated[Typed, Field(description="What the app shows now: six digits.", examples=["287082"])]


class LastCode(BaseModel):
    """What giving up a second factor takes."""

    password: Password
    code: Annotated[
        Typed, Field(description="What the app shows now, or a recovery code.", examples=["aaaa-bbbb-cccc-dddd"])
    ]


class SecondFactor(TypedDict):
    """Whether signing in with the password asks for a code as well."""

    enabled: Annotated[bool, Field(description="Whether a code is asked for.", examples=[True])]
    enabled_at: Annotated[
        str | None, Field(description="Since when, UTC; null: it isn't.", examples=["2026-11-26T14:30:00Z"])
    ]
    recovery_codes_left: Annotated[int, Field(description="How many recovery codes are unused.", examples=[10])]


class BegunSecondFactor(TypedDict):
    """A key for an authenticator app, which counts once a code of it was confirmed."""

    secret: Annotated[
        str,
        Field(
            description="The key, to be typed into the app. Shown in this answer only.",
            examples=["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"],
        ),
    ]
    otpauth_url: Annotated[
        str,
        Field(
            description="The same, as apps read it from a QR code. Shown in this answer only.",
            examples=["otpauth://totp/OpenVPS%3Aada%40example.com?secret=GEZDGNBVGY3TQOJQ&issuer=OpenVPS"],
        ),
    ]


class ConfirmedSecondFactor(SecondFactor):
    """A second factor that is asked for from now on."""

    recovery_codes: Annotated[
        list[str],
        Field(
            description="Each lets you in once, without the app. Keep them apart from the password: they are shown "
            "in this answer only.",
            examples=[["aaaa-bbbb-cccc-dddd"]],
        ),
    ]


def shown(row: Record | None) -> SecondFactor:
    """Return a second factor as the API shows it."""
    if row is None or row.confirmed_at is None:
        return {"enabled": False, "enabled_at": None, "recovery_codes_left": 0}
    left = len(row.recovery_digests)
    return {"enabled": True, "enabled_at": iso(row.confirmed_at), "recovery_codes_left": left}


@router.get("/")
async def get_second_factor(caller: Reader, conn: Conn) -> SecondFactor:
    """Show whether signing in with the password asks for a code of an authenticator app as well."""
    return shown(await queries.one(conn, caller.account_id))


@router.post(
    "/",
    status_code=201,
    openapi_extra=accepts(NewSecondFactor),
    responses={400: {"description": "Bad request - another password, or there is a second factor already"}},
)
async def begin_second_factor(
    request: Request,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[NewSecondFactor], Depends(body_of(NewSecondFactor))],
) -> BegunSecondFactor:
    """Make a key for an authenticator app. Nothing asks for its codes until one was confirmed."""
    fields = body.check()
    email = await _owner(request, conn, caller, fields.password)
    there = await queries.one(conn, caller.account_id)
    if there is not None and there.confirmed_at is not None:
        raise BadRequest("There is a second factor already. Give it up first.")
    key = codes.new_key()
    await queries.put(conn, caller.account_id, key)
    await audit.record(conn, caller, "begin_second_factor", f"account {caller.account_id}")
    return {"secret": codes.written(key), "otpauth_url": codes.link(key, email)}


@router.post(
    "/confirm/",
    openapi_extra=accepts(FirstCode),
    responses={400: {"description": "Bad request - another code, or no second factor was begun"}},
)
async def confirm_second_factor(
    caller: Writer, conn: Conn, body: Annotated[Body[FirstCode], Depends(body_of(FirstCode))]
) -> ConfirmedSecondFactor:
    """Show that the app has the key: from now on signing in asks for a code. The answer has recovery codes, once."""
    fields = body.check()
    row = await queries.one(conn, caller.account_id, lock=True)
    if row is None or row.confirmed_at is not None:
        raise BadRequest("No second factor is being set up. Begin one first.")
    step = codes.matching(row.key, codes.plain(fields.code), now(), after=0)
    if step is None:
        raise InvalidFields({"code": ["This isn't what the app should show now. Is the clock of its device right?"]})
    made = codes.new_recovery_codes()
    digests = [codes.recovery_digest(one) for one in made]
    await queries.change(conn, caller.account_id, confirmed_at=now(), last_step=step, recovery_digests=digests)
    await audit.record(conn, caller, "confirm_second_factor", f"account {caller.account_id}")
    return {**shown(await queries.one(conn, caller.account_id)), "recovery_codes": made}


@router.post(
    "/disable/",
    openapi_extra=accepts(LastCode),
    responses={400: {"description": "Bad request - another password or code, or there is no second factor"}},
)
async def disable_second_factor(
    request: Request, caller: Writer, transaction: Tx, body: Annotated[Body[LastCode], Depends(body_of(LastCode))]
) -> SecondFactor:
    """Have the password be enough to sign in again."""
    fields = body.check()
    conn = await transaction.connection()
    email = await _owner(request, conn, caller, fields.password)
    enter.count(request, email)
    said = await check.verdict(conn, caller.account_id, fields.code)
    if said in {"wrong", "asked"}:
        await transaction.commit()  # the row's count of wrong codes outlives this refusal
        raise InvalidFields({"code": ["The code is wrong, over, or was used before."]})
    enter.count_back(request, email)
    if said == "none":
        raise BadRequest("There is no second factor.")
    if (refused := check.refusal(said)) is not None:
        raise refused
    await queries.remove(conn, caller.account_id)
    await audit.record(conn, caller, "disable_second_factor", f"account {caller.account_id}")
    return shown(None)


async def _owner(request: Request, conn: Connection, caller: Caller, password: str) -> str:
    """Return the account's e-mail, where the password is its. Raises InvalidFields, TooMany."""
    row = await sign_in.by_id(conn, caller.account_id)
    enter.count(request, row.email)
    if not await passwords.verify(row.password_hash, password):
        raise InvalidFields({"password": ["This is another password than the account's."]})
    enter.count_back(request, row.email)
    return row.email
