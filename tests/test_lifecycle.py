"""Lifecycle rules: what they mean, what endangers us, and whose rule is never dropped."""

from __future__ import annotations

import pytest

from mediapipe.lifecycle import in_the_way, in_words, offer, same, warnings, with_ours


def rule(
    prefix: str = "", hide: int | None = None, delete: int | None = None, cancel: int | None = None
) -> dict[str, object]:
    return {
        "fileNamePrefix": prefix,
        "daysFromUploadingToHiding": hide,
        "daysFromHidingToDeleting": delete,
        "daysFromStartingToCancelingUnfinishedLargeFiles": cancel,
    }


ALL = "the whole bucket: hidden and replaced versions deleted after 7 days"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (rule(delete=1), "the whole bucket: hidden and replaced versions deleted after 1 day"),
        (rule("tv/", hide=3), "names that begin with 'tv/': hidden 3 days after the upload"),
        (rule(cancel=2), "the whole bucket: unfinished uploads cancelled after 2 days"),
        (rule(delete=7, cancel=3), f"{ALL}; unfinished uploads cancelled after 3 days"),
        ({"fileNamePrefix": "a"}, "names that begin with 'a': nothing"),
        ({"fileNamePrefix": "", "someDay": 5}, "the whole bucket: someDay = 5"),
    ],
)
def test_a_rule_in_words(one: dict[str, object], words: str) -> None:
    assert in_words(one) == words


@pytest.mark.parametrize(
    ("one", "folder", "count"),
    [
        (rule(), "", 0),
        (rule(delete=30, cancel=1), "", 0),
        (rule(delete=29), "", 1),
        (rule(hide=100), "", 1),
        (rule(hide=100, delete=1), "", 2),
        (rule("media/", hide=1), "", 1),
        (rule("", hide=1), "media/", 1),
        (rule("media/tv/", delete=1), "media/", 1),
        (rule("med", delete=1), "media/", 1),
        (rule("photos/", hide=1, delete=1), "media/", 0),
        (rule("media2/", hide=1, delete=1), "media/", 0),
    ],
)
def test_what_endangers_us_is_told(one: dict[str, object], folder: str, count: int) -> None:
    assert len(warnings([one], folder)) == count


@pytest.mark.parametrize(
    ("one", "folder", "dropped"),
    [
        (offer(""), "", False),
        (rule(delete=1), "", False),  # "keep only the last version", B2's own usual rule
        (rule(delete=30), "", False),
        (rule(cancel=7), "", False),
        (rule(delete=31), "", True),
        (rule(hide=10, delete=1), "", True),
        ({**rule(delete=1), "newer": 1}, "", True),
        (rule("media/", delete=1), "", True),
        (rule("", delete=1), "media/", True),
        (rule("photos/", hide=1, delete=1), "media/", False),
    ],
)
def test_no_rule_of_somebody_else_is_dropped(
    one: dict[str, object], folder: str, dropped: bool
) -> None:
    assert in_the_way([one], offer(folder)) == (in_words(one) if dropped else "")


def test_ours_takes_the_place_of_the_one_on_our_folder() -> None:
    photos, short = rule("photos/", hide=1), rule("media/", delete=1)
    assert with_ours([short, photos], offer("media/")) == [photos, offer("media/")]


def test_what_is_not_named_is_null() -> None:
    assert same(offer(""), {key: value for key, value in offer("").items() if value is not None})
    assert not same(offer(""), {**offer(""), "newer": 1})
    assert not same(offer(""), offer("media/"))
