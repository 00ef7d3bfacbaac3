"""What one reader of a conversation is told, in AG-UI's words. Pure: entries and deltas in, events out.

The order that AG-UI clients insist on (`verifyEvents` of @ag-ui/client): a run is opened first, everything in it is
closed before the run is, a message is not started while it is open. What retracts words here is a second
TEXT_MESSAGE_START for their message (chat-protocol.md); a stock client would append instead, so it gets a snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parley_gateway import events
from parley_gateway.events import Event
from parley_gateway.said import Draft, Recent, Said
from parley_gateway.shadow import Shadow
from parley_proto.broadcast import Notice
from parley_proto.conversation import (
    Delta,
    Live,
    MessageShown,
    NoticeShown,
    OwnerChanged,
    RunEnded,
    Shown,
    StepShown,
    ToolShown,
)

_TURN_FOLLOWS = ("routed", "customer_choice")


class Translator:
    """The view of one reader.

    `run_id` fixes one run that the caller opens and ends (SSE); otherwise runs follow the conversation (WebSocket).
    `hidden` is a message that the reader already has. `shadow` is what a stock client shows: with it, words are
    retracted by a snapshot.
    """

    def __init__(self, thread: str, *, run_id: str = "", hidden: str = "", shadow: Shadow | None = None) -> None:
        self._thread = thread
        self._fixed = run_id
        self._hidden = hidden
        self._shadow = shadow
        self._run = ""
        self._seq = 0
        self._turn = ""
        self._attempt = 0
        self._changes = 0
        self._draft: Draft | None = None
        self._steps: dict[str, None] = {}
        self._calls: dict[str, None] = {}
        self._ended = Recent()
        self._committed = Recent()
        self._notices = Recent()
        self._out: list[Said] = []

    @property
    def seq(self) -> int:
        """The last entry that was told."""
        return self._seq

    def skip_to(self, seq: int) -> None:
        """The reader has everything up to `seq`."""
        self._seq = max(self._seq, seq)

    def shown(self, seq: int, entry: Shown) -> list[Said]:
        """A committed entry; one that was told before is nothing."""
        if seq <= self._seq:
            return []
        self._seq = seq
        match entry:
            case MessageShown():
                self._message(seq, entry)
            case OwnerChanged():
                self._owner(seq, entry)
            case NoticeShown():
                self._notice(entry.notice_id, entry.text, entry.severity, seq)
            case RunEnded():
                self._stopped(seq, entry)
        return self._take()

    def live(self, item: Live) -> list[Said]:
        """Words and steps on their way; nothing for a turn that is over or an attempt that was given up."""
        if item.turn_id in self._ended or (item.turn_id == self._turn and item.attempt < self._attempt):
            return []
        self._follow(item)
        match item:
            case Delta():
                self._delta(item)
            case StepShown():
                self._step(item)
            case ToolShown():
                self._tool(item)
        return self._take()

    def notice(self, notice: Notice) -> list[Said]:
        self._notice(notice.notice_id, notice.text, notice.severity, 0)
        return self._take()

    def degraded(self, parts: Sequence[str]) -> list[Said]:
        """What does not work just now; nothing when all is well again."""
        alone = not self._run
        self._changes += 1
        self._open(f"condition-{self._seq}-{self._changes}")
        self._say(events.custom("parley.degraded", {"parts": list(parts)}))
        if alone:
            self._close("")
        return self._take()

    def reset(self, messages: list[dict[str, Any]], owner: str, epoch: int, seq: int) -> list[Said]:
        """Start over from a snapshot that stands for everything up to `seq`."""
        self._open(f"snapshot-{seq}")
        for message in messages:
            self._committed.add(message["id"])
        self._say(events.owner_delta(owner, epoch))
        self._say(events.messages_snapshot(messages), seq)
        self._close("")
        self.skip_to(seq)
        return self._take()

    def begin(self) -> list[Said]:
        """Open the fixed run."""
        self._open(self._fixed)
        return self._take()

    def end(self, *, cancelled: str = "") -> list[Said]:
        """Close the fixed run with everything in it."""
        self._drop_work()
        self._finish(cancelled)
        return self._take()

    def fail(self, code: str, message: str) -> list[Said]:
        """The fixed run ends without an answer; nothing may follow."""
        self._drop_work()
        self._say(events.run_error(code, message))
        self._run = ""
        return self._take()

    def _message(self, seq: int, entry: MessageShown) -> None:
        if entry.message_id in self._committed:
            return
        self._committed.add(entry.message_id)
        alone = not self._run and not entry.turn_id and entry.role != "customer"
        if entry.message_id != self._hidden:
            self._open(entry.turn_id or entry.message_id)
            self._settle(seq, entry)
        if entry.final or alone:
            self._close(entry.turn_id)

    def _settle(self, seq: int, entry: MessageShown) -> None:
        """Show the committed text, whatever was streamed of it."""
        draft, name = self._draft, entry.message_id
        if draft is None or draft.message_id != name:
            self._say(events.text_start(name, events.role_of(entry), events.facts(entry)))
            missing = entry.text
        else:
            self._draft = None
            if not entry.text.startswith(draft.text):
                self._retract(name)
                self._say(events.text_start(name, events.role_of(entry), events.facts(entry)))
                draft.text = ""
            missing = entry.text[len(draft.text) :]
        if missing:
            self._say(events.text_content(name, missing))
        self._say(events.text_end(name, events.facts(entry)), seq)

    def _owner(self, seq: int, entry: OwnerChanged) -> None:
        """`entry.turn_id` is the turn that gave the conversation away: its words will not be committed."""
        alone = not self._run and not entry.turn_id and entry.reason not in _TURN_FOLLOWS
        self._open(entry.turn_id or f"handoff-{entry.epoch}")
        if entry.turn_id == self._turn:
            self._leave(entry.turn_id)
        elif entry.turn_id:
            self._ended.add(entry.turn_id)
        self._say(events.handoff(entry))
        self._say(events.owner_delta(entry.owner, entry.epoch), seq)
        if alone:
            self._close("")

    def _notice(self, name: str, text: str, severity: str, seq: int) -> None:
        if name in self._notices:
            return
        self._notices.add(name)
        alone = not self._run
        self._open(name)
        self._say(events.activity(name, "notice", {"text": text, "severity": severity}), seq)
        if alone:
            self._close("")

    def _stopped(self, seq: int, entry: RunEnded) -> None:
        self._open(entry.turn_id)
        self._leave(entry.turn_id)
        if self._fixed:
            self._say(events.custom("parley.run_ended", {"turnId": entry.turn_id, "reason": entry.reason}), seq)
        else:
            self._finish(entry.reason, seq, entry.answers)

    def _follow(self, item: Live) -> None:
        """Make `item`'s turn and attempt the current ones, and its run an open one."""
        if item.turn_id != self._turn:
            self._leave(self._turn)
            self._turn = item.turn_id
        elif item.attempt > self._attempt:
            self._close_work()
            self._retry_draft()
        self._attempt = item.attempt
        self._open(item.turn_id)

    def _retry_draft(self) -> None:
        if self._draft:
            name = self._draft.message_id
            self._retract(name)
            self._say(events.text_start(name, "assistant"))
            self._draft = Draft(name)

    def _delta(self, item: Delta) -> None:
        if item.message_id in self._committed:
            return
        if self._draft and self._draft.message_id != item.message_id:
            self._drop_draft()
        draft = self._draft
        if draft is None:
            if item.offset:
                # The beginning went by before this reader came: wait for the committed text.
                return
            draft = self._draft = Draft(item.message_id)
            self._say(events.text_start(item.message_id, "assistant", {"specialty": item.specialty}))
        self._extend(draft, item)

    def _extend(self, draft: Draft, item: Delta) -> None:
        known = len(draft.text) - item.offset
        draft.broken = draft.broken or known < 0 or not draft.text[item.offset :].startswith(item.text[:known])
        fresh = "" if draft.broken else item.text[known:]
        if fresh:
            draft.text += fresh
            self._say(events.text_content(draft.message_id, fresh))

    def _step(self, item: StepShown) -> None:
        if item.state == "started" and item.name not in self._steps:
            self._steps[item.name] = None
            self._say(events.step(item.name, started=True))
        elif item.state == "finished" and item.name in self._steps:
            self._steps.pop(item.name)
            self._say(events.step(item.name, started=False))

    def _tool(self, item: ToolShown) -> None:
        # A later attempt calls again under the same id: to a client that is another call.
        name = item.call_id if item.attempt <= 1 else f"{item.call_id}.{item.attempt}"
        if item.state == "started" and name not in self._calls:
            self._calls[name] = None
            self._say(events.tool_start(name, item.name))
            self._say(events.tool_args(name))
        elif item.state == "finished" and name in self._calls:
            self._end_call(name)

    def _end_call(self, name: str) -> None:
        self._calls.pop(name)
        self._say(events.tool_end(name))
        # Without a result a stock client would think that the call waits for it.
        self._say(events.tool_result(name))

    def _open(self, run_id: str) -> None:
        if not self._run:
            self._run = self._fixed or run_id or f"run-{self._seq}"
            self._say(events.run_started(self._thread, self._run))

    def _close(self, turn: str) -> None:
        """A turn is over, and the run with it."""
        self._leave(turn)
        if not self._fixed:
            self._finish()

    def _leave(self, turn: str) -> None:
        """Nothing that `turn` still says counts; whatever was under way is closed or taken back."""
        if turn:
            self._ended.add(turn)
        self._drop_work()
        self._turn, self._attempt = "", 0

    def _finish(self, cancelled: str = "", seq: int = 0, answers: Sequence[str] = ()) -> None:
        self._say(events.run_finished(self._thread, self._run, cancelled=cancelled, answers=answers), seq)
        self._run = ""

    def _drop_work(self) -> None:
        self._close_work()
        self._drop_draft()

    def _close_work(self) -> None:
        for name in list(self._calls):
            self._end_call(name)
        for name in list(self._steps):
            self._steps.pop(name)
            self._say(events.step(name, started=False))

    def _drop_draft(self) -> None:
        """Take back what was streamed and will not be committed."""
        if self._draft is None:
            return
        name, self._draft = self._draft.message_id, None
        self._retract(name)
        if self._shadow is None:
            self._say(events.text_start(name, "assistant", {"retracted": True}))
            self._say(events.text_end(name))

    def _retract(self, message_id: str) -> None:
        self._say(events.text_end(message_id))
        if self._shadow is not None:
            self._say(events.messages_snapshot(self._shadow.without(message_id)))

    def _say(self, ev: Event, seq: int = 0) -> None:
        if self._shadow is not None:
            self._shadow.apply(ev)
        self._out.append(Said(ev, seq))

    def _take(self) -> list[Said]:
        out, self._out = self._out, []
        return out
