"""`/login/` and `/account/accept-invite/`: public, because who comes here has no token yet."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.accounts.passwords import MAX_LENGTH, NewPassword
from openvps.accounts.route import Public
from openvps.accounts.sign_in import enter
from openvps.accounts.tokens.api import MadeToken
from openvps.core.requests import Body, accepts, body_of

router = APIRouter(tags=["account"], route_class=Public)


class SignIn(BaseModel):
    """What `POST /login/` takes."""

    email: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=254,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="The account's e-mail address.",
            examples=["ada@example.com"],
        ),
    ]
    password: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=MAX_LENGTH,
            description="The account's password.",
            examples=["four words nobody guesses"],
        ),
    ]
    code: Annotated[
        str,
        Field(
            strict=True,
            max_length=100,
            description="Where the account has a second factor: the code of its authenticator app, or a recovery "
            "code; each works once.",
        ),
    ] = ""


class AcceptInvite(BaseModel):
    """What `POST /account/accept-invite/` takes."""

    invite: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=200,
            description="The invite as you were sent it; it works once, for 7 days.",
            examples=["invite_<43 characters>"],
        ),
    ]
    password: NewPassword


class Accepted(TypedDict):
    """The account that has a password now."""

    email: Annotated[str, Field(description="The e-mail to sign in with.", examples=["ada@example.com"])]


@router.post(
    "/login/",
    status_code=201,
    openapi_extra=accepts(SignIn),
    response_model=MadeToken,
    responses={
        401: {
            "description": "Unauthorized - unknown e-mail, another password, or another code; with "
            "`second_factor: required` the password was right, and `code` is wanted besides"
        }
    },
)
async def sign_in(request: Request, body: Annotated[Body[SignIn], Depends(body_of(SignIn))]) -> Response:
    """Sign in with e-mail and password: a token for all that the account may, for 12 hours.

    Failed attempts are limited by e-mail and by client address.
    """
    fields = body.check()
    return await enter.sign_in(request, fields.email, fields.password, fields.code)


@router.post("/account/accept-invite/", openapi_extra=accepts(AcceptInvite), response_model=Accepted)
async def accept_invite(
    request: Request, body: Annotated[Body[AcceptInvite], Depends(body_of(AcceptInvite))]
) -> Response:
    """Set your password with the invite that you were sent. Then sign in with it."""
    fields = body.check()
    return await enter.accept_invite(request, fields.invite, fields.password)
