"""New connections per second, a connection per request: servers alone on their port and behind a multiplexer."""

import statistics

import plot
from parts import table
from processes import PEERS, PROGRAMS, Server, output
from stats import Spread, ratios, rounds_of, times

LOAD = PROGRAMS / "load"
SERVE = PROGRAMS / "serve"
CONCURRENCY = 16

# The name of the server, its program, its multiplexers (as the program calls them, and as the table does), and the versions of HTTP that it speaks.
SERVERS = [
    ("hyper on tokio", [SERVE, "tokio"], {"oneport": "oneport"}, ["http1", "h2c"]),
    ("hyper on smol", [SERVE, "smol"], {"oneport": "oneport"}, ["http1", "h2c"]),
    ("a thread each (std)", [SERVE, "std"], {"oneport": "oneport", "router": "oneport, `Router`"}, ["http1"]),
    ("Go", [PEERS, "serve"], {"cmux": "cmux"}, ["http1", "h2c"]),
]


def load(server, version, milliseconds):
    """Connections that were served well in a second, and the server's processor time for each, in seconds."""
    before = server.cpu_seconds()
    line = output([LOAD, "connections", version, server.address, milliseconds, CONCURRENCY], cpu=1)
    done, failed, seconds = map(float, line.split())
    used = server.cpu_seconds() - before
    return {"rate": done / seconds, "cpu": used / max(done + failed, 1), "failed": failed}


def measure(setting):
    results = []
    milliseconds = setting.rounds(1500, 400)
    for name, argv, muxes, versions in SERVERS:
        for version in versions:
            servers = {mode: Server([*argv, mode, version], cpu=0) for mode in ("direct", *muxes)}
            for server in servers.values():
                load(server, version, 300)  # warm
            taken = rounds_of(setting.rounds(15, 3), list(servers), lambda mode: load(servers[mode], version, milliseconds))
            for server in servers.values():
                server.end()
            for mode, mux in muxes.items():
                results.append({"server": name, "mux": mux, "version": version, "direct": taken["direct"], "behind": taken[mode]})
    return results


def report(data, plots):
    rows, chart = [], []
    for result in data:
        direct, behind = result["direct"], result["behind"]
        rate = ratios([r["rate"] for r in behind], [r["rate"] for r in direct])
        cpu = ratios([r["cpu"] for r in behind], [r["cpu"] for r in direct])
        added = Spread([(b["cpu"] - d["cpu"]) * 1e6 for b, d in zip(behind, direct, strict=True)])
        failed = sum(r["failed"] for r in behind) + sum(r["failed"] for r in direct)
        ours = result["mux"] != "cmux"
        met = ("met" if rate.median >= 0.95 else "**short**") if ours else "-"
        rows.append([
            result["server"], result["version"], result["mux"],
            f"{statistics.median(r['rate'] for r in direct):,.0f}/s",
            rate.text(times), met, cpu.text(times), f"{added.text(lambda value: f'{value:.1f}')} µs", f"{failed:.0f}",
        ])
        chart.append((f"{result['server']}, {result['version']}: {result['mux']}", rate, ("a" if rate.median >= 0.95 else "b") if ours else "c"))
    plots["connections"] = plot.bars(
        "New connections per second behind a multiplexer, as part of the server's own",
        "median, line: quartiles; grey: cmux in front of Go's servers", chart, times, (0.95, "goal: 0.95"),
    )
    head = ["server", "HTTP", "multiplexer", "direct", "behind ÷ direct", "goal 0.95", "CPU time ÷ direct", "CPU time added", "failed"]
    return f"""## New connections
A connection per request over loopback, {CONCURRENCY} at a time; the client is the same for all and does not wait for SETTINGS. "Direct" is the same server without the
multiplexer; both run in turn, the servers on one processor and the client on another, so that a server is what limits. TCP_NODELAY on all sides. oneport's routes: gRPC,
HTTP/1, otherwise; cmux's the same with its silent matcher, the cheaper one, which works for this client. On std the mux decides on one thread and hands over to
another one; with `Router` each connection's own thread decides it, which costs a thread while it is undecided. CPU time is the server's own, by the system's count.
Goal: 0.95 of direct, and less overhead than cmux.

![behind ÷ direct](benchmarks/connections.svg)

{table(head, rows)}
"""
