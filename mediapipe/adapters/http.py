"""HTTP of our own: one request without proxy, redirect or retry; an answer comes soon, or none."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Any

from mediapipe.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

_PATIENCE = 10.0
"""Seconds for the connection, and for each part of the answer."""
_GOOD = (200, 206)


class NotThere(Unavailable):
    """Nothing listens at the address: the service does not run."""


def get(
    service: str,
    url: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Get once; as `post`. No error shows the query, which may hold a secret."""
    return _sent("GET", service, url, None, query=query, headers=headers or {})


def post(
    service: str,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    login: tuple[str, str] | None = None,
    socket: str | None = None,
) -> httpx.Response:
    """Post once and give the answer, whatever its status.

    `login` are user and password, `socket` is the path of a Unix socket that stands for the host.
    Raises NotThere, Unavailable where no answer came, ConfigError where nothing can be sent there.
    """
    return _sent("POST", service, url, content, headers=headers, login=login, socket=socket)


def json_of(answer: httpx.Response) -> Any:
    """Give the answer's JSON, or None where it is none."""
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def download(
    service: str, url: str, headers: Mapping[str, str], take: Callable[[bytes], None]
) -> tuple[int, bytes]:
    """Get once; hands each block of a good answer to `take`, as it comes.

    Gives the status and, of an answer that is not good (200, 206), the content. Raises as `post`
    does; what came before that has been taken.
    """
    content = b""
    with (
        _client(service, url, None, None) as client,
        client.stream("GET", url, headers={**headers, "Accept-Encoding": "identity"}) as answer,
    ):
        if answer.status_code in _GOOD:
            for block in answer.iter_raw():
                take(block)
        else:
            content = answer.read()
    return answer.status_code, content


def _sent(
    method: str,
    service: str,
    url: str,
    content: bytes | None,
    *,
    headers: Mapping[str, str],
    query: Mapping[str, str] | None = None,
    login: tuple[str, str] | None = None,
    socket: str | None = None,
) -> httpx.Response:
    with _client(service, url, login, socket) as client:
        answer = client.request(method, url, params=query, content=content, headers=dict(headers))
    return answer  # noqa: RET504 - mypy takes the context for one that swallows errors


@contextlib.contextmanager
def _client(
    service: str, url: str, login: tuple[str, str] | None, socket: str | None
) -> Iterator[httpx.Client]:
    """Make a client for one request, and tell what its errors mean."""
    import httpx

    where = f"{service} at {socket or url}"
    # the environment may name a proxy, which would see the secrets
    transport = httpx.HTTPTransport(uds=socket, trust_env=False)
    client = httpx.Client(
        transport=transport,
        auth=login,
        trust_env=False,
        follow_redirects=False,
        timeout=_PATIENCE,
    )
    with client:
        try:
            yield client
        except httpx.HTTPError as error:
            cause = _os_error(error)
            if cause is not None and cause.errno in (errno.ECONNREFUSED, errno.ENOENT):
                raise NotThere(f"{where} does not run: {cause.strerror}") from None
            words = str(error) or type(error).__name__
            raise Unavailable(f"{where} does not answer: {words}") from None
        except (httpx.InvalidURL, ValueError) as error:
            raise ConfigError(f"{where} cannot be asked: {error}") from None


def _os_error(error: BaseException | None) -> OSError | None:
    """Find what the kernel said below what the library makes of it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
