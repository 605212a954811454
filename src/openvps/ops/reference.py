"""The settings, as `openvps up --help` prints them: taken from the Settings class, so that they can't drift."""

from pydantic_core import PydanticUndefined

from openvps.core.settings import DEFAULT_CONFIG, Settings


def text() -> str:
    """Return every setting: its variable, its default, what it is for."""
    lines = [
        "Settings are environment variables, or lines NAME=value of the file that OPENVPS_CONFIG names",
        f"(default {DEFAULT_CONFIG}). Lists are comma-separated.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        lines += [f"OPENVPS_{name.upper()}{_default(field.default)}", f"    {field.description}"]
    return "\n".join(lines)


def _default(value: object) -> str:
    if value in (None, PydanticUndefined) or value == []:
        return ""
    return f" (default {value})"
