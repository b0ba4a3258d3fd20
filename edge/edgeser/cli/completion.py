"""``edgeser completion``: what a shell and ``man`` want to know about the command line."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "man"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell, or the manual page.

    \b
    Examples: edgeser completion bash > ~/.local/share/bash-completion/completions/edgeser
              edgeser completion zsh > ~/.zfunc/_edgeser
              edgeser completion fish > ~/.config/fish/completions/edgeser.fish
              edgeser completion man > ~/.local/share/man/man1/edgeser.1
    """
    from click.shell_completion import get_completion_class

    from edgeser.cli import main

    if shell == "man":
        from edgeser.cli.manual import manual

        click.echo(manual(main), nl=False)
        return
    completer = get_completion_class(shell)
    assert completer is not None
    # Not `source()`: that runs bash to get its version, and a device may have no bash.
    made = completer(main, {}, "edgeser", "_EDGESER_COMPLETE")
    click.echo(made.source_template % made.source_vars())
