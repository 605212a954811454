"""Parts of pages that are kept up to date: asked for again by htmx, and sent only when they have changed.

A part that is the same is 204, and stays as it is: with it the focus, a selection, and what a screen reader reads.
"""

import hashlib
from typing import Any

from fastapi import Response

from openvps.web.console.page import ASKED_BY_HTMX, Visit


async def part(visit: Visit, name: str, whole: str, shown: dict[str, Any]) -> Response:
    """Return the part alone for htmx (204 if it is what the page has), the whole page for a browser."""
    if ASKED_BY_HTMX not in visit.request.headers:
        return visit.page(whole, seen=seen(visit, shown), **shown)
    now = seen(visit, shown)
    if visit.request.query_params.get("seen") == now:
        return Response(status_code=204, headers=visit.headers())
    return visit.page(name, seen=now, **shown)


def seen(visit: Visit, shown: dict[str, Any]) -> str:
    """Return what a part is known by: a hash of what it is made of."""
    return hashlib.sha256(repr((visit.language, shown)).encode()).hexdigest()[:16]
