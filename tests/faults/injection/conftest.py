from __future__ import annotations

from collections.abc import Iterator

import pytest
from attacked import Attacked
from obedient import ObedientProvider

from parley_testkit.fake_provider import MODEL
from parley_testkit.mesh import RunningMesh


@pytest.fixture(scope="module", params=["offline", "obedient"])
def attacked(request: pytest.FixtureRequest) -> Iterator[Attacked]:
    """The whole mesh, once with the offline model and once with one that obeys whatever it reads."""
    if request.param == "offline":
        with RunningMesh() as mesh:
            yield Attacked(mesh, None)
        return
    with ObedientProvider() as model:
        environ = {"PARLEY_LLM_GATEWAY_BASE_URL": model.provider.url, "PARLEY_LLM_GATEWAY_MODEL": MODEL}
        with RunningMesh(environ=environ) as mesh:
            yield Attacked(mesh, model.provider)
