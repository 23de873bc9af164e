"""Trouble on demand: which calls go wrong, and how."""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mediapipe.testing.b2.errors import ApiError, InjectedResetError


@dataclass(frozen=True)
class Fault:
    """One kind of trouble. Without any effect set, the call just succeeds."""

    api: str = ".*"  # regular expression for the whole API name, e.g. "b2_upload_(file|part)"
    name: str = ""  # regular expression searched in the file's name
    count: int | None = 1  # how many calls it hits; None = until clear_faults()
    skip: int = 0  # matching calls that pass before the first hit

    status: int | None = None  # HTTP status to answer instead of doing the call
    code: str = "injected"
    message: str = "injected by the test"
    headers: Mapping[str, str] = field(default_factory=dict)

    sleep: float = 0.0  # seconds before the call is handled
    reset: bool = False  # connection reset before the call is handled
    reset_after: int | None = None  # connection reset after this many body bytes, up or down
    hang_after: int | None = None  # silence after this many body bytes, until clear_faults()
    corrupt: bool = False  # the first body byte changes on its way, up or down
    lose_response: bool = False  # the call is carried out, then the connection is reset


BUSY = Fault(
    api="b2_upload_(file|part)",
    status=503,
    code="service_unavailable",
    message="no tomes available",
)
STORAGE_CAP = Fault(
    api="b2_(upload|get_upload|start_large|copy)_.*",
    count=None,
    status=403,
    code="storage_cap_exceeded",
    message="Cannot upload files, storage cap exceeded."
    " See the Caps & Alerts page to increase your cap.",
)
TRANSACTION_CAP = Fault(
    api="b2_list_.*",
    count=None,
    status=403,
    code="transaction_cap_exceeded",
    message="Transaction cap exceeded. See the Caps & Alerts page to increase your cap.",
)


class Trouble:
    """The faults in force and the state of the network."""

    def __init__(self) -> None:
        self.bandwidth: int | None = None  # bytes per second and connection
        self._released = threading.Event()  # what those wait for who sleep or hang
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, list[int]]] = []  # with the matching calls seen so far
        self._cut: str | None = None

    def inject(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append((fault, [0]))

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
        self._release()

    def cut(self, *, silent: bool) -> None:
        self._cut = "silent" if silent else "reset"

    def restore(self) -> None:
        self._cut = None
        self._release()

    def stop(self) -> None:
        """End all waiting, now and later."""
        self._cut = "reset"
        self._released.set()

    def _release(self) -> None:
        waiting, self._released = self._released, threading.Event()
        waiting.set()

    def pick(self, api: str, name: str) -> Fault | None:
        """Return the first fault that hits this call, and count the hit."""
        with self._lock:
            for fault, seen in self._faults:
                if not re.fullmatch(fault.api, api) or not re.search(fault.name, name):
                    continue
                if fault.count is not None and seen[0] >= fault.skip + fault.count:
                    continue
                seen[0] += 1
                if seen[0] > fault.skip:
                    return fault
        return None

    def pause(self, seconds: float) -> None:
        """Sleep, unless the faults are cleared or the server stops meanwhile."""
        if seconds > 0:
            self._released.wait(seconds)

    def check_network(self) -> None:
        # The event first: whoever ends the cut after our look at it sets this very event.
        released, cut = self._released, self._cut
        if cut is None:
            return
        if cut == "silent":
            released.wait()
        raise InjectedResetError

    def _hang(self, fault: Fault) -> None:
        released = self._released  # first, for the same reason
        with self._lock:
            in_force = any(fault is other for other, _ in self._faults)
        if in_force:
            released.wait()
        raise InjectedResetError

    def before(self, fault: Fault | None) -> None:
        """Do what a fault does before its call is handled."""
        if fault is None:
            return
        self.pause(fault.sleep)
        if fault.reset:
            raise InjectedResetError
        if fault.status is not None:
            raise ApiError(fault.status, fault.code, fault.message, fault.headers)

    def shape(self, chunks: Iterable[memoryview], fault: Fault | None) -> Iterator[memoryview]:
        """Pass a body on as the network and the fault let it through."""
        fault = fault or Fault()
        passed = 0  # bytes
        started = time.monotonic()
        for chunk in chunks:
            self.check_network()
            yield _changed(chunk) if fault.corrupt and passed == 0 else chunk
            passed += len(chunk)
            if fault.reset_after is not None and passed >= fault.reset_after:
                raise InjectedResetError
            if fault.hang_after is not None and passed >= fault.hang_after:
                self._hang(fault)
            if self.bandwidth:
                self.pause(passed / self.bandwidth - (time.monotonic() - started))


def _changed(chunk: memoryview) -> memoryview:
    return memoryview(bytes([chunk[0] ^ 0xFF]) + chunk[1:])
