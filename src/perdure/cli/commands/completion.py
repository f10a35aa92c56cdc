"""`perdure completion SHELL`: the script that lets a shell complete commands, options and values."""

import click

from perdure.cli.options import COMPLETION_VARIABLE, common_options


@click.command(short_help="Print the script that completes commands in bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common_options
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, states and, where a store is named, workflows and runs.

    \b
    Examples, once and for all:
      bash    perdure completion bash > ~/.local/share/bash-completion/completions/perdure
      zsh     perdure completion zsh > ~/.zfunc/_perdure      with fpath+=~/.zfunc before compinit in ~/.zshrc
      fish    perdure completion fish > ~/.config/fish/completions/perdure.fish

    \b
    Examples, for this shell only:
      source <(perdure completion bash)
      source <(perdure completion zsh)
      perdure completion fish | source
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "perdure", COMPLETION_VARIABLE)
    click.echo(script.source_template % script.source_vars())
