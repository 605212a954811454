"""`openvps image`: the system images that new servers start from."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.ops.commands.arguments import Output

System = Annotated[str, Parameter(help="the system, as `openvps image list` names it")]
Fingerprint = Annotated[str, Parameter(help="the image, as `openvps image list` names it")]

app = App(name="image")


@app.command
def build(system: System) -> int:
    """Build an image of a system (for example debian-12) from its distribution's packages; new servers use it."""
    from openvps.ops import images

    return images.build(system)


@app.command(name="list")
def list_(*, output: Output = "text") -> int:
    """List systems and their images."""
    from openvps.ops import images

    return images.list_(output)


@app.command
def retire(fingerprint: Fingerprint) -> int:
    """Take an image out of use; servers made from it keep theirs."""
    from openvps.ops import images

    return images.retire(fingerprint)
