"""What is wrong with a device, as far as it can be seen from afar, and what to do about it. Pure.

The steps are those of the help pages: 'Wi-Fi keeps dropping', 'Slow internet', 'Software updates', and one a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from parley_specialist.wording import day, here, several
from parley_technical.records import Device

NEWEST = 3
# Received power of Wi-Fi: -67 dBm is what calls and films need; below -75 dBm connections drop.
GOOD_DBM = -67
WEAK_DBM = -75
NAMES = {"tv": "TV"}
BY_HAND = {
    "router": "unplug it for 30 seconds, plug it in again and wait 2 minutes for a steady white light",
    "phone": "hold the power button and the volume down button together for 15 seconds; your data stays on it",
    "speaker": "unplug it for 20 seconds and plug it in again; if that does not help, restart the router first",
    "tv": "unplug it for 60 seconds and plug it directly into the wall socket",
    "e-reader": "hold the power button for 20 seconds, release it and wait 1 minute; charge it if nothing happens",
}
STRONGER = {
    "router": "Place it upright in an open spot in the middle of your home, away from microwave ovens and thick walls",
    "phone": "Go closer to the router, or switch flight mode on for 20 seconds and off again",
    "speaker": "Move it closer to the router or use the 5 GHz network",
    "tv": "A network cable is the most stable connection, or move a Heron Mini closer to it",
    "e-reader": "Move it closer to the router, or place a Heron Mini halfway to that room",
}
UPDATES = {
    "router": "in the app under Devices, Check for update; it takes about 5 minutes",
    "phone": "on the phone under Settings, System, Update",
    "speaker": "in the app under Devices, Check for update; it takes about 10 minutes",
    "tv": "in the app under Devices, Check for update; it takes about 20 minutes",
}
AFTER_RESTART = {
    "router": "Please wait 2 minutes until its light is steady white.",
    "phone": "It needs about a minute to start again.",
    "speaker": "It is ready again when its ring has stopped blinking.",
    "tv": "It needs about a minute to start again.",
}


def name(device: Device) -> str:
    """'Heron router (DEV-400001)': the shop's name of a product is its model and its kind."""
    return f"{device.model} {NAMES.get(device.kind, device.kind)} ({device.device_id})"


def online(device: Device) -> bool:
    return device.status == "online"


def outdated(device: Device) -> bool:
    return device.firmware != device.latest_firmware


def weak(device: Device) -> bool:
    return device.signal_dbm is not None and device.signal_dbm < WEAK_DBM


def troubled(device: Device) -> bool:
    return not online(device) or weak(device) or outdated(device)


def strength(signal_dbm: int) -> str:
    """'good', 'fair' or 'weak'."""
    if signal_dbm >= GOOD_DBM:
        return "good"
    return "fair" if signal_dbm >= WEAK_DBM else "weak"


def chosen(devices: Sequence[Device], wanted: str) -> list[Device]:
    """The devices meant by number, kind or product; of 'all' the routers, then what is in trouble."""
    if wanted == "all":
        mine = [one for one in devices if one.kind == "router" or troubled(one)] or list(devices)
        return sorted(mine, key=lambda one: (one.kind != "router", online(one), not weak(one)))
    return [one for one in devices if wanted == one.device_id or wanted.lower() in (one.kind, one.model.lower())]


def missing(wanted: str) -> str:
    what = {"all": "device", "tv": "TV"}.get(wanted.lower(), wanted)
    what = f"device {wanted}" if wanted.startswith("DEV-") else what
    return f"There is no {what} registered on your account; you can add one in the app under Devices, Add device."


def which(devices: Sequence[Device]) -> str:
    """What to say where several devices may be meant."""
    return f"You have {several([f'the {name(one)}' for one in devices])}; please tell me which of them you mean."


def listed(devices: Sequence[Device]) -> str:
    """The first devices of a customer, as sentences."""
    told = several([f"the {name(one)} is {one.status}" for one in devices[:NEWEST]])
    more = f", and there are {len(devices) - NEWEST} more" if len(devices) > NEWEST else ""
    return f"You have {len(devices)} device{'s' if len(devices) > 1 else ''}: {told}{more}."


def diagnosis(device: Device, now: datetime) -> str:
    """What can be seen of a device from afar, and the next step, as sentences."""
    if not online(device):
        return f"Your {name(device)} has been offline since {_moment(device.last_seen, now)}. {by_hand(device)}"
    seen = f"Your {name(device)} is online"
    if device.signal_dbm is not None:
        seen += f" with a {strength(device.signal_dbm)} signal ({device.signal_dbm} dBm)"
    found = [remark for remark in (_signal(device), _firmware(device)) if remark]
    if not found:
        return f"{seen} and has the newest firmware ({device.firmware}), so I see no fault from here."
    return " ".join([f"{seen}.", *found])


def _moment(when: datetime, now: datetime) -> str:
    return f"{day(when, now)}, {here(when):%H:%M}"


def by_hand(device: Device) -> str:
    """How to restart a device that can't be reached."""
    steps = BY_HAND.get(device.kind, "switch it off, wait 30 seconds and switch it on again")
    return f"I can't restart it from here, so please do it by hand: {steps}."


def _signal(device: Device) -> str:
    advice = STRONGER.get(device.kind)
    return f"{advice}, because its signal is weak." if advice and weak(device) else ""


def _firmware(device: Device) -> str:
    if not outdated(device):
        return ""
    how = UPDATES.get(device.kind, "in the app under Devices, Check for update")
    return f"Its firmware is {device.firmware}, but {device.latest_firmware} is out: you can update it {how}."


def worth_restarting(device: Device) -> bool:
    """A restart helps where the signal is weak, and a router picks a free channel by it."""
    return online(device) and (weak(device) or device.kind == "router")


def restarted(device: Device) -> str:
    """What to say once a device is restarted."""
    at = f" at {here(device.restarted_at):%H:%M}" if device.restarted_at else ""
    return f"I have restarted your {name(device)}{at}. {AFTER_RESTART.get(device.kind, 'It is ready in a minute.')}"
