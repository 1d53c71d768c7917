"""A request that no route takes, or whose backend is down, is answered at once and in its own protocol: the client
sees the reason and makes no second connection to see it again.
"""

import dataclasses
import json
import socket
import time

import peers
from processes import WORK, run as run_program

# Seconds. That a client did not retry is seen from its one connection; this only tells an answer from a deadline, and
# leaves a fresh JVM on a busy machine the time to load its classes.
AT_ONCE = 4


@dataclasses.dataclass
class Refusals:
    rows: list = dataclasses.field(default_factory=list)
    failures: list = dataclasses.field(default_factory=list)

    def render(self):
        out = ["## Refusals", "", "Answered in the client's own protocol, on its first connection, without a retry.", "",
               "| client | no route | backend down |", "|---|---|---|"]
        for client in dict.fromkeys(row[0] for row in self.rows):
            cells = [f"{saw}, {millis:.0f} ms, {n} connection{'s' if n > 1 else ''}" for who, _, saw, millis, n in self.rows if who == client]
            out.append(f"| {client} | " + " | ".join(cells) + " |")
        return out + [""]


# client -> what it must say of (no route, backend down)
WANTED = {
    "curl": ("404", "502"),
    "curl-http1": ("404", "502"),
    "net-http": ("404", "502"),
    "httpx": ("404", "502"),
    "node": ("404", "502"),
    "grpc-go": ("code 12", "code 14"),
    "grpcio": ("code 12", "code 14"),
    "grpc-js": ("code 12", "code 14"),
    "grpc-java": ("code 12", "code 14"),
    "tonic": ("code 12", "code 14"),
}


def run(quick, say):
    found = Refusals()
    # Bound and not listening: connects are refused, and the system gives the port to no relay meanwhile, which would
    # lead oneport back to itself.
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    down = "127.0.0.1:{}".format(held.getsockname()[1])
    for case, what in enumerate(("no route", "backend down")):
        routes = [("path:/nowhere", down)] if what == "no route" else [("grpc", down), ("any", down)]
        port = peers.start_oneport(what.replace(" ", "-"), routes)
        for client, wanted in WANTED.items():
            # Three of each: one lucky answer proves nothing. The report shows the worst of them.
            slowest, most = 0, 0
            for _ in range(3):
                relay = peers.start_relay("refusals", port.addr)
                saw, millis = ask(client, relay.addr)
                time.sleep(0.3)  # a retry would be seen
                connections = sum(line.startswith("connection") for line in relay.lines)
                relay.end()
                slowest, most = max(slowest, millis), max(most, connections)
                if saw != wanted[case] or millis > AT_ONCE * 1000 or connections != 1:
                    found.failures.append(f"{client}, {what}: {saw} after {millis:.0f} ms and {connections} connections")
            found.rows.append((client, what, saw, slowest, most))
            say(f"{client}, {what}: {saw}, {slowest:.0f} ms, {most} connection(s)")
        port.end()
    held.close()
    return found


def ask(client, addr):
    """One request; gives what the client said and how long the request took, without the program's own start."""
    code, out, err = run_program([*peers.CLIENTS[client], addr, "idle=0", "refused"] if client not in ("curl", "curl-http1") else
                                 [*curl(client), f"http://{addr}/hello"], 60)
    try:
        if client.startswith("curl"):
            status, seconds = out.decode().split()
            return status, float(seconds) * 1000
        seen = json.loads(out.decode().strip().splitlines()[-1])["obs"]
        return seen["saw"], seen["millis"]
    except (ValueError, KeyError, IndexError):
        return f"nothing (exit {code}: {err.decode(errors='replace')[-200:]})", 0.0


def curl(client):
    version = {"curl": "--http2-prior-knowledge", "curl-http1": "--http1.1"}[client]
    return ["curl", "-sS", version, "--max-time", 30, "-o", WORK / "refused", "-w", "%{http_code} %{time_total}"]
