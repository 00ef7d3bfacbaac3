"""What can be chosen on the command line, with defaults for each profile."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

OUT = Path(__file__).parents[1] / "out"
PROFILES = ("steady", "burst", "reconnect", "soak", "saturation", "single")
CLOSED = ("saturation", "single")
BURST_S, BURST_FACTOR = 30.0, 10.0
_CONVERSATIONS = {"steady": 500, "burst": 500, "reconnect": 5000, "soak": 500, "saturation": 100, "single": 1}
_SECONDS = {"soak": 2460.0, "saturation": 60.0, "single": 30.0, "burst": 150.0}
# Memory is in balance when what nobody uses any more is forgotten (PARLEY_CONVERSATION_MEMORY_IDLE_S, 600).
_SOAK_WARMUP_S = 660.0
_STAY = {("saturation", "mixed"): 2, ("single", "mixed"): 2}


class Options(msgspec.Struct, frozen=True):
    """Times in seconds, shares from 0 to 1. `every` is the mean pause between two messages of one customer.

    `warmup` seconds are left out of the times and costs, not out of the accounts. After `stay` dialogues a customer
    begins another conversation.
    """

    profile: str
    conversations: int
    seconds: float
    every: float
    warmup: float
    provider: Literal["realistic", "none"]
    work: Literal["mixed", "handoff"]
    nodes: int
    replicas: str
    workers: int
    slots: int
    seed: int
    data: str
    out: str
    fresh: float
    look_up: float
    stay: int
    patience: float
    known: int
    history_kb: int
    env: tuple[str, ...]

    @property
    def closed(self) -> bool:
        """Whether everybody speaks again as soon as they are answered."""
        return self.profile in CLOSED

    @property
    def environ(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self.env)


def _warmup_s(profile: str, seconds: float) -> float:
    return min(_SOAK_WARMUP_S, seconds / 3) if profile == "soak" else min(10.0, seconds / 5)


def parse(arguments: Sequence[str] | None = None, description: str = "") -> Options:
    """Exits with 2 and a sentence where they make no sense."""
    parser = _parser(description)
    found = parser.parse_args(arguments)
    profile = found.profile
    count = found.conversations or _CONVERSATIONS[profile]
    seconds = found.seconds or _SECONDS.get(profile, 100.0)
    if found.seconds is not None and found.seconds <= 0:
        parser.error("--seconds must be above 0.")
    if any("=" not in pair for pair in found.env):
        parser.error("--env takes NAME=VALUE.")
    if not (0 <= (found.fresh or 0) <= 1 and 0 <= found.look_up <= 1):
        parser.error("--fresh and --look-up are shares from 0 to 1.")
    given = vars(found) | {
        "conversations": count,
        "seconds": seconds,
        "warmup": _warmup_s(profile, seconds) if found.warmup is None else found.warmup,
        "provider": found.provider or ("none" if profile in CLOSED else "realistic"),
        "workers": found.workers or min(2, os.cpu_count() or 1, -(-count // 2000)),
        "fresh": (0.3 if found.work == "mixed" else 0.0) if found.fresh is None else found.fresh,
        "look_up": found.look_up if found.work == "mixed" else 0.0,
        "stay": found.stay or _STAY.get((profile, found.work), 1),
        "env": tuple(found.env),
    }
    return msgspec.convert(given, Options)


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--profile", choices=PROFILES, default="steady")
    add("--conversations", type=int, default=0, help="how many are open at once")
    add("--seconds", type=float, default=None, help="how long they talk")
    add("--every", type=float, default=20.0, help="mean seconds between two messages of one customer, with --data too")
    add("--warmup", type=float, default=None, help="seconds that count for the accounts only")
    add("--provider", choices=("realistic", "none"), default="", help="how fast the model is: 150 ms and 10 ms, or 0")
    add(
        "--work", choices=("mixed", "handoff"), default="mixed", help="handoff: two specialists a turn, as its peers do"
    )
    add("--nodes", type=int, default=0, help="nats-servers of the mesh")
    add("--replicas", default="", metavar="NAME=N,…", help="instances of a service")
    add("--workers", type=int, default=0, help="processes of customers")
    add("--slots", type=int, default=128, help="turns at once for each specialist")
    add("--seed", type=int, default=7)
    add("--data", default="", metavar="FILE", help="dialogues, one JSON object a line, instead of those that ship")
    add("--out", default=str(OUT), metavar="FOLDER")
    add("--fresh", type=float, default=None, help="share of messages in words that nobody has said before")
    add("--look-up", type=float, default=0.1, help="share of messages for which a tool is called")
    add("--stay", type=int, default=0, help="dialogues in one conversation")
    add("--patience", type=float, default=30.0, help="seconds that who waits for answers waits")
    add("--known", type=int, default=0, help="conversations that the mesh has already, and the customers go on with")
    add("--history-kb", type=int, default=0, help="what each of those has said and heard")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting of the mesh; may be repeated")
    return parser
