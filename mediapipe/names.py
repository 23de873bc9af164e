"""Names of files against the patterns of the configuration."""

from __future__ import annotations

import fnmatch
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


_MAGIC = re.compile(r"[*?\[]")


@functools.cache
def matcher(patterns: tuple[str, ...], *, fold: bool = False) -> Callable[[str], bool]:
    """Make a test whether one name (no path) matches any of the patterns; `fold` ignores case."""
    # fnmatch.filter and friends fold case by the platform; the translated form never does
    if fold and patterns:
        return _expression(patterns, re.IGNORECASE)
    # names are held against them by the thousand, and most patterns ask for no more than an end
    plain = {one for one in patterns if not _MAGIC.search(one)}
    ends = tuple(one[1:] for one in patterns if one[:1] == "*" and not _MAGIC.search(one, 1))
    starts = tuple(one[:-1] for one in patterns if one[-1:] == "*" and not _MAGIC.search(one[:-1]))
    known = {*plain, *(f"*{one}" for one in ends), *(f"{one}*" for one in starts)}
    rest = tuple(one for one in patterns if one not in known)
    if not rest:
        return lambda name: name.endswith(ends) or name.startswith(starts) or name in plain
    others = _expression(rest)
    return lambda name: (
        name.endswith(ends) or name.startswith(starts) or name in plain or others(name)
    )


def _expression(patterns: tuple[str, ...], flags: int = 0) -> Callable[[str], bool]:
    match = re.compile("|".join(fnmatch.translate(one) for one in patterns), flags).match
    return lambda name: match(name) is not None
