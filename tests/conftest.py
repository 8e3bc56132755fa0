"""Hypothesis profiles: `dev` is quick, `ci` looks further. HYPOTHESIS_PROFILE chooses."""

import os

from hypothesis import settings

settings.register_profile("dev", max_examples=40, deadline=None)
settings.register_profile("ci", max_examples=500, deadline=None, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
