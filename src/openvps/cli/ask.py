"""Questions to the person at the terminal, on standard error; where there is no terminal, none is ever asked."""

import sys
from collections.abc import Sequence

from openvps.cli.exits import Stop, talk


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def text(question: str, default: str = "") -> str:
    """Ask for a text."""
    while not (answer := _answer(f"{question}{f' [{default}]' if default else ''}: ") or default):
        pass
    return answer


def choice(question: str, options: Sequence[tuple[str, str]]) -> str:
    """Ask for one of `options`, each a value and what is said of it; a number, a value or its beginning will do."""
    talk(f"{question}:")
    for number, (value, said) in enumerate(options, 1):
        talk(f"  {number}) {value:16} {said}".rstrip())
    while True:
        answer = _answer(f"number or name [{options[0][0]}]: ") or options[0][0]
        if answer.isascii() and answer.isdecimal() and 0 < int(answer) <= len(options):
            return options[int(answer) - 1][0]
        fitting = [value for value, _ in options if value.startswith(answer)]
        if answer in fitting or len(fitting) == 1:
            return answer if answer in fitting else fitting[0]
        talk(f"  {answer!r} fits {'several' if fitting else 'none'} of them")


def confirmed(question: str, *, yes: bool) -> None:
    """Ask before what can't be taken back. Raises Stop for anything but yes, and where nobody can be asked."""
    if yes:
        return
    if not can_ask():
        raise Stop(f"{question} Nobody is here to ask: say --yes.")
    if _answer(f"{question} [y/N]: ").lower() not in {"y", "yes"}:
        raise Stop("nothing was done", 1)


def _answer(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        talk("")
        raise Stop("no answer: nothing was done")
    return line.strip()
