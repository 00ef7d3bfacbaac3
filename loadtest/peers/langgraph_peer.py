"""LangGraph: a graph of two specialists with AsyncPostgresSaver; --mode "sync connections" and the like.

The first word of the mode is LangGraph's durability, sync or exit. The second one says what the savers write through:
`pool` is one saver over a connection pool, as the documentation has it; its lock lets one statement through at a time.
`connections` is a saver with a connection of its own for each conversation under way, `pipeline` the same with
connections that stay in pipeline mode. With a third word, `unsynced`, PostgreSQL acknowledges before the disk does,
which is what a JetStream of one node does in its default settings.
"""

from __future__ import annotations

import asyncio
import operator
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal, TypedDict

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from peer_race import Options, Turn, options, race
from peer_work import Kept, handed, question, reply
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_migrations")
DEFAULT = "sync connections"


class State(TypedDict):
    conversation: str
    turn: int
    owner: str
    context: str
    messages: Annotated[list[dict[str, str]], operator.add]


async def first(state: State) -> Command[Literal["second"]]:
    update = {"owner": "second", "context": handed(state["conversation"], state["turn"])}
    return Command(goto="second", update=update)


async def second(state: State) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "text": reply(state["context"])}]}


def graph(saver: AsyncPostgresSaver) -> Any:
    built = StateGraph(State).add_node("first", first).add_node("second", second).add_edge(START, "first")
    return built.compile(checkpointer=saver)


class LangGraph:
    """One process; `_graphs` has one for each saver."""

    def __init__(self, chosen: Options) -> None:
        self._url = url(chosen)
        self._durability, self._through = (chosen.mode or DEFAULT).split()[:2]
        self._slots = max(1, chosen.concurrency // chosen.processes)
        self._open = AsyncExitStack()
        self._graphs: list[Any] = []

    async def __aenter__(self) -> LangGraph:
        opened = await self._pooled() if self._through == "pool" else await self._single()
        self._graphs = [graph(saver) for saver in opened]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    def turn(self, slot: int) -> Turn:
        async def take(conversation: str, turn: int) -> str:
            asked = {"role": "customer", "text": question(conversation, turn)}
            given = {"conversation": conversation, "turn": turn, "owner": "first", "messages": [asked]}
            mine = self._graphs[slot % len(self._graphs)]
            state = await mine.ainvoke(given, thread(conversation), durability=self._durability)
            return str(state["messages"][-1]["text"])

        return take

    async def kept(self, conversation: str) -> Kept | None:
        found = (await self._graphs[0].aget_state(thread(conversation))).values
        return Kept(found["context"], len(found["messages"])) if found else None

    async def _pooled(self) -> list[AsyncPostgresSaver]:
        settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        pool = AsyncConnectionPool(self._url, min_size=1, max_size=self._slots, kwargs=settings, open=False)
        return [AsyncPostgresSaver(await self._open.enter_async_context(pool))]

    async def _single(self) -> list[AsyncPostgresSaver]:
        pipeline = self._through == "pipeline"
        savers = [AsyncPostgresSaver.from_conn_string(self._url, pipeline=pipeline) for _ in range(self._slots)]
        return [await self._open.enter_async_context(saver) for saver in savers]


def thread(conversation: str) -> Any:
    return {"configurable": {"thread_id": conversation}}


def url(chosen: Options) -> str:
    wanted = "off" if "unsynced" in chosen.mode else "on"
    return f"{chosen.database_url}?options=-c%20synchronous_commit%3D{wanted}"


async def fresh_tables(chosen: Options) -> None:
    """The same start for each run: no rows of an earlier one."""
    async with AsyncPostgresSaver.from_conn_string(url(chosen)) as saver:
        await saver.conn.execute(f"DROP TABLE IF EXISTS {', '.join(TABLES)}")
        await saver.setup()


if __name__ == "__main__":
    chosen = options(__doc__)
    asyncio.run(fresh_tables(chosen))
    race(chosen, LangGraph)
