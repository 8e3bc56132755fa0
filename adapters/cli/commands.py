"""The commands by the sections of the help, and what they are called elsewhere."""

from collections.abc import Mapping
from typing import Final

from lading.adapters.cli.command import Entry

__all__ = ["SECTIONS", "SYNONYMS"]

_CLI: Final = "lading.adapters.cli"
SECTIONS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Fetch and look": {
        "fetch": Entry(f"{_CLI}.fetch:fetch", "Fetch an image to a target."),
        "explain": Entry(f"{_CLI}.explain:explain", "Show which handlers fetch would try, and why."),
        "ls": Entry(f"{_CLI}.ls:ls", "List the recorded targets."),
        "show": Entry(f"{_CLI}.show:show", "Show the record and the state of a target."),
        "who-has": Entry(f"{_CLI}.targets:who_has", "List the targets that hold an image."),
    },
    "Targets": {
        "rm": Entry(f"{_CLI}.targets:rm", "Remove targets and their records."),
        "mv": Entry(f"{_CLI}.targets:mv", "Move or rename a target."),
        "verify": Entry(f"{_CLI}.maintenance:verify", "Read targets and compare their digests."),
        "outdated": Entry(f"{_CLI}.images:outdated", "List targets whose image's name means a newer image by now."),
        "forget": Entry(f"{_CLI}.maintenance:forget", "Remove the record of a target; keep the target."),
    },
    "Images": {
        "images": Entry(f"{_CLI}.images:images", "List the images of the catalog or of a remote."),
        "catalog": Entry(f"{_CLI}.catalog:catalog", "Add, list, show and remove images of the catalog."),
    },
    "Upkeep": {
        "recover": Entry(f"{_CLI}.maintenance:recover", "Finish, resume or roll back interrupted operations."),
        "handlers": Entry(f"{_CLI}.handlers:handlers", "List the handlers in their order."),
        "config": Entry(f"{_CLI}.config:config", "Show the settings in force, or write a settings file."),
        "associations": Entry(f"{_CLI}.associations:associations", "Copy the records of targets to another store."),
        "completion": Entry(f"{_CLI}.completion:completion", "Print the script that completes commands in a shell."),
        "help": Entry(f"{_CLI}.help:help_", "Show the help of a command."),
    },
}
SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("get", "pull", "download", "clone", "cp"), "fetch"),
    **dict.fromkeys(("list", "ps", "status"), "ls"),
    **dict.fromkeys(("info", "inspect", "stat"), "show"),
    **dict.fromkeys(("remove", "delete", "del", "destroy"), "rm"),
    **dict.fromkeys(("move", "rename"), "mv"),
    **dict.fromkeys(("check", "fsck"), "verify"),
    **dict.fromkeys(("search", "image"), "images"),
    **dict.fromkeys(("add", "import", "register"), "catalog add"),
    **dict.fromkeys(("resume", "repair"), "recover"),
    "settings": "config",
    "init": "config init",
    "version": "--version",
}
"""Words of other programs, and the command that does the same."""
