"""The whole service with its table and its snapshots in an S3-compatible store."""

from __future__ import annotations

import boto3
from rag_service import Start, words
from snapshot_tables import BUCKET

from parley_proto.rag import Document

pytest_plugins = ("rag_fixtures", "snapshot_fixtures")

REFUNDS = Document("refunds", "Refund times", "A refund to a card takes five working days.")
QUERY = "how long does a refund take"


async def test_a_table_by_uri_is_filled_searched_lost_and_brought_back(start: Start, s3: str) -> None:
    places = {"table_uri": f"s3://{BUCKET}/tables", "snapshot_uri": f"s3://{BUCKET}/copies", "snapshots_kept": 0}
    rag = await start(**places)
    await rag.until_ready()
    assert (await rag.ingest(REFUNDS)).stored == 1
    assert words(await rag.search(QUERY)) == ["refunds"]
    assert "copied" in (await rag.table("snapshot", "before")).said
    lose_the_table(s3)
    assert "Snapshot before is back with 1 windows" in (await rag.table("restore", "before")).said
    assert words(await rag.search(QUERY)) == ["refunds"]
    other = await start(**places)
    await other.until_ready()
    assert words(await other.search(QUERY)) == ["refunds"]


def lose_the_table(endpoint: str) -> None:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="tables/")["Contents"]
    for one in listed:
        client.delete_object(Bucket=BUCKET, Key=one["Key"])
    assert listed
