"""What every answer's model has in common."""

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """A form that the API answers: what it doesn't know yet is kept, and what isn't there is None."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)
