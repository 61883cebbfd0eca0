"""Value types that are made for each record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A dataclass that nobody assigns to: mypy sees to that. `frozen=True` would see to it at run time as well, and takes almost
    four times as long to make one (measured with 13 fields: 3.2 µs and 0.85).
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
