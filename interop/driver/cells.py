"""The table: each pair without oneport, then through it, then through it with the opening cut in pieces; the latter two
with connection routing and with `--per-request`.

The first is the reference: what the client observed there (status, headers, hash of the body, grpc-status, way of
ending) must be observed again. A pair that is expected to work must also have worked.
"""

import dataclasses
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import peers
from processes import Failed

# At once: cells use the processor, idle ones only wait.
CELLS_AT_ONCE = 5
IDLE_AT_ONCE = 20

# Long enough for a PING of those clients that send none before ten seconds; the quick one is for the others.
IDLE, IDLE_QUICK = 11, 1


# How the client comes to the backend -> the routing it tries, in the order of the runs.
DIRECT = "direct"
MODES = {
    "through": "connection",
    "in pieces": "connection",
    "per request": "request",
    "per request, in pieces": "request",
}

# With --quick one scenario stands for all where little is new: the cut is over with the opening, of which --per-request leaves
# nothing for later; and connections that are not HTTP/2 take the same way with it as without.
SHORT_QUICK = ("one",)


def shortened(client, mode):
    return MODES.get(mode) == "request" and (mode == "per request, in pieces" or client in peers.NOT_HTTP2)


@dataclasses.dataclass(frozen=True)
class Failure:
    mode: str
    scenario: str
    what: str

    def __str__(self):
        return f"{self.mode}, {self.scenario}: {self.what}"


@dataclasses.dataclass
class Cell:
    pair: object
    failures: list = dataclasses.field(default_factory=list)
    runs: int = 0
    # What went wrong beside all the others and not alone: told, and no failure.
    unsteady: list = dataclasses.field(default_factory=list)

    def passed(self, routing=None):
        """By connection, by request, or (None) both; a direct run that fails is a failure of both."""
        return self.runs > 0 and not any(routing in (None, MODES.get(one.mode, routing)) for one in self.failures)


def routes(pair_slot, addr, addrs):
    """A table in which the backend stands at its slot, beside real servers of the other protocols."""
    table = {"grpc": addrs.get("grpc-go"), "ssh": addrs.get("sshd"), "tls": addrs.get("go-tls"), "any": addrs.get("x-net")}
    if pair_slot == "http2":  # first, so that the preface decides and nobody is greeted
        table = {"http2": addr, "any": table["any"]}
    table[pair_slot] = addr
    return [(match, to) for match, to in table.items() if to]


class Bench:
    """Everything that listens: the backends, a oneport for each backend, slot and routing, a cutting relay for each of those."""

    def __init__(self, required, direct):
        needed = {pair.backend for pair in required.pairs} | ({"grpc-go", "x-net"} if not direct else set())
        self.backends = {name: peers.start_backend(name) for name in peers.BACKENDS if name in needed}
        addrs = {name: backend.addr for name, backend in self.backends.items()}
        self.ends = {}  # (backend, slot) -> {mode: server}
        for backend, slot in sorted({(pair.backend, pair.slot) for pair in required.pairs}):
            name = f"{backend}-as-{slot}"
            if direct:  # the suite against itself: a plain relay in oneport's place
                whole = [peers.start_relay(f"plain-{name}", addrs[backend])]
            else:
                table = routes(slot, addrs[backend], addrs)
                whole = [peers.start_oneport(name, table), peers.start_oneport(f"{name}-per-request", table, "--per-request")]
            between = []
            for server in whole:
                seed = str(len(self.ends) * 1000)
                between += [server, peers.start_relay(server.name, server.addr, "-cut", "-seed", seed)]
            self.ends[backend, slot] = dict(zip(MODES, between))

    def modes(self, pair):
        ends = self.ends[pair.backend, pair.slot]
        return {DIRECT: self.backends[pair.backend].addr, **{mode: server.addr for mode, server in ends.items()}}

    def dead(self):
        between = [server for ends in self.ends.values() for server in ends.values()]
        return [server for server in [*self.backends.values(), *between] if not server.alive()]


def run(required, bench, quick, say):
    """Runs every pair; gives the cells by (client, backend)."""
    idle = IDLE_QUICK if quick else IDLE
    cells = {(pair.client, pair.backend): Cell(pair) for pair in required.pairs}
    lock = threading.Lock()
    started = time.monotonic()

    def work(cell, scenarios):
        if not scenarios:
            return
        begin, failures = time.monotonic(), compare(cell.pair, bench, scenarios, idle, quick)
        with lock:
            cell.failures += failures
            cell.runs += 1
            took = time.monotonic() - begin
            say(f"{time.monotonic() - started:6.0f} s  {cell.pair.client} × {cell.pair.backend}"
                f" [{' '.join(scenarios)}] {'ok' if not failures else 'FAIL'} ({took:.1f} s)")
            for failure in failures:
                say(f"          {failure}")

    phases = [(CELLS_AT_ONCE, lambda s: s != "idle"), (IDLE_AT_ONCE, lambda s: s == "idle")]
    for at_once, chosen in [(CELLS_AT_ONCE, lambda s: True)] if quick else phases:
        with ThreadPoolExecutor(at_once) as pool:
            jobs = [pool.submit(work, cell, [s for s in cell.pair.scenarios if chosen(s)]) for cell in cells.values()]
            for job in jobs:
                job.result()
    # Cells run several at once on a machine that may have two cores: what fails is tried once more, with nothing beside it.
    for cell in [cell for cell in cells.values() if cell.failures]:
        cell.unsteady, cell.failures = cell.failures, []
        say(f"          once more: {cell.pair.client} × {cell.pair.backend}")
        work(cell, cell.pair.scenarios)
    for server in bench.dead():
        raise Failed(f"{server.name} died meanwhile with code {server.process.returncode}:\n{server.log.read_text()[-2000:]}")
    return cells


def compare(pair, bench, scenarios, idle, quick):
    failures, reference = [], None
    for mode, addr in bench.modes(pair).items():
        chosen = [one for one in scenarios if one in SHORT_QUICK or not (quick and shortened(pair.client, mode))]
        if not chosen:
            continue
        expect = pair.expect_per_request if MODES.get(mode) == "request" else pair.expect
        seen = peers.observe(pair.client, addr, chosen, idle)
        for scenario in chosen:
            now = seen[scenario]
            if expect == "ok" and not now["ok"]:
                failures.append(Failure(mode, scenario, brief(now["obs"])))
            elif expect == "fails":
                if now["ok"] or not ended(now["obs"]):
                    failures.append(Failure(mode, scenario, f"should fail before its deadline: {brief(now['obs'])}"))
            elif reference and now != reference[scenario]:
                failures.append(Failure(mode, scenario, difference(reference[scenario]["obs"], now["obs"])))
        reference = reference or seen
    return failures


def ended(obs):
    """Whether every call got an answer of its own: no crash, no hang until the deadline (4)."""
    calls = obs if isinstance(obs, list) else [obs]
    return all(isinstance(call, dict) and call.get("code") != 4 for call in calls)


def brief(obs, limit=400):
    text = json.dumps(obs)
    return text if len(text) <= limit else text[:limit] + "…"


def difference(before, after):
    """The first place where two observations part."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after):
            if one != other:
                return difference(one, other)
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for key in before:
            if before[key] != after[key]:
                return f"{key}: {difference(before[key], after[key])}"
    return f"without oneport {brief(before)}, with it {brief(after)}"
