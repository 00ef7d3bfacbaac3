"""A stream of server-sent events, read to the end of its answer. No generators: this runs for every delta."""

from __future__ import annotations

from collections.abc import Callable

from parley_llm_gateway.assembly import Assembly
from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.providers.base import Emit
from parley_llm_gateway.providers.http import Answer
from parley_llm_gateway.refusals import from_error
from parley_llm_gateway.sse import Decoder, TooLong
from parley_llm_gateway.wire import Chunk

Reader = Callable[[str | bytes], Chunk]
_DONE = "[DONE]"


async def read(answer: Answer, chunk_of: Reader, assembly: Assembly, emit: Emit) -> None:
    """Feed the answer to `assembly` until that has all it needs, or `[DONE]` or the end comes.

    Raises ProviderFailed for garbage, silence or an error inside, unless only the usage is missing.
    """
    try:
        await _events(answer, chunk_of, assembly, emit)
    except TooLong as error:
        raise ProviderFailed("The model provider sent something that is no answer.", code="provider_garbage") from error
    except ProviderFailed:
        if not assembly.finished:
            raise


async def _events(answer: Answer, chunk_of: Reader, assembly: Assembly, emit: Emit) -> None:
    if answer.is_json:
        _take(await answer.whole(), answer, chunk_of, assembly, emit)
        return
    decoder = Decoder()
    while block := await answer.block():
        for event in decoder.feed(block):
            if event.data == _DONE:
                return
            _take(event.data, answer, chunk_of, assembly, emit)
            if assembly.complete:
                return
    for event in decoder.end():
        if event.data != _DONE:
            _take(event.data, answer, chunk_of, assembly, emit)


def _take(data: str | bytes, answer: Answer, chunk_of: Reader, assembly: Assembly, emit: Emit) -> None:
    chunk = chunk_of(data)
    if chunk.error is not None:
        raise from_error(chunk.error)
    delta, moved = assembly.take(chunk)
    if moved:
        answer.patience.moved(moved)
    if delta:
        emit(delta)
    if assembly.finished:
        answer.patience.finish()
