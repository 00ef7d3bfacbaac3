from __future__ import annotations

import os

# Two workers share two processors: the threads of OpenBLAS would only get in their way (it reads this when imported).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from parley_testkit.fixtures import browser_path, mesh, nats_command, nats_server, postgres, shelf

__all__ = ["browser_path", "mesh", "nats_command", "nats_server", "postgres", "shelf"]
