"""A person at a terminal: a program in a pseudo-terminal, and what is typed into it."""

import os
import pty
import select
import termios

MOST_KNOCKS = 40


def typed(
    argv: list[str],
    environment: dict[str, str],
    answers: list[tuple[str, str]],
    *,
    knock: str = "",
    size: tuple[int, int] = (0, 0),
) -> tuple[int, str]:
    """Run a program, typing each answer once its question stands there; returns its code and all that was seen.

    `knock` is typed every second until the first question stands there; `size` is columns and rows, 0: unknown.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (size[1], size[0]))
        os.execve(argv[0], argv, {**environment, "TERM": "xterm"})  # noqa: S606 -- arguments are a list
    said, left, knocks = "", list(answers), 0
    while True:
        ready, _, _ = select.select([terminal], [], [], 1 if knock else 60)
        if knock and not ready and knocks < MOST_KNOCKS:
            knocks += os.write(terminal, knock.encode())
            continue
        assert ready, f"nothing more came after: {said}"
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            read = b""
        if not read:
            break
        said += read.decode(errors="replace")
        if left and left[0][0] in said:
            os.write(terminal, left.pop(0)[1].encode())
            knock = ""
    os.close(terminal)
    assert not left, f"never asked {left[0][0]!r}: {said}"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said
