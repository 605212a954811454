"""A typed client of the VPS.org API, sync and async, for OpenVPS and for VPS.org itself.

What OpenVPS answers beyond VPS.org's pages is None there; methods that are marked so are OpenVPS's only. Nothing here
knows the server's code: the forms (`models`, `bodies`) are generated from the API's OpenAPI document.
"""

from openvps.client.driver import AsyncClient, Client
from openvps.client.errors import ClientError
from openvps.client.sending import Endpoint

__all__ = ["AsyncClient", "Client", "ClientError", "Endpoint"]
