"""Find, read and check the configuration: every mistake at once, each with its dotted path."""

from __future__ import annotations

import re
import tomllib
import types
import typing
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mediapipe import regular
from mediapipe.config import Config
from mediapipe.errors import ConfigError
from mediapipe.facts import needs
from mediapipe.units import Checked

_REMOTE = re.compile(r"[\w.+@ -]+:.+", re.ASCII)
_PLAIN_URL = re.compile(r"https?://[\w.-]+(:[1-9]\d{0,3})?/?", re.ASCII)
"""Nearly all are so plain; to load what takes the others apart is 3 % of cleanup's start."""
_RC_ADDR = re.compile(r"unix:///.+|([\w.-]*|\[[\da-fA-F:.]+\]):\d{1,5}", re.ASCII)


def load(path: str) -> Config:
    """Load and check a configuration file; raises ConfigError that names every mistake."""
    try:
        table = tomllib.loads(regular.read(path).decode())
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}",
            hint="name another with --config FILE or $MEDIAPIPE_CONFIG",
        ) from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise ConfigError(f"{path} is no TOML: {error}") from None
    mistakes: list[str] = []
    config = _build(Config, table, "", mistakes)
    if not mistakes:
        mistakes = list(_contradictions(config))
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise ConfigError(f"{path} has {count}:\n" + "\n".join(f"  {line}" for line in mistakes))
    return typing.cast("Config", config)


def _build(cls: type, table: object, where: str, mistakes: list[str]) -> Any:
    """Make a configuration class from a TOML table; appends to `mistakes` and goes on."""
    if not isinstance(table, dict):
        mistakes.append(f"{where}: must be a table, not {_type_name(table)}")
        return None
    known = needs(cls) or {}
    hints = get_type_hints(cls)
    mistakes.extend(_unknown(_join(where, key), key, known) for key in table if key not in known)
    values = {}
    for name, needed in known.items():
        if name in table:
            values[name] = _value(hints[name], table[name], _join(where, name), mistakes)
        elif needed:
            mistakes.append(f"{_join(where, name)}: is missing")
            values[name] = None
    return cls(**values)


def _value(hint: Any, value: object, where: str, mistakes: list[str]) -> Any:
    """Check one value against its type; appends to `mistakes` and gives None where it is wrong."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and needs(hint) is not None:
        return _build(hint, value, where, mistakes)
    if origin in (Union, types.UnionType):
        return _either(arguments, value, where, mistakes)
    if origin is tuple and isinstance(value, list):
        return tuple(
            _value(arguments[0], item, f"{where}[{number}]", mistakes)
            for number, item in enumerate(value)
        )
    if origin is dict and isinstance(value, dict):
        return {
            _value(arguments[0], key, _join(where, key), mistakes): _value(
                arguments[1], item, _join(where, key), mistakes
            )
            for key, item in value.items()
        }
    try:
        return _scalar(hint, origin, arguments, value)
    except ValueError as error:
        mistakes.append(f"{where}: {error}")
        return None


def _either(arguments: tuple[Any, ...], value: object, where: str, mistakes: list[str]) -> Any:
    """Check a value that may be of several types; the last one's complaint is told."""
    complaints: list[str] = []
    for argument in (one for one in arguments if one is not types.NoneType):
        complaints = []
        result = _value(argument, value, where, complaints)
        if not complaints:
            return result
    words = [
        repr(word) for one in arguments if get_origin(one) is Literal for word in get_args(one)
    ]
    also = f"; {' or '.join(words)} is possible too" if words else ""
    mistakes.extend(complaint + also for complaint in complaints)
    return None


def _scalar(hint: Any, origin: Any, arguments: tuple[Any, ...], value: object) -> Any:
    if isinstance(hint, type) and issubclass(hint, Checked):
        return hint.parse(value)
    if origin is Literal:
        if value not in arguments:
            words = ", ".join(repr(word) for word in arguments)
            near = _nearest(str(value), [str(word) for word in arguments])
            raise ValueError(f"{value!r} is none of {words}{_did_you_mean(near)}")
        return value
    if isinstance(value, str) and "\0" in value:
        raise ValueError("cannot hold a NUL character")
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:  # a TOML boolean must not pass as a number
        wanted = _TYPE_NAMES.get(hint) or _TYPE_NAMES.get(origin, str(hint))
        raise ValueError(f"must be {wanted}, not {_type_name(value)}")
    return value


def _contradictions(config: Config) -> typing.Iterator[str]:
    """Find what each key alone cannot show: ranges, and paths that lie inside one another."""
    yield from _ranges(config)
    for name in ("uncategorized_remote",):
        yield from _remote_folder(f"upload.{name}", getattr(config.upload, name))
    if not _REMOTE.fullmatch(config.rclone.remote):
        yield f'rclone.remote: {config.rclone.remote!r} is no remote: write "b2:bucket"'
    if not _RC_ADDR.fullmatch(config.rclone.rc_addr):
        yield (
            f"rclone.rc_addr: {config.rclone.rc_addr!r} is no address: "
            'write "127.0.0.1:5572" or "unix:///run/mediapipe/rc.sock"'
        )
    urls = {"qbittorrent.url": config.qbittorrent.url}
    urls |= {f"arr.{name}.url": arr.url for name, arr in config.arr.items()}
    urls |= {"sabnzbd.url": config.sabnzbd.url} if config.sabnzbd else {}
    urls |= {"jellyfin.url": config.jellyfin.url} if config.jellyfin else {}
    for where, url in urls.items():
        yield from _url(where, url)
    yield from _libraries(config)
    yield from _nested(config)
    if config.sabnzbd is not None:
        from mediapipe import config_sabnzbd

        yield from config_sabnzbd.mistakes(config.sabnzbd, config.arr)


def _ranges(config: Config) -> typing.Iterator[str]:
    upload, cleanup = config.upload, config.cleanup
    at_least_one = {
        "upload.transfers": upload.transfers,
        "upload.batch": upload.batch,
        "upload.stats_interval": upload.stats_interval,
        "upload.stall_timeout": upload.stall_timeout,
        "cleanup.max_deletes": cleanup.max_deletes,
        "cleanup.seeding_time": cleanup.seeding_time,
        "qbittorrent.timeout": config.qbittorrent.timeout,
        "rclone.mount.vfs_read_chunk_streams": config.rclone.mount.vfs_read_chunk_streams + 1,
    }
    for name, category in cleanup.categories.items():
        if name not in config.categories:
            yield _unknown(f"cleanup.categories.{name}", name, config.categories)
        if category.seeding_time is not None:
            at_least_one[f"cleanup.categories.{name}.seeding_time"] = category.seeding_time
    for where, number in at_least_one.items():
        if number < 1:
            yield f"{where}: must be more than zero"
    if not 0 <= cleanup.max_torrent_loss <= 1:
        yield "cleanup.max_torrent_loss: is a share and lies between 0 and 1"
    ratios = {"cleanup.min_ratio": cleanup.min_ratio}
    ratios |= {
        f"cleanup.categories.{name}.min_ratio": category.min_ratio
        for name, category in cleanup.categories.items()
        if category.min_ratio is not None
    }
    for where, ratio in ratios.items():
        if not 0 <= ratio < float("inf"):
            yield f"{where}: must be zero or more"


def _url(where: str, url: str) -> typing.Iterator[str]:
    if _PLAIN_URL.fullmatch(url):
        return
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    else:
        if parts.password or parts.username:
            yield f"{where}: holds a login; secrets never stand in this file"
            return
    if not sound:
        yield f'{where}: {url!r} is no address: write "http://127.0.0.1:8080"'


def _remote_folder(where: str, folder: str) -> typing.Iterator[str]:
    parts = folder.split("/")
    if "" in parts or "." in parts or ".." in parts:
        yield f"{where}: {folder!r} must be a folder below [rclone] remote, like 'tv'"


def _libraries(config: Config) -> typing.Iterator[str]:
    owners: dict[str, str] = {}
    remotes = {config.upload.uncategorized_remote: "upload.uncategorized_remote"}
    for name, library in config.libraries.items():
        where = f"libraries.{name}"
        yield from _remote_folder(f"{where}.remote", library.remote)
        if library.category and library.category not in config.categories:
            yield _unknown(f"{where}.category", library.category, config.categories, "category")
        if library.category and library.category in owners:
            yield f"{where}.category: {owners[library.category]} has {library.category!r} already"
        owners.setdefault(library.category, where)
        for other, owner in remotes.items():
            if _inside(library.remote, other) or _inside(other, library.remote):
                yield f"{where}.remote: {library.remote!r} and {owner} {other!r} would mix on B2"
        remotes[library.remote] = f"{where}.remote"


def _nested(config: Config) -> typing.Iterator[str]:
    """No place may lie inside another: what is scanned there would be taken twice, or deleted."""
    places = {
        "paths.completed": config.paths.completed,
        "paths.extracted": config.paths.extracted,
        "paths.state": config.paths.state,
        "rclone.mount_point": config.rclone.mount_point,
    }
    places |= {f"libraries.{name}.root": library.root for name, library in config.libraries.items()}
    names = list(places)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            if _inside(places[first], places[second]):
                yield f"{first}: {places[first]} lies inside {second} {places[second]}"
            elif _inside(places[second], places[first]):
                yield f"{second}: {places[second]} lies inside {first} {places[first]}"


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _join(where: str, key: str) -> str:
    bare = key if re.fullmatch(r"[\w-]+", key, re.ASCII) else f'"{key}"'
    return f"{where}.{bare}" if where else bare


def _unknown(where: str, key: str, known: typing.Iterable[str], what: str = "key") -> str:
    near = _nearest(key, list(known))
    prefix = where[: -len(key)] if what == "key" and where.endswith(key) else ""
    return f"{where}: unknown {what}{_did_you_mean([prefix + name for name in near])}"


def _nearest(word: str, known: list[str]) -> list[str]:
    import difflib  # for mistakes alone

    return difflib.get_close_matches(word, known, 1)


def _did_you_mean(near: list[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""


_TYPE_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    tuple: "a list",
    list: "a list",
    dict: "a table",
}


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), type(value).__name__)
