"""`python -m parley_llm_gateway`: ready once it serves, gone in order on SIGTERM, exit 2 for a wrong setting."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import aiohttp
import pytest

from parley_llm_gateway.offline import MODEL
from parley_testkit.nats_server import PASSWORD, NatsServer
from parley_testkit.ports import free_port


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    return kept | {"PARLEY_CONFIG": os.devnull} | more


async def _ready(url: str) -> dict[str, str]:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/readyz") as response:
                    if response.status == 200:
                        return dict(await response.json())
            except aiohttp.ClientConnectionError:
                # It is not listening yet: the timeout above bounds how often this is asked.
                await asyncio.sleep(0.05)


async def test_it_serves_until_it_is_told_to_stop(nats_server: NatsServer) -> None:
    port = free_port()
    environment = _environment(
        PARLEY_MESH_NATS_URL=nats_server.url,
        PARLEY_MESH_NATS_USER="llm-gateway",
        PARLEY_MESH_NATS_PASSWORD=PASSWORD,
        PARLEY_MESH_HEALTH_PORT=str(port),
    )
    process = subprocess.Popen([sys.executable, "-m", "parley_llm_gateway"], env=environment, stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}"
        assert await _ready(url) == {"status": "ready"}
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/v1/models") as response:
                assert [model["id"] for model in (await response.json())["data"]] == [MODEL]
            async with session.get(f"{url}/metrics") as response:
                assert "parley_llm_running" in await response.text()
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.to_thread(process.communicate, timeout=15)
        assert process.returncode == 0
        assert b"Traceback" not in errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("name", "value"), [("BASE_URL", "nonsense"), ("TOTAL_S", "never"), ("CALLER_KEYS", "a=short")]
)
def test_a_wrong_setting_ends_it_with_one_sentence(name: str, value: str) -> None:
    environment = _environment(**{f"PARLEY_LLM_GATEWAY_{name}": value})
    done = subprocess.run(
        [sys.executable, "-m", "parley_llm_gateway"], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert f"PARLEY_LLM_GATEWAY_{name}" in done.stderr
    assert done.stderr.count("\n") == 1
