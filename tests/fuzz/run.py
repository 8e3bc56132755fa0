"""Drives a target by coverage: `python -m tests.fuzz.run TARGET SECONDS`. What it finds lies in crash-* files."""

import sys

import atheris

with atheris.instrument_imports(include=["lading"]):
    from tests.fuzz.targets import TARGETS

name, seconds = sys.argv[1:3]
options = [f"-max_total_time={seconds}", "-max_len=4096", "-print_final_stats=1"]
atheris.Setup([sys.argv[0], *options], TARGETS[name])
atheris.Fuzz()
