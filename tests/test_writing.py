"""Places that cannot be written: told apart by the mount table, with the drop-in that mends it."""

from __future__ import annotations

import pytest

from mediapipe.disk.mounts import Mount, _parse
from mediapipe.errors import ConfigError, Unavailable
from mediapipe.writing import check, drop_in

UNIT = "qbt-upload-b2.service"
SANDBOX = (
    Mount("/", "ext4"),
    Mount("/usr", "ext4", read_only="here"),
    Mount("/mnt/old", "xfs", read_only="disk"),
)


@pytest.mark.parametrize(
    ("line", "read_only"),
    [
        (b"36 35 98:0 / /usr ro,nosuid shared:1 master:2 - ext4 /dev/sda rw,errors=ro", "here"),
        (b"36 35 98:0 / /mnt rw,relatime - ext4 /dev/sdb ro,errors=remount-ro", "disk"),
        (b"36 35 98:0 / /mnt ro,relatime - ext4 /dev/sdb ro", "disk"),
        (b"36 35 98:0 / /mnt rw,relatime - ext4 /dev/sdb rw", ""),
        (b"36 35 0:5 / /mnt rw - tmpfs none rw,size=1k,gid=5,rootcontext=ro_x", ""),
        (b"36 35 0:5 / /mnt rw - tmpfs  rw", ""),
    ],
)  # fmt: skip
def test_the_mount_table_tells_who_closed_it(line: bytes, read_only: str) -> None:
    assert _parse(line).read_only == read_only


def test_a_writable_place_is_not_mentioned() -> None:
    check(("/media/tv", "/usrlocal/tv"), SANDBOX, UNIT)


def test_a_place_that_only_we_may_not_write_to_is_a_mistake_with_its_cure() -> None:
    with pytest.raises(ConfigError) as caught:
        check(("/usr/media/tv", "/usr/media/completed", "/media/x"), SANDBOX, UNIT)
    assert str(caught.value) == (
        "read-only from here, though its disk is not: /usr/media/tv, /usr/media/completed"
    )
    assert caught.value.hint.endswith(
        f"run `systemctl edit {UNIT}` and write there\n[Service]\nReadWritePaths=/usr/media"
    )


def test_a_read_only_disk_is_an_outage_that_no_drop_in_mends() -> None:
    with pytest.raises(Unavailable) as caught:
        check(("/usr/tv", "/mnt/old/tv"), SANDBOX, UNIT)
    assert str(caught.value) == (
        "/mnt/old/tv cannot be written: /mnt/old is a read-only file system"
    )
    assert "ReadWritePaths" not in caught.value.hint


@pytest.mark.parametrize(
    ("paths", "lines"),
    [
        (["/usr/tv"], ["/usr/tv"]),
        # one mount for both, or no link could be made between them
        (["/usr/media/tv", "/usr/media/movies"], ["/usr/media"]),
        (["/usr/tv", "/usr/movies"], ["/usr/movies", "/usr/tv"]),
        (["/usr/local/tv", "/usr/local/x"], ["/usr/local/tv", "/usr/local/x"]),
        (["/usr/tv", "/boot/movies"], ["/boot/movies", "/usr/tv"]),
        (["/usr/my shows"], ['"/usr/my shows"']),
        (["/usr/100%"], ['"/usr/100%%"']),
    ],
)
def test_the_drop_in_opens_no_whole_system_folder(paths: list[str], lines: list[str]) -> None:
    told = drop_in(paths, UNIT).splitlines()
    assert told[1:] == ["[Service]", *(f"ReadWritePaths={line}" for line in lines)]
