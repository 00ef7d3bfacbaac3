"""A virtual environment for each family of peers, made on demand from its pinned requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
VENVS = HERE / ".venvs"
INSTALL_S = 900.0
# The package that a family is known by.
KNOWN_BY = {"langgraph": "langgraph", "autogen": "autogen-core", "openai_agents": "openai-agents"}
_APT = ["apt-get", "install", "--yes", "--no-install-recommends", "elixir"]


class NotInstalled(Exception):
    """One sentence: why a peer stays out of the table."""


def command(family: str, logs: Path) -> list[str]:
    """What runs a script of that family; what installing said is in `logs`."""
    return [str(python(family, logs))] if family else [elixir()]


def version(family: str) -> str:
    """The pinned version of the package that a family is known by, or what Elixir says of itself."""
    return pinned(requirements(family).read_text(), KNOWN_BY[family]) if family else _elixir_version()


def pinned(text: str, package: str) -> str:
    """The version that requirements pin a package to; KeyError where they do not."""
    pins = dict(line.split("==", 1) for line in text.splitlines() if "==" in line)
    return pins[package].split()[0]


def requirements(family: str) -> Path:
    return HERE / "requirements" / f"{family}.txt"


def python(family: str, logs: Path) -> Path:
    """The environment's interpreter. NotInstalled where the environment can't be made."""
    venv = VENVS / family
    found, stamp = venv / "bin" / "python", venv / "installed"
    wanted = hashlib.sha256(requirements(family).read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return found
    print(f"installing {KNOWN_BY[family]} into {venv.name} …", file=sys.stderr)
    _make(family, venv, found, logs)
    stamp.write_text(wanted)
    return found


def _make(family: str, venv: Path, found: Path, logs: Path) -> None:
    log = logs / f"peers-{family}.log"
    pip = [str(found), "-m", "pip", "install", "--quiet", "--no-input", "--requirement", str(requirements(family))]
    with log.open("wb") as output:
        for step in ([sys.executable, "-m", "venv", "--clear", str(venv)], pip):
            if not _ran(step, output.fileno()):
                shutil.rmtree(venv, ignore_errors=True)
                raise NotInstalled(f"{KNOWN_BY[family]} can't be installed here; {log.name} says what pip answered.")


def _ran(step: list[str], output: int) -> bool:
    try:
        return subprocess.run(step, stdout=output, stderr=output, timeout=INSTALL_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def elixir() -> str:
    """NotInstalled where there is none."""
    found = shutil.which("elixir")
    if not found:
        raise NotInstalled("Elixir is not installed (on Debian: apt-get install elixir, or --install-elixir).")
    return found


def install_elixir(logs: Path) -> None:
    """With Debian's own client, where there is one; what it said is in `logs`."""
    if shutil.which("elixir") or not shutil.which("apt-get"):
        return
    with (logs / "peers-elixir.log").open("wb") as output:
        _ran(_APT, output.fileno())


def _elixir_version() -> str:
    said = subprocess.run([elixir(), "--short-version"], capture_output=True, text=True, check=False)
    return said.stdout.strip()
