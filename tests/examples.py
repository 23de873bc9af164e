"""How hypothesis looks for examples: the same ones in every run, and none fails for being slow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def steady(examples: int = 100, **more: int) -> settings:
    """Make settings for a test of the normal suite."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        **more,  # type: ignore[arg-type]
    )
