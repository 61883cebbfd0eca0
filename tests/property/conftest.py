"""Two ways to run all properties, none of them against the clock.

The usual one takes the same examples each time. `HYPOTHESIS_PROFILE=deep` takes other ones each time, and many more: for long
runs outside of CI. What it finds is printed with the seed and the steps that lead there.
"""

from __future__ import annotations

from hypothesis import settings

from tests.property.depth import DEEP

settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=150)
settings.register_profile("deep", deadline=None, max_examples=5000, print_blob=True)
settings.load_profile("deep" if DEEP else "reproducible")
