"""How long the tests go on that crash, kill and interrupt: `make torture` sets LADING_TORTURE."""

import os
from typing import Final

TORTURE: Final = int(os.environ.pop("LADING_TORTURE", "") or 0)
"""How many kills, interrupts or power failures; 0 for the short run.

Taken out of the environment once, here: lading refuses variables that it does not know.
"""
