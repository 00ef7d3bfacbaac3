"""The commands and their options. Each command's module is loaded only when it runs."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable

Command = Callable[[argparse.Namespace], int]
_SEVERITIES = ("info", "warning", "critical")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="parley", description="Customer-service agents as a mesh of small services.")
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for add in (_lifecycle, _looking, _knowledge, _talking):
        add(commands)
    return top


def _lifecycle(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = _command(commands, "up", "up:up", "start the mesh on this machine and keep it running")
    up.add_argument("--detach", action="store_true", help="return when it is ready; it goes on in the background")
    up.add_argument("--replicas", default="", metavar="NAME=N,…", help="how many instances of a service (usually 1)")
    up.add_argument("--report", type=int, default=-1, help=argparse.SUPPRESS)
    _command(commands, "down", "up:down", "stop the mesh: drain the gateway first, NATS last")
    restart = _command(commands, "restart", "up:restart", "restart one instance, or all of a service in turn")
    restart.add_argument("instance", metavar="INSTANCE", help="such as rag-1, or rag for all of them")
    scale = _command(commands, "scale", "up:scale", "change how many instances of a service run")
    scale.add_argument("replicas", metavar="NAME=N,…")


def _looking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _json(_command(commands, "status", "status:run", "what runs, whether it is ready, what waits"))
    logs = _command(commands, "logs", "logs:run", "what the services wrote")
    logs.add_argument("service", nargs="?", default="", metavar="SERVICE", help="a service or an instance; all if none")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as more is written")
    logs.add_argument("-n", "--lines", type=int, default=20, help="how many lines of each (20)")
    _command(commands, "env", "env:run", 'addresses and the operator\'s identity, for eval "$(parley env)"')
    config = _group(commands, "config", "the settings of all services")
    show = _json(_command(config, "show", "config:show", "every setting and its value; secrets stay hidden"))
    show.add_argument("--origin", action="store_true", help="also where each value comes from")
    conversations = _group(commands, "conversations", "what was said")
    one = _json(_command(conversations, "show", "conversations:show", "the record of one conversation"))
    one.add_argument("id", metavar="ID")
    one.add_argument("--tenant", default="default")


def _knowledge(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    kb = _group(commands, "kb", "the knowledge base")
    ingest = _json(_command(kb, "ingest", "kb:ingest", "add or replace documents (Markdown, JSONL)"))
    ingest.add_argument("paths", nargs="+", metavar="PATH")
    ingest.add_argument("--tenant", default="default")
    search = _json(_command(kb, "search", "kb:search", "what the specialists would find"))
    search.add_argument("query", metavar="QUERY")
    search.add_argument("--specialty", default="")
    search.add_argument("--limit", type=int, default=5)
    search.add_argument("--tenant", default="default")
    broadcast = _command(commands, "broadcast", "broadcast:run", "tell everyone who runs")
    broadcast.add_argument("text", metavar="TEXT")
    broadcast.add_argument("--topic", default="notice", help="the last token of the subject broadcast.<topic>")
    broadcast.add_argument("--severity", choices=_SEVERITIES, default="warning")
    broadcast.add_argument("--scope", default="all", help="all, a specialty or a region")
    broadcast.add_argument("--ttl", type=int, default=3600, metavar="SECONDS", help="how long it is in force (3600)")


def _talking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    chat = _door(_json(_command(commands, "chat", "chat:run", "talk to the mesh as a customer")))
    chat.add_argument("message", nargs="?", default="", metavar="MESSAGE", help="without one: a dialogue")
    chat.add_argument("--thread", default="", metavar="ID", help="go on with this conversation")
    chat.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS")
    replay = _door(_json(_command(commands, "replay", "replay:run", "send each line of a file as a conversation")))
    replay.add_argument("file", metavar="FILE.jsonl", help="a JSON object a line, with `text` and perhaps `specialty`")
    replay.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N lines")
    replay.add_argument("--concurrency", type=int, default=64, metavar="N", help="conversations at once (64)")
    replay.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="for each conversation (120)")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, target: str, text: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    made.add_argument("--data", default="", metavar="DIR", help="the mesh's folder (.parley, or PARLEY_DATA)")
    made.set_defaults(command=_loading(target))
    return made


def _group(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    return made.add_subparsers(metavar="COMMAND", required=True)


def _json(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _door(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--url", default="", help="the gateway's address (PARLEY_URL, else the mesh that runs here)")
    token = os.environ.get("PARLEY_TOKEN", "")
    command.add_argument("--token", default=token, help="a JWT, where the gateway wants one (PARLEY_TOKEN)")
    return command


def _loading(target: str) -> Command:
    module, _, name = target.partition(":")

    def run(args: argparse.Namespace) -> int:
        command: Command = getattr(importlib.import_module(f"parley_cli.commands.{module}"), name)
        return command(args)

    return run


def _version() -> str:
    from importlib.metadata import version

    return f"parley {version('parley-cli')}"
