"""What was uploaded under another name: copied on the remote itself, and the old name hidden.

Sonarr renames an episode; its inode, size and mtime stay, so its proof is still known. The bytes
need not be sent again. The old name is hidden only when the new object is proven and nothing else
needs the old one; B2 keeps the hidden version (ADR 9).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import audit, layout
from mediapipe.disk import marker
from mediapipe.disk.index import is_empty, look
from mediapipe.errors import ConfigError, Unavailable
from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediapipe.items import Item, Upload
    from mediapipe.ports import Remote
    from mediapipe.runner import Context
    from mediapipe.sending import Sent


def copies_of(item: Item, context: Context) -> dict[str, str]:
    """Give name → remote name of an object that was proven to hold the same file."""
    root = layout.address(context.config.rclone.remote, "")
    copies = {}
    for name, file in item.files.items():
        for proof in context.history.proofs(file.identity):
            [one, *others] = proof.objects
            own = one.remote.removeprefix(root)
            if not others and proof.place == one.remote != own != item.remote_name(name):
                copies[name] = own
                break
    return copies


def hide_old(
    uploads: Sequence[Upload], sent: Sent, remote: Remote, context: Context
) -> Mapping[str, Sequence[str]]:
    """Hide the old names of what is proven under its new one: item's path → full remote names."""
    old = {
        source: (upload, name)
        for upload in uploads
        for name, source in upload.copies.items()
        if name in sent.proven and _is_unneeded(upload, name, context)
    }
    if not old:
        return {}
    try:
        there = remote.look(list(old))
        # another object, or file, may stand under the old name by now
        same = [
            source
            for source, (upload, name) in old.items()
            if source in there and there[source].sha1 == sent.proven[name].sha1
            if _is_unneeded(upload, name, context)
            if _is_unmarked(_before(upload, name), upload.item.base, context)
        ]
        if same:
            remote.hide(same)
    except (Unavailable, ConfigError) as error:
        context.tell("rename.incomplete", level="warning", job="upload", reason=str(error))
        return {}
    hidden: dict[str, list[str]] = {}
    for source in same:
        upload, name = old[source]
        context.history.disprove(remote.address(source), sent.proven[name].sha1)
        hidden.setdefault(upload.path, []).append(remote.address(source))
    return hidden


def _is_unneeded(upload: Upload, name: str, context: Context) -> bool:
    """Whether nothing needs the old object of a file any more."""
    item, source = upload.item, upload.copies[name]
    if item.uncategorized or not layout.inside(source, item.prefix):
        return False  # it lies in another library, or among the downloads: it is theirs
    address = layout.address(context.config.rclone.remote, source)
    needed = context.history.is_needed_elsewhere(address, item.files[name].identity)
    return _is_surely_absent(_before(upload, name)) and not needed


def _is_surely_absent(path: str) -> bool:
    """Whether nothing stands at a path; False where one could not look."""
    try:
        return look(path) is None
    except OSError:
        return False


def _before(upload: Upload, name: str) -> str:
    """Give the path that stood for the old name."""
    return upload.item.base + upload.copies[name][len(upload.item.prefix) :]


def _is_unmarked(before: str, root: str, context: Context) -> bool:
    """Delete the marker that stayed at the old path; tells whether none is there any more.

    The file may come back to that path: its marker would then say that it lies where nothing is.
    Folders that this empties go too, as Sonarr would have removed them.
    """
    path = marker.marker_path(before)
    try:
        if marker.read(path) is not None:
            os.unlink(path)
            marker.sync_folder(os.path.dirname(path))  # after a power cut it must not be back
            _note(_Gone("delete-marker", path, "its file was renamed"), context)
        folder = os.path.dirname(before)
        while layout.inside(folder, root) and is_empty(folder):
            os.rmdir(folder)
            _note(_Gone("remove-directory", folder, "it is empty after a rename"), context)
            folder = os.path.dirname(folder)
    except OSError:
        return False
    return True


@fact
class _Gone:
    """Something that went from the old place of a renamed file."""

    kind: str
    path: str
    reason: str

    def details(self) -> dict[str, object]:
        return {}


def _note(gone: _Gone, context: Context) -> None:
    audit.append(context.state, "upload", gone, {})
