"""Envoy in front of oneport: gRPC of all kinds and plain requests, many at once, on ONE connection to oneport. This is how Cloud
Run, Istio and every gateway of layer 7 come.

The gRPC backend is grpc-go and the other one axum; each answer is checked for its content and for whose it is. Envoy does not
retry, and the clients have one channel each.
"""

import collections
import dataclasses
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import peers
from proxy import Envoy

WORKERS = ("-workers", 32, "-slow", 16)
# For what is done to a server in the middle: less load, so that a busy machine still has its turn for everything.
EASY = ("-workers", 16, "-slow", 16, "-pause", "5ms")
# Milliseconds after a backend's restart by which its requests must succeed again: nothing keeps a list of dead backends,
# so it is the time of a connect.
RECOVERY = 500


def is_grpc(one):
    return "POST" not in one["kind"] and one["kind"] != "GET"


@dataclasses.dataclass
class Mixes:
    mixed: dict = dataclasses.field(default_factory=dict)  # routing -> ({kind: [right, of]}, connections)
    killed: dict = dataclasses.field(default_factory=dict)  # backend -> dict of what was seen
    drains: dict = dataclasses.field(default_factory=dict)
    failures: list = dataclasses.field(default_factory=list)

    def render(self):
        out = ["## Envoy in front", "", "gRPC of all kinds and plain requests at once, through Envoy (one worker, no retries) on one "
               "connection to oneport; gRPC to grpc-go, everything else to axum.", "",
               "| requests | `--per-request` | by connection, for contrast |", "|---|---|---|"]
        (split, split_connections), (whole, whole_connections) = self.mixed["request"], self.mixed["connection"]
        for kind in split:
            out.append("| {} | {} of {} | {} of {} |".format(kind, *split[kind], *whole.get(kind, (0, 0))))
        out += [f"| connections of Envoy's | {split_connections} | {whole_connections} |", ""]
        out += ["A backend is killed under load and started again, with `--per-request`:", "",
                "| killed | requests that failed | of them for the other backend | they saw | first failure to last "
                "| requests in all | connections of Envoy's |", "|---|---|---|---|---|---|---|"]
        for backend, seen in self.killed.items():
            told = ", ".join(f"{count} × {told}" for told, count in sorted(seen["told"].items()))
            out.append(f"| {backend}, down for {seen['down']:.1f} s | {seen['failed']} | {seen['others']} | {told} "
                       f"| {seen['span'] / 1000:.1f} s | {seen['of']} | {seen['connections']} |")
        out += ["", "oneport itself is replaced under load: new connections lead to its successor, and then it gets SIGTERM.", "",
                "| replaced | requests in progress at SIGTERM | requests in all | lost | time to drain |", "|---|---|---|---|---|"]
        drains = self.drains
        out += [f"| {drains['times']} times | {drains['in progress']} | {drains['of']} | {drains['lost']} "
                f"| {min(drains['took']):.1f} to {max(drains['took']):.1f} s |"]
        return out + [""]


def run(quick, say):
    found = Mixes()
    grpc, rest = peers.start_backend("grpc-go"), peers.start_backend("axum")
    routes = [("grpc", grpc.addr), ("any", rest.addr)]
    mixed(found, routes, 4 if quick else 15, say)
    for down, is_its in ((grpc, is_grpc), (rest, lambda one: not is_grpc(one))):
        restarted = killed(found, routes, down, is_its, say)
        grpc, rest = (restarted, rest) if down is grpc else (grpc, restarted)
    drained(found, routes, 3 if quick else 10, say)
    grpc.end()
    rest.end()
    return found


def start(name, routes, *options):
    port = peers.start_oneport(name, routes, *options)
    return port, Envoy(name, port.addr)


def mixed(found, routes, seconds, say):
    for routing, options in (("request", ["--per-request"]), ("connection", [])):
        port, envoy = start(f"mixed-by-{routing}", routes, *options)
        seen = peers.mix(envoy.addr, seconds, *WORKERS)
        connections = alone(found, envoy, f"mixed by {routing}")
        counts = {}
        for one in seen:
            count = counts.setdefault(one["kind"], [0, 0])
            count[0] += one["told"] == "ok"
            count[1] += 1
        found.mixed[routing] = (dict(sorted(counts.items())), connections)
        say(f"by {routing}: {found.mixed[routing]}")
        if routing == "request":
            bad = [one for one in seen if one["told"] != "ok"]
            if bad or len(seen) < 1000 or connections != 1:
                found.failures.append(f"mixed by request: {len(bad)} of {len(seen)} wrong on {connections} connections: {bad[:5]}")
        envoy.end()
        port.end()


def alone(found, envoy, what):
    """How many connections Envoy made; that it did not retry."""
    stats = envoy.stats()
    if stats["upstream_rq_retry"]:
        found.failures.append(f"{what}: Envoy retried")
    return stats["upstream_cx_total"]


def killed(found, routes, victim, is_its, say):
    """SIGKILL two seconds into the load, and the same address served again after one and a half more."""
    what = f"{victim.name} killed"
    port, envoy = start(what.replace(" ", "-"), routes, "--per-request")
    with Beside(lambda: peers.mix(envoy.addr, 7, *EASY)) as load:
        time.sleep(2)
        died = now()
        victim.signal(signal.SIGKILL)
        victim.process.wait()
        time.sleep(1.5)
        restarted = peers.start_backend(victim.name, victim.addr)
        up = now()
    victim.end()
    seen = load.result
    bad = [one for one in seen if one["told"] != "ok"]
    others = [one for one in bad if not is_its(one)]
    told = collections.Counter(one["told"] for one in bad)
    connections = alone(found, envoy, what)
    found.killed[victim.name] = {
        "down": (up - died) / 1000, "failed": len(bad), "others": len(others), "told": told, "of": len(seen),
        "connections": connections, "span": max((one["end"] for one in bad), default=died) - min((one["end"] for one in bad), default=died),
    }
    say(f"{what}: {found.killed[victim.name]}")
    late = [one for one in bad if one["begin"] > up + RECOVERY]
    early = [one for one in bad if one["end"] < died]
    # What had begun to be answered can only be broken off, by RST_STREAM; grpc-go calls that 13. Everything else is told what
    # its protocol has for it.
    wanted = {"code 14", "broken off: code 13"} if victim.name == "grpc-go" else {"status 502", "broken off"}
    for wrong, why in ((others, "of the other backend failed"), (late, "failed after the restart"), (early, "failed before"),
                       ([one for one in bad if one["told"] not in wanted], f"saw something else than {sorted(wanted)}")):
        if wrong:
            found.failures.append(f"{what}: {len(wrong)} {why}: {wrong[:5]}")
    if not bad or connections != 1:
        found.failures.append(f"{what}: {len(bad)} failed and Envoy made {connections} connections")
    envoy.end()
    port.end()
    return restarted


def drained(found, routes, times, say):
    """A relay leads Envoy to the current oneport, as a load balancer does; the one before gets SIGTERM."""
    current = peers.start_oneport("drained-0", routes, "--per-request")
    relay = peers.start_relay("balancer", current.addr)
    envoy = Envoy("drained", relay.addr)
    stops, took = [], []
    with Beside(lambda: peers.mix(envoy.addr, 2 + 2.5 * times, *EASY)) as load:
        for n in range(times):
            time.sleep(1.5)
            successor = peers.start_oneport(f"drained-{n + 1}", routes, "--per-request")
            relay.tell(successor.addr)
            time.sleep(0.1)
            stops.append(now())
            current.signal(signal.SIGTERM)
            current.process.wait(20)
            took.append((now() - stops[-1]) / 1000)
            if current.process.returncode != 0 or "drain-cut" in current.log.read_text():
                found.failures.append(f"drain {n + 1}: {current.log.read_text()[-500:]}")
            current.end()
            current = successor
    seen = load.result
    bad = [one for one in seen if one["told"] != "ok"]
    in_progress = sum(one["begin"] < stop < one["end"] for one in seen for stop in stops)
    alone(found, envoy, "drain")
    found.drains = {"times": times, "in progress": in_progress, "of": len(seen), "lost": len(bad), "took": took}
    say(f"drains: {found.drains}")
    if bad or in_progress < 10 * times:
        envoy.end()  # flushes its log
        flags = collections.Counter((one["flags"], one["details"]) for one in envoy.answers())
        found.failures.append(f"drain: {len(bad)} lost of {len(seen)}, {in_progress} in progress: {bad[:5]}; Envoy says {flags}")
    for server in (envoy, relay, current):
        server.end()


def now():
    return time.time_ns() // 1_000_000


class Beside:
    """Runs a load beside the block; its result is there behind it."""

    def __init__(self, load):
        self.load = load

    def __enter__(self):
        self.pool = ThreadPoolExecutor(1)
        self.future = self.pool.submit(self.load)
        return self

    def __exit__(self, kind, *_):
        self.pool.shutdown(wait=True)
        if kind is None:
            self.result = self.future.result()
