"""Facts are dataclasses that compare, hash and print as such, and have slots."""

from __future__ import annotations

from dataclasses import asdict, field, replace

import pytest

from mediapipe.facts import fact


@fact
class Point:
    """Two numbers, and where they come from."""

    x: int
    y: int = 0
    source: str = field(default="", compare=False)


@fact
class Other:
    """The same numbers, and something else."""

    x: int
    y: int = 0


@fact
class Named:
    """One that prints itself."""

    name: str

    def __repr__(self) -> str:
        return self.name


def test_facts_compare_and_hash_by_their_fields() -> None:
    assert Point(1, 2) == Point(1, 2, "elsewhere")
    assert Point(1, 2) != Point(2, 1)
    others: list[object] = [Other(1, 2), (1, 2), None]
    assert Point(1, 2) not in others
    assert len({Point(1, 2), Point(1, 2, "elsewhere"), Point(2, 1)}) == 2
    assert Named("a") == Named("a")
    assert Named("a") != Named("b")


def test_facts_print_all_their_fields_unless_they_know_better() -> None:
    assert repr(Point(1, source="disk")) == "Point(x=1, y=0, source='disk')"
    assert repr(Named("a film")) == "a film"


def test_facts_are_dataclasses_with_nothing_beside_their_fields() -> None:
    assert asdict(replace(Point(1, 2), y=3)) == {"x": 1, "y": 3, "source": ""}
    with pytest.raises(AttributeError, match="z"):
        Point(1).z = 3  # type: ignore[attr-defined]
