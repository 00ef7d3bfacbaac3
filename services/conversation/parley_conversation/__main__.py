"""The door of the conversation service."""

import os

# OpenBLAS reads this when numpy is imported. A product of a vector and a small matrix costs it 0.1 ms in one thread,
# and up to 8 ms of both processors' time when it shares the work out on a busy machine (measured).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from parley_conversation.app import build
from parley_conversation.settings import Settings
from parley_mesh.runner import run

if __name__ == "__main__":
    run("conversation", Settings, build)
