"""Write what `make nix-options` keeps up to date, to standard output.

nix_options.py nix/settings-options.nix: a typed NixOS option for every key of the configuration.
Names, types and defaults come from the classes of `mediapipe.config`, descriptions from the
comments of docs/reference/config.example.toml.

nix_options.py docs/reference/nixos-options.md: every option of the module, as Nix evaluates it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from mediapipe.config import Config
from mediapipe.units import AbsPath, Seconds, SecretFile, Size

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "reference" / "config.example.toml"

HEAD = """\
# Written by `make nix-options` from mediapipe/config.py, with the words of config.example.toml.
{ lib, toml }:
let
  inherit (lib) mkOption types;
  inherit (import ./types.nix { inherit lib toml; })
    absolutePath
    duration
    secretFile
    size
    table
    ;
in
"""

PAGE = """\
# Options of the NixOS module

Written by `make nix-options` from the module itself. All names begin with `services.mediapipe.`;
how to use them: [Install on NixOS](../how-to/install-nixos.md). `settings` is
[config.toml](config.example.toml), key for key; a default may follow from other services of the
machine.
"""

_TABLE = re.compile(r"(?:# )?\[([\w.-]+)\]\s*(?:# (.*))?")
_KEY = re.compile(r"(?:# )?([\w-]+) = .*?(?:\s{2,}# (.*))?")
_SCALARS = {
    bool: "types.bool",
    int: "types.int",
    float: "types.number",
    str: "types.str",
    Seconds: "duration",
    Size: "size",
    AbsPath: "absolutePath",
    SecretFile: "secretFile",
}


def settings(comments: dict[str, str]) -> str:
    """Give the whole file."""
    return HEAD + _options(Config, "", comments, "") + "\n"


def comments_of(example: str) -> dict[str, str]:
    """Give the comment beside each key and table of the example, by dotted path.

    What stands in a table that people name (`[libraries.tv]`) counts for all such tables; of
    several the first is taken.
    """
    found: dict[str, str] = {}
    table = ""
    for line in example.splitlines():
        if match := _TABLE.fullmatch(line):
            table = re.sub(r"^(libraries|arr|cleanup\.categories)\.[\w-]+", r"\1.<name>", match[1])
            found.setdefault(table, match[2] or "")
        elif table and (match := _KEY.fullmatch(line)):
            found.setdefault(f"{table}.{match[1]}", match[2] or "")
    return found


def _options(cls: type, where: str, comments: dict[str, str], indent: str) -> str:
    hints = get_type_hints(cls)
    lines = [
        line
        for item in fields(cls)
        for line in _option(item, hints[item.name], where, comments, indent + "  ")
    ]
    return "\n".join(["{", *lines, indent + "}"])


def _option(
    item: Field[Any], hint: Any, where: str, comments: dict[str, str], indent: str
) -> Iterator[str]:
    path = f"{where}.{item.name}" if where else item.name
    yield f"{indent}{item.name} = mkOption {{"
    yield f"{indent}  type = {_type(hint, path, comments, indent + '  ')};"
    default = item.default if item.default_factory is MISSING else item.default_factory()
    if default is not MISSING:
        yield f"{indent}  default = {_nix(written(default))};"
    words = comments.get(path) or comments.get(f"{path}.<name>")
    shown = f"`[{where}] {item.name}`" if where else f"`[{path}]`"
    yield f"{indent}  description = {_nix(f'{shown}: {words}' if words else f'{shown}')};"
    yield f"{indent}}};"


def _type(hint: Any, path: str, comments: dict[str, str], indent: str) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return f"table {_options(cast('type', hint), path, comments, indent)}"
    if origin in (Union, types.UnionType):
        first, second = sorted(arguments, key=lambda one: one is not types.NoneType)
        inner = _type(second, path, comments, indent)
        if first is types.NoneType:
            return f"types.nullOr ({inner})"
        return f"types.either ({_type(first, path, comments, indent)}) ({inner})"
    if origin is Literal:
        return f"types.enum {_nix(list(arguments))}"
    if origin is tuple:
        return f"types.listOf {_type(arguments[0], path, comments, indent)}"
    if origin is dict:
        inner = _type(arguments[1], f"{path}.<name>", comments, indent)
        return f"types.attrsOf {inner if ' ' not in inner else f'({inner})'}"
    return _SCALARS[hint]


def written(value: Any) -> Any:
    """Give a default as it is written in TOML; None for what is absent there."""
    if isinstance(value, Seconds):
        unit = next(one for one in (86400, 3600, 60, 1) if value % one == 0)
        return f"{value // unit}{ {86400: 'd', 3600: 'h', 60: 'm', 1: 's'}[unit] }"
    if isinstance(value, Size):
        power = next(one for one in (4, 3, 2, 1, 0) if value % 1024**one == 0)
        return f"{value // 1024**power}{' KMGT'[power].strip()}"
    if is_dataclass(value):
        return {
            item.name: written(inner)
            for item in fields(value)
            if (inner := getattr(value, item.name)) != item.default
            and (item.default_factory is MISSING or inner != item.default_factory())
        }
    if isinstance(value, tuple):
        return [written(one) for one in value]
    if isinstance(value, dict):
        return {key: written(one) for key, one in value.items()}
    return value


def _nix(value: Any) -> str:
    if isinstance(value, dict):
        inner = " ".join(f"{_nix(key)} = {_nix(one)};" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{ }"
    if isinstance(value, list):
        return f"[ {' '.join(_nix(one) for one in value)} ]" if value else "[ ]"
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False).replace("${", "\\${")


def reference() -> str:
    """Give the page of all options; raises CalledProcessError where Nix cannot evaluate them."""
    # no store of this host is needed, nor the rights to one
    nix = ["nix-instantiate", "--store", "dummy://", "--option", "build-users-group", ""]
    words = ["--eval", "--strict", "--json", "-A", "options", str(ROOT / "tests/nix/evaluate.nix")]
    answer = subprocess.run([*nix, *words], check=True, stdout=subprocess.PIPE).stdout
    found = sorted(json.loads(answer), key=lambda one: ".settings" in one["name"])
    return PAGE + "".join(_entry(one) for one in found)


def _entry(option: dict[str, Any]) -> str:
    facts = [option["type"]]
    if option["required"]:
        facts.append("required")
    elif option["default"] != "":
        shown = option["default"]
        text = shown if option["literal"] else _nix(shown)
        facts.append(f"default `{text}`")
    name = option["name"].removeprefix("services.mediapipe.")
    words = " ".join(option["description"].split()).replace("{option}", "")
    return f"\n`{name}`\n: {', '.join(facts)}  \n  {words}\n"


if __name__ == "__main__":
    sys.stdout.write(
        settings(comments_of(EXAMPLE.read_text(encoding="utf-8")))
        if sys.argv[1:] == ["nix/settings-options.nix"]
        else reference()
    )
