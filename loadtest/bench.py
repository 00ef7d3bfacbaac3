"""Measures what Parley promises, row by row, and writes loadtest/RESULTS.md.

.venv/bin/python loadtest/bench.py --quick           all rows in sizes that take minutes
.venv/bin/python loadtest/bench.py --rows steady,burst
Each row is one or more runs of load.py, each with a mesh of its own; its JSON and its page stay in loadtest/out/bench.
A row that was not asked for keeps the figures of its last run of the same size, and so do the peers without `--peers`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from generator import options, results, rows, run
from generator.rows import Run

HERE = Path(__file__).parent
OUT = HERE / "out" / "bench"
RESULTS = HERE / "RESULTS.md"
PEERS = HERE / "out" / "peers.md"
_NO_PEERS = "Not run; `loadtest/peers/run.py` does."


def main() -> None:
    asked = _arguments()
    wanted = [name.strip() for name in asked.rows.split(",") if name.strip()]
    done: dict[str, dict[str, Any]] = {}
    settings: dict[str, str] = {}
    for one in rows.runs():
        folder = OUT / ("quick" if asked.quick else "full") / one.name
        asked_for = not wanted or any(one.name.split("-")[0] == name or one.name == name for name in wanted)
        if asked_for:
            if one.times and "saturation" not in done:
                sys.exit(f"The pace of {one.name} follows from the one at saturation: add saturation to --rows.")
            _run(one, rows.arguments(one, done, quick=asked.quick) + asked.more.split(), folder)
        if (folder / "latest.json").is_file():
            done[one.name] = msgspec.json.decode((folder / "latest.json").read_bytes())
            settings[one.name] = (folder / "made_by").read_text().strip()
        elif asked_for:
            sys.exit(f"{one.name} gave no figures (its folder is {folder}); {asked.out} stays as it was.")
    peers = _peers() if asked.peers else _last_peers()
    about = {name: value for name, value in run.about(options.parse([])).items() if name not in ("commit", "settings")}
    checks = rows.checks(done)
    Path(asked.out).write_text(results.markdown(checks, about, settings, peers, quick=asked.quick), "utf-8")
    print(Path(asked.out).read_text("utf-8"))
    sys.exit(1 if any(check.holds is False for check in checks) and not asked.quick else 0)


def _run(one: Run, arguments: list[str], folder: Path) -> None:
    """One call of load.py. Its exit code says whether anything was lost, and the table does too."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"== {one.name}: load.py {' '.join(arguments)}", file=sys.stderr, flush=True)
    (folder / "latest.json").unlink(missing_ok=True)
    (folder / "made_by").write_text(f"`load.py {' '.join(arguments)}`, commit {run.commit()}\n")
    command = [sys.executable, str(HERE / "load.py"), *arguments, "--out", str(folder)]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        print(f"== {one.name} has failed or lost something", file=sys.stderr, flush=True)


def _peers() -> str:
    """The peers' own table, with Parley at their work, a handoff a turn, in the same run."""
    script = HERE / "peers" / "run.py"
    if subprocess.run([sys.executable, str(script)], stdout=subprocess.DEVNULL).returncode:
        return "loadtest/peers/run.py has failed."
    return PEERS.read_text("utf-8")


def _last_peers() -> str:
    return PEERS.read_text("utf-8") if PEERS.is_file() else _NO_PEERS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: minutes instead of hours")
    parser.add_argument("--rows", default="", help="which runs, with commas between; all without")
    parser.add_argument("--peers", action="store_true", help="run loadtest/peers as well")
    parser.add_argument("--more", default="", help="further arguments for every run of load.py")
    parser.add_argument("--out", default=str(RESULTS), metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
