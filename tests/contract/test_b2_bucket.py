"""The bucket by B2's own API: what is unfinished, what the rules are, and nothing else changes."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from mediapipe.adapters.rclone import Rclone
from mediapipe.adapters.rclone_program import find_binary
from mediapipe.bucket import Unfinished
from mediapipe.config import RcloneConfig, UploadConfig
from mediapipe.errors import ActionFailed, CapReached, ConfigError, RemoteOut, Unavailable
from mediapipe.testing.b2 import BUSY, TRANSACTION_CAP
from mediapipe.testing.b2.server import UPLOADER
from mediapipe.units import SecretFile
from tests.fakes import FakeBucket

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.bucket import Bucket
    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

DAY = 86400.0


def behind(text: str, folder: Path, remote: str = "b2:entertainment-netmount") -> Bucket | None:
    config = folder / "rclone.conf"
    config.write_text(text)
    settings = RcloneConfig(remote=remote, config_file=SecretFile(str(config)))
    return Rclone(settings, UploadConfig()).bucket()


def bucket_of(b2: B2Server, folder: Path, key: str = "restricted", place: str = "") -> Bucket:
    found = behind(b2.rclone_config(key), folder, f"b2:{b2.bucket}{place}")
    assert found is not None
    return found


def names(bucket: Bucket, folder: str) -> list[str]:
    return [one.remote.partition("/")[2] for one in bucket.unfinished(folder)]


def versions(b2: B2Server, folder: Path) -> set[str]:
    """Give the ids of all versions of all files, with what is hidden, as rclone sees them."""
    config = folder / "look.conf"
    config.write_text(b2.rclone_config())
    command = [find_binary("rclone"), "--config", str(config), "lsf", "-R", "--format", "i",
               "--b2-versions", f"b2:{b2.bucket}"]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(shown.splitlines())


@pytest.mark.parametrize("key", ["master", "restricted"])
def test_what_is_unfinished_below_a_folder_is_given_and_nothing_else(b2, tmp_path, key):
    b2.begin("tv/Show/a b ü.mkv", age=2 * DAY)
    for name in ("tv", "tv2/x", "other/tv/x", "TV/x"):
        b2.begin(name)
    b2.put("tv/done.mkv", b"done")
    bucket = bucket_of(b2, tmp_path, key)

    (one,) = bucket.unfinished("tv")

    assert one.remote == f"b2:{b2.bucket}/tv/Show/a b ü.mkv"
    assert abs(one.begun - (os.stat(tmp_path).st_mtime - 2 * DAY)) < 600
    assert names(bucket, "movies") == []


def test_more_than_a_page_is_given_whole(b2, tmp_path):
    expected = {b2.begin(f"tv/{number}") for number in range(250)}

    found = bucket_of(b2, tmp_path).unfinished("tv")

    assert {one.file_id for one in found} == expected
    assert len(found) == 250


@pytest.mark.parametrize("place", ["/media/x", "/media/x/"])
def test_the_folder_of_the_remote_is_part_of_the_place(b2, tmp_path, place):
    b2.begin("tv/a")
    b2.begin("media/x/tv/a")
    b2.add_key("narrow", "s", UPLOADER, bucket=b2.bucket, prefix="media/x/", multi=True)
    for key in ("master", "narrow"):
        assert names(bucket_of(b2, tmp_path, key, place), "tv") == ["media/x/tv/a"]


@pytest.mark.parametrize("folder", ["a\\b", "a\tb", "a\udcff", "a＼b", "a␁b"])
def test_a_folder_that_rclone_writes_otherwise_is_left_alone(b2, tmp_path, folder):
    b2.begin(folder.encode(errors="replace").decode().replace("\t", "?") + "/x")

    assert bucket_of(b2, tmp_path).unfinished(folder) == ()


def test_cancelling_takes_the_one_and_leaves_every_version(b2, tmp_path):
    for content in (b"old", b"newer"):
        b2.put("tv/a.mkv", content)
    b2.put("tv/hidden.mkv", b"hidden")
    b2.hide("tv/hidden.mkv")
    doomed, other = b2.begin("tv/a.mkv", age=DAY), b2.begin("tv/b.mkv")
    blobs = blobs_of(tmp_path)
    before = versions(b2, tmp_path)
    bucket = bucket_of(b2, tmp_path)
    one = next(one for one in bucket.unfinished("tv") if one.file_id == doomed)

    assert [bucket.cancel(one), bucket.cancel(one)] == [True, False]

    assert [found.file_id for found in bucket.unfinished("tv")] == [other]
    assert versions(b2, tmp_path) == before - {doomed}
    assert len(before) > 3
    assert blobs_of(tmp_path) == blobs
    assert sorted(blobs.values()) == [b"hidden", b"newer", b"old"]
    assert b2.unfinished() == ["tv/b.mkv"]


def blobs_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "b2" / "blobs").iterdir()}


def test_what_was_finished_meanwhile_is_no_loss(b2, tmp_path):
    object_ = b2.put("tv/a.mkv", b"all of it")
    b2.begin("tv/a.mkv")
    bucket = bucket_of(b2, tmp_path)
    (one,) = bucket.unfinished("tv")

    assert not bucket.cancel(type(one)(one.remote, object_.file_id, one.begun))
    assert b2.objects()["tv/a.mkv"].file_id == object_.file_id


# What is no plain remote of B2, and how rclone's configuration is read


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("[c]\ntype = crypt\nremote = b2:bucket\npassword = x\n", "c:folder"),
        ("[a]\ntype = alias\nremote = b2:bucket\n", "a:folder"),
        ("[s]\ntype = s3\nprovider = Other\n", "s:bucket"),
        ("", "b2:bucket"),
    ],
)
def test_behind_another_remote_there_is_no_bucket(tmp_path, text, remote):
    assert behind(text, tmp_path, remote) is None


def test_an_encrypted_configuration_is_opened_as_rclone_does(b2, tmp_path, monkeypatch):
    config = tmp_path / "secret.conf"
    config.write_text(b2.rclone_config())
    environment = {**os.environ, "RCLONE_CONFIG_PASS": "pass word"}
    command = [find_binary("rclone"), "--config", str(config), "config", "encryption", "set",
               "--password-command", "echo pass word"]  # fmt: skip
    subprocess.run(command, env=environment, check=True, capture_output=True)
    text = config.read_text()
    assert "master" not in text
    b2.begin("tv/a")

    with pytest.raises(ConfigError):
        behind(text, tmp_path)
    monkeypatch.setenv("RCLONE_CONFIG_PASS", "pass word")
    bucket = behind(text, tmp_path)

    assert bucket is not None
    assert names(bucket, "tv") == ["tv/a"]


# Trouble


@pytest.mark.parametrize(
    "lacks", ["listFiles", "writeFiles"], ids=["may not list", "may not cancel"]
)
def test_a_key_that_may_not_do_it_is_for_a_person(b2, tmp_path, lacks):
    rights = [one for one in UPLOADER if one != lacks]
    b2.add_key("poor", "s", rights, bucket=b2.bucket, multi=True)
    b2.begin("tv/a")
    one = bucket_of(b2, tmp_path).unfinished("tv")[0]
    bucket = bucket_of(b2, tmp_path, "poor")

    with pytest.raises(ConfigError, match="not entitled"):
        bucket.unfinished("tv") if lacks == "listFiles" else bucket.cancel(one)
    assert b2.unfinished() == ["tv/a"]


def test_a_wrong_key_and_a_missing_bucket_are_for_a_person(b2, tmp_path):
    text = b2.rclone_config()
    wrong = behind(text.replace("master-secret", "another"), tmp_path)
    gone = behind(text, tmp_path, "b2:another-bucket/x")
    for bucket in (wrong, gone):
        assert bucket is not None
        with pytest.raises(ConfigError) as caught:
            bucket.unfinished("tv")
        assert "secret" not in str(caught.value)


def test_outages_and_caps_are_no_refusals(b2, tmp_path):
    b2.inject(BUSY, api="b2_list_unfinished_large_files")
    with pytest.raises(RemoteOut):
        bucket_of(b2, tmp_path).unfinished("tv")
    b2.clear_faults()
    b2.inject(TRANSACTION_CAP)
    with pytest.raises(CapReached):
        bucket_of(b2, tmp_path).unfinished("tv")
    bucket = bucket_of(b2, tmp_path)
    b2.stop()
    nowhere = behind(b2.rclone_config().replace(b2.url, "b2.example"), tmp_path)
    assert nowhere is not None
    for away in (bucket, nowhere):
        with pytest.raises(Unavailable):
            away.unfinished("tv")


GARBAGE = [
    b"", b"<html>", b"[]", b"{}", b"7", b'{"files": null}', b'{"files": 7}', b'{"files": [7]}',
    b'{"files": [{}]}', b'{"files": [{"fileName": null}]}', b'{"files": [{"fileName": "tv/a"}]}',
    b'{"files": [{"fileName": "tv/a", "fileId": 1, "uploadTimestamp": null}]}',
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("logged_in", [True, False])
def test_an_answer_of_another_shape_is_none(tmp_path, garbage, logged_in):
    """A fake, since no sound server gives such answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            url = f"http://127.0.0.1:{server.server_port}"
            storage = {"apiUrl": url, "allowed": {"buckets": [{"name": "bucket", "id": "x"}]}}
            login = {
                "accountId": "a",
                "authorizationToken": "t",
                "apiInfo": {"storageApi": storage},
            }
            asked = self.path.endswith("b2_authorize_account") and logged_in
            body = json.dumps(login).encode() if asked else garbage
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        text = f"[b2]\ntype = b2\naccount = a\nkey = k\nendpoint = {url}\n"
        bucket = behind(text, tmp_path, "b2:bucket")
        assert bucket is not None
        try:
            with pytest.raises(Unavailable):
                bucket.unfinished("tv")
        finally:
            server.shutdown()


# The fake of the port


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_the_fake_does_as_the_real_one(kind, tmp_path, request):
    names = ["tv/a", "tv/b/c", "tv2/x", "movies/x"]
    bucket: Bucket
    if kind == "fake":
        bucket = FakeBucket([Unfinished(f"b2:bucket/{name}", name, 1.0) for name in names])
    else:
        server = request.getfixturevalue("b2")
        for name in names:
            server.begin(name)
        bucket = bucket_of(server, tmp_path, "master")

    found = bucket.unfinished("tv")
    assert [one.remote.partition("/")[2] for one in sorted(found, key=repr)] == names[:2]
    assert [bucket.cancel(found[0]), bucket.cancel(found[0])] == [True, False]
    assert bucket.unfinished("tv") == found[1:]
    assert bucket.unfinished("else") == ()
    assert bucket.rules() == ()
    bucket.set_rules(RULES)
    assert list(bucket.rules()) == RULES


# The rules


RULES = [
    {"fileNamePrefix": "a/", "daysFromHidingToDeleting": 1, "daysFromUploadingToHiding": None},
    {"fileNamePrefix": "b/", "daysFromStartingToCancelingUnfinishedLargeFiles": 2, "newer": [1]},
]


def test_rules_are_read_and_set_as_they_are(b2, tmp_path):
    b2.set_lifecycle(RULES)
    bucket = bucket_of(b2, tmp_path, "master")

    rules = bucket.rules()
    bucket.set_rules([*rules[1:], {"fileNamePrefix": "c/", "daysFromHidingToDeleting": 3}])

    assert list(rules) == RULES
    assert b2.lifecycle() == [
        RULES[1], {"fileNamePrefix": "c/", "daysFromHidingToDeleting": 3},
    ]  # fmt: skip


def test_rules_that_changed_meanwhile_are_not_overwritten(b2, tmp_path):
    first, second = (bucket_of(b2, tmp_path, "master") for _ in range(2))
    first.rules()
    second.rules()
    second.set_rules(RULES)

    with pytest.raises(Unavailable, match="changed meanwhile"):
        first.set_rules([])
    assert b2.lifecycle() == RULES


def test_a_key_for_uploads_may_read_the_rules_and_not_set_them(b2, tmp_path):
    b2.set_lifecycle(RULES)
    bucket = bucket_of(b2, tmp_path)

    assert list(bucket.rules()) == RULES
    with pytest.raises(ConfigError, match="writeBuckets"):
        bucket.set_rules([])
    assert b2.lifecycle() == RULES


# Versions


CONTENT = os.urandom(3_000_000)


@pytest.mark.parametrize("kind", ["real", "fake"])
@pytest.mark.parametrize("start", [0, 1_000_001])
def test_a_version_is_downloaded_by_its_id_whatever_became_of_its_name(
    kind, start, tmp_path, request
):
    bucket: Bucket
    if kind == "fake":
        bucket, file_id = FakeBucket(contents={"1": CONTENT}), "1"
    else:
        server = request.getfixturevalue("b2")
        file_id = server.put("tv/a", CONTENT).file_id
        server.put("tv/a", b"other")
        server.hide("tv/a")
        bucket = bucket_of(server, tmp_path)
    blocks: list[bytes] = []

    bucket.download(file_id, blocks.append, start=start)

    assert b"".join(blocks) == CONTENT[start:]
    assert max(map(len, blocks)) < len(CONTENT) / 2, "it was not streamed"
    with pytest.raises(ActionFailed, match="no such version"):
        bucket.download(file_id[:-1] + ("1" if file_id.endswith("0") else "0"), blocks.append)


def test_a_download_that_breaks_is_an_outage_and_what_came_has_come(b2, tmp_path):
    file_id = b2.put("tv/a", CONTENT).file_id
    b2.inject(api="b2_download_file_by_id", reset_after=1_000_000)
    bucket, blocks = bucket_of(b2, tmp_path), list[bytes]()

    with pytest.raises(Unavailable):
        bucket.download(file_id, blocks.append)

    came = len(b"".join(blocks))
    bucket.download(file_id, blocks.append, start=came)
    assert b"".join(blocks) == CONTENT


def test_a_token_that_expired_is_renewed_for_a_download(b2, tmp_path):
    file_id = b2.put("tv/a", CONTENT).file_id
    bucket, blocks = bucket_of(b2, tmp_path), list[bytes]()
    assert list(bucket.rules()) == []
    b2.expire_tokens()

    bucket.download(file_id, blocks.append)

    assert b"".join(blocks) == CONTENT


def test_a_key_that_may_not_read_is_told_of_before_a_download(b2, tmp_path):
    file_id = b2.put("tv/a", CONTENT).file_id
    capabilities = [one for one in UPLOADER if one != "readFiles"]
    b2.add_key("blind", "s", capabilities, bucket=b2.bucket)

    with pytest.raises(ConfigError, match="refuses the key"):
        bucket_of(b2, tmp_path, "blind").download(file_id, list[bytes]().append)
