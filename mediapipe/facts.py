"""How facts are made: frozen by the type checker alone, and without much ado at each start."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import field, replace

__all__ = ["fact", "field", "needs", "replace"]

T = TypeVar("T")
_NEEDED: Any = object()


class _Field:
    """What a field is where nothing is given for it, and whether it is compared."""

    __slots__ = ("compare", "default", "factory")

    def __init__(
        self,
        *,
        default: object = _NEEDED,
        default_factory: Callable[[], object] | None = None,
        compare: bool = True,
    ) -> None:
        self.default, self.factory, self.compare = default, default_factory, compare

    @property
    def needed(self) -> bool:
        """Whether it has to be given."""
        return self.default is _NEEDED and self.factory is None


class _AsDataclass:
    """Makes a dataclass of a fact for `dataclasses.asdict` and its like, once that is asked for."""

    def __get__(self, _one: object, kind: Any) -> Any:
        import dataclasses

        told: list[tuple[str, object, Any]] = []
        for name, one in kind.__fields__.items():
            words: dict[str, Any] = {"compare": one.compare}
            if one.factory is not None:
                words["default_factory"] = one.factory
            elif not one.needed:
                words["default"] = one.default
            told.append((name, kind.__annotations__[name], dataclasses.field(**words)))
        made: Any = dataclasses.make_dataclass(kind.__name__, told)
        kind.__dataclass_fields__ = made.__dataclass_fields__
        return kind.__dataclass_fields__


if not TYPE_CHECKING:  # mypy knows what theirs do, and checks who calls them
    field = _Field

    def replace(one: Any, /, **changes: Any) -> Any:
        """Give a fact that differs from another one in what is named."""
        kind = one.__class__
        for name in kind.__slots__:
            if name not in changes:
                changes[name] = getattr(one, name)
        return kind(**changes)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def fact(kind: type[T]) -> type[T]:
    """Make a class whose instances have these fields and nothing else, and compare by them.

    It is what `dataclass(frozen=True, slots=True)` makes, and a dataclass to whoever asks. That one
    compiles each method of each class anew at every start, most of them for nothing, and guards
    each field whenever an instance is made; mypy does that when the code is checked (ADR 22).
    """
    space = dict(kind.__dict__)
    given = {name: _field_of(space.pop(name, _NEEDED)) for name in space.get("__annotations__", ())}
    for name in ("__dict__", "__weakref__"):
        del space[name]
    values = attrgetter(*(name for name, one in given.items() if one.compare))

    def begin(self: object, *some: object, **named: object) -> None:
        made.__init__ = _initializer(given)  # from now on
        made.__init__(self, *some, **named)

    def equal(self: object, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is made else NotImplemented

    def digest(self: object) -> int:
        return hash(values(self))

    def text(self: object) -> str:
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in given)
        return f"{made.__qualname__}({told})"

    for name, method in (("__eq__", equal), ("__hash__", digest), ("__repr__", text)):
        space.setdefault(name, method)
    own = {"__init__": begin, "__slots__": tuple(given), "__fields__": given}
    space |= {**own, "__dataclass_fields__": _AsDataclass()}
    again: Any = type(kind)
    made = again(kind.__name__, kind.__bases__, space)
    made.__qualname__ = kind.__qualname__
    return made  # type: ignore[no-any-return]


def needs(kind: type) -> dict[str, bool] | None:
    """Give field → whether it has to be given; None where it is the class of no fact."""
    fields: Mapping[str, _Field] | None = kind.__dict__.get("__fields__")
    return None if fields is None else {name: one.needed for name, one in fields.items()}


def _field_of(default: object) -> _Field:
    if default.__class__.__module__ == "dataclasses":
        raise TypeError("the fields of facts come from mediapipe.facts")
    return default if isinstance(default, _Field) else _Field(default=default)


def _initializer(fields: Mapping[str, _Field]) -> Any:
    """Write the `__init__` of a fact: nothing that loops over the fields is half as fast."""
    known: dict[str, Any] = {"_NEEDED": _NEEDED}
    head, body = ["self"], []
    for name, one in fields.items():
        known[f"_{name}"] = one.factory or one.default
        default = "_NEEDED" if one.factory else f"_{name}"
        head.append(name if one.needed else f"{name}={default}")
        made = f"_{name}() if {name} is _NEEDED else {name}" if one.factory else name
        body.append(f"self.{name} = {made}")
    text = f"def __init__({', '.join(head)}):\n " + "\n ".join(body)
    exec(text, known)  # noqa: S102 - names of fields, and nothing else
    return known["__init__"]
