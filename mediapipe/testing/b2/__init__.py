"""A Backblaze B2 (native API) of our own, on this machine only, for the demo and the tests."""

from mediapipe.testing.b2.faults import BUSY, STORAGE_CAP, TRANSACTION_CAP, Fault
from mediapipe.testing.b2.server import B2Server, Object
from mediapipe.testing.b2.world import Stats

__all__ = ["BUSY", "STORAGE_CAP", "TRANSACTION_CAP", "B2Server", "Fault", "Object", "Stats"]
