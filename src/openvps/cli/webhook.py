"""`openvps webhook`: where events are sent, tried, and what became of them."""

from typing import Annotated, Any, Literal, cast

from cyclopts import App, Parameter

from openvps.cli import ask, names
from openvps.cli.arguments import Columns, Output, Watch, Yes
from openvps.cli.exits import Stop, talk
from openvps.cli.output import Table

Url = Annotated[str, Parameter(help="where events are sent: https://…")]
NewUrl = Annotated[str | None, Parameter(help="another address")]
Kinds = Annotated[tuple[str, ...], Parameter(negative="", help="a kind of event, repeated; none: all of them")]
NewKinds = Annotated[
    tuple[str, ...] | None, Parameter(negative="", help="a kind of event, repeated; they replace those there are")
]
Description = Annotated[str, Parameter(help="what it is for")]
NewDescription = Annotated[str | None, Parameter(help="what it is for")]
Enabled = Annotated[bool | None, Parameter(help="whether events are sent")]
Which = Annotated[str, Parameter(help="the webhook: its id, address or description", completer=names.webhooks)]
Overlap = Annotated[int, Parameter(help="for how long the secret before signs as well; 0: it is known to others")]
WhichDelivery = Annotated[int, Parameter(help="the delivery's id, as `openvps webhook deliveries` names it")]
OnlyStatus = Annotated[Literal["pending", "delivered", "failed"] | None, Parameter(help="only those")]

WEBHOOK = Table(
    {
        "id": lambda one: one.id,
        "url": lambda one: one.url,
        "kinds": lambda one: ", ".join(one.kinds) or "all",
        "description": lambda one: one.description,
        "enabled": lambda one: one.enabled,
        "failing_since": lambda one: one.failing_since,
        "reason": lambda one: one.disabled_reason,
        "previous_until": lambda one: one.previous_secret_until,
        "created": lambda one: one.created_at,
    },
    ("id", "url", "kinds", "enabled", "failing_since"),
    lambda one: one.url,
)
DELIVERY = Table(
    {
        "id": lambda one: one.id,
        "kind": lambda one: one.kind,
        "status": lambda one: one.status,
        "attempts": lambda one: one.attempts,
        "answer": lambda one: one.answer_status,
        "next": lambda one: one.next_at,
        "error": lambda one: one.error,
        "message": lambda one: one.message_id,
        "created": lambda one: one.created_at,
    },
    ("id", "kind", "status", "attempts", "answer", "created", "error"),
    lambda one: one.id,
)

app = App(name="webhook")


@app.command(name="list")
def list_(*, columns: Columns = "", output: Output = "table") -> None:
    """List webhooks, newest first."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(WEBHOOK, list(client.webhooks.list()), output, columns), end="")


@app.command
def show(webhook: Which, *, columns: Columns = "", output: Output = "table") -> None:
    """Show a webhook: whether it works, and whether it is enabled."""
    from openvps.cli.calling import calling
    from openvps.cli.output import shown

    with calling() as client:
        print(shown(WEBHOOK, client.webhooks.get(_found(client, webhook)), output, columns), end="")


@app.command
def add(url: Url, *, kind: Kinds = (), description: Description = "", output: Output = "table") -> None:
    """Have events sent to an address as they happen, and print the secret that verifies them, this once."""
    from openvps.cli.calling import calling
    from openvps.cli.output import row

    with calling() as client:
        made = client.webhooks.create(url, kinds=kind, description=description)
    if output != "table":
        print(row(WEBHOOK, made, output), end="")
        return
    if made.secret is None:
        raise Stop("it is made, but its secret was lost on the way: delete it and make another", 1)
    talk(f"webhook {made.id} sends to {made.url}; its secret, shown once:")
    print(made.secret)


@app.command
def update(
    webhook: Which,
    *,
    url: NewUrl = None,
    kind: NewKinds = None,
    description: NewDescription = None,
    enabled: Enabled = None,
    output: Output = "table",
) -> None:
    """Change where events are sent, and which; disable or enable it. What isn't named stays."""
    from openvps.cli.calling import calling
    from openvps.cli.output import row

    wishes = {"url": url, "kinds": None if kind is None else [*kind], "description": description, "enabled": enabled}
    fields: dict[str, Any] = {name: value for name, value in wishes.items() if value is not None}
    if not fields:
        raise Stop("say what to change: --url, --kind, --description, --enabled or --no-enabled")
    with calling() as client:
        changed = client.webhooks.update(_found(client, webhook), **cast("Any", fields))
    print(row(WEBHOOK, changed, output), end="")


@app.command
def rotate_secret(webhook: Which, *, overlap_hours: Overlap = 24, output: Output = "table") -> None:
    """Make and print a new secret, this once; for some hours deliveries are signed with the one before as well."""
    from openvps.cli.calling import calling
    from openvps.cli.output import row

    with calling() as client:
        made = client.webhooks.rotate_secret(_found(client, webhook), overlap_hours=overlap_hours)
    if output != "table":
        print(row(WEBHOOK, made, output), end="")
        return
    if made.secret is None:
        raise Stop("there is a new secret, but it was lost on the way: rotate it again", 1)
    until = f"; the one before signs as well until {made.previous_secret_until}" if made.previous_secret_until else ""
    talk(f"webhook {made.id} has a new secret{until}. The new one, shown once:")
    print(made.secret)


@app.command
def delete(webhook: Which, *, yes: Yes = False) -> None:
    """Delete a webhook, with what is still on its way to it."""
    from openvps.cli.calling import calling

    with calling() as client:
        number = _found(client, webhook, whole=True)
        ask.confirmed(f"Delete the webhook {webhook}?", yes=yes)
        client.webhooks.delete(number)
    talk(f"webhook {number} is deleted")


@app.command
def probe(webhook: Which) -> None:
    """Send a delivery that tells of nothing, to see whether the receiver takes it."""
    from openvps.cli.calling import calling

    with calling() as client:
        number = _found(client, webhook)
        sent = client.webhooks.probe(number)
    talk(f"on its way as delivery {sent.id}; what became of it: openvps webhook deliveries {number}")


@app.command
def deliveries(
    webhook: Which,
    *,
    status: OnlyStatus = None,
    columns: Columns = "",
    watch: Watch = False,
    output: Output = "table",
) -> None:
    """List what was sent to a webhook, or is to be, newest first."""
    from openvps.cli.calling import calling
    from openvps.cli.output import show_list

    with calling() as client:
        number = _found(client, webhook)
        show_list(
            DELIVERY,
            lambda: list(client.webhooks.deliveries(number, status=status)),
            output,
            columns,
            watch=watch,
        )


@app.command
def resend(delivery: WhichDelivery) -> None:
    """Send a delivery again, with the same message id, whatever became of it before."""
    from openvps.cli.calling import calling

    with calling() as client:
        sent = client.webhooks.resend(delivery)
    talk(f"delivery {sent.id} is on its way again")


def _found(client: Any, text: str, *, whole: bool = False) -> int:
    from openvps.cli import find

    found = find.one(client.webhooks.list(), text, "webhook", lambda one: (one.url, one.description), whole=whole)
    return found.id
