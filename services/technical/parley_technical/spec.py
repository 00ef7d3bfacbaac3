"""The technical specialty."""

from __future__ import annotations

from parley_specialist.spec import Spec, instructions_of
from parley_technical import tools


def spec() -> Spec:
    return Spec(
        name="technical",
        title="Technical support",
        handles=(
            "devices that do not work, Wi-Fi, internet and signal, routers, phones, TVs, speakers, e-readers, set-up, "
            "updates, resets, the app and the website, declined cards and payments, Apple Pay and Google Pay, outages"
        ),
        instructions=instructions_of(__package__),
        tools=[tools.device_status, tools.restart_device, tools.list_devices],
    )
