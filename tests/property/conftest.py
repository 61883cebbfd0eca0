"""One way to run all properties: the same examples each time, and none of them against the clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=150)
settings.load_profile("reproducible")
