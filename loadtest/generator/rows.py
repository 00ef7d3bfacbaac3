"""What Parley promises, row by row: which runs show it, and what of their figures is held against what. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

Found = Mapping[str, Any]
Runs = Mapping[str, Found]
CALLERS = (1, 2, 5, 10)
KNOWN = (100, 1_000, 5_000, 20_000)
HISTORY_KB = (10, 50, 200)
_MANY_SOCKETS = 5_000
_PACED = 250
# Of 5,000 conversations as many messages as can be answered without a queue; ten times half of that as a burst.
_BELOW = "--every {every}"
_BURST = f"--profile burst {_BELOW}"
_INT8 = "--env PARLEY_RAG_PRECISION=int8"
_SERVICES_APART = ("total", "everything")
_MEASURING = ("generator", "provider")


class Run(msgspec.Struct, frozen=True):
    """One call of load.py: its arguments in full and in quick. `{every}` stands for what makes `times` the capacity."""

    name: str
    full: str
    quick: str
    times: float = 0


class Check(msgspec.Struct, frozen=True):
    """One line of the table; `holds` is None where nothing was promised or nothing measured."""

    row: str
    what: str
    measured: str
    wanted: str = ""
    holds: bool | None = None


def runs() -> list[Run]:
    """In the order in which they are made: what makes use of the capacity stands behind its measurement."""
    # Every text another: what the caches know would depend on how far the customers come.
    crowd = "--profile steady --provider none --fresh 1 --conversations"
    found = [
        Run(
            "saturation",
            "--profile saturation --seconds 130 --warmup 80",
            "--profile saturation --conversations 50 --seconds 15",
        ),
        Run(
            "saturation-int8",
            f"--profile saturation --seconds 130 --warmup 80 {_INT8}",
            f"--profile saturation --conversations 50 --seconds 15 {_INT8}",
        ),
        Run("single", "--profile single --seconds 30", "--profile single --seconds 10"),
        # A fifth of the capacity: with 30 tokens streamed to 5,000 sockets a turn costs two and a half times as much as
        # at saturation, and on processors that are busy for more than half of the time it waits for one.
        Run("steady", f"{_steady(5000, 600)} {_BELOW}", f"{_steady(200, 20)} {_BELOW}", 0.2),
        Run("burst", f"{_BURST} --conversations 1500 --seconds 120", f"{_BURST} --conversations 200 --seconds 40", 0.5),
    ]
    found += [
        Run(f"goodput-{n}", f"{crowd} 2000 --seconds 40 --every {{every}}", f"{crowd} 200 --seconds 12", n)
        for n in CALLERS
    ]
    found += [
        Run(f"known-{n}", f"--profile saturation --known {n} --seconds 40", _few(f"--known {min(n, 400)}"))
        for n in KNOWN
    ]
    found += [
        Run(f"history-{n}", f"--profile saturation --known 400 --history-kb {n} --seconds 40", _few("--known 50"))
        for n in HISTORY_KB
    ]
    found.append(Run("reconnect", "--profile reconnect", "--profile reconnect --conversations 100"))
    soak = "--profile soak --every {every} --conversations"
    found.append(Run("soak", f"{soak} 2000", f"{soak} 50 --seconds 30", 0.2))
    return found


def _steady(conversations: int, seconds: int) -> str:
    return f"--profile steady --conversations {conversations} --seconds {seconds}"


def _few(more: str) -> str:
    return f"--profile saturation --conversations 20 --seconds 10 {more}"


def arguments(run: Run, done: Runs, *, quick: bool) -> list[str]:
    """What load.py is called with; the pace that goes beyond the capacity follows from the run at saturation."""
    text = run.quick if quick else run.full
    if run.times:
        words = text.split()
        conversations = int(words[words.index("--conversations") + 1])
        capacity = max(1.0, done.get("saturation", {}).get("turns_per_s", 1.0))
        every = conversations / (capacity * run.times)
        text = text.replace("{every}", f"{every:.3f}") if "{every}" in text else f"{text} --every {every:.3f}"
    return text.split()


def checks(done: Runs) -> list[Check]:
    """All lines of the table for which there are runs."""
    of_one: Mapping[str, Callable[[Found], list[Check]]] = {
        "steady": _steadily,
        "saturation": _capacity,
        "saturation-int8": _in_int8,
        "single": _alone,
        "burst": _burst,
    }
    of_many: Sequence[Callable[[Runs], list[Check]]] = (_goodput, _memory, _sizes)
    found = [check for name, make in of_one.items() if name in done for check in make(done[name])]
    return found + [check for make in of_many for check in make(done)]


def _steadily(found: Found) -> list[Check]:
    row = f"1 · {found['conversations']:,} conversations, {found['turns_per_s']:g} turns/s"
    counts = [_most(row, name, found[name], 0) for name in ("lost", "duplicated", "errors", "refused")]
    times = [
        _most(row, f"overhead {place}, ms", found["overhead_ms"][place], bound)
        for place, bound in (("p50", 10), ("p95", 50), ("p99", 100))
    ]
    worst = max(found["loop_lag_ms_p99"].items(), key=lambda item: item[1], default=("none", 0.0))
    paced = _least(row, "turns/s, a message each 20 s of every conversation", found["turns_per_s"], _PACED)
    return [paced, *counts, *times, _most(row, f"loop lag p99, worst ({worst[0]}), ms", worst[1], 20)]


def _capacity(found: Found) -> list[Check]:
    row, costs = "2 · saturation, no provider delay", found["cpu_ms_per_turn"]
    shares = ", ".join(f"{name} {ms:.2f}" for name, ms in costs.items() if name not in _SERVICES_APART)
    caches = ", ".join(f"{name} {100 * one['hit_share']:.0f} %" for name, one in found["caches"].items())
    return [
        _least(row, "turns/s", found["turns_per_s"], 500),
        _most(row, "CPU of all services but rag, ms a turn", costs.get("total", 0.0), 3),
        Check(row, "CPU by service, ms a turn", shares),
        Check(row, "answered by caches", caches),
        Check(row, "answers by what they rest on", ", ".join(f"{k} {n}" for k, n in found["kinds"].items())),
        Check(row, "lost, repeated, errors", f"{found['lost']}, {found['duplicated']}, {found['errors']}"),
    ]


def _in_int8(found: Found) -> list[Check]:
    row, costs = "2 · the same, embeddings in int8", found["cpu_ms_per_turn"]
    cost = f"{costs['total']:.2f}, {costs['rag']:.2f}"
    return [
        Check(row, "turns/s in int8", f"{found['turns_per_s']:g}"),
        Check(row, "CPU of all services but rag, of rag, ms a turn", cost),
    ]


def _alone(found: Found) -> list[Check]:
    row, times = "2 · one at a time, message to end of answer", found["answer_ms"]
    return [_most(row, "p50, ms", times["p50"], 5), _most(row, "p95, ms", times["p95"], 8)]


def _burst(found: Found) -> list[Check]:
    row, burst = "4 · ten times as much for 30 s", found["burst"]
    offered = f"{burst['sent_per_s']:g} of {burst['before_per_s'] * burst['factor']:g}"
    back = burst["recovery_s"]
    return [
        Check(row, "sent a second", offered),
        Check(row, "answered a second, refused", f"{burst['answered_per_s']:g}, {burst['refused']}"),
        _most(row, "accepted and not answered", found["lost"], 0),
        _most(row, "errors, refusals without a time among them", found["errors"], 0),
        Check(
            row, "back to normal, s", "not" if back is None else f"{back:g}", "≤ 10", back is not None and back <= 10
        ),
    ]


def _goodput(done: Runs) -> list[Check]:
    rates = {n: done[f"goodput-{n}"]["turns_per_s"] for n in CALLERS if f"goodput-{n}" in done}
    if not rates:
        return []
    row, best = "4 · goodput beyond capacity", max(rates.values()) or 1.0
    lines = [Check(row, f"{n} times the rate at saturation, turns/s", f"{rate:g}") for n, rate in rates.items()]
    lost = sum(done[f"goodput-{n}"]["lost"] for n in rates)
    worst = 100 * min(rates.values()) / best
    return [*lines, _least(row, "worst of best, %", round(worst), 90), _most(row, "accepted and not answered", lost, 0)]


def _memory(done: Runs) -> list[Check]:
    row, lines = "5 · memory", []
    if steady := done.get("steady"):
        open_kb = _grown_kb(steady, "rss_mb_connected", "gateway")
        held = max(1, steady["states"]["count"])
        idle_kb = 1000 * (steady["rss_mb"]["conversation"] - steady["rss_mb_before"]["conversation"]) / held
        lines.append(Check(row, "gateway, KB a socket", f"{open_kb:.1f}"))
        lines.append(_most(row, f"conversation service, KB each of {held:g} in memory", round(idle_kb, 1), 10))
    if again := done.get("reconnect"):
        what, size_mb = f"gateway with {again['conversations']:,} sockets, MB", again["rss_mb"]["gateway"]
        many = again["conversations"] >= _MANY_SOCKETS
        lines.append(_most(row, what, size_mb, 250) if many else Check(row, what, f"{size_mb:g}"))
    if soak := done.get("soak"):
        # Our own customers and the provider keep what they need for the account.
        drifts = {name: grown for name, grown in soak["rss_drift_percent"].items() if name not in _MEASURING}
        drift = max(drifts.items(), key=lambda item: item[1], default=("none", 0.0))
        minutes = round((soak["seconds"] - soak.get("warmup", 0.0)) / 60, 1)
        lines.append(_most(row, f"growth over {minutes:g} min, worst ({drift[0]}), %", drift[1], 5))
        others = ", ".join(f"{name} {grown:g}" for name, grown in sorted(drifts.items(), key=lambda item: -item[1]))
        lines.append(Check(row, f"growth over {minutes:g} min of each, %", others))
    return lines


def _sizes(done: Runs) -> list[Check]:
    kinds = [("known", KNOWN, "known conversations"), ("history", HISTORY_KB, "KB of history")]
    return [
        Check("6 · cost against size", f"{size:,} {what}: turns/s, CPU ms a turn", _cost(done[f"{kind}-{size}"]))
        for kind, sizes, what in kinds
        for size in sizes
        if f"{kind}-{size}" in done
    ]


def _cost(found: Found) -> str:
    return f"{found['turns_per_s']:g}, {found['cpu_ms_per_turn'].get('total', 0.0):.2f}"


def _grown_kb(found: Found, now: str, service: str) -> float:
    grown: float = 1000 * (found[now][service] - found["rss_mb_before"][service]) / found["conversations"]
    return grown


def _most(row: str, what: str, value: float, bound: float) -> Check:
    return Check(row, what, f"{value:g}", f"≤ {bound:g}", value <= bound)


def _least(row: str, what: str, value: float, bound: float) -> Check:
    return Check(row, what, f"{value:g}", f"≥ {bound:g}", value >= bound)
