"""Query parameters that a handler reads by itself, declared beside it for the OpenAPI document.

FastAPI's own `Query` would answer a bad value before the handler could name it together with the others.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query; all are optional."""

    name: str
    description: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})

    def described(self) -> dict[str, Any]:
        """Return it in OpenAPI's form."""
        return {
            "name": self.name,
            "in": "query",
            "required": False,
            "description": self.description,
            "schema": self.schema,
        }


def asks(*parameters: Parameter) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads these parameters."""
    return {"parameters": [one.described() for one in parameters]}
