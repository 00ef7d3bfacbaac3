"""What technical support can look up and do. The customer comes from the session, never from an argument."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parley_specialist.reading import now, read_list, send
from parley_specialist.tools import Suggestion, ToolContext, ToolRefusedError, ToolResult, tool
from parley_technical import domain
from parley_technical.domain import NEWEST
from parley_technical.records import Device

AnyDevice = Annotated[
    str,
    Meta(
        pattern=r"^(DEV-[0-9]{1,12}|router|phone|speaker|tv|TV|e-reader|Heron|Tern|Wren|Gannet|Owl|all)$",
        description="the device: router, phone, speaker, TV or e-reader, its number such as DEV-400001, or 'all'",
    ),
]
OneDevice = Annotated[
    str,
    Meta(
        pattern=r"^(DEV-[0-9]{1,12}|router|phone|speaker|tv|TV|e-reader|Heron|Tern|Wren|Gannet|Owl)$",
        description="the device: router, phone, speaker, TV or e-reader, or its number such as DEV-400001",
    ),
]


async def _devices(context: ToolContext) -> list[Device]:
    return await read_list(context, "/devices", Device)


@tool(
    use_when=(
        "which devices do I have",
        "show my devices",
        "list my devices",
        "what is registered on my account",
        "is my speaker in my account",
        "which router do I have",
        "what model is my TV",
        "what is the number of my device",
        "do you see my phone",
        "what products of yours do I use",
    )
)
async def list_devices(context: ToolContext) -> ToolResult:
    """List the customer's devices with their numbers and whether they are online."""
    devices = await _devices(context)
    if not devices:
        return ToolResult(domain.missing("all"))
    return ToolResult(domain.listed(devices), {"devices": [one.device_id for one in devices[:NEWEST]]})


@tool(
    use_when=(
        "my wifi keeps dropping",
        "the internet is slow",
        "my router is not working",
        "I have no connection",
        "the connection cuts out every evening",
        "my TV does not connect",
        "my router is offline",
        "my speaker does not respond",
        "my phone has no signal",
        "what is wrong with my router",
        "is my router online",
        "the signal is weak upstairs",
        "are all my devices online",
        "is there an update for my phone",
        "films keep buffering on my TV",
        "my e-reader is frozen",
        "can you check my device",
    )
)
async def device_status(context: ToolContext, device_id: AnyDevice = "all") -> ToolResult:
    """Check from afar how the customer's devices are: online, signal, firmware, and what to do."""
    found = domain.chosen(await _devices(context), device_id)[:NEWEST]
    if not found:
        raise ToolRefusedError(domain.missing(device_id))
    at = now()
    first = found[0]
    suggest = Suggestion("restart_device", {"device_id": first.device_id}) if domain.worth_restarting(first) else None
    told = " ".join(domain.diagnosis(one, at) for one in found)
    return ToolResult(told, {one.device_id: one.status for one in found}, suggest)


async def _restartable(context: ToolContext, device_id: str) -> Device:
    found = domain.chosen(await _devices(context), device_id)
    if len(found) != 1:
        raise ToolRefusedError(domain.which(found) if found else domain.missing(device_id))
    if not domain.online(found[0]):
        raise ToolRefusedError(domain.diagnosis(found[0], now()))
    return found[0]


@tool(
    use_when=(
        "restart my router",
        "reboot the router",
        "can you restart it for me",
        "turn it off and on again",
        "restart the router because the wifi keeps dropping",
        "reboot the router as the internet is slow",
        "restart it, my router is not working",
        "please reboot my TV",
        "restart my speaker",
        "restart my device",
        "give my router a restart",
        "power cycle my device",
        "can you reboot it from your side",
    ),
    key=("device_id", "$turn"),
    confirm="Shall I restart your device now ({device_id})? It is off for about two minutes.",
    before_asking=_restartable,
)
async def restart_device(context: ToolContext, device_id: OneDevice) -> ToolResult:
    """Restart one device of the customer from afar."""
    device = await _restartable(context, device_id)
    done = await send(context, "POST", f"/devices/{device.device_id}/restart", {}, Device)
    return ToolResult(domain.restarted(done), {"device_id": device.device_id})
