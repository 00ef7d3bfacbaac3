from __future__ import annotations

import pytest

from parley_testkit.fixtures import browser_path, mesh, nats_command, nats_server, postgres

__all__ = ["browser_path", "mesh", "nats_command", "nats_server", "postgres"]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers: a file stays on one of them. All journeys share one mesh, so one worker begins with them."""
    items.sort(key=lambda item: not _on_the_mesh(item))
    for item in items:
        item.add_marker(pytest.mark.xdist_group("mesh" if _on_the_mesh(item) else item.path.stem))


def _on_the_mesh(item: pytest.Item) -> bool:
    return "mesh" in getattr(item, "fixturenames", ())
