"""`parley up`, `down`, `restart`, `scale`: the life of the mesh on this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import IO

import msgspec

from parley_cli.errors import EXIT_FAILED, CommandError, NotRunningError, exit_code_of
from parley_cli.supervise import control, process, state
from parley_cli.supervise.home import Home
from parley_cli.supervise.report import Console, Message, Pipe, Report
from parley_proto.errors import ParleyError

_SUPERVISOR_LOG_BYTES = 4_000_000
_DOWN_S = 120.0
_NODES = "PARLEY_UP_NODES"


def up(args: argparse.Namespace) -> int:
    """Run the mesh until it is stopped, or start it in the background."""
    home = Home.at(args.data)
    if args.detach:
        return _in_background(home, args)
    if args.report < 0:
        return _supervise(home, args, Console("Ctrl-C stops it."))
    pipe = Pipe(args.report)
    try:
        return _supervise(home, args, pipe)
    except ParleyError as error:
        pipe.failed(error.message, exit_code_of(error))
        raise


def down(args: argparse.Namespace) -> int:
    """Stop the mesh and return when nothing of it runs any more."""
    home = Home.at(args.data)
    found = state.running(home)
    if found is None:
        raise NotRunningError
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_S
    while state.is_alive(found.pid, found.born):
        if time.monotonic() > deadline:
            raise CommandError(f"The supervisor (pid {found.pid}) has not ended after {_DOWN_S:g} s.")
        time.sleep(0.05)
    print("Parley has stopped.", file=sys.stderr)
    return 0


def restart(args: argparse.Namespace) -> int:
    return _order(args, control.Order("restart", args.instance))


def scale(args: argparse.Namespace) -> int:
    return _order(args, control.Order("scale", args.replicas))


def _order(args: argparse.Namespace, order: control.Order) -> int:
    home = Home.at(args.data)
    if state.running(home) is None:
        raise NotRunningError
    print(asyncio.run(control.send(home.control, order)), file=sys.stderr)
    return 0


def _supervise(home: Home, args: argparse.Namespace, report: Report) -> int:
    # Loaded here: the other commands of this module need none of it.
    from parley_cli.supervise.assembly import assemble
    from parley_cli.supervise.supervisor import Supervisor

    try:
        home.make()
    except OSError as error:
        raise CommandError(f"{home.root} can't be made: {error.strerror}; choose another with --data.") from error

    environ = os.environ | ({_NODES: args.nodes} if args.nodes else {})

    async def live() -> None:
        await Supervisor(assemble(home, args.replicas, environ), report).run()

    with state.held_lock(home):
        for name in state.end_left_over(state.read(home)):
            report.say(f"Ended {name}, left over from an earlier run.")
        asyncio.run(live())
    report.say("Parley has stopped.")
    return 0


def _in_background(home: Home, args: argparse.Namespace) -> int:
    """Start a supervisor that outlives us, show what it reports, return when it is ready or has failed."""
    home.make()
    log = home.log_of("supervisor")
    process.rotate(log, _SUPERVISOR_LOG_BYTES)
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "parley_cli", "up", "--data", str(home.root)]
    command += ["--replicas", args.replicas, "--nodes", args.nodes]
    with log.open("ab") as output, os.fdopen(reading, "rb") as reports:
        subprocess.Popen(
            [*command, "--report", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        return _follow(reports, Console("`parley down` stops it."))


def _follow(reports: IO[bytes], console: Console) -> int:
    for line in reports:
        message = msgspec.json.decode(line, type=Message)
        if message.failed:
            raise CommandError(message.failed, message.exit_code)
        if message.ready:
            console.ready(message.url)
            return 0
        with contextlib.suppress(OSError):
            console.say(message.say) if message.say else console.waiting(message.waiting)
    raise CommandError("The supervisor ended before Parley was ready; see `parley logs supervisor`.", EXIT_FAILED)
