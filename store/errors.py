"""What can be wrong with the store, told in words the operator can act on.

StoreError
├── StoreBusy        another daemon holds it (exit code 3)
├── StoreUnusable    no permission, no directory, read-only, damaged
│   └── StoreBlocked the disk is full, or another program keeps the file locked: may pass by itself
├── StoreForeign     the file is an SQLite database of something else, or no database at all
└── StoreNewer       written by a newer msi-stream
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of the store's errors; `hint` is one sentence of what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message, and the hint behind it."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class StoreBusy(StoreError):
    """Another process holds the store's lock."""


class StoreUnusable(StoreError):
    """The file cannot be opened, read or written."""


class StoreBlocked(StoreUnusable):
    """The file cannot be used just now; nothing is wrong with it or with its path."""


class StoreForeign(StoreError):
    """The file is not a store of ours."""


class StoreNewer(StoreError):
    """The store's schema is newer than this program knows."""
