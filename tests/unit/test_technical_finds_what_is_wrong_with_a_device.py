from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from paper_backoffice import PaperBackoffice, use

from parley_specialist.tools import Suggestion, ToolRefusedError
from parley_technical import domain, tools

NOW = datetime.now(UTC)


def device(number: int = 1, kind: str = "router", **more: Any) -> dict[str, Any]:
    return {
        "device_id": f"DEV-40000{number}",
        "kind": kind,
        "model": "Heron",
        "firmware": "7.2.1",
        "latest_firmware": "7.2.1",
        "status": "online",
        "signal_dbm": -52,
        "last_seen": NOW.isoformat(),
        "restarted_at": None,
    } | more


OFFLINE = {"status": "offline", "signal_dbm": None, "last_seen": (NOW - timedelta(days=2)).isoformat()}


def office(*devices: dict[str, Any]) -> PaperBackoffice:
    restarted = {
        f"POST /devices/{one['device_id']}/restart": one | {"restarted_at": "2026-07-03T13:05:00Z"} for one in devices
    }
    return PaperBackoffice({"/devices": {"items": list(devices)}}, dict(restarted))


async def test_a_healthy_router_is_told_with_signal_and_firmware() -> None:
    result = await use(tools.device_status, office(device()))
    assert result.summary == (
        "Your Heron router (DEV-400001) is online with a good signal (-52 dBm) and has the newest firmware (7.2.1), "
        "so I see no fault from here."
    )


@pytest.mark.parametrize(
    ("dbm", "strength"), [(-41, "good"), (-67, "good"), (-68, "fair"), (-75, "fair"), (-76, "weak"), (-110, "weak")]
)
def test_a_signal_is_good_fair_or_weak(dbm: int, strength: str) -> None:
    assert domain.strength(dbm) == strength


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("router", "in the middle of your home"),
        ("phone", "flight mode"),
        ("speaker", "closer to the router"),
        ("tv", "A network cable"),
        ("e-reader", "a Heron Mini halfway"),
    ],
)
async def test_a_weak_signal_gets_the_advice_for_its_device(kind: str, advice: str) -> None:
    result = await use(tools.device_status, office(device(1, kind, signal_dbm=-80)))
    assert "with a weak signal (-80 dBm)" in result.summary
    assert advice in result.summary
    assert result.suggest == Suggestion("restart_device", {"device_id": "DEV-400001"})


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("router", "unplug it for 30 seconds"),
        ("phone", "15 seconds"),
        ("speaker", "unplug it for 20 seconds"),
        ("tv", "unplug it for 60 seconds"),
        ("e-reader", "hold the power button for 20 seconds"),
        ("lamp", "switch it off, wait 30 seconds"),
    ],
)
async def test_an_offline_device_is_restarted_by_hand_and_not_from_here(kind: str, steps: str) -> None:
    backoffice = office(device(1, kind, **OFFLINE))
    result = await use(tools.device_status, backoffice)
    assert "has been offline since" in result.summary
    assert steps in result.summary
    assert result.suggest is None
    with pytest.raises(ToolRefusedError, match="by hand"):
        await use(tools.restart_device, backoffice, '{"device_id": "DEV-400001"}')
    assert backoffice.sent == []


async def test_old_firmware_is_named_with_the_way_to_update() -> None:
    result = await use(tools.device_status, office(device(1, "tv", firmware="4.4.1", latest_firmware="5.0.2")))
    assert "Its firmware is 4.4.1, but 5.0.2 is out" in result.summary
    assert "about 20 minutes" in result.summary
    assert result.suggest is None


async def test_of_all_devices_the_router_and_those_in_trouble_are_told() -> None:
    backoffice = office(device(3, "phone"), device(2, "tv", **OFFLINE), device(1))
    result = await use(tools.device_status, backoffice)
    assert list(result.data) == ["DEV-400001", "DEV-400002"]
    assert result.suggest == Suggestion("restart_device", {"device_id": "DEV-400001"})


async def test_without_a_router_and_trouble_all_are_told() -> None:
    result = await use(tools.device_status, office(device(3, "phone"), device(2, "tv")))
    assert list(result.data) == ["DEV-400003", "DEV-400002"]
    assert result.suggest is None


@pytest.mark.parametrize("wanted", ["TV", "tv", "Gannet", "DEV-400002"])
async def test_a_device_can_be_named_by_kind_product_or_number(wanted: str) -> None:
    backoffice = office(device(1), device(2, "tv", model="Gannet"))
    result = await use(tools.device_status, backoffice, f'{{"device_id": "{wanted}"}}')
    assert list(result.data) == ["DEV-400002"]


@pytest.mark.parametrize(("wanted", "words"), [("speaker", "no speaker"), ("DEV-499999", "no device DEV-499999")])
async def test_a_device_that_is_not_there_is_refused(wanted: str, words: str) -> None:
    for tool in (tools.device_status, tools.restart_device):
        with pytest.raises(ToolRefusedError, match=words):
            await use(tool, office(device()), f'{{"device_id": "{wanted}"}}')


@pytest.mark.parametrize("wanted", ["router", "DEV-400001"])
async def test_a_restart_goes_to_the_one_device_that_is_meant(wanted: str) -> None:
    backoffice = office(device(1), device(2, "tv"))
    result = await use(tools.restart_device, backoffice, f'{{"device_id": "{wanted}"}}')
    assert backoffice.sent == [("POST /devices/DEV-400001/restart", {})]
    assert result.summary == (
        "I have restarted your Heron router (DEV-400001) at 14:05. "
        "Please wait 2 minutes until its light is steady white."
    )


async def test_of_two_routers_the_customer_has_to_choose() -> None:
    backoffice = office(device(1), device(2))
    with pytest.raises(ToolRefusedError) as refused:
        await use(tools.restart_device, backoffice, '{"device_id": "router"}')
    assert refused.value.message == (
        "You have the Heron router (DEV-400001) and the Heron router (DEV-400002); "
        "please tell me which of them you mean."
    )
    assert backoffice.sent == []


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "There is no device registered on your account"),
        (1, "You have 1 device: the Heron router (DEV-400001) is online."),
        (3, "You have 3 devices: the Heron router (DEV-400001) is online, the "),
        (5, "(DEV-400003) is online, and there are 2 more."),
    ],
)
async def test_devices_are_listed_three_at_a_time(count: int, words: str) -> None:
    result = await use(tools.list_devices, office(*[device(number) for number in range(1, count + 1)]))
    assert words in result.summary
    assert "DEV-400004" not in result.summary
