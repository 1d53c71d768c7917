"""A request that no route takes, whose backend is down or whose route is closed is answered at once and in its own protocol: the
client sees the reason and makes no second connection to see it again. With `--per-request` the connection lives on: the next
request on it, which a route takes, is served.
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

# client -> what it must say of (no route, backend down, route closed)
HTTP, GRPC = ("404", "502", "403"), ("code 12", "code 14", "code 7")
WANTED = {
    "curl": HTTP,
    "curl-http1": HTTP,
    "net-http": HTTP,
    "httpx": HTTP,
    "node": HTTP,
    "grpc-go": GRPC,
    "grpcio": GRPC,
    "grpc-js": GRPC,
    "grpc-java": GRPC,
    "tonic": GRPC,
}
# These make one request a connection here: curl 7.88 does not use one of prior knowledge again.
ONE_REQUEST = ("curl", "curl-http1")
# What the second request sees.
SERVED = {HTTP: "200", GRPC: "code 0"}

CASES = ("no route", "backend down", "route closed")


@dataclasses.dataclass
class Refusals:
    rows: dict = dataclasses.field(default_factory=dict)  # routing -> {client: {case: words}}
    failures: list = dataclasses.field(default_factory=list)

    def render(self):
        out = ["## Refusals", "", "Answered in the client's own protocol, on its first connection, without a retry.", ""]
        out += self.table("connection")
        out += ["With `--per-request` the connection lives on: behind the refused request a second one that a route takes.", ""]
        return out + self.table("request")

    def table(self, routing):
        out = ["| client | " + " | ".join(CASES) + " |", "|---" * (1 + len(CASES)) + "|"]
        out += [f"| {client} | " + " | ".join(cells[case] for case in CASES) + " |" for client, cells in self.rows[routing].items()]
        return out + [""]


def run(quick, say):
    found = Refusals()
    # Bound and not listening: connects are refused, and the system gives the port to no relay meanwhile, which would
    # lead oneport back to itself.
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    down = "127.0.0.1:{}".format(held.getsockname()[1])
    grpc, rest = peers.start_backend("grpc-go"), peers.start_backend("x-net")
    # What the second request asks for.
    served = [("path:/echo", rest.addr), ("grpc:grpc.health.v1.Health", grpc.addr)]
    tables = {
        "no route": [("path:/nowhere", down)],
        "backend down": [("grpc", down), ("any", down)],
        "route closed": [("any", "close")],
    }
    for routing in ("connection", "request"):
        for number, case in enumerate(CASES):
            options = ["--per-request"] if routing == "request" else []
            routes = (served if routing == "request" else []) + tables[case]
            port = peers.start_oneport(f"{case}-by-{routing}".replace(" ", "-"), routes, *options)
            for client, wanted in WANTED.items():
                goes_on = routing == "request" and client not in ONE_REQUEST
                then = SERVED[wanted] if goes_on else None
                words = refused(found, port, client, wanted[number], then, f"{case} by {routing}", 1 if quick else 3)
                found.rows.setdefault(routing, {}).setdefault(client, {})[case] = words
                say(f"{client}, {case} by {routing}: {words}")
            port.end()
    held.close()
    for server in (grpc, rest):
        server.end()
    return found


def refused(found, port, client, wanted, served, what, times):
    """Several times: one lucky answer proves nothing. Tells the worst of them."""
    slowest, most = 0, 0
    for _ in range(times):
        relay = peers.start_relay("refusals", port.addr)
        saw, millis, then = ask(client, relay.addr, served is not None)
        time.sleep(0.3)  # a retry would be seen
        connections = sum(line.startswith("connection") for line in relay.lines)
        relay.end()
        slowest, most = max(slowest, millis), max(most, connections)
        if (saw, then) != (wanted, served) or millis > AT_ONCE * 1000 or connections != 1:
            found.failures.append(f"{client}, {what}: {saw}, then {then}, after {millis:.0f} ms and {connections} connections")
    then = f", then {then}" if then else ""
    return f"{saw}{then}, {slowest:.0f} ms, {most} connection{'s' if most > 1 else ''}"


def ask(client, addr, goes_on):
    """One request; gives what the client said, how long the request took without the program's own start, and what the next request
    saw."""
    scenario = "refused-then-served" if goes_on else "refused"
    code, out, err = run_program([*peers.CLIENTS[client], addr, "idle=0", scenario] if client not in ONE_REQUEST else
                                 [*curl(client), f"http://{addr}/hello"], 60)
    try:
        if client in ONE_REQUEST:
            status, seconds = out.decode().split()
            return status, float(seconds) * 1000, None
        seen = json.loads(out.decode().strip().splitlines()[-1])["obs"]
        return seen["saw"], seen["millis"], seen.get("then")
    except (ValueError, KeyError, IndexError):
        return f"nothing (exit {code}: {err.decode(errors='replace')[-200:]})", 0.0, None


def curl(client):
    version = {"curl": "--http2-prior-knowledge", "curl-http1": "--http1.1"}[client]
    return ["curl", "-sS", version, "--max-time", 30, "-o", WORK / "refused", "-w", "%{http_code} %{time_total}"]
