"""New connections, a connection per request: servers alone on their port and behind a multiplexer, all of one version of HTTP by turns."""

import statistics

import generations
import plot
from parts import table
from processes import PEERS, PROGRAMS, Server, output
from stats import Spread, colour, ratios, times

LOAD = PROGRAMS / "load"
SERVE = PROGRAMS / "serve"
CONCURRENCY = 16
GOAL = 0.95

# The name of the server, its program, its multiplexers (as the program calls them, and as the table does), and the versions of HTTP that it speaks.
SERVERS = [
    ("hyper on tokio", [SERVE, "tokio"], {"oneport": "oneport"}, ["http1", "h2c"]),
    ("hyper on smol", [SERVE, "smol"], {"oneport": "oneport"}, ["http1", "h2c"]),
    ("a thread each (std)", [SERVE, "std"], {"oneport": "oneport", "router": "oneport, `Router`"}, ["http1"]),
    ("Go", [PEERS, "serve"], {"cmux": "cmux"}, ["http1", "h2c"]),
]


def load(server, version, milliseconds):
    """Connections that were served well in a second, the server's processor time for each, in seconds, and how much of a processor it had."""
    line, used = server.using(lambda: output([LOAD, "connections", version, server.address, milliseconds, CONCURRENCY], cpu=1))
    done, failed, seconds = map(float, line.split())
    return {"rate": done / seconds, "cpu": used / max(done + failed, 1), "busy": used / seconds, "failed": failed}


def measure(setting):
    plan, results = generations.Generations(setting), {}
    milliseconds = setting.rounds(1500, 400)
    for version in ("http1", "h2c"):
        programs = {
            f"{name}/{mode}": [*argv, mode, version]
            for name, argv, muxes, versions in SERVERS if version in versions for mode in ("direct", *muxes)
        }
        results[version] = plan.take(
            lambda: {case: Server(argv, cpu=0) for case, argv in programs.items()},
            lambda server: load(server, version, 300),
            lambda server: load(server, version, milliseconds),
        )
    return {"versions": results, "plan": plan.said()}


def added(taken, name, mode):
    """Microseconds of processor time for a connection, round by round."""
    return [(b["cpu"] - d["cpu"]) * 1e6 for b, d in zip(taken[f"{name}/{mode}"], taken[f"{name}/direct"], strict=True)]


def report(data, plots):
    rows, chart = [], []
    for version, taken in data["versions"].items():
        cmux = added(taken, "Go", "cmux")
        for name, _, muxes, versions in SERVERS:
            for mode, mux in muxes.items() if version in versions else ():
                direct, behind = taken[f"{name}/direct"], taken[f"{name}/{mode}"]
                column = lambda what: ([r[what] for r in behind], [r[what] for r in direct])
                middle = lambda samples, what: statistics.median(r[what] for r in samples)
                rate, served = ratios(*column("rate")), ratios(*reversed(column("cpu")))
                ours, more = mux != "cmux", added(taken, name, mode)
                beside = Spread([mine - its for mine, its in zip(more, cmux, strict=True)])
                met = served.at_least(GOAL) if ours else "-"
                micros = lambda spread: f"{spread.text(lambda value: f'{value:.1f}')} µs"
                rows.append([
                    name, version, mux, f"{middle(direct, 'cpu') * 1e6:.1f} µs", f"{middle(behind, 'cpu') * 1e6:.1f} µs",
                    served.text(times), met, micros(Spread(more)), f"{micros(beside)}: {beside.at_most(0)}" if ours else "-",
                    f"{middle(direct, 'rate'):,.0f}/s", rate.text(times), f"{middle(direct, 'busy'):.0%}, {middle(behind, 'busy'):.0%}",
                    f"{sum(r['failed'] for r in behind + direct):.0f}",
                ])
                chart.append((f"{name}, {version}: {mux}", served, colour(met)))
    plots["connections"] = plot.bars(
        "New connections that a processor serves behind a multiplexer, as part of the server's own",
        "median, line: quartiles; blue: goal met, yellow: short of it, grey: unclear, or cmux in front of Go's servers", chart, times, (GOAL, f"goal: {GOAL}"),
    )
    head = [
        "server", "HTTP", "multiplexer", "CPU each, direct", "behind", "what a processor serves, ÷ direct", f"goal {GOAL}", "CPU added",
        "less what cmux adds (goal: at most 0)", "direct", "behind ÷ direct", "processor in use", "failed",
    ]
    return f"""## New connections
A connection per request over loopback, {CONCURRENCY} at a time; the client is the same for all and does not wait for SETTINGS. "Direct" is the same server without the
multiplexer; all servers run by turns, on one processor, and the client on another. TCP_NODELAY on all sides. oneport's routes: gRPC,
HTTP/1, otherwise; cmux's the same with its silent matcher, the cheaper one, which works for this client. On std the mux decides on one thread and hands over to
another one; with `Router` each connection's own thread decides it, which costs a thread while it is undecided. {generations.text(data['plan'])}. Commands:
`serve tokio|smol|std direct|oneport|router http1|h2c`, `peers serve direct|cmux http1|h2c`, `load connections http1|h2c ADDR MILLISECONDS {CONCURRENCY}`.

What counts is the server's processor time for a connection, by the system's clock of the process: its inverse is what a processor can serve, also where the client limits and the server does not have all of
its processor to do ("processor in use": direct, behind). The connections per second that were seen stand beside it.
Goals: {GOAL} of direct; and less processor time added than cmux adds to Go's server for the same version of HTTP, round by round.

![what a processor serves](benchmarks/connections.svg)

{table(head, rows)}
"""
