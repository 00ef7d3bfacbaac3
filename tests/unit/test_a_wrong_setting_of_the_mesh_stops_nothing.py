"""What would keep a service from starting is found before anything is stopped: its own settings, and the mesh's."""

from __future__ import annotations

import pytest

from parley_cli.supervise import services
from parley_proto.errors import SettingsError


def billing() -> services.Service:
    return next(service for service in services.discover("") if service.name == "billing")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PARLEY_MESH_LOG_LEVEL", "CHATTY"), ("PARLEY_BILLING_SLOTS", "-5"), ("PARLEY_BILLING_SLOTS", "many")],
)
def test_it_is_named_with_its_value(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        services.check(billing(), {variable: value})
    assert value in caught.value.message


def test_sound_settings_pass() -> None:
    services.check(billing(), {"PARLEY_MESH_LOG_LEVEL": "WARNING", "PARLEY_BILLING_SLOTS": "8"})
