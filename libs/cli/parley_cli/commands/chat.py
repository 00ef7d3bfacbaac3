"""`parley chat`: a customer's side of a conversation, in the terminal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from parley_cli.client import Answer, Conversation, door
from parley_cli.errors import CommandError
from parley_cli.gateway import url_of
from parley_cli.lines import typed_lines


def run(args: argparse.Namespace) -> int:
    """Say one message, or one a line until the input ends; exit code 1 when one was not answered."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    shown = _Shown(quiet=args.json)
    async with (
        door(url_of(args), args.token) as through,
        Conversation(through, args.thread, shown.see, tell=_beside) as conversation,
    ):
        if args.message is None:
            return await _dialogue(conversation, args, shown)
        if args.thread:
            await _read_up(conversation, shown, args.timeout)
        await _say(conversation, args.message, args, shown)
    return 0


async def _dialogue(conversation: Conversation, args: argparse.Namespace, shown: _Shown) -> int:
    code = 0
    async for line in typed_lines("> "):
        if not line.strip():
            continue
        try:
            await _say(conversation, line, args, shown)
        except CommandError as error:
            print(f"parley: {error.message}", file=sys.stderr)
            code = error.exit_code
    return code


async def _read_up(conversation: Conversation, shown: _Shown, timeout_s: float) -> None:
    """Let pass what was said before: who says one thing wants the answer to that, not all that there ever was."""
    with shown.muted():
        try:
            await conversation.caught_up(timeout_s)
        except TimeoutError as error:
            why = f" {conversation.trouble}." if conversation.trouble else ""
            raise CommandError(f"The message could not be sent within {timeout_s:g} s.{why}") from error


async def _say(conversation: Conversation, text: str, args: argparse.Namespace, shown: _Shown) -> None:
    try:
        answer = await conversation.say(text, args.timeout)
    except TimeoutError as error:
        state = "was taken but not answered" if conversation.acked else "could not be sent"
        where = f"; go on with --thread {conversation.thread}" if conversation.thread else ""
        why = f" {conversation.trouble}." if conversation.trouble else ""
        raise CommandError(f"The message {state} within {args.timeout:g} s{where}.{why}") from error
    if args.json:
        print(json.dumps(_as_json(answer), ensure_ascii=False), flush=True)
        return
    shown.finish(answer)
    if not args.thread:
        print(f"thread {answer.thread_id}", file=sys.stderr)
        args.thread = answer.thread_id


def _beside(sentence: str) -> None:
    print(f"parley: {sentence}", file=sys.stderr)


def _as_json(answer: Answer) -> dict[str, Any]:
    return {
        "threadId": answer.thread_id,
        "text": answer.text,
        "specialty": answer.specialty,
        "kind": answer.kind,
        "citations": answer.citations,
        "offline": answer.offline,
        "ms": answer.ms,
    }


class _Shown:
    """What a person sees: on a terminal the words as they come, elsewhere each message when it is whole.

    A terminal can't take words back: an answer that begins anew begins on a new line.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stdout.isatty()
        self._texts: dict[str, str] = {}
        self._open_line = False

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        quiet, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = quiet

    def see(self, ev: dict[str, Any]) -> None:
        if self._quiet:
            return
        match ev["type"]:
            case "TEXT_MESSAGE_START" if ev["role"] != "user":
                self._texts[ev["messageId"]] = ""
                self._new_line()
            case "TEXT_MESSAGE_CONTENT" if ev["messageId"] in self._texts:
                self._texts[ev["messageId"]] += ev["delta"]
                if self._live:
                    self._write(ev["delta"])
            case "TEXT_MESSAGE_END" if ev.get("metadata") and not self._live:
                self._write(self._texts.get(ev["messageId"], ""))
                self._new_line()
            case "ACTIVITY_SNAPSHOT":
                self._beside(ev["activityType"], ev["content"])

    def finish(self, answer: Answer) -> None:
        """End the line, then say where the sentences come from."""
        self._new_line()
        for citation in answer.citations:
            place = citation.get("section") or citation.get("tool") or citation.get("document") or ""
            # What a tool found has no number in the text.
            mark = f"[{citation['n']}]" if citation.get("n") else "·"
            print(f"  {mark} {citation.get('title', '')}{f' ({place})' if place else ''}")
        if answer.offline:
            print("  (answered by the offline model)", file=sys.stderr)

    def _beside(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "handoff" and content.get("previous"):
            self._new_line()
            print(f"· {content['previous']} hands over to {content['owner']}", file=sys.stderr)
        elif kind == "notice":
            self._new_line()
            print(f"· {content['severity']}: {content['text']}", file=sys.stderr)

    def _write(self, text: str) -> None:
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._open_line = not text.endswith("\n")

    def _new_line(self) -> None:
        if self._open_line:
            self._write("\n")
