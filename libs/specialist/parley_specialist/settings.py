"""Settings of a specialty: its own section, so `PARLEY_BILLING_SLOTS` and so on."""

from __future__ import annotations

import msgspec

from parley_proto.llm import Tier


class Settings(msgspec.Struct, frozen=True):
    """`slots` is how many turns one instance answers at once; times in seconds.

    `answer_hosts` are the hosts that links and images in answers may go to, separated by commas; none when empty.
    """

    backoffice_url: str = "http://127.0.0.1:8090"
    backoffice_token: str = ""
    slots: int = 32
    consult_slots: int = 8
    tier: Tier = "standard"
    max_rounds: int = 6
    max_attempts: int = 4
    consult_timeout_s: float = 10.0
    search_timeout_s: float = 6.0
    model_patience_s: float = 20.0
    backoffice_timeout_s: float = 5.0
    backoffice_connections: int = 32
    passages: int = 5
    answer_hosts: str = ""
