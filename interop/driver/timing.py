"""What the greeting costs those who need it, and how often those get one who do not.

Time to first response: a fresh connection and one unary call, straight to the backend and through oneport in turn,
so that what disturbs one disturbs both. Eager clients send their request at once and need no greeting; how many got
one is read from oneport's log.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import time

import peers
from processes import Failed, run as run_program


@dataclasses.dataclass
class Timing:
    first: list = dataclasses.field(default_factory=list)  # (condition, client, direct, through): medians, ms
    greeted: list = dataclasses.field(default_factory=list)  # (condition, client, greeted, of)
    failures: list = dataclasses.field(default_factory=list)
    count: int = 0

    def render(self):
        out = ["## Time to first response", "", f"A fresh connection and one unary call; median of {self.count}, direct and through "
               "oneport in turn. The difference is mostly `settings_patience`, which these clients pay once per connection, and with delay one way of the network.", "",
               "| condition | client | direct | through oneport |", "|---|---|---|---|"]
        out += [f"| {condition} | {client} | {direct:.1f} ms | {through:.1f} ms |" for condition, client, direct, through in self.first]
        out += ["", "## Greetings that were not needed", "", "Connections of clients that send their request at once, and how many of "
                "them oneport greeted all the same.", "",
                "| client | " + " | ".join(CONDITIONS) + " |", "|---" * (1 + len(CONDITIONS)) + "|"]
        for eager in EAGER:
            out.append(f"| {eager} | " + " | ".join(f"{greeted} of {of}" for _, client, greeted, of in self.greeted if client == eager) + " |")
        return out + [""]


# What is said of a condition -> (delay each way, busy loops).
CONDITIONS = {"loopback": (None, 0), "20 ms of delay each way": ("20ms", 0), "two busy loops a core": (None, 2 * (os.cpu_count() or 1))}


def run(quick, say):
    found = Timing(count=30 if quick else 60)
    grpc, rest = peers.start_backend("grpc-go"), peers.start_backend("x-net")
    for condition, (delay, loops) in CONDITIONS.items():
        busy = burn(loops)
        try:
            for client in ("grpc-go", "grpcio"):
                port = peers.start_oneport("timing", [("grpc", grpc.addr), ("any", rest.addr)])
                ends = delayed([grpc.addr, port.addr], delay)
                direct, through = fresh(client, found.count, [addr for addr, _ in ends])
                found.first.append((condition, client, statistics.median(direct), statistics.median(through)))
                say("{}: {}: direct {:.2f} ms, through {:.2f} ms".format(*found.first[-1]))
                end([port, *(relay for _, relay in ends)])
            for client, connections in EAGER.items():
                port = peers.start_oneport("eager", [("grpc", grpc.addr), ("any", rest.addr)])
                ends = delayed([port.addr], delay)
                connections(ends[0][0])
                time.sleep(0.5)
                flags = greetings(port)
                end([port, *(relay for _, relay in ends)])
                found.greeted.append((condition, client, sum(flags), len(flags)))
                say("{}: {}: {} of {} greeted".format(*found.greeted[-1]))
                if not flags:
                    found.failures.append(f"{client}, {condition}: the log tells of no connection")
        finally:
            for process in busy:
                process.kill()
                process.wait()
    end([grpc, rest])
    return found


def burn(count):
    return [subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"]) for _ in range(count)]


def delayed(addrs, delay):
    """The addresses, behind a relay each if there is a delay."""
    if not delay:
        return [(addr, None) for addr in addrs]
    relays = [peers.start_relay(f"delay-{i}", addr, "-delay", delay) for i, addr in enumerate(addrs)]
    return [(relay.addr, relay) for relay in relays]


def end(servers):
    for server in servers:
        if server:
            server.end()


def fresh(client, count, addrs):
    argv = {
        "grpc-go": [peers.GO, "fresh", "grpc-go", count, *addrs],
        "net-http": [peers.GO, "fresh", "net-http", count, *addrs],
        "grpcio": [*peers.CLIENTS["grpcio"], "fresh", count, *addrs],
        "httpx": [*peers.CLIENTS["httpx"], "fresh", count, *addrs],
        "node": [*peers.CLIENTS["node"], "fresh", count, *addrs],
        "tonic": [*peers.CLIENTS["tonic"], "fresh", count, *addrs],
    }[client]
    code, out, err = run_program(argv, 300)
    if code != 0:
        raise Failed(f"{client} could not measure: {err.decode(errors='replace')[-500:]}")
    return json.loads(out)


def curls(addr):
    for _ in range(50):
        run_program(["curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null", f"http://{addr}/hello"], 30)


def nghttps(addr):
    for _ in range(50):
        run_program(["nghttp", "-n", f"http://{addr}/hello"], 30)


EAGER = {
    "curl": curls,
    "nghttp": nghttps,
    "h2load": lambda addr: run_program(["h2load", "-n", 100, "-c", 100, f"http://{addr}/hello"]),
    "net-http": lambda addr: fresh("net-http", 50, [addr]),
    "node": lambda addr: fresh("node", 50, [addr]),
    "httpx": lambda addr: fresh("httpx", 50, [addr]),
    "tonic": lambda addr: fresh("tonic", 50, [addr]),
}


def greetings(port):
    """Whether each routed connection was greeted, by oneport's log."""
    flags = []
    for line in port.log.read_text().splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and "greeted" in told:
            flags.append(bool(told["greeted"]))
    return flags
