"""`lading completion`, and the shell's side of completion."""

import os
import re
from typing import Any, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)
from typing_extensions import override

from lading.adapters.cli.command import command

__all__ = ["completion"]

_VARIABLE: Final = "_LADING_COMPLETE"
_BASH: Final = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            open) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" _LADING_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class _Bash(BashComplete):
    """Completion for bash, also within a word with a colon.

    Bash breaks words at the characters of COMP_WORDBREAKS, among them `:`, and completes only the last part: so the
    words are taken from the whole line, and the earlier parts are cut from what is offered.
    """

    source_template = _BASH

    @override
    def source(self) -> str:
        return self.source_template % self.source_vars()

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words, incomplete

    @override
    def get_completions(self, args: list[str], incomplete: str) -> "list[CompletionItem[str]]":
        # `--option=value` is one word for bash's line; click offers the value alone.
        value = incomplete.partition("=")[2] if incomplete.startswith("-") else incomplete
        breaks = re.escape(os.environ.get("_LADING_WORDBREAKS", ""))
        cut = len(re.sub(f"[^{breaks}]*$", "", value)) if breaks else 0
        items = super().get_completions(args, incomplete)
        for each in items:
            if each.type == "plain":
                each.value = each.value[cut:]
        return items

    @override
    def format_completion(self, item: "CompletionItem[Any]") -> str:
        is_open = item.type == "plain" and item.value.endswith(":")
        return f"{'open' if is_open else item.type},{item.value}"


@command(
    examples=[
        ("source <(lading completion bash)", "Completes in this shell."),
        ("lading completion bash > ~/.local/share/bash-completion/completions/lading", "Completes in later shells."),
        ("lading completion fish > ~/.config/fish/completions/lading.fish", "Completes in fish."),
    ]
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, images, targets and more.

    For zsh, write it to a file _lading in a folder of $fpath. A key press contacts no server, except that ls --host
    reads the names of hosts from etcd, for at most a second.
    """
    kind = get_completion_class(shell)
    assert kind is not None, shell  # noqa: S101 - a Choice
    click.echo(kind(context.find_root().command, {}, "lading", _VARIABLE).source())
