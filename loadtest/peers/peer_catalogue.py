"""Which peers there are, in which configurations each is tried, and what it leaves out against a turn of Parley's."""

from __future__ import annotations

import msgspec

AT_ONCE = (1, 8, 16, 32)
LANGGRAPH = "LangGraph, AsyncPostgresSaver"
# What none of the peers does and Parley does in every turn.
ALL_LEAVE_OUT = (
    "no socket: the load calls a function",
    "no streaming: the reply comes as a whole",
    "no tenants, limits or routing by intent",
    "no effect ledger, no audit trail, no telemetry",
)
_IN_ONE_PROGRAM = "specialists are functions in the process that asks them"
_NO_FENCE = "no fencing: two processes may answer one conversation"
_NO_INTAKE = "no exactly-once intake: a repeated message is answered again"
_NO_TAKEOVER = "no takeover: a turn under way waits until somebody calls it again"
_SERVICE = (_IN_ONE_PROGRAM, _NO_FENCE, _NO_INTAKE, _NO_TAKEOVER)
_OTP = ("no second machine has a copy", "one virtual machine: messages never leave its memory", _NO_INTAKE)


class Row(msgspec.Struct, frozen=True):
    """One line of the table: a script, and the configurations of which the fastest counts.

    `family` names the environment in .venvs and its requirements; "" is Elixir. `modes` are tried as well as
    `processes` and `concurrency`. `counted_when` says what holds when a reply counts.
    """

    name: str
    family: str
    script: str
    counted_when: str
    leaves_out: tuple[str, ...]
    durable: bool = True
    modes: tuple[str, ...] = ("",)
    processes: tuple[int, ...] = (1, 2)
    concurrency: tuple[int, ...] = AT_ONCE
    database: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """One configuration of a row."""

    mode: str
    processes: int
    concurrency: int


def _langgraph(modes: tuple[str, ...], title: str, counted_when: str, *leaves_out: str) -> Row:
    return Row(
        f"{LANGGRAPH}, {title}",
        "langgraph",
        "langgraph_peer.py",
        counted_when,
        (*leaves_out, *_SERVICE),
        modes=modes,
        database=True,
    )


def _elixir(mode: str, title: str, counted_when: str, *leaves_out: str) -> Row:
    return Row(
        f"Elixir, {title}",
        "",
        "elixir_peer.exs",
        counted_when,
        (*leaves_out, *_OTP),
        durable=mode != "memory",
        modes=(mode,),
        processes=(1,),
        concurrency=(*AT_ONCE, 64, 128),
    )


ROWS = (
    _langgraph(
        ("sync connections", "sync pool", "sync pipeline"), "sync", "PostgreSQL has synced each step to the disk"
    ),
    _langgraph(
        ("exit connections", "exit pool", "exit pipeline"),
        "exit",
        "PostgreSQL has synced the end of the turn to the disk",
        "the handoff is lost in a crash before",
    ),
    _langgraph(
        ("sync connections unsynced",),
        "sync, commits not synced",
        "PostgreSQL has each step in memory, the disk follows",
        "lost with the machine's power: the last commits",
    ),
    _langgraph(
        ("exit connections unsynced",),
        "exit, commits not synced",
        "PostgreSQL has the end of the turn in memory, the disk follows",
        "the handoff is lost in a crash before; with the machine's power the last commits too",
    ),
    Row(
        "OpenAI Agents SDK, SQLite session",
        "openai_agents",
        "openai_agents_peer.py",
        "SQLite has synced each item of the turn to the disk",
        ("which specialist owns the conversation is not kept", "one machine's file", *_SERVICE),
        modes=("sqlite", "async"),
    ),
    Row(
        "AutoGen Core, gRPC, host and two workers",
        "autogen",
        "autogen_peer.py",
        "the reply has arrived: nothing is durable",
        ("a worker's end loses its conversations", _NO_FENCE, _NO_INTAKE),
        durable=False,
        processes=(1,),
        concurrency=(*AT_ONCE, 64),
    ),
    _elixir("dets", "DETS synced", "DETS has synced the whole state to the disk"),
    _elixir("mnesia", "Mnesia synced", "Mnesia has synced its log to the disk"),
    _elixir("memory", "ETS", "the state is in memory: nothing is durable", "the end of its virtual machine loses all"),
)


def attempts(row: Row) -> list[Attempt]:
    """All configurations; the first of them takes one conversation at a time."""
    found = [
        Attempt(mode, processes, concurrency)
        for concurrency in row.concurrency
        for processes in row.processes
        for mode in row.modes
        if processes <= concurrency
    ]
    return sorted(found, key=lambda attempt: attempt.concurrency)


def chosen(words: str) -> list[Row]:
    """The rows whose name or family has one of the comma-separated `words`; all without any."""
    wanted = [word.strip().lower() for word in words.split(",") if word.strip()]
    return [row for row in ROWS if not wanted or any(word in f"{row.name} {row.family}".lower() for word in wanted)]
