"""What an HTTP caller may wish by headers, beyond what OpenAI's and Anthropic's bodies can say. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from parley_llm_gateway.config import CallerConfig
from parley_proto.envelope import valid_id
from parley_proto.errors import PermanentError
from parley_proto.llm import CompletionRequest

_LONGEST = 64


def with_wishes(request: CompletionRequest, headers: Mapping[str, str], caller: CallerConfig) -> CompletionRequest:
    """`request` of `caller` with deadline, conversation, epoch, residency and cache as the headers have them.

    PermanentError: `bad_header` for nonsense, `wrong_tenant` for a tenant that is not the key's.
    """
    if headers.get("x-parley-tenant", caller.tenant) != caller.tenant:
        raise PermanentError("This key belongs to another tenant.", code="wrong_tenant")
    conversation = headers.get("x-parley-conversation", "")
    if conversation and not valid_id(conversation):
        raise _bad("X-Parley-Conversation", "16 to 64 of A-Z a-z 0-9 _ -")
    deadline = _number(headers, "X-Parley-Deadline", request.deadline_at)
    return msgspec.structs.replace(
        request,
        tenant=caller.tenant,
        key=caller.name,
        conversation=conversation or request.conversation,
        deadline_at=min(deadline, request.deadline_at),
        epoch=_number(headers, "X-Parley-Epoch", 0),
        residency=headers.get("x-parley-residency", "")[:_LONGEST],
        prompt_version=headers.get("x-parley-prompt-version", "")[:_LONGEST],
        cacheable=headers.get("x-parley-cache") == "on",
    )


def _number(headers: Mapping[str, str], name: str, default: int) -> int:
    text = headers.get(name.lower())
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise _bad(name, "a whole number")
    return int(text)


def _bad(name: str, wanted: str) -> PermanentError:
    return PermanentError(f"The header {name} must be {wanted}.", code="bad_header")
