"""The bytes of the account, one file each; without a folder only their beginnings are kept."""

import io
import shutil
from pathlib import Path
from typing import Any, BinaryIO, cast

COPY_BUFFER = 1 << 20  # bytes
HEAD = 4096  # bytes that the discard form remembers of each blob


class Blobs:
    """Bytes by name.

    The discard form (`folder=None`) keeps the first `HEAD` bytes of each blob and gives zeros for
    the rest: true of any file that holds nothing else, and told as a difference of any other.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._heads: dict[str, bytearray] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, blob: str | None) -> Path | None:
        return self._folder / blob if self._folder is not None and blob is not None else None

    def create(self, blob: str) -> BinaryIO:
        path = self.path(blob)
        if path is None:
            return cast("BinaryIO", _Writer(self._heads.setdefault(blob, bytearray())))
        return path.open("wb", buffering=0)

    def open(self, blob: str) -> BinaryIO:
        path = self.path(blob)
        if path is None:
            return cast("BinaryIO", _Reader(self._heads.get(blob, b"")))
        return path.open("rb", buffering=0)

    def remove(self, blob: str | None) -> None:
        path = self.path(blob)
        if path is not None:
            path.unlink(missing_ok=True)
        if blob is not None:
            self._heads.pop(blob, None)

    def link(self, blob: str, new: str) -> None:
        """Give the same bytes a second name. Blobs are never written to twice."""
        source, target = self.path(blob), self.path(new)
        if source is not None and target is not None:
            target.hardlink_to(source)
        elif blob in self._heads:
            self._heads[new] = self._heads[blob]

    def join(self, blobs: list[str]) -> str:
        """Append all to the first, which is returned; the others are gone after that."""
        first, others = self.path(blobs[0]), blobs[1:]
        if first is not None:
            with first.open("ab") as target:
                for blob in others:
                    with self.open(blob) as source:
                        shutil.copyfileobj(source, target, COPY_BUFFER)
        for blob in others:
            self.remove(blob)
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


class _Writer(io.RawIOBase):
    """Takes bytes of which the first `HEAD` are kept."""

    def __init__(self, head: bytearray) -> None:
        self._head = head

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            self._head += view[: max(0, HEAD - len(self._head))]
            return view.nbytes


class _Reader(io.RawIOBase):
    """Gives the head, and zeros without end."""

    def __init__(self, head: bytes | bytearray) -> None:
        self._head = head
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        self._place = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        with memoryview(buffer) as view:
            block = self._head[self._place : self._place + view.nbytes]
            view[:] = block.ljust(view.nbytes, b"\0")
            self._place += view.nbytes
            return view.nbytes
