"""Which function runs which job, and the adapters that it gets."""

from __future__ import annotations

import functools
import importlib
import os
from typing import TYPE_CHECKING

from mediapipe.places import find

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from types import ModuleType

    from mediapipe.runner import Context, Report


def _categories(options: Namespace, context: Context) -> Report:
    from mediapipe.jobs import categories

    client = _building().qbittorrent(context, options.verb, find(options.config))
    client.wait(options.wait)
    return categories.run(context, client)


def _upload(options: Namespace, context: Context) -> Report:
    from mediapipe.jobs import upload

    path = find(options.config)
    return upload.run(
        context,
        lambda: _building().qbittorrent(context, options.verb, path),
        functools.cache(lambda: _building().rclone(context, options.verb, path)),
        lambda: _building().unarchiver(),
        lambda: _building().listeners(context),
    )


def _cleanup(options: Namespace, context: Context) -> Report:
    from mediapipe.jobs import cleanup

    path = find(options.config)
    with _building().apps(context) as apps:
        return cleanup.run(
            context,
            _building().qbittorrent(context, options.verb, path),
            functools.cache(lambda: _building().rclone(context, options.verb, path)),
            cleanup.Options(options.force, options.accept_loss, options.orphans_now),
            lambda paths: _building().mounted(context).read_ends(paths),
            apps,
            lambda: _building().unarchiver(),
        )


def _postprocess(options: Namespace, context: Context) -> Report:
    from mediapipe.jobs import postprocess

    return postprocess.run(
        context,
        _building().usenet(context),
        functools.partial(_building().importer, context),
        postprocess.Options(options.adopt or "", options.sweep),
    )


def _restore(options: Namespace, context: Context) -> Report:
    from mediapipe.jobs import restore

    path = find(options.config)
    place = os.path.abspath(options.path)
    return restore.run(
        context,
        lambda: _building().qbittorrent(context, options.verb, path),
        functools.cache(lambda: _building().rclone(context, options.verb, path)),
        restore.Options(place, os.path.abspath(options.to) if options.to else ""),
    )


def _repair(_options: Namespace, context: Context) -> Report:
    from mediapipe.jobs import repair

    with _building().arrs(context) as client:
        return repair.run(context, client)


def _building() -> ModuleType:
    """Import what builds the adapters, and with them the libraries: only when there is work."""
    return importlib.import_module("mediapipe.building")


JOBS: dict[str, Callable[[Namespace, Context], Report]] = {
    "categories": _categories,
    "upload": _upload,
    "cleanup": _cleanup,
    "restore": _restore,
    "postprocess": _postprocess,
    "repair": _repair,
}
