"""Settings of a specialty: its own section, so `PARLEY_BILLING_SLOTS` and so on."""

from __future__ import annotations

from typing import Annotated

import msgspec

from parley_proto.llm import Tier

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True):
    """One instance answers between `slots_least` and `slots` turns at once (`pool`); times in seconds.

    `backoffice_idempotent` says that the third party does a call once however often it hears its idempotency key;
    otherwise a side effect with an unknown outcome goes to a person instead of being tried again.
    `answer_hosts` are the hosts that links and images in answers may go to, separated by commas; none when empty.
    """

    backoffice_url: str = "http://127.0.0.1:8090"
    backoffice_token: str = ""
    backoffice_idempotent: bool = True
    slots: Count = 128
    slots_least: Count = 8
    consult_slots: Count = 8
    tier: Tier = "standard"
    max_rounds: Count = 6
    max_attempts: Count = 4
    consult_timeout_s: Seconds = 10.0
    search_timeout_s: Seconds = 3.5
    model_patience_s: Seconds = 20.0
    backoffice_timeout_s: Seconds = 5.0
    backoffice_connections: Count = 32
    passages: Count = 5
    answer_hosts: str = ""
