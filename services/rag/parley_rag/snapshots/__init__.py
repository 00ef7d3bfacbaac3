"""Snapshots of a LanceDB table on a disk or in an S3-compatible store, each content stored once.

snapshots/<name>.json          which files made up the table: path, size, SHA-256
objects/<aa>/<aa…>             each content under its SHA-256
incoming/<random>              what is being written; it counts for nothing until it is moved to its name
    damaged/<aa…>                  objects that were found to have another content than their name says
"""

from parley_rag.snapshots.rules import File, Snapshot, Taken
from parley_rag.snapshots.snapshots import Snapshots

__all__ = ["File", "Snapshot", "Snapshots", "Taken"]
