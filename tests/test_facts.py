"""Facts have their fields and nothing else, compare by them, and are dataclasses if one asks."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mediapipe.facts import fact, field, needs, replace


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


@fact
class Box:
    """What holds others."""

    points: tuple[Point, ...]
    notes: dict[str, int] = field(default_factory=dict)


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


def test_facts_have_nothing_beside_their_fields() -> None:
    with pytest.raises(AttributeError, match="z"):
        Point(1).z = 3  # type: ignore[attr-defined]
    assert not hasattr(Point(1), "__dict__")


@pytest.mark.parametrize("words", [{}, {"x": 1, "z": 2}], ids=["too few", "unknown"])
def test_what_is_needed_has_to_be_given_also_to_the_first(words: dict[str, Any]) -> None:
    @fact
    class Fresh:
        x: int

    for _ in range(2):
        with pytest.raises(TypeError, match=r"'[xz]'"):
            Fresh(**words)
    assert Fresh(1).x == Fresh(x=1).x == 1


def test_each_fact_has_a_default_of_its_own() -> None:
    one, other = Box(()), Box(())
    one.notes["a"] = 1
    assert other.notes == {}
    assert Box((), {"b": 2}).notes == {"b": 2}


def test_a_fact_that_differs_has_all_else_of_the_first() -> None:
    changed = replace(Point(1, 2, "disk"), y=3)
    assert (changed.x, changed.y, changed.source) == (1, 3, "disk")
    with pytest.raises(TypeError, match="'z'"):
        replace(Point(1), z=3)  # type: ignore[call-arg]


def test_it_is_known_what_a_fact_needs() -> None:
    assert needs(Box) == {"points": True, "notes": False}
    assert needs(Point) == {"x": True, "y": False, "source": False}
    assert needs(int) is None


def test_facts_are_dataclasses_to_whoever_asks() -> None:
    kind: Any = Point
    assert dataclasses.is_dataclass(kind)
    made = dataclasses.asdict(Box((Point(1, 2),), {"a": 1}))
    assert made == {"points": ({"x": 1, "y": 2, "source": ""},), "notes": {"a": 1}}
    assert dataclasses.replace(Point(1), y=3) == Point(1, 3)
    told = {one.name: (one.default, one.compare) for one in dataclasses.fields(Point)}
    assert told == {"x": (dataclasses.MISSING, True), "y": (0, True), "source": ("", False)}


def test_a_field_of_a_dataclass_is_refused() -> None:
    with pytest.raises(TypeError, match=r"mediapipe\.facts"):

        @fact
        class Mixed:
            x: int = dataclasses.field(default=0)
