"""`lading`, and `python -m lading`."""

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line, or say how to install it."""
    try:
        from lading.adapters.cli.main import main as run  # noqa: PLC0415 - the base install goes without it
    except ModuleNotFoundError as missing:
        if missing.name != "click":
            raise
        sys.exit("lading: the command line is not installed: pip install 'lading[cli]'")
    run()


if __name__ == "__main__":
    main()
