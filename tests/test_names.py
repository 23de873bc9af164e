"""A name matches the patterns of the configuration as fnmatch has it, however it is found out."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mediapipe.config import UploadConfig
from mediapipe.names import matcher
from tests.examples import steady

PIECES = st.sampled_from(["*", "?", "[ab]", "[!a]", "[", "]", "a", "b", ".", "A", "\n", "é", ""])
PATTERN = st.lists(PIECES, max_size=4).map("".join)
NAME = st.text("abA.[]*?\né", max_size=5)


@steady(200)
@given(st.lists(PATTERN, max_size=4).map(tuple), NAME)
@example(("*",), "")
@example(("",), "")
@example(("*.a", ".a*", "a", "[a]*"), "a.a")
@example(("**", "*a*"), "b")
def test_a_name_matches_where_fnmatch_says_so(patterns: tuple[str, ...], name: str) -> None:
    assert matcher(patterns)(name) == any(fnmatchcase(name, one) for one in patterns)


@steady(200)
@given(st.lists(PATTERN, max_size=4).map(tuple), NAME)
def test_folded_case_is_no_matter(patterns: tuple[str, ...], name: str) -> None:
    assert matcher(patterns, fold=True)(name) == matcher(patterns, fold=True)(name.swapcase())


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("E01.mkv.uploaded", True),
        (".nfs0001", True),
        ("._E01.mkv", True),
        ("Thumbs.db", True),
        (".mediapipe-root", True),
        ("thumbs.db", False),
        ("E01.mkv", False),
        ("uploaded", False),
    ],
)
def test_the_default_patterns(name: str, ignored: bool) -> None:
    assert matcher(UploadConfig().ignore)(name) == ignored
