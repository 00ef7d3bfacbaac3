"""The door: `parley`, or `python -m parley_cli`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from parley_cli.args import parser
from parley_cli.errors import EXIT_USAGE, CommandError, exit_code_of
from parley_proto.errors import ParleyError

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. A ParleyError becomes one sentence on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = parser().parse_args(given)
    try:
        _check_text(given)
        code: int = args.command(args)
        sys.stdout.flush()
    except ParleyError as error:
        print(f"parley: {error.message}", file=sys.stderr)
        return exit_code_of(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _check_text(arguments: Sequence[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise CommandError(f"{argument!a} is no text in UTF-8.", EXIT_USAGE) from error


if __name__ == "__main__":
    sys.exit(main())
