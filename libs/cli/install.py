"""Fills .venv: the locked dependencies, then this repository's packages. Run by make, needs only Python itself."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

LOCK = Path("requirements.lock")


def main(arguments: Sequence[str]) -> int:
    """`install.py VENV PYPROJECT…`; 0 when everything is installed, else 1 after one sentence."""
    venv, *pyprojects = (Path(argument) for argument in arguments)
    # PostgreSQL may have to run as another user than we are: what is installed must be readable for it.
    os.umask(0o022)
    began = time.monotonic()
    try:
        make(venv)
        fill(venv, "dependencies", [LOCK], ["--require-hashes", "-r", str(LOCK)])
        fill(venv, "packages", pyprojects, ["--no-build-isolation", *editable(pyprojects)])
    except Failed as failed:
        print(f"parley: {failed}", file=sys.stderr)
        return 1
    (venv / "installed").touch()
    print(f"installed in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


class Failed(Exception):
    """One sentence for whoever ran make."""


def make(venv: Path) -> None:
    """Create the environment, or again where an earlier attempt left it broken or it has another Python."""
    if works(venv):
        return
    print(f"creating {venv} with Python {sys.version.split()[0]} …", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise Failed(
            f"{sys.executable} can't make a virtual environment; install its venv module "
            f"(on Debian: apt-get install python3-venv). It said: {last_line(done.stdout + done.stderr)}"
        )


def works(venv: Path) -> bool:
    if not Path(python_of(venv)).is_file():
        return False
    return subprocess.run([python_of(venv), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def fill(venv: Path, what: str, sources: Iterable[Path], arguments: list[str]) -> None:
    """Install with pip, unless just these sources are installed already."""
    mark = venv / f"{what}.sha256"
    wanted = digest(sources)
    if mark.is_file() and mark.read_text() == wanted:
        return
    print(f"installing {what}, which may take minutes …", file=sys.stderr, flush=True)
    command = [
        python_of(venv),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        *arguments,
    ]
    # pip's warnings concern whoever runs pip; an error is the last thing that it says.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    if done.returncode:
        raise Failed(f"the {what} could not be installed: {reason(done.stdout)}")
    mark.write_text(wanted)


def editable(pyprojects: Iterable[Path]) -> list[str]:
    return [word for path in pyprojects for word in ("--editable", f"./{path.parent.as_posix()}")]


def digest(sources: Iterable[Path]) -> str:
    """What the sources say, by path and content: a checkout that only touches files installs nothing."""
    whole = hashlib.sha256(sys.version.encode())
    for source in sorted(sources):
        whole.update(f"{source.as_posix()}\n".encode() + source.read_bytes())
    return whole.hexdigest()


def reason(output: str) -> str:
    """pip's own error line, else the last thing that it said."""
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    return errors[0].removeprefix("ERROR:").strip() if errors else last_line(output)


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"


def python_of(venv: Path) -> str:
    return str(venv / "bin" / "python")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
