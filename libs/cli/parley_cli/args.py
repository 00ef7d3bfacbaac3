"""The commands and their options. Each command's module is loaded only when it runs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
from collections.abc import Callable

from parley_proto.broadcast import MAX_TTL_S

Command = Callable[[argparse.Namespace], int]
_SEVERITIES = ("info", "warning", "critical")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="parley", description="Customer-service agents as a mesh of small services.")
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for add in (_lifecycle, _looking, _knowledge, _routing, _talking):
        add(commands)
    return top


def _lifecycle(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = _command(commands, "up", "up:up", "start the mesh on this machine and keep it running")
    up.add_argument("--detach", action="store_true", help="return when it is ready; it goes on in the background")
    up.add_argument("--nodes", default="", metavar="N", help="how many nats-servers carry the log: 1, 3 or 5")
    up.add_argument("--replicas", default="", metavar="NAME=N,…", help="how many instances of a service, or of all")
    up.add_argument("--report", type=int, default=-1, help=argparse.SUPPRESS)
    _command(commands, "down", "up:down", "stop the mesh: drain the gateway first, NATS last")
    restart = _command(commands, "restart", "up:restart", "restart one instance, or all of a service in turn")
    restart.add_argument("instance", metavar="INSTANCE", help="such as rag-1, or rag for all of them")
    scale = _command(commands, "scale", "up:scale", "change how many instances of a service run")
    scale.add_argument("replicas", metavar="NAME=N,…")
    scrub = _json(_command(commands, "scrub", "scrub:run", "compare the copies of the log that the nodes hold"))
    scrub.add_argument("--deep", action="store_true", help="first have each node read all that it holds, in turn")
    scrub.add_argument("--mend", action="store_true", help="have a node that differs copy from the others")


def _looking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _json(_command(commands, "status", "status:run", "what runs, whether it is ready, what waits"))
    logs = _command(commands, "logs", "logs:run", "what the services wrote")
    logs.add_argument("service", nargs="?", default="", metavar="SERVICE", help="a service or an instance; all if none")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as more is written")
    logs.add_argument("-n", "--lines", type=_lines, default=20, help="how many lines of each (20)")
    _command(commands, "env", "env:run", 'addresses and the operator\'s identity, for eval "$(parley env)"')
    config = _group(commands, "config", "the settings of all services")
    show = _json(_command(config, "show", "config:show", "every setting and its value; secrets stay hidden"))
    show.add_argument("name", nargs="?", default="", metavar="NAME", help="only those with this in their variable")
    show.add_argument("--origin", action="store_true", help="also where each value comes from")
    conversations = _group(commands, "conversations", "what was said")
    one = _json(_command(conversations, "show", "conversations:show", "the record of one conversation"))
    one.add_argument("id", metavar="ID")
    one.add_argument("--tenant", default="default")
    retire = _json(_command(conversations, "retire", "conversations:retire", "move one from the log to the archive"))
    retire.add_argument("id", metavar="ID")
    _dead(commands)
    check = _json(_command(commands, "check", "check:run", "judge a recorded history: nothing lost, nothing twice"))
    check.add_argument("history", metavar="HISTORY.jsonl")


def _dead(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    dead = _group(commands, "dead", "what could not be handled and was set aside")
    _json(_command(dead, "list", "dead:list_", "the dead letters, oldest first"))
    for action, text in (
        ("show", "one of them, with its reason and the customer's words"),
        ("retry", "have the customer's words answered after all; refused where a side effect may have happened"),
        ("drop", "forget it; what was said stays in the record (of an unknown outcome: a person has settled it)"),
    ):
        _command(dead, action, f"dead:{action}", text).add_argument("id", metavar="ID")


def _knowledge(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    kb = _group(commands, "kb", "the knowledge base")
    _ingesting(kb)
    search = _json(_command(kb, "search", "kb:search", "what the specialists would find"))
    search.add_argument("query", metavar="QUERY")
    search.add_argument("--specialty", default="")
    search.add_argument("--limit", type=int, default=5)
    search.add_argument("--tenant", default="default")
    search.add_argument("--mode", choices=("hybrid", "vector", "text"), default="hybrid")
    search.add_argument(
        "--history", action="append", default=[], metavar="TURN", help="an earlier turn; may be repeated"
    )
    search.add_argument("--filter", action="append", default=[], metavar="FIELD=VALUE", help="such as language=en")
    search.add_argument("--group", action="append", default=[], metavar="NAME", help="a group that the asker is in")
    search.add_argument("--at", default="", metavar="DATE", help="what held on that day (today)")
    evaluated = _json(_command(kb, "eval", "kb:evaluate", "measure search on passages and questions, without a mesh"))
    evaluated.add_argument("--passages", required=True, metavar="FILE", help="JSON lines or a folder of documents")
    evaluated.add_argument("--questions", required=True, metavar="FILE.jsonl", help="`question` and `gold_passages`")
    evaluated.add_argument(
        "--unanswerable", default="", metavar="FILE.jsonl", help="questions that have no answer there"
    )
    evaluated.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N questions")
    evaluated.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    _tables(kb)
    broadcast = _command(commands, "broadcast", "broadcast:run", "tell everyone who runs")
    broadcast.add_argument("text", metavar="TEXT")
    broadcast.add_argument("--topic", default="notice", help="the last token of the subject broadcast.<topic>")
    broadcast.add_argument("--severity", choices=_SEVERITIES, default="warning")
    broadcast.add_argument("--scope", default="all", help="all, a specialty or a region")
    broadcast.add_argument(
        "--ttl", type=_seconds, default=3600, metavar="SECONDS", help="how long it is in force (3600)"
    )


def _ingesting(kb: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ingest = _json(_command(kb, "ingest", "kb:ingest", "take in Markdown, HTML, PDF, JSON lines, whole folders"))
    ingest.add_argument("paths", nargs="*", metavar="PATH")
    ingest.add_argument("--bucket", default="", metavar="PREFIX", help="objects of the NATS bucket `documents` instead")
    ingest.add_argument("--tenant", default="default")
    ingest.add_argument("--specialty", default="general", help="for documents that name none (general: all of them)")
    ingest.add_argument("--language", default="", help="for documents that name none, such as en")
    ingest.add_argument("--valid-from", default="", metavar="DATE")
    ingest.add_argument("--valid-until", default="", metavar="DATE")
    ingest.add_argument("--access", default="public", metavar="GROUP", help="who may read them (public: everyone)")
    ingest.add_argument("--detach", action="store_true", help="print the ingestion's id and return; it goes on")
    ingest.add_argument(
        "--timeout", type=_patience, default=120.0, metavar="SECONDS", help="without any progress (120)"
    )
    progress = _json(_command(kb, "progress", "kb:progress", "how far an ingestion has come, and what was refused"))
    progress.add_argument("job", metavar="ID")


def _tables(kb: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for action, text in (
        ("stats", "rows, model, indexes, caches"),
        ("versions", "the versions and tags of the table"),
        ("snapshots", "the snapshots that there are"),
        ("reindex", "embed everything anew with the model that is set"),
    ):
        _json(_command(kb, action, "kb:table", text)).set_defaults(action=action)
    for action, metavar, text in (
        ("snapshot", "NAME", "copy what is new to the snapshot store"),
        ("restore", "NAME", "bring back a version, a tag or a snapshot; without a name the newest sound snapshot"),
        ("tag", "NAME", "name the present version, so that it is kept"),
        ("forget", "DOCUMENT", "remove a document"),
    ):
        command = _json(_command(kb, action, "kb:table", text))
        optional = action in ("snapshot", "restore")
        command.add_argument("name", metavar=metavar, nargs="?" if optional else None, default="")
        command.add_argument("--tenant", default="default")
        command.set_defaults(action=action)


def _routing(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    route = _group(commands, "route", "the router: which specialty a message is about")
    train = _json(_command(route, "train", "route:train", "train a head on labelled messages of your own"))
    train.add_argument("file", metavar="FILE.jsonl", help="a JSON object a line, with a text and a label")
    train.add_argument("--out", required=True, metavar="HEAD.npz", help="for PARLEY_CONVERSATION_ROUTER")
    measure = _json(_command(route, "eval", "route:evaluate", "measure by cross-validation, or a head on a file"))
    measure.add_argument("files", nargs="+", metavar="FILE.jsonl")
    measure.add_argument("--head", default="", metavar="HEAD.npz", help="measure this head instead of training")
    measure.add_argument(
        "--leave-one-out", action="store_true", help="each file judged by a six-way head of the others"
    )
    for command in (train, measure):
        command.add_argument("--text-field", default="", metavar="NAME", help="where the text is (found by itself)")
        command.add_argument("--labels", default="", metavar="NAME", help="where the label is (found by itself)")
        command.add_argument("--oos-label", default="", metavar="LABEL", help="of what is out of scope (oos or none)")
        command.add_argument("--folds", type=int, default=5, metavar="N", help="of the cross-validation (5)")


def _talking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    chat = _door(_json(_command(commands, "chat", "chat:run", "talk to the mesh as a customer")))
    chat.add_argument("message", nargs="?", metavar="MESSAGE", help="without one: a dialogue")
    chat.add_argument("--thread", default="", metavar="ID", help="go on with this conversation")
    chat.add_argument("--timeout", type=_patience, default=120.0, metavar="SECONDS", help="for each answer (120)")
    replay = _door(_json(_command(commands, "replay", "replay:run", "send each line of a file as a conversation")))
    replay.add_argument("file", metavar="FILE.jsonl", help="a JSON object a line, with `text` and perhaps `specialty`")
    replay.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N lines")
    replay.add_argument("--concurrency", type=int, default=64, metavar="N", help="conversations at once (64)")
    replay.add_argument(
        "--timeout", type=_patience, default=120.0, metavar="SECONDS", help="for each conversation (120)"
    )


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
    command.add_argument(
        "--token", type=_token, default=token, help="a JWT, where the gateway wants one (PARLEY_TOKEN)"
    )
    return command


def _seconds(text: str) -> int:
    """One second or more, and no longer than a notice may last."""
    if not text.isdecimal() or not 0 < int(text) <= MAX_TTL_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 1 to {MAX_TTL_S}")
    return int(text)


def _patience(text: str) -> float:
    """Seconds to wait: more than none, and not for ever."""
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def _lines(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines, such as 20")
    return int(text)


def _token(text: str) -> str:
    """What can stand in a header: printable and without spaces (RFC 6750)."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("a token is one word of ASCII, without line breaks")
    return text


def _loading(target: str) -> Command:
    module, _, name = target.partition(":")

    def run(args: argparse.Namespace) -> int:
        command: Command = getattr(importlib.import_module(f"parley_cli.commands.{module}"), name)
        return command(args)

    return run


def _version() -> str:
    from importlib.metadata import version

    return f"parley {version('parley-cli')}"
