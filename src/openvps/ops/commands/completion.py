"""`openvps completion`: shells learn our commands, and ask us for names as they are now."""

from typing import Annotated, Literal

from cyclopts import Parameter

Shell = Annotated[Literal["bash", "zsh", "fish"], Parameter(help="the shell")]


def completion(shell: Shell) -> None:
    """Print what completes commands, options, and names of servers, plans and keys in a shell.

    bash: `openvps completion bash > ~/.local/share/bash-completion/completions/openvps`.
    zsh: `openvps completion zsh > ~/.zsh/completions/_cyclopts_openvps`, by that name, with that folder in `fpath`.
    fish: `openvps completion fish > ~/.config/fish/completions/openvps.fish`.
    """
    from openvps.ops.commands import app

    print(app.generate_completion(shell=shell))
