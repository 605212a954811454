"""What a server's machine is called in the engine."""


def machine_name(server_id: int) -> str:
    """Return the name of a server's machine."""
    return f"vps-{server_id}"


def server_id(name: str) -> int | None:
    """Return the server whose machine has this name, None for a machine that isn't ours."""
    prefix, _, number = name.partition("-")
    return int(number) if prefix == "vps" and number.isascii() and number.isdecimal() else None
