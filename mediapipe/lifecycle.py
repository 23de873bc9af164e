"""The bucket's lifecycle rules: what they do in words, and which one is offered; pure.

B2 lets no two rules apply to the same file, so a rule on our folder stands in the way of any other
above or below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rule = Mapping[str, object]

_PREFIX = "fileNamePrefix"
_HIDE = "daysFromUploadingToHiding"
_DELETE = "daysFromHidingToDeleting"
_CANCEL = "daysFromStartingToCancelingUnfinishedLargeFiles"
KEPT_DAYS = 30
"""Days that a hidden or replaced version is kept by the rule that we offer."""


def offer(folder: str) -> dict[str, object]:
    """Give the rule that we offer for a folder of the bucket, `tv/`, or "" for the whole bucket."""
    return {_PREFIX: folder, _HIDE: None, _DELETE: KEPT_DAYS, _CANCEL: 1}


def in_words(rule: Rule) -> str:
    """Tell what a rule does."""
    parts = []
    if days := rule.get(_HIDE):
        parts.append(f"hidden {_days(days)} after the upload")
    if days := rule.get(_DELETE):
        parts.append(f"hidden and replaced versions deleted after {_days(days)}")
    if days := rule.get(_CANCEL):
        parts.append(f"unfinished uploads cancelled after {_days(days)}")
    known = (_PREFIX, _HIDE, _DELETE, _CANCEL)
    parts += [f"{name} = {value}" for name, value in rule.items() if name not in known]
    return f"{_where(rule)}: {'; '.join(parts) or 'nothing'}"


def warnings(rules: Sequence[Rule], folder: str) -> list[str]:
    """Tell what in the rules endangers what we upload below a folder of the bucket."""
    found = []
    for rule in rules:
        if not _overlap(rule, folder):
            continue
        if days := rule.get(_HIDE):
            found.append(
                f"{_where(rule)} is hidden {_days(days)} after the upload: Jellyfin would lose it, "
                "and cleanup refuses all deletions while that rule stands"
            )
        if (days := rule.get(_DELETE)) and _number(days) < KEPT_DAYS:
            found.append(
                f"{_where(rule)}: a version that was hidden or replaced by mistake can be fetched "
                f"back for {_days(days)} only"
            )
    return found


def in_the_way(rules: Sequence[Rule], ours: Rule) -> str:
    """Tell which rule that somebody else made would be dropped, or give an empty string."""
    for rule in rules:
        if _overlap(rule, str(ours[_PREFIX])) and not _mended_by(ours, rule):
            return in_words(rule)
    return ""


def with_ours(rules: Sequence[Rule], ours: Rule) -> list[Rule]:
    """Give all rules with ours among them; it takes the place of the one on the same folder."""
    others = [rule for rule in rules if rule.get(_PREFIX) != ours[_PREFIX]]
    return [*others, ours]


def same(one: Rule, other: Rule) -> bool:
    """Whether two rules do the same; what is not named is null."""
    names = {*one, *other}
    return all(one.get(name) == other.get(name) for name in names)


def _mended_by(ours: Rule, rule: Rule) -> bool:
    """Whether ours may take the place of a rule: the same folder, and nothing is lost by it.

    A rule that hides has a purpose that ours has not; one that keeps versions for longer, too.
    """
    return (
        rule.get(_PREFIX) == ours[_PREFIX]
        and not rule.get(_HIDE)
        and _number(rule.get(_DELETE) or KEPT_DAYS) <= KEPT_DAYS
        and ours.keys() >= rule.keys()
    )


def _overlap(rule: Rule, folder: str) -> bool:
    prefix = str(rule.get(_PREFIX) or "")
    return prefix.startswith(folder) or folder.startswith(prefix)


def _where(rule: Rule) -> str:
    prefix = str(rule.get(_PREFIX) or "")
    return f"names that begin with {prefix!r}" if prefix else "the whole bucket"


def _days(number: object) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _number(days: object) -> float:
    return days if isinstance(days, int | float) else float("inf")
