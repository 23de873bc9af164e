"""What stands in several places is the same everywhere: program, options, package, documents."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from mediapipe import __version__
from mediapipe.config import Config
from mediapipe.units import AbsPath, Seconds, SecretFile, Size
from scripts.nix_options import comments_of, written
from tests.nixos import CHECKOUT, Nix

PREFIX = "services.mediapipe.settings."
EXAMPLE = CHECKOUT / "docs" / "reference" / "config.example.toml"


def keys(cls: type, where: str = "") -> dict[str, tuple[Any, Any]]:
    """Give the type and the default of every key, by dotted path; tables of one's own included."""
    found: dict[str, tuple[Any, Any]] = {}
    hints = get_type_hints(cls)
    for item in fields(cls):
        path = f"{where}{item.name}"
        default = item.default if item.default_factory is MISSING else item.default_factory()
        found[path] = (hints[item.name], default)
        for inner, named in tables(hints[item.name]):
            found |= keys(inner, f"{path}.<name>." if named else f"{path}.")
    return found


def tables(hint: Any) -> list[tuple[type, bool]]:
    """Give the classes in a type, and whether each stands below a name that people choose."""
    if is_dataclass(hint):
        return [(hint, False)]  # type: ignore[list-item]
    named = get_origin(hint) is dict
    return [(cls, named) for one in get_args(hint) for cls, _ in tables(one)]


def words(hint: Any) -> str | tuple[str, ...]:
    """Give the beginning of what Nix calls a type, or several that it may be."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if types.NoneType in arguments:
            return "null or"
        return ("one of", 'value "')
    if origin is Literal:
        return "one of"
    if is_dataclass(hint):
        return "table"
    names: dict[Any, str] = {
        tuple: "list of", dict: "attribute set of", bool: "boolean", int: "signed integer",
        float: "signed integer or floating point number", str: "string", AbsPath: "absolute path",
        Seconds: "duration", Size: "size", SecretFile: "absolute path, name of a secret, or blank",
    }  # fmt: skip
    return names[origin or hint]


@pytest.fixture(scope="module")
def options(nix: Nix) -> dict[str, dict[str, Any]]:
    """Every option below `settings`, by its path there."""
    return {
        one["name"].removeprefix(PREFIX): one
        for one in nix.options()
        if one["name"].startswith(PREFIX)
    }


def test_every_key_of_the_program_is_an_option_and_no_other(options: dict[str, Any]) -> None:
    assert options.keys() == keys(Config).keys()


@pytest.mark.parametrize(("path", "key"), keys(Config).items(), ids=keys(Config))
def test_type_and_default_of_a_key_are_those_of_its_option(
    path: str, key: tuple[Any, Any], options: dict[str, Any]
) -> None:
    hint, default = key
    option = options[path]
    # nixpkgs puts compound types in brackets
    assert option["type"].replace("(", "").startswith(words(hint))
    assert option["required"] == (default is MISSING)
    if default is not MISSING:
        assert option["default"] == written(default)


def test_every_documented_key_is_an_option(options: dict[str, Any]) -> None:
    documented = comments_of(EXAMPLE.read_text(encoding="utf-8"))
    chosen = {path for path, one in options.items() if one["type"].startswith("attribute set of")}
    strangers = documented.keys() - options.keys()
    assert {path for path in strangers if path.rpartition(".")[0] not in chosen} == set()
    assert len(documented) > len(options) / 2


@pytest.mark.parametrize("name", ["nix/settings-options.nix", "docs/reference/nixos-options.md"])
def test_what_is_generated_is_up_to_date(name: str) -> None:
    command = [sys.executable, str(CHECKOUT / "scripts" / "nix_options.py"), name]
    ended = subprocess.run(command, capture_output=True, check=True)
    assert ended.stdout == (CHECKOUT / name).read_bytes(), "run `make nix-options`"


PROGRAMS = "/rclone/bin:/unar/bin:/util-linux/bin:/coreutils/bin"
PACKAGES = """
  let
    lib = import LIB // { cleanSource = path: path; platforms.linux = [ ]; };
    packages = builtins.fromJSON (builtins.readFile DEPENDENCIES);
  in
  import CHECKOUT/nix/package.nix {
    inherit lib;
    coreutils = "/coreutils";
    rclone = "/rclone";
    unar = "/unar";
    util-linux = "/util-linux";
    python3Packages = packages // {
      hatchling = "hatchling";
      buildPythonApplication = given: given;
    };
  }
"""


def test_the_package_brings_what_the_program_needs(
    nix: Nix, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    names = [one.split(">")[0] for one in project["dependencies"]]
    known = tmp_path_factory.mktemp("packages") / "known.json"
    known.write_text(json.dumps({name: name for name in names}))
    expression = (
        PACKAGES.replace("LIB", str(CHECKOUT / "tests" / "nix" / "lib.nix"))
        .replace("DEPENDENCIES", str(known))
        .replace("CHECKOUT", str(CHECKOUT))
    )
    package = nix.value(f'builtins.removeAttrs ({expression}) [ "src" ]')
    assert package["dependencies"] == names
    assert package["makeWrapperArgs"] == ["--prefix", "PATH", ":", PROGRAMS]
    assert 'make install-units PREFIX="$out" DESTDIR=' in package["postInstall"]
    assert package["pname"] == project["name"]
    assert package["version"] == __version__


FLAKE = """
  let
    nixpkgs = {
      lib = import CHECKOUT/tests/nix/lib.nix;
      legacyPackages = { x86_64-linux = { }; aarch64-linux = { }; };
    };
    flake = (import CHECKOUT/flake.nix).outputs { self = flake; inherit nixpkgs; };
    names = one: if builtins.isAttrs one then builtins.attrNames one else [ ];
  in
  builtins.mapAttrs (_: builtins.mapAttrs (_: names)) flake
"""


def test_the_flake_offers_what_the_how_to_names(nix: Nix) -> None:
    offered = FLAKE.replace("CHECKOUT", str(CHECKOUT))
    systems = ("x86_64-linux", "aarch64-linux")
    assert nix.value(offered) == {
        "overlays": {"default": []},
        "nixosModules": {"default": []},
        "packages": {system: ["default", "mediapipe-host"] for system in systems},
        "checks": {system: ["example", "package", "vm"] for system in systems},
        "devShells": {system: ["default"] for system in systems},
    }
