"""What all tests share: property tests that do not fail for a slow machine, a quiet environment."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("house")

OF_THE_TESTS = frozenset(
    f"GLOBOFS_{name}"
    for name in (
        "DEBUG",
        "SEED",
        "SEEDS",
        "FIRST_SEED",
        "EVERY_STEP",
        "STEPS",
        "EXAMPLES",
        "FUZZ_SECONDS",
    )
)
"""What the tests themselves are told by the environment; all else is a setting of the product."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long runs only where `-m` asks for them."""
    if "soak" not in config.getoption("markexpr", ""):
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True, scope="session")
def quiet_environment() -> None:
    """No setting of the person who runs the tests reaches the volumes made by them."""
    for name in [name for name in os.environ if name.startswith("GLOBOFS_")]:
        if name not in OF_THE_TESTS:
            del os.environ[name]
