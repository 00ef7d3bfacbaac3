"""A document of several parts: forgotten whole, and cut off where it has become shorter."""

from __future__ import annotations

from rag_service import Rag, words

from parley_proto.rag import Document
from parley_rag.parts import PART

pytest_plugins = ("rag_fixtures",)

ENDING = "The wombat is insured for nine hundred crowns."


def manual(parts: int) -> list[Document]:
    """As reading makes it of a text of millions of characters: only the last part speaks of the wombat."""
    texts = ["Turn the knob to the left."] * (parts - 1) + [ENDING]
    return [
        Document(f"manual{PART}{number}" if number > 1 else "manual", "Manual", text)
        for number, text in enumerate(texts, start=1)
    ]


async def test_a_later_part_goes_with_the_whole(rag: Rag) -> None:
    await rag.ingest(*manual(2), Document("other", "Other", "The wombat eats grass."))
    assert "manual#part-2" in words(await rag.search("for how much is the wombat insured"))
    await rag.table("forget", "manual")
    assert words(await rag.search("for how much is the wombat insured")) in (["other"], [])


async def test_a_document_that_has_become_shorter_leaves_no_part_behind(rag: Rag) -> None:
    await rag.ingest(*manual(3))
    assert "manual#part-3" in words(await rag.search("for how much is the wombat insured"))
    await rag.ingest(Document("manual", "Manual", "The wombat is not insured any more."))
    assert set(words(await rag.search("for how much is the wombat insured"))) == {"manual"}
