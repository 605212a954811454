"""ETag and `If-None-Match`: who asks again for what hasn't changed gets 304 and no body. And HEAD, which is GET.

The tag is a hash of the body, made here for all answers alike: it needs no handler's help and can't lie. It saves
the way, not the work. It is weak (`W/`): gzip, further out, makes other bytes of the same content.

`Cache-Control` is `private, no-cache` where there is a tag (a client's own cache may keep the answer and must ask
again) and `no-store` on all else: answers to POST have secrets in them. An answer that says otherwise itself, like a
public page, is left alone.
"""

from hashlib import blake2b

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GONE_IN_304 = frozenset({b"content-length", b"content-type"})
_ASK_AGAIN = (b"cache-control", b"private, no-cache")
_KEEP_NOTHING = (b"cache-control", b"no-store")
_VARY = (b"vary", b"Authorization")


class Conditional:
    """Tags GET's answers, and leaves out the bodies that the client has, or (HEAD) doesn't want."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        scope["state"]["head"] = head  # a stream has nothing to say to who wants no body
        readable = head or scope["method"] == "GET"
        start: Message = {}

        async def conditional(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                if readable and message["status"] == 200:  # noqa: PLR2004 -- waits for the body
                    return
                _forbid_caching(start)
                await send(start)
                return
            if message["type"] == "http.response.body" and start:
                start, first = {}, start
                if readable and first["status"] == 200:  # noqa: PLR2004
                    if not message.get("more_body"):
                        message = _tag(scope, first, message)
                    else:
                        _forbid_caching(first)  # a stream has no end to hash
                    await send(first)
            await send({**message, "body": b""} if head and "body" in message else message)

        await self._app({**scope, "method": "GET"} if head else scope, receive, conditional)


def weak_tag(body: bytes) -> bytes:
    """Return the tag of an answer with this body."""
    return b'W/"' + blake2b(body, digest_size=16).hexdigest().encode() + b'"'


def _forbid_caching(start: Message) -> None:
    if not any(name == b"cache-control" for name, _ in start["headers"]):
        start["headers"] = [*start["headers"], _KEEP_NOTHING]


def _tag(scope: Scope, start: Message, body: Message) -> Message:
    """Put the tag on the answer's start; returns its body, without content if the client has it."""
    headers: list[tuple[bytes, bytes]] = list(start["headers"])
    names = {name for name, _ in headers}
    tag = next((value for name, value in headers if name == b"etag"), b"")
    if not tag:
        tag = weak_tag(body["body"])
        headers.append((b"etag", tag))
    if b"cache-control" not in names:
        headers += (_ASK_AGAIN, _VARY)
    asked = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
    if asked and _has(asked, tag):
        start["status"] = 304
        headers = [one for one in headers if one[0] not in _GONE_IN_304]
        body = {**body, "body": b""}
    start["headers"] = headers
    return body


def _has(asked: bytes, tag: bytes) -> bool:
    """Whether the tag is among those asked for; compared weakly (RFC 9110, 13.1.2)."""
    wanted = tag.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") in {b"*", wanted} for one in asked.split(b","))
