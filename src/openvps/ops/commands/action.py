"""`openvps action`: everybody's unfinished actions."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.ops.commands.arguments import Output

Action = Annotated[str, Parameter(help="the action: its number or UUID")]
Stuck = Annotated[bool, Parameter(negative="", help="only those that don't get on")]
Reason = Annotated[str, Parameter(help="why; the action's customer reads it")]

app = App(name="action")


@app.command(name="list")
def list_actions(*, stuck: Stuck = False, output: Output = "text") -> int:
    """List everybody's unfinished actions, the oldest first.

    Stuck is one whose cell doesn't answer, at which nobody is to look, or which has gone on for ten minutes.
    """
    from openvps.ops import operations

    return operations.actions(output, stuck=stuck)


@app.command(name="retry")
def retry_action(action: Action, *, output: Output = "text") -> int:
    """Have an unfinished action tried now, and give it its time again."""
    from openvps.ops import operations

    return operations.retry(action, output)


@app.command(name="cancel")
def cancel_action(action: Action, *, reason: Reason = "", output: Output = "text") -> int:
    """Have an unfinished action ended, as if it had failed; a deletion can't be."""
    from openvps.ops import operations

    return operations.cancel(action, reason, output)
