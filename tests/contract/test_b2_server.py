"""Our B2 server against two independent clients: rclone, and Backblaze's own b2sdk."""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import random
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest
from b2sdk.v3 import B2Api, InMemoryAccountInfo, UploadSourceBytes, WriteIntent
from b2sdk.v3.exception import (
    B2Error,
    FileNotPresent,
    InvalidAuthToken,
    StorageCapExceeded,
    UnsatisfiableRange,
)

from mediapipe.testing.b2 import BUSY, STORAGE_CAP, TRANSACTION_CAP, B2Server, Fault
from mediapipe.testing.b2.blobs import HEAD

pytestmark = pytest.mark.real

RCLONE = os.environ.get("RCLONE") or str(Path(sys.executable).parent / "rclone")
BUCKET = "entertainment-netmount"
PART = 5_000_000
LARGE = random.Random(1).randbytes(12_000_000)  # three parts of 5 MiB for rclone
SMALL = b"small enough for one call"


def sha1(data):
    return hashlib.sha1(data).hexdigest()


class Rclone:
    """One command line of rclone after the other, with settings that fail fast."""

    def __init__(self, server, home, key_id="master"):
        self.config = home / f"rclone-{key_id}.conf"
        self.config.write_text(server.rclone_config(key_id))
        self.environment = {"HOME": str(home), "RCLONE_CONFIG": str(self.config)}

    def start(self, *arguments):
        settings = ["--b2-upload-cutoff=5M", "--b2-chunk-size=5M", "--retries=1"]
        return subprocess.Popen(
            [RCLONE, *settings, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments, code=0):
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=50)
        assert process.returncode == code, errors.decode()
        return output if code == 0 else errors.decode()


@pytest.fixture
def server(tmp_path):
    with B2Server(root=tmp_path / "b2") as running:
        yield running


@pytest.fixture
def rclone(server, tmp_path):
    return Rclone(server, tmp_path)


@pytest.fixture
def connect(server):
    """Open b2sdk clients, and close their sockets in the end."""
    opened = []

    def open_bucket(key_id="master", key="master-secret"):
        api = B2Api(InMemoryAccountInfo())
        opened.append(api)
        api.authorize_account(key_id, key, realm=server.url)
        return api.get_bucket_by_name(BUCKET)

    yield open_bucket
    for api in opened:
        api.session.raw_api.b2_http.session.close()


@pytest.fixture
def bucket(connect):
    return connect()


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "small").write_bytes(SMALL)
    return folder


def stored(server, name):
    return server.objects()[name].path.read_bytes()


def downloaded(bucket, name, **options):
    target = io.BytesIO()
    bucket.download_file_by_name(name, **options).save(target)
    return target.getvalue()


def upload_large(bucket, name, data=LARGE):
    intents = [WriteIntent(UploadSourceBytes(data))]
    return bucket.create_file(intents, name, min_part_size=PART, recommended_upload_part_size=PART)


def start_large(bucket, name):
    large_files = bucket.api.services.large_file
    return large_files.start_large_file(bucket.id_, name, "text/plain", {})


def raw(server, method, path, *, body=b"", **headers):
    """Return status and JSON of one bare HTTP request."""
    address = urllib.parse.urlsplit(server.url).netloc
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(http.client.HTTPConnection(address, timeout=20)) as connection:
        connection.request(method, path, body=body, headers=named)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")


def authorize(server, version, key_id="master", key="master-secret"):
    basic = base64.b64encode(f"{key_id}:{key}".encode()).decode()
    path = f"/b2api/v{version}/b2_authorize_account"
    return raw(server, "GET", path, Authorization=f"Basic {basic}")


def bare_upload(server, bucket, name, declared, body=SMALL):
    """Upload without a client in between; return status and JSON."""
    target = bucket.api.session.get_upload_url(bucket.id_)
    return raw(
        server,
        "POST",
        urllib.parse.urlsplit(target["uploadUrl"]).path,
        body=body,
        Authorization=target["authorizationToken"],
        X_Bz_File_Name=name,
        X_Bz_Content_Sha1=declared,
    )


def wait_for_bytes(server, count):
    """Watch the server until it has taken in `count` bytes."""
    deadline = time.monotonic() + 20
    while server.stats().bytes_in < count:
        assert time.monotonic() < deadline, server.stats()


# Up and down


def test_small_file_goes_up_and_down_with_rclone(server, rclone, source, tmp_path):
    rclone.run("copy", "--checksum", source, f"b2:{BUCKET}/films")
    rclone.run("copy", f"b2:{BUCKET}/films", tmp_path / "back")
    assert (tmp_path / "back/small").read_bytes() == SMALL
    found = server.objects()["films/small"]
    assert (found.size, found.sha1, found.versions) == (len(SMALL), sha1(SMALL), 1)
    assert stored(server, "films/small") == SMALL


def test_small_file_goes_up_and_down_with_b2sdk(server, bucket):
    version = bucket.upload_bytes(SMALL, "films/small.txt", file_info={"colour": "blue green"})
    assert (version.size, version.content_sha1) == (len(SMALL), sha1(SMALL))
    assert downloaded(bucket, "films/small.txt") == SMALL
    again = bucket.get_file_info_by_name("films/small.txt")
    assert again.file_info == {"colour": "blue green"}
    assert again.content_type == "text/plain"
    assert stored(server, "films/small.txt") == SMALL


def test_large_file_goes_up_in_parts_with_rclone(server, rclone, source, tmp_path):
    (source / "large").write_bytes(LARGE)
    rclone.run("copy", "--checksum", source, f"b2:{BUCKET}")
    assert stored(server, "large") == LARGE
    assert server.objects()["large"].sha1 == sha1(LARGE)
    assert server.stats().calls["b2_upload_part"] == 3
    assert server.stats().unfinished == 0
    rclone.run("copy", f"b2:{BUCKET}", tmp_path / "back")
    assert (tmp_path / "back/large").read_bytes() == LARGE
    listing = json.loads(rclone.run("lsjson", "-R", "--hash", f"b2:{BUCKET}"))
    assert {entry["Path"]: (entry["Size"], entry["Hashes"]["sha1"]) for entry in listing} == {
        "large": (len(LARGE), sha1(LARGE)),
        "small": (len(SMALL), sha1(SMALL)),
    }


def test_large_file_goes_up_in_parts_with_b2sdk(server, bucket):
    version = upload_large(bucket, "large")
    assert (version.size, version.content_sha1) == (len(LARGE), "none")
    assert downloaded(bucket, "large") == LARGE
    assert server.objects()["large"].sha1 == sha1(LARGE)


def test_ranges(server, bucket, rclone):
    upload_large(bucket, "large")
    assert downloaded(bucket, "large", range_=(4_999_990, 5_000_010)) == LARGE[4_999_990:5_000_011]
    tail = rclone.run("cat", "--offset=-7", f"b2:{BUCKET}/large")
    assert tail == LARGE[-7:]
    middle = rclone.run("cat", "--offset=11", "--count=5", f"b2:{BUCKET}/large")
    assert middle == LARGE[11:16]
    with pytest.raises(UnsatisfiableRange):
        downloaded(bucket, "large", range_=(len(LARGE), len(LARGE) + 1))


def test_empty_file(server, rclone, bucket, source, tmp_path):
    (source / "small").write_bytes(b"")
    rclone.run("copy", source, f"b2:{BUCKET}")
    rclone.run("copy", f"b2:{BUCKET}", tmp_path / "back")
    assert (tmp_path / "back/small").read_bytes() == b""
    assert downloaded(bucket, "small") == b""


def test_repeated_copy_transfers_nothing(server, rclone, source):
    rclone.run("copy", "--checksum", source, f"b2:{BUCKET}")
    server.reset_stats()
    rclone.run("copy", "--checksum", source, f"b2:{BUCKET}")
    assert server.stats().bytes_in == 0
    assert server.stats().classes["A"] == 0


# Versions


def test_overwrite_makes_a_second_version(server, rclone, bucket, source):
    rclone.run("copy", source, f"b2:{BUCKET}")
    (source / "small").write_bytes(b"changed")
    rclone.run("copy", "--checksum", source, f"b2:{BUCKET}")
    assert server.objects()["small"].versions == 2
    assert [version.size for version in bucket.list_file_versions("small")] == [7, len(SMALL)]
    assert rclone.run("cat", f"b2:{BUCKET}/small") == b"changed"
    assert len(rclone.run("lsf", "--b2-versions", f"b2:{BUCKET}").splitlines()) == 2


def test_hide_list_and_delete_a_version(server, rclone, bucket, source, tmp_path):
    rclone.run("copy", source, f"b2:{BUCKET}")
    rclone.run("deletefile", f"b2:{BUCKET}/small")
    assert server.objects() == {}
    assert rclone.run("lsf", f"b2:{BUCKET}") == b""
    with pytest.raises(FileNotPresent):
        downloaded(bucket, "small")
    marker, original = bucket.list_file_versions("small")
    assert (marker.action, original.action) == ("hide", "upload")
    bucket.delete_file_version(marker.id_, "small")
    assert rclone.run("cat", f"b2:{BUCKET}/small") == SMALL
    bucket.delete_file_version(original.id_, "small")
    assert server.stats().versions == 0
    assert list((tmp_path / "b2/blobs").iterdir()) == []
    with pytest.raises(FileNotPresent):
        bucket.delete_file_version(original.id_, "small")


def test_hard_delete_and_cleanup(server, rclone, source):
    rclone.run("copy", source, f"b2:{BUCKET}")
    rclone.run("deletefile", "--b2-hard-delete", f"b2:{BUCKET}/small")
    rclone.run("copy", source, f"b2:{BUCKET}")
    rclone.run("deletefile", f"b2:{BUCKET}/small")
    rclone.run("cleanup", f"b2:{BUCKET}")
    assert server.stats().versions == 0


def test_versions_are_listed_over_several_pages(server, bucket):
    for name in ("a", "b", "c"):
        for count in range(5):
            server.put(name, bytes(count))
    listed = [
        (entry.file_name, entry.size)
        for entry, _ in bucket.ls(latest_only=False, recursive=True, fetch_count=2)
    ]
    assert listed == [(name, size) for name in "abc" for size in (4, 3, 2, 1, 0)]


# Copies on the server


@pytest.mark.parametrize("cutoff", ["4G", "5M"])
def test_move_happens_on_the_server(server, rclone, bucket, cutoff):
    upload_large(bucket, "old")
    server.reset_stats()
    rclone.run("moveto", f"--b2-copy-cutoff={cutoff}", f"b2:{BUCKET}/old", f"b2:{BUCKET}/new/name")
    assert list(server.objects()) == ["new/name"]
    assert stored(server, "new/name") == LARGE
    assert server.objects()["new/name"].sha1 == sha1(LARGE)
    assert (server.stats().bytes_in, server.stats().bytes_out) == (0, 0)
    copies = "b2_copy_file" if cutoff == "4G" else "b2_copy_part"
    assert server.stats().calls[copies] == (1 if cutoff == "4G" else 3)


def test_b2sdk_copies_a_range(server, bucket):
    version = bucket.upload_bytes(SMALL, "old")
    bucket.copy(version.id_, "new", offset=6, length=6)
    assert downloaded(bucket, "new") == b"enough"
    assert server.objects()["new"].sha1 == sha1(b"enough")


# Names

ODD_NAMES: dict[bytes, str] = {  # on disk and in the bucket; rclone maps what B2 refuses
    b"with space": "with space",
    b" leading and trailing ": " leading and trailing ",
    b"-leading-dash": "-leading-dash",
    b"#hash;semicolon": "#hash;semicolon",
    b"'single' \"double\"": "'single' \"double\"",
    b"[glob]*?{a,b}": "[glob]*?{a,b}",
    b"percent%20plus+amp&eq=": "percent%20plus+amp&eq=",
    b"trailing dot.": "trailing dot.",
    b"new\nline": "new␊line",
    b"tab\there": "tab␉here",
    b"back\\slash": "back＼slash",
    b"bad\xffutf8": "bad‛FFutf8",
    b"Ame\xcc\x81lie": "Ame\u0301lie",
    "\U0001f3ac film".encode(): "\U0001f3ac film",
    b"s" * 250: "s" * 250,
    "é".encode() * 125: "é" * 125,
}


def test_odd_names_round_trip_with_rclone(server, rclone, tmp_path):
    for number, name in enumerate(sorted(ODD_NAMES)):
        path = os.fsencode(tmp_path) + b"/odd/" + name + b"/" + name
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"%d" % number)
    rclone.run("copy", "--checksum", tmp_path / "odd", f"b2:{BUCKET}")
    assert set(server.objects()) == {f"{name}/{name}" for name in ODD_NAMES.values()}
    rclone.run("copy", f"b2:{BUCKET}", tmp_path / "back")
    for number, name in enumerate(sorted(ODD_NAMES)):
        with open(os.fsencode(tmp_path) + b"/back/" + name + b"/" + name, "rb") as file:
            assert file.read() == b"%d" % number
    rclone.run("check", tmp_path / "odd", f"b2:{BUCKET}")


def test_odd_names_round_trip_with_b2sdk(bucket):
    for name in ODD_NAMES.values():
        bucket.upload_bytes(name.encode(), name)
    assert {entry.file_name for entry, _ in bucket.ls(recursive=True)} == set(ODD_NAMES.values())
    for name in ODD_NAMES.values():
        assert downloaded(bucket, name) == name.encode()


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "a%0Ab", "a%7Fb", "%FF", "s" * 251, "/".join(["s" * 200] * 6)],
)
def test_bad_names_are_refused(server, bucket, name):
    status, answer = bare_upload(server, bucket, name, sha1(SMALL))
    assert (status, answer["code"]) == (400, "bad_request")
    assert server.objects() == {}


# Listings


def test_more_than_a_thousand_files(server, rclone, bucket):
    names = {f"{number % 7}/{number:04}" for number in range(1100)}
    for name in names:
        server.put(name, b"")
    assert set(rclone.run("lsf", "-R", "--files-only", f"b2:{BUCKET}").decode().split()) == names
    assert server.stats().calls["b2_list_file_names"] == 2
    assert rclone.run("lsf", f"b2:{BUCKET}").decode().split() == [f"{top}/" for top in range(7)]
    assert {entry.file_name for entry, _ in bucket.ls(recursive=True)} == names
    assert {folder for _, folder in bucket.ls(fetch_count=2)} == {f"{top}/" for top in range(7)}


# Large files that are not finished


def test_unfinished_large_file_is_listed_and_cancelled(server, rclone, bucket):
    large = start_large(bucket, "large")
    assert [entry.file_id for entry in bucket.list_unfinished_large_files()] == [large.file_id]
    assert server.stats().unfinished == 1
    assert rclone.run("lsf", f"b2:{BUCKET}") == b""
    bucket.cancel_large_file(large.file_id)
    assert list(bucket.list_unfinished_large_files()) == []
    start_large(bucket, "another")
    rclone.run("backend", "cleanup", f"b2:{BUCKET}", "-o", "max-age=0s")
    assert server.stats().unfinished == 0


def test_wrong_part_is_refused_on_finish(server, bucket):
    session = bucket.api.session
    large = start_large(bucket, "large")
    for number, data in ((1, b"too small for a first part"), (2, SMALL)):
        target = session.get_upload_part_url(large.file_id)
        status, _ = raw(
            server,
            "POST",
            urllib.parse.urlsplit(target["uploadUrl"]).path,
            body=data + sha1(data).encode(),
            Authorization=target["authorizationToken"],
            X_Bz_Part_Number=str(number),
            X_Bz_Content_Sha1="hex_digits_at_end",
        )
        assert status == 200
    parts = [part.content_sha1 for part in bucket.api.list_parts(large.file_id)]
    assert parts == [sha1(b"too small for a first part"), sha1(SMALL)]
    for declared in ([parts[0], "0" * 40], parts[:1], [*parts, parts[0]], parts):
        with pytest.raises(B2Error):
            session.finish_large_file(large.file_id, declared)
    assert server.objects() == {}


# Keys and tokens


def test_authorize_answers_in_the_shape_of_each_version(server):
    assert authorize(server, 1)[1]["apiUrl"] == server.url
    assert authorize(server, 3)[1]["apiInfo"]["storageApi"]["bucketName"] is None
    status, answer = authorize(server, 4, "restricted", "restricted-secret")
    assert status == 200
    allowed = answer["apiInfo"]["storageApi"]["allowed"]
    assert [entry["name"] for entry in allowed["buckets"]] == [BUCKET]
    status, answer = authorize(server, 1, "restricted", "restricted-secret")
    assert (status, answer["code"]) == (400, "bad_request")


def test_restricted_key(server, connect, source, tmp_path):
    restricted = Rclone(server, tmp_path, "restricted")
    restricted.run("copy", "--checksum", source, f"b2:{BUCKET}")
    assert stored(server, "small") == SMALL
    assert "you must use bucket" in restricted.run("lsf", "b2:elsewhere", code=1)
    bucket = connect("restricted", "restricted-secret")
    version = next(iter(bucket.list_file_versions("small")))
    with pytest.raises(B2Error, match="deleteFiles"):
        bucket.delete_file_version(version.id_, "small")
    assert stored(server, "small") == SMALL


def test_key_limited_to_a_prefix(server, source, tmp_path):
    server.put("films/old", b"x")
    server.put("private/diary", b"y")
    capabilities = ("listBuckets", "listFiles", "readFiles", "writeFiles")
    server.add_key("films", "films-secret", capabilities, bucket=BUCKET, prefix="films/")
    films = Rclone(server, tmp_path, "films")
    films.run("copy", source, f"b2:{BUCKET}/films")
    assert films.run("lsf", f"b2:{BUCKET}/films") == b"old\nsmall\n"
    for path in (f"b2:{BUCKET}/private", f"b2:{BUCKET}"):
        films.run("lsf", "--low-level-retries=1", path, code=1)
    films.run("copy", "--low-level-retries=1", source, f"b2:{BUCKET}/private", code=1)
    assert set(server.objects()) == {"films/old", "films/small", "private/diary"}


def test_refused_key(server, connect, rclone, source):
    with pytest.raises(InvalidAuthToken):
        connect("master", "wrong")
    with pytest.raises(InvalidAuthToken):
        connect("nobody", "master-secret")
    server.add_key("master", "changed", ("listFiles",))
    arguments = ("copy", "--low-level-retries=1", source, f"b2:{BUCKET}")
    assert "401 bad_auth_token" in rclone.run(*arguments, code=1)


def test_revoked_key_and_missing_capability(server, connect, source, tmp_path):
    server.add_key("reader", "reader-secret", ("listBuckets", "listFiles", "readFiles"))
    bucket = connect("reader", "reader-secret")
    with pytest.raises(B2Error, match="writeFiles"):
        bucket.upload_bytes(SMALL, "small")
    server.remove_key("reader")
    with pytest.raises(InvalidAuthToken):
        list(bucket.ls())


def test_expired_token_is_renewed_by_b2sdk(server, bucket):
    bucket.upload_bytes(SMALL, "before")
    server.expire_tokens()
    assert [entry.file_name for entry, _ in bucket.ls()] == ["before"]
    assert server.stats().answers["b2_list_file_names 401"] == 1
    server.expire_tokens(uploads=True)
    bucket.upload_bytes(SMALL, "after")
    assert server.stats().calls["b2_authorize_account"] == 3
    assert set(server.objects()) == {"before", "after"}


def test_expired_token_is_renewed_by_rclone(server, rclone, source):
    server.inject(api="b2_upload_file", hang_after=1)
    with rclone.start("copy", source, f"b2:{BUCKET}") as process:
        wait_for_bytes(server, len(SMALL))
        server.expire_tokens(uploads=True)
        server.clear_faults()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors.decode()
    assert server.stats().calls["b2_authorize_account"] == 2
    assert stored(server, "small") == SMALL


def test_upload_url_used_twice_at_once(server, bucket):
    session = bucket.api.session
    target = session.get_upload_url(bucket.id_)
    address = urllib.parse.urlsplit(target["uploadUrl"])
    headers = {
        "Authorization": target["authorizationToken"],
        "X-Bz-File-Name": "first",
        "X-Bz-Content-Sha1": sha1(SMALL),
        "Content-Length": str(len(SMALL)),
    }
    second = (target["uploadUrl"], target["authorizationToken"], "second", len(SMALL))
    with contextlib.closing(http.client.HTTPConnection(address.netloc, timeout=20)) as first:
        first.request("POST", address.path, body=SMALL[:1], headers=headers)
        wait_for_bytes(server, 1)
        with pytest.raises(B2Error, match="concurrent upload"):
            session.raw_api.upload_file(*second, "text/plain", sha1(SMALL), {}, io.BytesIO(SMALL))
        first.send(SMALL[1:])
        assert first.getresponse().status == 200
    assert list(server.objects()) == ["first"]


# Checksums


def test_wrong_sha1_is_refused_and_leaves_nothing(server, bucket, tmp_path):
    wrong = sha1(b"something else")
    for declared, body in ((wrong, SMALL), ("hex_digits_at_end", SMALL + wrong.encode())):
        status, answer = bare_upload(server, bucket, "small", declared, body)
        assert (status, answer["code"]) == (400, "bad_request")
    assert server.objects() == {}
    assert list((tmp_path / "b2/blobs").iterdir()) == []


@pytest.mark.parametrize(
    ("declared", "body", "shown"),
    [
        (sha1(SMALL), SMALL, sha1(SMALL)),
        ("hex_digits_at_end", SMALL + sha1(SMALL).encode(), sha1(SMALL)),
        ("do_not_verify", SMALL, None),
        ("unverified:" + "0" * 40, SMALL, "unverified:" + "0" * 40),
    ],
)
def test_forms_of_sha1(server, bucket, declared, body, shown):
    assert bare_upload(server, bucket, "small", declared, body)[1]["contentSha1"] == shown
    assert stored(server, "small") == SMALL


# Settings of the bucket


def test_lifecycle_rules(server, rclone, bucket):
    rclone.run("backend", "lifecycle", f"b2:{BUCKET}", "-o", "daysFromHidingToDeleting=1")
    assert server.lifecycle()[0]["daysFromHidingToDeleting"] == 1
    rules = [{"fileNamePrefix": "x/", "daysFromHidingToDeleting": 3}]
    server.set_lifecycle(rules)
    assert bucket.get_fresh_state().lifecycle_rules == rules
    shown = json.loads(rclone.run("backend", "lifecycle", f"b2:{BUCKET}"))
    assert shown[0]["daysFromHidingToDeleting"] == 3
    bucket.update(lifecycle_rules=[])
    assert server.lifecycle() == []


def test_buckets_come_and_go(server, rclone, bucket):
    rclone.run("mkdir", "b2:another")
    assert rclone.run("lsf", "b2:").decode().split() == ["another/", f"{BUCKET}/"]
    rclone.run("rmdir", "b2:another")
    server.put("keeps", b"the bucket")
    assert "not empty" in rclone.run("rmdir", f"b2:{BUCKET}", code=1)
    assert [entry.name for entry in bucket.api.list_buckets()] == [BUCKET]


# Objects that no client of ours made


def test_planted_object_without_sha1_looks_right_to_rclone(server, rclone, source):
    server.put("small", SMALL[::-1])
    rclone.run("copy", "--checksum", source, f"b2:{BUCKET}")
    assert server.stats().bytes_in == 0
    assert server.objects()["small"].sha1 is None
    assert stored(server, "small") == SMALL[::-1]
    assert json.loads(rclone.run("lsjson", "--hash", f"b2:{BUCKET}"))[0].get("Hashes") in (None, {})


def test_rotten_and_lying_objects(server, bucket):
    server.put("small", SMALL, sha1=sha1(SMALL))
    copy = bucket.copy(server.objects()["small"].file_id, "copy")
    assert copy.content_sha1 == sha1(SMALL)
    server.corrupt("small", offset=2)
    assert stored(server, "small") == SMALL[:2] + bytes([SMALL[2] ^ 0xFF]) + SMALL[3:]
    assert stored(server, "copy") == SMALL
    assert server.objects()["small"].sha1 == sha1(SMALL)
    server.corrupt("small", size=3, sha1="none")
    listed = bucket.get_file_info_by_id(server.objects()["small"].file_id)
    assert (listed.size, listed.content_sha1) == (3, "none")


def test_hide_and_delete_behind_the_clients_back(server, rclone):
    server.put("small", SMALL)
    server.hide("small")
    assert rclone.run("lsf", f"b2:{BUCKET}") == b""
    assert server.stats().versions == 2
    server.delete("small")
    assert server.stats().versions == 0


# Faults: one test for each kind


def test_busy_server_makes_the_client_ask_for_another_url(server, rclone, bucket, source):
    server.inject(BUSY)
    rclone.run("copy", source, f"b2:{BUCKET}")
    assert server.stats().answers["b2_upload_file 503"] == 1
    assert server.stats().calls["b2_get_upload_url"] == 2
    assert stored(server, "small") == SMALL
    server.inject(BUSY, count=2)
    bucket.upload_bytes(SMALL, "other")
    assert stored(server, "other") == SMALL


def test_retry_after(server, rclone):
    server.inject(
        api="b2_list_.*", status=429, code="too_many_requests", headers={"Retry-After": "1"}
    )
    assert rclone.run("lsf", f"b2:{BUCKET}") == b""
    assert server.stats().answers["b2_list_buckets 429"] == 1


def test_storage_cap(server, rclone, bucket, source):
    server.inject(STORAGE_CAP)
    assert "storage_cap_exceeded" in rclone.run("copy", source, f"b2:{BUCKET}", code=7)
    with pytest.raises(StorageCapExceeded):
        bucket.upload_bytes(SMALL, "small")
    server.clear_faults()
    rclone.run("copy", source, f"b2:{BUCKET}")


def test_transaction_cap(server, rclone, source):
    server.inject(TRANSACTION_CAP, api="b2_list_file_names")
    assert "transaction_cap_exceeded" in rclone.run("copy", source, f"b2:{BUCKET}", code=7)
    server.clear_faults()
    server.inject(TRANSACTION_CAP)
    # On the bucket's list, rclone takes the cap for a bucket that is not there.
    assert "directory not found" in rclone.run("lsf", f"b2:{BUCKET}", code=3)


def test_reset_before_the_call(server, rclone, source):
    server.inject(api="b2_upload_file", reset=True, count=2)
    rclone.run("copy", source, f"b2:{BUCKET}")
    assert server.stats().answers == server.stats().answers | {
        "b2_upload_file 0": 2,
        "b2_upload_file 200": 1,
    }
    assert stored(server, "small") == SMALL


def test_reset_amid_one_part_repeats_only_that_part(server, rclone, source):
    (source / "large").write_bytes(LARGE)
    server.inject(api="b2_upload_part", name="large", reset_after=1_000_000, skip=1)
    rclone.run("copy", source, f"b2:{BUCKET}")
    assert server.stats().calls["b2_upload_part"] == 4
    assert server.stats().bytes_in < len(SMALL + LARGE) + 2 * PART
    assert stored(server, "large") == LARGE


def test_reset_amid_a_download(server, rclone, tmp_path):
    server.put("large", LARGE)
    server.inject(api="b2_download_.*", reset_after=100_000, skip=0)
    rclone.run("copyto", f"b2:{BUCKET}/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == LARGE


def test_hanging_upload(server, rclone, source):
    server.inject(api="b2_upload_file", hang_after=1)
    rclone.run("copy", "--timeout=1s", source, f"b2:{BUCKET}")
    assert stored(server, "small") == SMALL


def test_slow_call(server, rclone, source):
    server.inject(api="b2_upload_file", sleep=0.01)
    server.latency = 0.001
    server.bandwidth = 1 << 30
    rclone.run("copy", source, f"b2:{BUCKET}")
    assert stored(server, "small") == SMALL


def test_lost_answer_to_an_upload_leaves_two_versions(server, rclone, source):
    server.inject(api="b2_upload_file", lose_response=True)
    rclone.run("copy", source, f"b2:{BUCKET}")
    assert server.objects()["small"].versions == 2


def test_lost_answer_to_finish_leaves_one_version(server, rclone, source):
    (source / "large").write_bytes(LARGE)
    server.inject(api="b2_finish_large_file", lose_response=True)
    rclone.run("copy", "--retries=2", source, f"b2:{BUCKET}")
    assert server.objects()["large"].versions == 1
    assert stored(server, "large") == LARGE


def test_byte_changed_on_the_way_up(server, rclone, source):
    server.inject(api="b2_upload_file", corrupt=True)
    assert "Sha1 did not match" in rclone.run("copy", source, f"b2:{BUCKET}", code=1)
    assert server.objects() == {}


def test_byte_changed_on_the_way_down(server, rclone, tmp_path):
    server.put("small", SMALL, sha1=sha1(SMALL))
    server.inject(api="b2_download_file_by_id", corrupt=True)
    errors = rclone.run("copy", f"b2:{BUCKET}", tmp_path / "back", code=1)
    assert "corrupted on transfer" in errors


def test_fault_for_one_name(server, rclone, source):
    (source / "other").write_bytes(b"other")
    server.inject(
        Fault(api="b2_upload_file", name="^sm", status=400, code="bad_request", count=None)
    )
    errors = rclone.run("copy", source, f"b2:{BUCKET}", code=1)
    assert "small: Failed to copy" in errors
    assert list(server.objects()) == ["other"]


@pytest.mark.parametrize("silent", [False, True])
def test_network_gone_and_back(server, rclone, source, silent):
    server.cut(silent=silent)
    patience = ("--low-level-retries=1", "--timeout=1s")
    rclone.run("copy", *patience, source, f"b2:{BUCKET}", code=1)
    assert server.objects() == {}
    server.restore()
    rclone.run("copy", source, f"b2:{BUCKET}")
    assert stored(server, "small") == SMALL


def test_network_cut_amid_an_upload(server, rclone, source):
    server.inject(api="b2_upload_file", hang_after=1)
    with rclone.start("copy", "--low-level-retries=1", source, f"b2:{BUCKET}") as process:
        wait_for_bytes(server, len(SMALL))
        server.cut()
        server.clear_faults()
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert server.objects() == {}


# Life of the server


def test_discard_store_answers_as_the_disk_does(rclone, source, tmp_path):
    (source / "large").write_bytes(LARGE)
    with B2Server() as forgetful:
        client = Rclone(forgetful, tmp_path)
        client.run("copy", "--checksum", source, f"b2:{BUCKET}")
        client.run("check", source, f"b2:{BUCKET}")
        for name, content in (("small", SMALL), ("large", LARGE)):
            known = content[:HEAD].ljust(len(content), b"\0")
            assert client.run("cat", f"b2:{BUCKET}/{name}") == known
        assert forgetful.objects()["large"].path is None
        assert forgetful.stats().stored == len(SMALL + LARGE)


def test_restart_finds_everything_again(tmp_path, source):
    root = tmp_path / "kept"
    with B2Server(root=root) as first:
        Rclone(first, tmp_path).run("copy", "--checksum", source, f"b2:{BUCKET}")
        first.put("gone", b"")
        first.delete("gone")
        first.set_lifecycle([{"fileNamePrefix": ""}])
        before, port = first.objects(), int(first.url.rpartition(":")[2])
    with (root / "index.jsonl").open("a") as index:
        index.write('["version", {"half a li')
    with B2Server(root=root, port=port) as second:
        assert second.objects() == before
        assert second.lifecycle() == [{"fileNamePrefix": ""}]
        second.put("new", b"")
    with B2Server(root=root) as third:
        assert set(third.objects()) == {"small", "new"}


def test_as_a_process_of_its_own(tmp_path):
    command = [sys.executable, "-m", "mediapipe.testing.b2", "--root", tmp_path / "b2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.removeprefix("listening on ").strip()
        config = f"[b2]\ntype=b2\naccount=master\nkey=master-secret\nendpoint={url}\n"
        (tmp_path / "rclone.conf").write_text(config)
        environment = {"HOME": str(tmp_path), "RCLONE_CONFIG": str(tmp_path / "rclone.conf")}
        listing = subprocess.check_output([RCLONE, "lsf", "b2:"], env=environment, text=True)
        process.terminate()
    assert listing == f"{BUCKET}/\n"
    assert process.returncode == 0
