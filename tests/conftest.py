from __future__ import annotations

import pytest

from parley_testkit.fixtures import browser_path, mesh, nats_command, nats_server, postgres

__all__ = ["browser_path", "mesh", "nats_command", "nats_server", "postgres"]


def pytest_itemcollected(item: pytest.Item) -> None:
    """A file stays on one of the two workers; all journeys share one mesh, so they share one worker."""
    item.add_marker(pytest.mark.xdist_group("mesh" if _on_the_mesh(item) else item.path.stem))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The journeys begin: they take the longest."""
    items.sort(key=lambda item: not _on_the_mesh(item))


def _on_the_mesh(item: pytest.Item) -> bool:
    return "mesh" in getattr(item, "fixturenames", ())
