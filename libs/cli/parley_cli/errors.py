"""How a command fails: one sentence on stderr and an exit code, never a traceback."""

from __future__ import annotations

from parley_proto.errors import ParleyError

EXIT_FAILED = 1
EXIT_USAGE = 2


class CommandError(ParleyError):
    """The command could not do it; `exit_code` is 1, or 2 where the call or the settings are wrong."""

    code = "command"

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotRunningError(CommandError):
    """There is no mesh to talk to."""

    code = "not_running"

    def __init__(self) -> None:
        super().__init__("Parley is not running here; start it with `make up`.", EXIT_USAGE)


def exit_code_of(error: ParleyError) -> int:
    """2 for wrong settings and wrong calls, 1 for everything else."""
    if isinstance(error, CommandError):
        return error.exit_code
    return EXIT_USAGE if error.code == "settings" else EXIT_FAILED
