"""Names of files against the patterns of the configuration."""

from __future__ import annotations

import fnmatch
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def matcher(patterns: tuple[str, ...], *, fold: bool = False) -> Callable[[str], bool]:
    """Make a test whether one name (no path) matches any of the patterns; `fold` ignores case."""
    if not patterns:
        return lambda _name: False
    # fnmatch.filter and friends fold case by the platform; the translated form never does
    flags = re.IGNORECASE if fold else 0
    match = re.compile("|".join(fnmatch.translate(one) for one in patterns), flags).match
    return lambda name: match(name) is not None
