"""The healing client for the *arr apps, beside plain pyarr, before an app that misbehaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pyarr
import pytest
import requests
from pyarr import exceptions as plain_errors

from mediapipe import resilient_arr
from mediapipe.resilient_arr import (
    ArrError,
    ArrKeyRefused,
    ArrRejected,
    ArrStranger,
    ArrUnavailable,
    Patience,
    ResilientArr,
)
from mediapipe.testing.loopback import free_port
from tests.arrs import HTML, JSON, KEY, LOGIN_PAGE, MASK, FakeArr, starting_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.arrs import Answer

OTHER_KEY = "fedcba9876543210fedcba9876543210"
PROBLEM = {"Content-Type": "application/problem+json"}


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def lidarr(tmp_path: Path) -> Iterator[FakeArr]:
    with FakeArr("lidarr", config=tmp_path / "config.xml") as app:
        app.items["album"] = [{"id": 7, "title": "Album"}]
        yield app


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ours(lidarr: FakeArr, time: Time) -> ResilientArr:
    return ResilientArr("lidarr", lidarr.url, KEY, clock=time.clock, sleep=time.sleep)


@pytest.fixture
def plain(lidarr: FakeArr) -> Iterator[pyarr.LidarrAPI]:
    api = pyarr.LidarrAPI(lidarr.url, KEY)
    yield api
    api.session.close()


# The table of what plain pyarr does with an answer: each row fails there, and passes here


def test_a_start_up_is_no_data(
    lidarr: FakeArr, plain: pyarr.LidarrAPI, ours: ResilientArr, time: Time
) -> None:
    lidarr.answers = [starting_up("lidarr")]
    assert "errorMessage" in plain.get_wanted()  # a program goes on with that as its albums

    lidarr.answers = [starting_up("lidarr")] * 3
    assert ours.get_wanted(page_size=10)["records"] == [{"id": 7, "title": "Album"}]
    assert ours.counters.retries == 3
    assert time.slept == sorted(time.slept)
    assert all(
        longest / 2 <= one <= longest for one, longest in zip(time.slept, (1, 2, 4), strict=True)
    )


def test_a_change_is_sent_again_after_a_start_up(lidarr: FakeArr, ours: ResilientArr) -> None:
    lidarr.answers = [starting_up("lidarr")]

    assert ours.call("post_command", "RescanFolders")["status"] == "queued"
    assert len(lidarr.items["command"]) == 1


BAD: dict[str, tuple[Answer, type[Exception], type[ArrError]]] = {
    "login page": ((200, HTML, LOGIN_PAGE), AssertionError, ArrStranger),
    "503 page": ((503, HTML, b"<p>no"), AssertionError, ArrUnavailable),
    "500 page": ((500, HTML, b"<p>no"), requests.JSONDecodeError, ArrUnavailable),
    "500 without message": ((500, JSON, b'{"a": 1}'), KeyError, ArrUnavailable),
    "problem": ((422, PROBLEM, b'{"title": "no"}'), AssertionError, ArrRejected),
    "400": ((400, JSON, b"[]"), plain_errors.PyarrBadRequest, ArrRejected),
    "401": ((401, {}, b""), plain_errors.PyarrUnauthorizedError, ArrKeyRefused),
    "403": ((403, HTML, b""), plain_errors.PyarrAccessRestricted, ArrKeyRefused),
    "404": ((404, JSON, b"{}"), plain_errors.PyarrResourceNotFound, ArrRejected),
    "405": ((405, {}, b""), plain_errors.PyarrMethodNotAllowed, ArrKeyRefused),
    "502": ((502, HTML, b""), plain_errors.PyarrBadGateway, ArrUnavailable),
    "html that says JSON": ((200, JSON, LOGIN_PAGE), requests.JSONDecodeError, ArrStranger),
    "deep": ((200, JSON, b"[" * 100_000), RecursionError, ArrStranger),
    "a bare word": ((200, JSON, b'"yes"'), AssertionError, ArrStranger),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_an_answer_that_is_none_has_a_type(
    case: tuple[Answer, type[Exception], type[ArrError]],
    lidarr: FakeArr,
    plain: pyarr.LidarrAPI,
    ours: ResilientArr,
) -> None:
    answer, theirs, typed = case
    lidarr.answers = [answer]
    with pytest.raises(theirs):
        plain.get_system_status()

    lidarr.answers = [answer] * 10
    with pytest.raises(typed):
        ours.system_status()

    lidarr.answers = []
    assert ours.system_status()["appName"] == "Lidarr"


DATA: dict[str, Answer] = {
    "409": (409, JSON, b'{"message": "exists"}'),
    "422": (422, JSON, b'{"message": "no"}'),
    "an error with status 200": (200, JSON, b'{"message": "no", "description": "x"}'),
    "503 of another kind": (503, JSON, b'{"error": "no"}'),
}


@pytest.mark.parametrize("answer", DATA.values(), ids=DATA)
def test_a_refusal_is_no_data(
    answer: Answer, lidarr: FakeArr, plain: pyarr.LidarrAPI, ours: ResilientArr
) -> None:
    lidarr.answers = [answer]
    assert plain.get_system_status() == json.loads(answer[2])

    lidarr.answers = [answer] * 10
    with pytest.raises(ArrError):
        ours.call("get_system_status")


def test_a_list_is_not_taken_for_an_object(lidarr: FakeArr, ours: ResilientArr) -> None:
    for answer in (b"[]", b"{}", b'{"appName": "Sonarr", "version": "4"}'):
        lidarr.answers = [(200, JSON, answer)]
        with pytest.raises(ArrStranger):
            ours.system_status()
    for answer in (b"[]", b'{"records": {}}', b'{"records": [1]}', b"{}"):
        lidarr.answers = [(200, JSON, answer)]
        ours._failures = 0
        with pytest.raises(ArrStranger):
            ours.get_wanted()


def test_nobody_at_home(time: Time) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(requests.ConnectionError):
        pyarr.LidarrAPI(url, KEY).get_system_status()
    ours = ResilientArr("lidarr", url, KEY, clock=time.clock, sleep=time.sleep)

    with pytest.raises(ArrUnavailable, match="does not answer"):
        ours.call("post_command", "RescanFolders")

    assert ours.counters.retries == 3  # nothing was sent, so that is safe


def test_it_comes_up_meanwhile(lidarr: FakeArr) -> None:
    """A program that starts before its app needs no restart."""
    time = Time()
    gone = f"http://127.0.0.1:{free_port()}"
    ours = ResilientArr("lidarr", gone, KEY, clock=time.clock)

    def appear(_seconds: float) -> None:
        ours._api = None
        ours.url = lidarr.url

    ours._sleep = appear
    assert ours.system_status()["version"]


def test_a_hang_ends(lidarr: FakeArr, plain: pyarr.LidarrAPI) -> None:
    lidarr.hangs = True
    answered: list[Any] = []
    thread = threading.Thread(target=lambda: answered.append(plain.get_system_status()))
    thread.start()
    assert lidarr.hanging.acquire(timeout=30)
    ours = ResilientArr("lidarr", lidarr.url, KEY, Patience(timeout=0.2, tries=1))

    with pytest.raises(ArrUnavailable, match="hangs"):
        ours.system_status()
    with pytest.raises(ArrUnavailable, match="hangs"):
        ours.call("post_command", "RescanFolders")

    assert thread.is_alive()  # it began earlier
    lidarr.let_go()
    thread.join()
    assert answered[0]["appName"] == "Lidarr"
    assert ours.system_status()


def test_what_may_have_been_acted_on_is_not_sent_again(lidarr: FakeArr) -> None:
    lidarr.hangs = True
    ours = ResilientArr("lidarr", lidarr.url, KEY, Patience(timeout=0.2))

    with pytest.raises(ArrUnavailable):
        ours.call("post_command", "RescanFolders")

    assert [method for method, _ in lidarr.asked] == ["POST"]
    lidarr.let_go()
    for status, body in ((502, b""), (500, b"the scan is starting up")):
        lidarr.answers = [(status, HTML, body)]
        with pytest.raises(ArrUnavailable):
            ours.call("post_command", "RescanFolders")
    assert len(lidarr.asked) == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_goes_to_no_other_host(
    status: int, lidarr: FakeArr, plain: pyarr.LidarrAPI, ours: ResilientArr
) -> None:
    with FakeArr("lidarr") as other:
        moved = (status, {"Location": f"{other.url}/api/v1/system/status"}, b"")
        lidarr.answers = [moved]
        assert plain.get_system_status()
        assert other.keys == [KEY]

        lidarr.answers = [moved]
        with pytest.raises(ArrStranger, match="redirects"):
            ours.system_status()
        assert other.keys == [KEY]


@pytest.mark.parametrize(
    "place", ["//127.0.0.2/x", "http://a[", "", "HTTP:evil", "http://127.0.0.1"]
)
def test_an_odd_redirect_is_not_followed(place: str, lidarr: FakeArr, ours: ResilientArr) -> None:
    lidarr.answers = [(307, {"Location": place}, b"")]
    with pytest.raises(ArrStranger):
        ours.system_status()
    assert len(lidarr.asked) == 1


def test_a_post_does_not_become_a_get(
    lidarr: FakeArr, plain: pyarr.LidarrAPI, ours: ResilientArr
) -> None:
    lidarr.items["command"] = []
    moved = (302, {"Location": "/api/v1/command"}, b"")
    lidarr.answers = [moved]
    assert plain.post_command("RescanFolders") == []  # type: ignore[arg-type,comparison-overlap]

    lidarr.answers = [moved]
    with pytest.raises(ArrStranger, match="redirects"):
        ours.call("post_command", "RescanFolders")
    assert lidarr.items["command"] == []


def test_a_url_base_may_be_left_out(time: Time) -> None:
    with FakeArr("lidarr", base="/lidarr") as app:
        for url in (app.url, f"{app.url}/lidarr/"):
            ours = ResilientArr("lidarr", url, KEY)
            assert ours.get_wanted(page=1, page_size=5)["records"] == []
            assert ours.call("post_command", "RescanFolders")["status"] == "queued"
        assert app.asked[1] == ("GET", "/lidarr/api/v1/wanted/missing?page=1&pageSize=5")


def test_redirects_in_a_circle_end(lidarr: FakeArr, ours: ResilientArr) -> None:
    lidarr.answers = [(307, {"Location": "/api/v1/system/status"}, b"")] * 10
    with pytest.raises(ArrStranger):
        ours.system_status()
    assert len(lidarr.asked) == 2


def test_what_the_test_of_an_indexer_answers(
    lidarr: FakeArr, plain: pyarr.LidarrAPI, ours: ResilientArr
) -> None:
    with pytest.raises(AssertionError):
        plain._post("indexer/test", "/v1", data={"id": 1})
    assert ours.request("POST", "indexer/test", dict, data={"id": 1}) == {}

    with pytest.raises(plain_errors.PyarrBadRequest):
        plain._post("indexer/testall", "/v1")
    with pytest.raises(ArrRejected) as caught:
        ours.request("POST", "indexer/testall", list)
    assert caught.value.body[0]["isValid"] is False


def test_prowlarr_too() -> None:
    assert not hasattr(pyarr, "ProwlarrAPI")
    with FakeArr("prowlarr") as app:
        fields = [{"name": "apiKey", "value": "s"}, {"name": "baseUrl", "value": "b"}]
        app.items["indexer"] = [{"id": 1, "fields": fields}]
        prowlarr = ResilientArr("prowlarr", app.url, KEY)
        assert prowlarr.system_status()["appName"] == "Prowlarr"
        (indexer,) = prowlarr.call("get_indexer")
        assert indexer["fields"][0]["value"] == MASK
        data = {"name": "ApplicationIndexerSync", "forceSync": True}
        command = prowlarr.request("POST", "command", dict, data=data)
        assert command["status"] == "queued"
        done = prowlarr.request("GET", f"command/{command['id']}", dict)
        assert done["status"] == "completed"
        assert "result" not in {**command, **done}  # unlike those of the others


# What makes one session useless for ever


def test_a_cookie_does_not_outlive_a_restart(
    lidarr: FakeArr, plain: pyarr.LidarrAPI, ours: ResilientArr
) -> None:
    lidarr.cookies = True
    assert plain.get_wanted()
    assert ours.get_wanted()
    lidarr.restart()

    for _ in range(3):
        with pytest.raises(plain_errors.PyarrUnauthorizedError):
            plain.get_wanted()
    assert ours.get_wanted()
    assert ours.counters.rebuilds == 0


def test_a_changed_key_is_read_again(
    lidarr: FakeArr, tmp_path: Path, plain: pyarr.LidarrAPI
) -> None:
    ours = ResilientArr("lidarr", lidarr.url, tmp_path / "config.xml")
    assert ours.get_wanted()
    lidarr.restart(key=OTHER_KEY)

    with pytest.raises(plain_errors.PyarrUnauthorizedError):
        plain.get_wanted()
    assert ours.get_wanted()
    assert ours.counters.rebuilds == 1
    assert lidarr.keys[-2:] == [KEY, OTHER_KEY]


def test_a_wrong_key_is_tried_once_more_and_no_oftener(lidarr: FakeArr) -> None:
    ours = ResilientArr("lidarr", lidarr.url, lambda: OTHER_KEY)
    with pytest.raises(ArrKeyRefused, match="401"):
        ours.get_wanted()
    assert lidarr.keys == [OTHER_KEY] * 2


def test_405_heals_too(lidarr: FakeArr, ours: ResilientArr) -> None:
    lidarr.answers = [(405, {}, b"")]
    assert ours.get_wanted()
    assert ours.counters.rebuilds == 1


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("config.xml", None, ArrUnavailable),  # the app writes it when it starts
        ("config.xml", "", ArrUnavailable),
        ("config.xml", "<Config></Config>", ArrUnavailable),
        ("key", None, ArrKeyRefused),
        ("key", "", ArrKeyRefused),
        ("key", "two\nlines", ArrKeyRefused),
        ("key", "caf\u00e9", ArrKeyRefused),
    ],
)
def test_no_key_nothing_sent(
    name: str, content: str | None, error: type[ArrError], lidarr: FakeArr, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere" / name
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    ours = ResilientArr("lidarr", lidarr.url, path, Patience(tries=1))
    with pytest.raises(error):
        ours.get_wanted()
    assert lidarr.asked == []
    path.write_text(f"<Config><ApiKey>{KEY}</ApiKey></Config>" if ".xml" in name else f"{KEY}\n")
    assert ours.get_wanted()


def test_no_proxy_of_the_environment_sees_the_key(
    lidarr: FakeArr, ours: ResilientArr, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeArr("lidarr") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert ours.get_wanted()
        assert proxy.keys == []


# The circuit


def test_after_repeated_failures_the_app_is_left_alone(
    lidarr: FakeArr, ours: ResilientArr, time: Time
) -> None:
    def fails() -> int:
        before = len(lidarr.asked)
        lidarr.answers = [(502, HTML, b"")] * 10
        with pytest.raises(ArrUnavailable):
            ours.get_wanted()
        lidarr.answers = []
        return len(lidarr.asked) - before

    assert (fails(), fails(), fails()) == (4, 1, 0)
    assert ours.counters.trips == 1
    with pytest.raises(ArrUnavailable, match=r"left alone for 60 s more: .* answers 502"):
        ours.get_wanted()
    time.now += 61
    assert fails() == 1  # half open: one attempt
    assert fails() == 0
    assert ours.counters.trips == 2
    time.now += 61
    assert ours.get_wanted()
    assert fails() == 4


def test_a_rejection_is_no_failure_of_the_app(lidarr: FakeArr, ours: ResilientArr) -> None:
    for _ in range(10):
        with pytest.raises(ArrRejected):
            ours.request("DELETE", "nothing", dict)
    assert ours.counters.trips == 0


# One file


ALONE = """
import json, sys
before = {name.partition(".")[0] for name in sys.modules}
sys.modules["mediapipe"] = None
from pathlib import Path
from resilient_arr import ResilientArr
lidarr = ResilientArr("lidarr", sys.argv[1], Path(sys.argv[2]))
print(json.dumps([lidarr.system_status()["appName"], lidarr.call("get_wanted", page_size=10),
                  lidarr.get_wanted()]))
roots = {name.partition(".")[0] for name, one in sys.modules.items()
         if "site-packages" in (getattr(one, "__file__", None) or "")} - before
print(json.dumps(sorted(roots)))
"""


def test_the_file_stands_alone(lidarr: FakeArr, tmp_path: Path) -> None:
    """As in Soularr's container: the one file, beside pyarr."""
    shutil.copy(str(resilient_arr.__file__), tmp_path / "resilient_arr.py")
    ended = subprocess.run(
        [sys.executable, "-c", ALONE, lidarr.url, str(tmp_path / "config.xml")],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    told, loaded = map(json.loads, ended.stdout.splitlines())
    assert told[0] == "Lidarr"
    assert told[1] == told[2]
    of_pyarr = {
        "pyarr",
        "requests",
        "urllib3",
        "certifi",
        "charset_normalizer",
        "idna",
        "overrides",
    }
    assert {name for name in loaded if not name.endswith("__mypyc")} <= of_pyarr
