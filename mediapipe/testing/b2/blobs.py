"""The bytes of the account, one file each; without a folder they are forgotten at once."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

COPY_BUFFER = 1 << 20  # bytes


class Blobs:
    """Bytes by name. The discard form (`folder=None`) swallows bytes and gives back zeros."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, blob: str | None) -> Path | None:
        return self._folder / blob if self._folder is not None and blob is not None else None

    def create(self, blob: str) -> BinaryIO:
        return (self.path(blob) or Path(os.devnull)).open("wb", buffering=0)

    def open(self, blob: str) -> BinaryIO:
        return (self.path(blob) or Path("/dev/zero")).open("rb", buffering=0)

    def remove(self, blob: str | None) -> None:
        path = self.path(blob)
        if path is not None:
            path.unlink(missing_ok=True)

    def link(self, blob: str, new: str) -> None:
        """Give the same bytes a second name. Blobs are never written to twice."""
        source, target = self.path(blob), self.path(new)
        if source is not None and target is not None:
            target.hardlink_to(source)

    def join(self, blobs: list[str]) -> str:
        """Append all to the first, which is returned; the others are gone after that."""
        with self._append(blobs[0]) as target:
            for blob in blobs[1:]:
                path = self.path(blob)
                if path is not None:
                    with path.open("rb") as source:
                        shutil.copyfileobj(source, target, COPY_BUFFER)
                    path.unlink()
        return blobs[0]

    def flip(self, blob: str, offset: int) -> None:
        """Change the byte at `offset`, as a rotten disk would; other links keep the old bytes."""
        path = self.path(blob)
        if path is None:
            message = "a discard store has no bytes to corrupt"
            raise ValueError(message)
        data = bytearray(path.read_bytes())
        data[offset] ^= 0xFF
        changed = path.with_suffix(".changed")
        changed.write_bytes(data)
        changed.replace(path)

    def _append(self, blob: str) -> BinaryIO:
        return (self.path(blob) or Path(os.devnull)).open("ab")
