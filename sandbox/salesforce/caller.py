"""Who makes a change through the API, and how it asked for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """One API request: its user, its `Sforce-Call-Options` client, and the headers that change what a write does."""

    user_id: str
    client: str = ""
    api: str = "rest/62.0"
    auto_assign: bool = True
    allow_duplicates: bool = False

    @property
    def change_origin(self) -> str:
        """How change events name it: `com/salesforce/api/rest/62.0;client=msi-stream`."""
        return f"com/salesforce/api/{self.api};client={self.client}" if self.client else f"com/salesforce/api/{self.api}"
