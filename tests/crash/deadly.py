"""Where a daemon kills itself, for the kill tests."""

from __future__ import annotations


def arm() -> None:
    """Nowhere yet."""
