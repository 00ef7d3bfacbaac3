"""The model in a process of its own: `python -m parley_embedding.worker NAME TOKENIZER GRAPH THREADS`.

Texts come on stdin, vectors go to stdout, and the end of stdin is the end of the process: whoever started it, and
however that one died, nothing is left behind. Its first answer says that the model is loaded.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from parley_embedding.files import Files
from parley_embedding.frames import Answer, Encoded, Failed, framed, next_texts
from parley_embedding.minilm import MiniLM
from parley_proto.errors import ParleyError

# Behind the service's event loop, which has to answer while all processors encode.
_NICE = 5


def main(name: str, tokenizer: str, graph: str, threads: str) -> int:
    # Ctrl-C and a stop of the process group reach the service too: it drains, and then closes stdin.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    source, sink = _pipes()
    try:
        model = MiniLM(Files(name, Path(tokenizer), Path(graph)), int(threads))
        texts: Sequence[str] = ["ready"]
        while texts:
            sink.write(framed(_answer(model, texts)))
            sink.flush()
            texts = next_texts(source)
    except BrokenPipeError:
        return 0
    except ParleyError as error:
        sink.write(framed(Failed(error.message)))
        sink.flush()
        return 1
    return 0


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The frames' own handles: a library that prints would otherwise speak in the middle of them."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return source, sink


def _answer(model: MiniLM, texts: Sequence[str]) -> Answer:
    try:
        return Encoded(model.encode(texts).astype("<f4").tobytes())
    except ParleyError as error:
        return Failed(error.message)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
