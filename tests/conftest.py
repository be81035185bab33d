"""What all tests share: how hypothesis searches, and the article's network."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

import unrollviz as uz

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Run in the background: the programs that tests start would inherit it, and Ctrl-C would never reach them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("nightly", settings.get_profile("ci"), derandomize=False, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The ordinary run leaves out what is more of the same."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "nightly":
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def article() -> uz.Run:
    """The article's network: T = 5, n = k = 4, d = 3."""
    return uz.article()
