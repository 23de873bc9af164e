"""The configuration: every mistake is named with its place, and the defaults are documented."""

from __future__ import annotations

import re
import tomllib
import types
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import example as case
from hypothesis import given
from hypothesis import strategies as st

from mediapipe.config import (
    CleanupCategory,
    Config,
    JellyfinConfig,
    SabnzbdConfig,
    as_app,
    as_host,
)
from mediapipe.config_load import load
from mediapipe.errors import ConfigError
from mediapipe.places import DEFAULT_CONFIG, find, state_folder
from mediapipe.units import AbsPath, Checked, Seconds, SecretFile, Size
from tests.examples import steady

EXAMPLE = Path(__file__).parent.parent / "docs" / "reference" / "config.example.toml"


def load_text(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load(str(path))


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """Give the lines that name a mistake each."""
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    assert caught.value.exit_status == 78
    head, *lines = str(caught.value).splitlines()
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    assert head == f"{tmp_path}/config.toml has {count}:"
    return [line.removeprefix("  ") for line in lines]


DURATION = 'write "90s", "2m", "1h30m" or "7d"'
SIZE = 'write "512M", "150G" (powers of 1024)'
ARR = '[arr.sonarr]\nurl = "http://127.0.0.1:8989"\napi_key_file = "key"\n'

# fmt: off
MISTAKES = [
    # unknown keys, with the nearest known one
    ('upload.setle = "60s"', "upload.setle: unknown key; did you mean 'upload.settle'?"),
    ("[uplaod]", "uplaod: unknown key; did you mean 'upload'?"),
    ("zzz = 1", "zzz: unknown key"),
    ('[rclone.mount]\nvfs_cache_modes = "full"',
     "rclone.mount.vfs_cache_modes: unknown key; did you mean 'rclone.mount.vfs_cache_mode'?"),
    ('[libraries.tv]\nroot = "/a"\nremote = "tv"\nafterdelete = "keep"',
     "libraries.tv.afterdelete: unknown key; did you mean 'libraries.tv.after_delete'?"),
    ('upload."odd key" = 1', 'upload."odd key": unknown key'),
    ('[cleanup.categories.tv-sonar]\nseeding_time = "1d"',
     "cleanup.categories.tv-sonar: unknown key; did you mean 'cleanup.categories.tv-sonarr'?"),
    # wrong types
    ('upload.transfers = "4"', "upload.transfers: must be a whole number, not a string"),
    ("upload.transfers = true", "upload.transfers: must be a whole number, not true or false"),
    ("upload.transfers = 4.0", "upload.transfers: must be a whole number, not a number"),
    ("rclone.mount.allow_other = 1",
     "rclone.mount.allow_other: must be true or false, not a whole number"),
    ("cleanup.min_ratio = true", "cleanup.min_ratio: must be a number, not true or false"),
    ("qbittorrent.username = 5", "qbittorrent.username: must be a string, not a whole number"),
    ("upload.unfinished = '*.part'", "upload.unfinished: must be a list, not a string"),
    ("upload.unfinished = ['*.part', 7]",
     "upload.unfinished[1]: must be a string, not a whole number"),
    ("upload = 3", "upload: must be a table, not a whole number"),
    ("categories = []", "categories: must be a table, not a list"),
    ("libraries.tv = 3", "libraries.tv: must be a table, not a whole number"),
    # durations, sizes, paths, words, secrets
    ("upload.settle = 60", f"upload.settle: 60 is no duration: {DURATION}"),
    ('upload.settle = ""', f"upload.settle: '' is no duration: {DURATION}"),
    ('upload.settle = "1.5h"', f"upload.settle: '1.5h' is no duration: {DURATION}"),
    ('upload.settle = "5s2m"', f"upload.settle: '5s2m' is no duration: {DURATION}"),
    ('upload.settle = "-5s"', f"upload.settle: '-5s' is no duration: {DURATION}"),
    ('upload.settle = "٥s"', f"upload.settle: '٥s' is no duration: {DURATION}"),
    ('upload.settle = "101w5300d"', None),
    ('upload.settle = "99999d"', "upload.settle: '99999d' is longer than a hundred years"),
    ('upload.batch = "50GB"', f"upload.batch: '50GB' is no size: {SIZE}"),
    ('upload.batch = "-1"', f"upload.batch: '-1' is no size: {SIZE}"),
    ("upload.batch = 5", f"upload.batch: 5 is no size: {SIZE}"),
    ('paths.state = "var/lib"', "paths.state: 'var/lib' is no absolute path"),
    ('paths.state = ""', "paths.state: '' is no absolute path"),
    ('paths.state = "/a/../b"', "paths.state: '/a/../b' must not go up with '..'"),
    ('paths.state = "//"', "paths.state: the root folder '/' is not a place for this"),
    ('paths.state = "/a\\u0000b"', "paths.state: a path cannot hold a NUL character"),
    ('paths.require_mounts = ["/data", "data"]',
     "paths.require_mounts[1]: 'data' is no absolute path"),
    ('[categories]\ntv = "completed/tv"', "categories.tv: 'completed/tv' is no absolute path"),
    ('[categories]\n"tv shows" = "tv"', "categories.\"tv shows\": 'tv' is no absolute path"),
    ('cleanup.links_elsewhere = "kep"',
     "cleanup.links_elsewhere: 'kep' is none of 'keep', 'ignore'; did you mean 'keep'?"),
    ('[libraries.tv]\nroot = "/a"\nremote = "tv"\nwithout_torrent = "delete"',
     (f"libraries.tv.without_torrent: 'delete' is no duration: {DURATION}; "
      "'keep' is possible too")),
    ('qbittorrent.password_file = "my pass word"',
     ("qbittorrent.password_file: 'my pass word' is neither an absolute path nor a bare credential "
      "name; the secret itself never stands in this file")),
    ('[qbittorrent.path_map]\n"downloads" = "/data"',
     "qbittorrent.path_map.downloads: 'downloads' is no absolute path"),
    # missing
    ('[libraries.tv]\nroot = "/a"', "libraries.tv.remote: is missing"),
    ("[arr.sonarr]\nurl = 'http://x'", "arr.sonarr.api_key_file: is missing"),
    # ranges
    ("upload.transfers = 0", "upload.transfers: must be more than zero"),
    ('upload.batch = "0"', "upload.batch: must be more than zero"),
    ('qbittorrent.timeout = "0s"', "qbittorrent.timeout: must be more than zero"),
    ("cleanup.max_deletes = -1", "cleanup.max_deletes: must be more than zero"),
    ('cleanup.seeding_time = "0s"', "cleanup.seeding_time: must be more than zero"),
    ('[cleanup.categories.radarr]\nseeding_time = "0d"',
     "cleanup.categories.radarr.seeding_time: must be more than zero"),
    ("cleanup.max_torrent_loss = 1.1",
     "cleanup.max_torrent_loss: is a share and lies between 0 and 1"),
    ("cleanup.max_torrent_loss = nan",
     "cleanup.max_torrent_loss: is a share and lies between 0 and 1"),
    ("cleanup.min_ratio = -0.1", "cleanup.min_ratio: must be zero or more"),
    ("cleanup.min_ratio = inf", "cleanup.min_ratio: must be zero or more"),
    ("cleanup.min_ratio = nan", "cleanup.min_ratio: must be zero or more"),
    ("[cleanup.categories.radarr]\nmin_ratio = -1",
     "cleanup.categories.radarr.min_ratio: must be zero or more"),
    # addresses and remotes
    ('rclone.remote = "bucket"',
     "rclone.remote: 'bucket' is no remote: write \"b2:bucket\""),
    ('rclone.remote = "b2:"', "rclone.remote: 'b2:' is no remote: write \"b2:bucket\""),
    *((f'rclone.rc_addr = "{address}"',
       (f"rclone.rc_addr: '{address}' is no address: "
        'write "127.0.0.1:5572" or "unix:///run/mediapipe/rc.sock"'))
      for address in ("", "127.0.0.1", "http://127.0.0.1:5572", "a b:1", "unix://rc", "/run/rc",
                      "me:secret@host:5572")),
    ('qbittorrent.url = "localhost:8080"',
     "qbittorrent.url: 'localhost:8080' is no address: write \"http://127.0.0.1:8080\""),
    ('qbittorrent.url = "http://"',
     "qbittorrent.url: 'http://' is no address: write \"http://127.0.0.1:8080\""),
    ('qbittorrent.url = "http://a:99999"',
     "qbittorrent.url: 'http://a:99999' is no address: write \"http://127.0.0.1:8080\""),
    ('qbittorrent.url = "http://me:secret@a"',
     "qbittorrent.url: holds a login; secrets never stand in this file"),
    (ARR.replace("http://127.0.0.1:8989", "ftp://x"),
     "arr.sonarr.url: 'ftp://x' is no address: write \"http://127.0.0.1:8080\""),
    ('[sabnzbd]\nurl = "x"',
     "sabnzbd.url: 'x' is no address: write \"http://127.0.0.1:8080\""),
    ('[sabnzbd.destinations]\nTV = "/usenet/tv"',
     "sabnzbd.destinations.TV: SABnzbd's categories are in lower case"),
    ('[sabnzbd]\nhost_complete_dir = "/a"\n[sabnzbd.destinations]\ntv = "/a/tv"',
     "sabnzbd.destinations.tv: /a/tv and host_complete_dir /a must lie beside each other"),
    ('[sabnzbd]\nhost_complete_dir = "/a/b"\nhost_incomplete_dir = "/a"',
     "sabnzbd.host_complete_dir: /a/b lies inside host_incomplete_dir /a"),
    *((f'[sabnzbd.category_folders]\ntv = "{folder}"',
       (f"sabnzbd.category_folders.tv: '{folder}' must be a folder below complete_dir, without "
        "a * at its end"))
      for folder in ("tv*", "../tv", "tv//hd", ".")),
    ('[sabnzbd.arr]\ntv = "sonar"', "sabnzbd.arr.tv: there is no table [arr.sonar]"),
    ('[jellyfin]\nurl = "x"',
     "jellyfin.url: 'x' is no address: write \"http://127.0.0.1:8080\""),
    ('upload.uncategorized_remote = ""',
     "upload.uncategorized_remote: '' must be a folder below [rclone] remote, like 'tv'"),
    ('upload.uncategorized_remote = "a/../b"',
     "upload.uncategorized_remote: 'a/../b' must be a folder below [rclone] remote, like 'tv'"),
    # contradictions
    ('[libraries.tv]\nroot = "/a"\nremote = "/tv"',
     "libraries.tv.remote: '/tv' must be a folder below [rclone] remote, like 'tv'"),
    ('[libraries.tv]\nroot = "/a"\nremote = "downloads/tv"',
     ("libraries.tv.remote: 'downloads/tv' and upload.uncategorized_remote 'downloads' would mix "
      "on B2")),
    ('[libraries.a]\nroot = "/a"\nremote = "x"\n[libraries.b]\nroot = "/b"\nremote = "x"',
     "libraries.b.remote: 'x' and libraries.a.remote 'x' would mix on B2"),
    ('[libraries.tv]\nroot = "/a"\nremote = "tv"\ncategory = "radar"',
     "libraries.tv.category: unknown category; did you mean 'radarr'?"),
    (('[libraries.a]\nroot = "/a"\nremote = "a"\ncategory = "radarr"\n'
     '[libraries.b]\nroot = "/b"\nremote = "b"\ncategory = "radarr"'),
     "libraries.b.category: libraries.a has 'radarr' already"),
    ('paths.extracted = "/var/lib/qBittorrent/completed/x"',
     ("paths.extracted: /var/lib/qBittorrent/completed/x lies inside paths.completed "
      "/var/lib/qBittorrent/completed")),
    ('paths.completed = "/media"',
     ["rclone.mount_point: /media/b2 lies inside paths.completed /media",
      "libraries.tv.root: /media/arr/tv lies inside paths.completed /media",
      "libraries.movies.root: /media/arr/movies lies inside paths.completed /media"]),
    ('[libraries.a]\nroot = "/m"\nremote = "a"\n[libraries.b]\nroot = "/m/b"\nremote = "b"',
     "libraries.b.root: /m/b lies inside libraries.a.root /m"),
    ('[libraries.a]\nroot = "/m"\nremote = "a"\n[libraries.b]\nroot = "/m/"\nremote = "b"',
     "libraries.a.root: /m lies inside libraries.b.root /m"),
]
# fmt: on


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_a_hint(
    tmp_path: Path, text: str, expected: str | list[str] | None
) -> None:
    if expected is None:
        assert load_text(tmp_path, text).upload.settle == (101 * 7 + 5300) * 86400
        return
    assert mistakes(tmp_path, text) == (expected if isinstance(expected, list) else [expected])


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = """
    surprise = 1
    [paths]
    completed = "downloads"
    require_mounts = ["/ok", 3]
    [qbittorrent]
    timeout = "soon"
    [upload]
    transfers = false
    colour = "red"
    [libraries.tv]
    after_delete = "burn"
    [arr.sonarr]
    kind = "sonar"
    """
    assert sorted(line.split(": ")[0] for line in mistakes(tmp_path, wrong)) == [
        "arr.sonarr.api_key_file",
        "arr.sonarr.kind",
        "arr.sonarr.url",
        "libraries.tv.after_delete",
        "libraries.tv.remote",
        "libraries.tv.root",
        "paths.completed",
        "paths.require_mounts[1]",
        "qbittorrent.timeout",
        "surprise",
        "upload.colour",
        "upload.transfers",
    ]


def test_contradictions_are_told_all_at_once_too(tmp_path: Path) -> None:
    wrong = 'upload.transfers = 0\nqbittorrent.url = "x"\nrclone.remote = "x"\n'
    assert len(mistakes(tmp_path, wrong)) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[paths", "is no TOML"),
        (b"\xff\xfe = 1", "is no TOML"),
        (b"a = 1\na = 2", "is no TOML"),
    ],
)
def test_what_is_no_toml_is_told_with_its_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))} {words}: "):
        load(str(path))


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_cannot_be_read_is_told_with_a_hint(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.toml"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(ConfigError, match="cannot read the configuration") as caught:
        load(str(path))
    assert caught.value.hint == "name another with --config FILE or $MEDIAPIPE_CONFIG"


def test_the_configuration_is_looked_for_in_three_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAPIPE_CONFIG", "/from/environment")
    assert find("/from/option") == "/from/option"
    assert find(None) == "/from/environment"
    monkeypatch.setenv("MEDIAPIPE_CONFIG", "")
    assert find(None) == DEFAULT_CONFIG


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_text(tmp_path, "") == Config()


def test_one_library_of_ones_own_replaces_both_defaults(tmp_path: Path) -> None:
    config = load_text(tmp_path, '[libraries.anime]\nroot = "/anime"\nremote = "anime"\n')
    assert list(config.libraries) == ["anime"]
    assert config.libraries["anime"].without_torrent == "keep"


def test_a_library_may_give_files_without_torrent_a_time(tmp_path: Path) -> None:
    text = '[libraries.a]\nroot = "/a"\nremote = "a"\nwithout_torrent = "30d"\n'
    assert load_text(tmp_path, text).libraries["a"].without_torrent == 30 * 86400


def test_paths_are_normalised(tmp_path: Path) -> None:
    config = load_text(tmp_path, 'paths.state = "//var//lib/./x/"\n')
    assert config.paths.state == "/var/lib/x"


def test_the_state_folder_of_systemd_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert state_folder(Config().paths.state) == "/var/lib/mediapipe"
    monkeypatch.setenv("STATE_DIRECTORY", "/run/state:/run/other")
    assert state_folder(Config().paths.state) == "/run/state"


def test_the_longest_prefix_of_a_path_map_wins() -> None:
    table = {
        AbsPath("/downloads"): AbsPath("/host"),
        AbsPath("/downloads/tv"): AbsPath("/fast/tv"),
    }
    assert as_host("/downloads/x", table) == "/host/x"
    assert as_host("/downloads", table) == "/host"
    assert as_host("/downloads/tv/x", table) == "/fast/tv/x"
    assert as_host("/downloads/tvx", table) == "/host/tvx"
    assert as_host("/elsewhere", table) == "/elsewhere"


def test_a_path_of_ours_is_told_as_the_other_program_sees_it() -> None:
    table = {AbsPath("/media"): AbsPath("/data"), AbsPath("/media/b2"): AbsPath("/cloud")}
    assert as_app("/media/b2/tv/x", table) == "/cloud/tv/x"
    assert as_app("/media/b23", table) == "/data/b23"
    assert as_app("/elsewhere", table) == "/elsewhere"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:5572", ":5572", "[::1]:5572", "localhost:0", "unix:///run/mediapipe/rc.sock"],
)
def test_a_remote_control_has_a_port_or_a_socket(address: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[rclone]\nrc_addr = "{address}"\n')
    assert load(str(path)).rclone.rc_addr == address


def test_a_secret_file_is_a_path_or_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    assert SecretFile.parse("").path() is None
    assert SecretFile.parse("/a b/key").path() == "/a b/key"
    assert SecretFile.parse("sonarr-api-key").path() == "/run/credentials/x/sonarr-api-key"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert SecretFile.parse("sonarr-api-key").path() is None


# the documented defaults


def test_the_documented_defaults_are_the_defaults() -> None:
    assert example()
    config = load(str(EXAMPLE))
    default = Config()
    # what is optional stands in the example to show its keys
    shown = replace(
        config,
        sabnzbd=None,
        jellyfin=None,
        arr={},
        cleanup=replace(config.cleanup, categories={}),
        qbittorrent=replace(config.qbittorrent, path_map={}),
    )
    for section in fields(Config):
        assert getattr(shown, section.name) == getattr(default, section.name), section.name
    assert config.sabnzbd in (None, SabnzbdConfig())
    assert config.jellyfin in (None, JellyfinConfig())
    assert set(config.cleanup.categories.values()) <= {CleanupCategory()}


def test_the_documented_defaults_name_every_key() -> None:
    text = example()
    table = tomllib.loads(text)
    optional = {"sabnzbd", "jellyfin", "arr"}  # their names alone must be there
    unnamed = [name for name in optional if f"[{name}" not in text]
    for where, cls in dataclasses_of(Config, ""):
        if where.split(".")[0] in optional:
            continue
        if where == "cleanup.categories":  # its keys may be overridden for a category, so: as hint
            unnamed += [f.name for f in fields(cls) if f"# {f.name} = " not in text]
            continue
        inner: Any = table
        for key in where.split(".") if where else []:
            inner = inner.get(key, {})
        for one in inner.values() if where == "libraries" else [inner]:
            names = [f.name for f in fields(cls) if f.name not in {*optional, "categories"}]
            unnamed += [f"{where}.{name}" for name in names if name not in one]
    assert unnamed == []


def example() -> str:
    if not EXAMPLE.exists():
        pytest.fail(f"docs/reference/{EXAMPLE.name} is missing: it documents the defaults")
    return EXAMPLE.read_text(encoding="utf-8")


# every key has a type that the loader understands


def dataclasses_of(cls: type, where: str) -> list[tuple[str, type]]:
    """Give all classes of the configuration, with the dotted path of their tables."""
    found = [(where, cls)]
    for name, hint in get_type_hints(cls).items():
        for inner in inner_classes(hint):
            found += dataclasses_of(inner, f"{where}.{name}".lstrip("."))
    return found


def inner_classes(hint: Any) -> list[type]:
    if is_dataclass(hint):
        return [hint]  # type: ignore[list-item]
    return [one for argument in get_args(hint) for one in inner_classes(argument)]


ALL_KEYS = [
    pytest.param(cls, one.name, id=f"{where}.{one.name}".lstrip("."))
    for where, cls in dataclasses_of(Config, "")
    for one in fields(cls)
]


def written(hint: Any) -> Any:
    """Give a value as TOML would give it for a type; fails for a type that no rule knows."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        needed = [f for f in fields(hint) if f.default is MISSING and f.default_factory is MISSING]
        hints = get_type_hints(hint)
        return {one.name: written(hints[one.name]) for one in needed}
    if origin in (Union, types.UnionType):
        return written(next(one for one in arguments if one is not types.NoneType))
    if origin is tuple:
        assert arguments[1:] == (...,)
        return [written(arguments[0])]
    if origin is dict:
        return {written(arguments[0]): written(arguments[1])}
    if origin is Literal:
        return arguments[0]
    examples: dict[Any, Any] = {
        str: "word",
        int: 7,
        float: 0.5,
        bool: True,
        Seconds: "90s",
        Size: "512M",
        AbsPath: "/somewhere",
        SecretFile: "credential",
    }
    return examples[hint]


@pytest.mark.parametrize(("cls", "name"), ALL_KEYS)
def test_the_loader_understands_the_type_of_every_key(cls: type, name: str) -> None:
    from mediapipe.config_load import _value

    hint = get_type_hints(cls)[name]
    found: list[str] = []
    value = _value(hint, written(hint), name, found)
    assert found == []
    assert well_typed(value, hint), f"{value!r} is no {hint}"
    # … and a value of no possible type is a mistake with the key's name, not a crash
    _value(hint, tomllib.loads("x = 1979-05-27")["x"], name, found)
    assert found
    assert all(line.startswith(name) for line in found)


@pytest.mark.parametrize(("cls", "name"), ALL_KEYS)
def test_every_default_has_the_type_of_its_key(cls: type, name: str) -> None:
    one = next(one for one in fields(cls) if one.name == name)
    if one.default_factory is not MISSING:
        assert well_typed(one.default_factory(), get_type_hints(cls)[name])
    elif one.default is not MISSING:
        assert well_typed(one.default, get_type_hints(cls)[name])
    else:
        assert cls.__name__ in ("Library", "ArrConfig"), "only these two have keys without default"


def well_typed(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(well_typed(value, one) for one in arguments)
    if origin is tuple:
        return type(value) is tuple and all(well_typed(one, arguments[0]) for one in value)
    if origin is dict:
        return type(value) is dict and all(
            well_typed(key, arguments[0]) and well_typed(one, arguments[1])
            for key, one in value.items()
        )
    if origin is Literal:
        return value in arguments
    return type(value) is hint


# durations and sizes


@steady()
@given(st.integers(min_value=0, max_value=100 * 365 * 86400))
def test_a_duration_comes_back_as_it_was_written(seconds: int) -> None:
    text, left = "", seconds
    for unit, length in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        text += f"{count}{unit}" if count else ""
    assert Seconds.parse(text or "0s") == seconds
    assert Seconds.parse(f"{seconds}s") == seconds


@steady()
@given(st.integers(min_value=0, max_value=1 << 50), st.sampled_from(["", *"KMGTP"]))
def test_a_size_comes_back_as_it_was_written(number: int, unit: str) -> None:
    factor = 1024 ** " KMGTP".index(unit or " ")
    if number * factor < 1 << 63:  # what a signed number of 64 bits, and so a disk, can tell
        assert Size.parse(f"{number}{unit}") == number * factor
        return
    with pytest.raises(ValueError, match="is more than any disk holds"):
        Size.parse(f"{number}{unit}")


@steady()
@given(st.integers(min_value=0, max_value=4095), st.sampled_from("KMGTP"))
def test_a_size_may_have_a_fraction(quarters: int, unit: str) -> None:
    factor = 1024 ** " KMGTP".index(unit)
    assert Size.parse(f"{quarters / 4}{unit}") == quarters * factor // 4


WORDS = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[0-9]{1,400}(\.[0-9]{1,400})?[KMGTPwdhms]?", fullmatch=True),
    st.none(), st.integers(), st.floats(), st.booleans(), st.lists(st.integers(), max_size=1),
)  # fmt: skip


@pytest.mark.parametrize("kind", [Seconds, Size, AbsPath, SecretFile])
@steady()
@given(value=WORDS)
@case("9" * 5000 + "s")
@case("9" * 400 + "G")
def test_whatever_is_written_is_taken_or_a_mistake(kind: type[Checked], value: object) -> None:
    try:
        taken = kind.parse(value)
    except ValueError:
        return  # a mistake, which the loader tells with its place
    assert type(taken) is kind
    assert kind.parse(taken) == taken
