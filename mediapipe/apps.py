"""A Sonarr, Radarr, Lidarr or Prowlarr, as far as its settings are looked at and mended: a port."""

from __future__ import annotations

from typing import Any, Protocol


class App(Protocol):
    """One app, `[arr.NAME]`.

    Every method raises Unavailable where no sound answer came, ConfigError where the key is wrong,
    and ActionFailed where the app will not do it.
    """

    name: str

    @property
    def kind(self) -> str:
        """Which app it is: `sonarr`, `radarr`, `lidarr` or `prowlarr`."""
        ...

    def ready(self) -> str:
        """Give its version, once it answers to the key as this kind of app."""
        ...

    def list(self, path: str, **query: object) -> list[dict[str, Any]]:
        """Give a list of resources."""
        ...

    def one(self, path: str, **query: object) -> dict[str, Any]:
        """Give one resource."""
        ...

    def test(self, path: str, resource: object = None) -> tuple[dict[str, Any], ...]:
        """Let it try one of its own providers, or all of a kind; gives what it says of them."""
        ...

    def command(self, name: str, **fields: object) -> str:
        """Run a command to its end; gives its last word."""
        ...
