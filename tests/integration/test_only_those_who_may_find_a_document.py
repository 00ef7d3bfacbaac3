"""Tenant, access, validity, language: decided inside the query to the table, in every mode."""

from __future__ import annotations

import itertools

import pytest
from rag_service import Rag, words

from parley_proto.errors import PermanentError
from parley_proto.rag import Document

pytest_plugins = ("rag_fixtures",)

MODES = ("hybrid", "vector", "text")
QUERY = "what discount do I get on speakers"


def discount(name: str, **facts: str) -> Document:
    return Document(name, "Discount on speakers", f"The {name} discount on speakers is ten percent.", **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
async def test_a_document_for_a_group_is_found_by_that_group_only(rag: Rag, mode: str) -> None:
    await rag.ingest(discount("public"), discount("staff", access="staff"), discount("gold", access="gold"))
    assert set(words(await rag.search(QUERY, mode=mode))) == {"public"}
    assert set(words(await rag.search(QUERY, mode=mode, groups=["staff"]))) == {"public", "staff"}
    assert set(words(await rag.search(QUERY, mode=mode, groups=["staff", "gold"]))) == {"public", "staff", "gold"}


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_not_for_the_asker_takes_no_place_of_what_is(rag: Rag, mode: str) -> None:
    """A filter after the search would leave nothing: a hundred better passages belong to somebody else."""
    secret = [discount(f"staff-{number}", access="staff") for number in range(120)]
    await rag.ingest(*secret)
    await rag.ingest(Document("public", "Offers", "Now and then there is a discount on some speakers."))
    assert words(await rag.search(QUERY, mode=mode)) == ["public"]


async def test_no_filter_and_no_group_reaches_another_tenant(rag: Rag) -> None:
    await rag.ingest(discount("ours"))
    await rag.ingest(discount("theirs"), tenant="other")
    for tenant, own in (("default", "ours"), ("other", "theirs")):
        found = await rag.search(QUERY, tenant=tenant, groups=["staff", "theirs", "' OR 1=1 --"])
        assert words(found) == [own]


@pytest.mark.parametrize("mode", MODES)
async def test_a_document_is_found_from_its_first_to_its_last_day(rag: Rag, mode: str) -> None:
    await rag.ingest(discount("summer", valid_from="2026-06-01", valid_until="2026-08-31"), discount("always"))
    days = {"2026-05-31": False, "2026-06-01": True, "2026-08-31": True, "2026-09-01": False}
    for day, found in days.items():
        assert ("summer" in words(await rag.search(QUERY, mode=mode, at=day))) is found, day


async def test_today_is_what_counts_when_nothing_else_is_said(rag: Rag) -> None:
    await rag.ingest(discount("gone", valid_until="2020-01-01"), discount("to-come", valid_from="2999-01-01"))
    assert await rag.search(QUERY) == []


async def test_a_search_can_be_narrowed_by_what_a_document_says_of_itself(rag: Rag) -> None:
    await rag.ingest(
        discount("english", language="en-GB", source="a.md"), discount("german", language="de", specialty="billing")
    )
    for filters, expected in (
        ({"language": "en"}, ["english"]),
        ({"language": "de"}, ["german"]),
        ({"language": "en-GB"}, ["english"]),
        ({"language": "en-US"}, []),
        ({"language": "fr"}, []),
        ({"source": "a.md"}, ["english"]),
        ({"document": "german"}, ["german"]),
        ({"specialty": "billing", "language": "de"}, ["german"]),
    ):
        assert words(await rag.search(QUERY, filters=filters)) == expected, filters


@pytest.mark.parametrize("field", ["access", "tenant", "valid_until", "colour", "", "language' OR '1'='1"])
async def test_a_filter_on_a_field_that_is_none_is_refused(rag: Rag, field: str) -> None:
    with pytest.raises(PermanentError, match="to filter by: there are document, language, source, specialty") as caught:
        await rag.search(QUERY, filters={field: "x"})
    assert caught.value.code == "unknown_filter"


@pytest.mark.parametrize("day", ["tomorrow", "2026-13-01", "31.05.2026", "2026-05-31' OR 1=1"])
async def test_a_day_that_is_none_is_refused(rag: Rag, day: str) -> None:
    with pytest.raises(PermanentError, match="is no date: write it as 2026-05-31") as caught:
        await rag.search(QUERY, at=day)
    assert caught.value.code == "bad_day"


async def test_what_is_remembered_for_one_asker_is_not_told_to_another(rag: Rag) -> None:
    """The query cache: the same words from another group, tenant or day are another question."""
    await rag.ingest(discount("public"), discount("staff", access="staff", valid_until="2026-12-31"))
    asked = itertools.product(([], ["staff"]), ("default", "other"), ("2026-12-31", "2027-01-01"))
    for groups, tenant, day in [*asked] * 2:
        found = set(words(await rag.search(QUERY, groups=groups, tenant=tenant, at=day)))
        public = {"public"} if tenant == "default" else set()
        staff = {"staff"} if tenant == "default" and groups and day == "2026-12-31" else set()
        assert found == public | staff


async def test_an_answer_that_is_remembered_is_forgotten_with_the_next_write(rag: Rag) -> None:
    await rag.ingest(discount("first"))
    assert words(await rag.search(QUERY)) == words(await rag.search(QUERY)) == ["first"]
    await rag.ingest(discount("second"))
    assert set(words(await rag.search(QUERY))) == {"first", "second"}
