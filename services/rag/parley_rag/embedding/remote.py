"""Any OpenAI-compatible model of embeddings, through the llm-gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from parley_mesh.bus import Bus
from parley_mesh.tasks import end
from parley_mesh.telemetry import inject, log
from parley_proto import subjects
from parley_proto.envelope import DEADLINE, decode, encode, new_id, now_ms
from parley_proto.errors import ParleyError, PermanentError, TransientError
from parley_proto.llm import VectorsReply, VectorsRequest

# What travels is JSON, vectors in base64, and NATS takes 1 MB a message unless it is told otherwise.
_REQUEST_BYTES = 400_000
_REPLY_BYTES = 700_000
# As long as the largest inputs of today's models, 8,192 tokens.
_LONGEST_TEXT = 32_768
_FLOAT = 4
_AGAIN_MOST_S = 5.0


class Patience(msgspec.Struct, frozen=True):
    """Seconds for one batch, retries included: somebody waits for a query, nobody for an ingestion."""

    urgent_s: float = 5.0
    other_s: float = 60.0


class RemoteModel:
    """`model` as the llm-gateway knows it, empty for its default. What it answers first is what it has to stay.

    Workers cost nothing here: each is one request under way.
    """

    least = most = 8
    portion = 64

    def __init__(self, bus: Bus, *, model: str = "", tenant: str = "default", patience: Patience | None = None) -> None:
        self._bus = bus
        self._model = model
        self._tenant = tenant
        self._patience = patience or Patience()
        self._known: VectorsReply | None = None
        self._learning: asyncio.Task[None] | None = None
        self._why = "it has not answered yet."

    @property
    def name(self) -> str:
        """What the llm-gateway calls the model; before it has answered, what the settings call it."""
        return self._known.model if self._known else self._model or "unknown"

    @property
    def dimensions(self) -> int:
        """TransientError `embedding_unavailable` before the llm-gateway has answered."""
        return self._identity.dimensions

    async def start(self) -> None:
        """Begin to ask which model it is, again and again until there is an answer."""
        self._learning = asyncio.create_task(self._learn(), name="embedding model")

    async def learned(self, seconds: float) -> None:
        """Wait until the model has answered once; TransientError `embedding_unavailable` after `seconds`."""
        if self._learning:
            await asyncio.wait((self._learning,), timeout=seconds)
        _ = self._identity

    async def worker(self) -> RemoteWorker:
        _ = self._identity
        return RemoteWorker(self)

    async def close(self) -> None:
        await end(self._learning)

    async def encode(self, texts: Sequence[str], urgent: bool) -> list[bytes]:
        """As `Worker.encode`, in as few requests as messages of NATS allow."""
        seconds = self._patience.urgent_s if urgent else self._patience.other_s
        most = max(1, _REPLY_BYTES * 3 // (4 * _FLOAT * self.dimensions))
        vectors: list[bytes] = []
        for part in _parts([text[:_LONGEST_TEXT] for text in texts], most):
            reply = await self._ask(part, seconds)
            vectors += _checked(reply, self._identity, len(part))
        return vectors

    @property
    def _identity(self) -> VectorsReply:
        if self._known is None:
            raise TransientError(
                f"The embedding model behind the llm-gateway is not known: {self._why}", code="embedding_unavailable"
            )
        return self._known

    async def _learn(self) -> None:
        asking = AsyncRetrying(
            retry=retry_if_exception_type(ParleyError),
            wait=wait_exponential_jitter(multiplier=0.2, max=_AGAIN_MOST_S, jitter=0.2),
            before_sleep=self._not_yet,
        )
        self._known = await asking(self._introduce)
        log("parley.rag").info(
            "the embedding model is known", extra={"model": self.name, "dimensions": self.dimensions}
        )

    async def _introduce(self) -> VectorsReply:
        deadline = now_ms() + int(1000 * self._patience.urgent_s)
        reply = await self._request(["Which model is this?"], deadline)
        _checked(reply, reply, 1)
        return reply

    def _not_yet(self, tried: RetryCallState) -> None:
        error = tried.outcome.exception() if tried.outcome else None
        reason = error.message if isinstance(error, ParleyError) else str(error)
        if reason != self._why:
            log("parley.rag").warning("the embedding model does not answer", extra={"reason": reason})
        self._why = reason

    async def _ask(self, texts: Sequence[str], seconds: float) -> VectorsReply:
        asking = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(multiplier=0.1, max=_AGAIN_MOST_S, jitter=0.1),
            stop=stop_after_delay(seconds),
            reraise=True,
        )
        deadline = now_ms() + int(1000 * seconds)
        reply: VectorsReply = await asking(self._request, texts, deadline)
        return reply

    async def _request(self, texts: Sequence[str], deadline: int) -> VectorsReply:
        left = max(0.1, (deadline - now_ms()) / 1000)
        request = VectorsRequest(new_id("emb_"), self._tenant, list(texts), deadline, self._model)
        headers = inject() | {DEADLINE: str(deadline)}
        data = await self._bus.request(subjects.LLM_EMBED, encode(request), timeout=left, headers=headers)
        reply: VectorsReply = decode(data, VectorsReply)
        return reply


class RemoteWorker:
    """One request under way at a time."""

    def __init__(self, model: RemoteModel) -> None:
        self._model = model
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def encode(self, texts: Sequence[str], urgent: bool) -> list[bytes]:
        return await self._model.encode(texts, urgent)

    async def close(self) -> None:
        """There is nothing to let go."""


def _parts(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    """`texts` in order, at most `most` together and no more than a message may hold."""
    part: list[str] = []
    size = 0
    for text in texts:
        bytes_ = len(text.encode(errors="replace"))
        if part and (len(part) == most or size + bytes_ > _REQUEST_BYTES):
            yield part
            part, size = [], 0
        part.append(text)
        size += bytes_
    if part:
        yield part


def _checked(reply: VectorsReply, expected: VectorsReply, count: int) -> list[bytes]:
    """The vectors brought to length 1; PermanentError where they are not those of the model that we know."""
    if (reply.model, reply.dimensions) != (expected.model, expected.dimensions):
        raise PermanentError(
            f"The llm-gateway now embeds with {reply.model} of {reply.dimensions} dimensions, not with "
            f"{expected.model} of {expected.dimensions} as before: set its model back, or restart and reindex.",
            code="wrong_dimensions",
        )
    if len(reply.vectors) != count * reply.dimensions * _FLOAT:
        raise PermanentError(
            f"The llm-gateway answered {len(reply.vectors):,} bytes for {count} vectors.", code="bad_vectors"
        )
    rows = np.frombuffer(reply.vectors, "<f4").reshape(count, -1).astype(np.float64)
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(sizes).all() or not sizes.all():
        raise PermanentError("The embedding model gave a vector without a direction.", code="bad_vectors")
    return [row.tobytes() for row in (rows / sizes).astype("<f4")]
