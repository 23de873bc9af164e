"""What a person means by a path, and what fits into the cache: tables, without a mount."""

from __future__ import annotations

import pytest

from mediapipe.adapters.vfs_cache import Cache
from mediapipe.addresses import name_of
from mediapipe.config import Config, Library, RcloneConfig
from mediapipe.errors import UsageError
from mediapipe.units import AbsPath
from mediapipe.warming import why_not

GIB = 1 << 30
CONFIG = Config(
    libraries={"tv": Library(AbsPath("/media/arr/tv"), "shows")},
    rclone=RcloneConfig(remote="b2:box/media"),
)


@pytest.mark.parametrize(
    ("path", "here", "name"),
    [
        ("", "/root", ""),
        ("tv/Show", "/root", "tv/Show"),
        ("tv//Show/", "/root", "tv/Show"),
        ("./tv", "/root", "tv"),
        ("b2:box/media", "/root", ""),
        ("b2:box/media/", "/root", ""),
        ("b2:box/media/tv/x", "/root", "tv/x"),
        ("b2:box/mediatheque", "/root", "b2:box/mediatheque"),
        ("/media/b2", "/root", ""),
        ("/media/b2/tv/a b.mkv", "/root", "tv/a b.mkv"),
        ("/media/b2/../b2/tv", "/root", "tv"),
        ("/media/arr/tv/Show", "/root", "shows/Show"),
        ("/media/arr/tv", "/root", "shows"),
        ("", "/media/b2/tv", "tv"),
        ("Show", "/media/b2/tv", "tv/Show"),
        ("../movies", "/media/b2/tv", "movies"),
        ("E1.mkv", "/media/arr/tv/Show", "shows/Show/E1.mkv"),
        ("/media/b2/tv", "/media/arr/tv", "tv"),
        ("b2:box/media/tv", "/media/arr/tv", "tv"),
    ],
)
def test_a_path_is_known_by_each_of_its_names(path: str, here: str, name: str) -> None:
    assert name_of(path, CONFIG, here) == name


@pytest.mark.parametrize(
    ("path", "here"),
    [("/etc", "/"), ("/media/b22/tv", "/"), ("../tv", "/root"), ("../../x", "/media/b2/tv")],
)
def test_a_path_that_is_nowhere_on_the_remote_is_refused(path: str, here: str) -> None:
    with pytest.raises(UsageError):
        name_of(path, CONFIG, here)


@pytest.mark.parametrize(
    ("need", "held", "free", "reason"),
    [
        (5 * GIB, 0, 100 * GIB, ""),
        (5 * GIB, 5 * GIB, 25 * GIB, ""),
        (0, 12 * GIB, 0, ""),
        (5 * GIB, 5 * GIB + 1, 100 * GIB, "5.0 GiB are left of vfs_cache_max_size"),
        (1, 12 * GIB, 100 * GIB, "0 B are left of vfs_cache_max_size"),
        (5 * GIB, 0, 25 * GIB - 1, "5.0 GiB are left above vfs_cache_min_free_space"),
    ],
)
def test_what_does_not_fit_is_told_with_what_is_left(
    need: int, held: int, free: int, reason: str
) -> None:
    cache = Cache("/cache", 0, 0, 10 * GIB, 20 * GIB, full=False)
    told = why_not(need, cache, held, free)
    assert told.endswith(reason)
    assert bool(told) == bool(reason)


def test_a_cache_without_a_limit_has_the_disk_s() -> None:
    cache = Cache("/cache", 0, 0, None, 20 * GIB, full=False)
    assert why_not(50 * GIB, cache, 1000 * GIB, 70 * GIB) == ""
    assert why_not(51 * GIB, cache, 0, 70 * GIB)
