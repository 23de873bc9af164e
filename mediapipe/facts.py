"""How facts are made of which a run holds thousands: frozen, but by the type checker alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def fact(kind: type[T]) -> type[T]:
    """Make a dataclass that is as good as frozen, for facts of which there are very many.

    A frozen one is made through a guard for each of its fields, which takes seven times as long and
    was an eighth of a whole planning. mypy demands the same of this one, when the code is checked.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)
