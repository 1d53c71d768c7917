"""gRPC and REST on one port, each client's connection for one of them: the ways to serve both, in Go and in Rust."""

import shutil
import statistics

import generations
import plot
from after import counted
from parts import table
from processes import PEERS, PROGRAMS, Server, output
from stats import colour, ratios, times

ROUTER = PROGRAMS / "router"
# Way: (language, what is said of it, program).
WAYS = {
    "merged": ("Rust", "axum and tonic merged into a router", [ROUTER, "merged"]),
    "again": ("Rust", "the same once more", [ROUTER, "merged"]),
    "oneport": ("Rust", "tonic and axum behind oneport", [ROUTER, "connections"]),
    "oneport-axum": ("Rust", "axum's server for both, behind oneport", [ROUTER, "axum"]),
    "ports": ("Rust", "tonic and axum on two ports", [ROUTER, "ports"]),
    "handler": ("Go", "grpc-go's ServeHTTP in one server", [PEERS, "share", "handler"]),
    "cmux": ("Go", "grpc-go and net/http behind cmux", [PEERS, "share", "cmux"]),
    "go-ports": ("Go", "grpc-go and net/http on two ports", [PEERS, "share", "ports"]),
}
# What each language's ways are held against.
YARDSTICK = {"Rust": "merged", "Go": "handler"}
# Label: connections, streams on each.
LOADS = {
    "4 connections × 25": (4, 25),
    "16 connections × 1": (16, 1),
    "2 connections × 100": (2, 100),
}
# What is counted of the Rust ways, and how often at least.
COUNTED = {"unary": 1_000, "wide": 2_000}


def load(server, connections, streams, milliseconds):
    line, used = server.using(lambda: output([PROGRAMS / "mix", server.address, milliseconds, connections, streams, "apart"], cpu=1))
    done, failed, seconds, p50, p99 = map(float, line.split())
    return {"rate": done / seconds, "cpu": used / max(done, 1), "failed": failed, "p50": p50, "p99": p99, "busy": used / seconds}


def measure(setting):
    plan, milliseconds = generations.Generations(setting), setting.rounds(1500, 400)
    results = {
        label: plan.take(
            lambda: {way: Server(argv, cpu=0) for way, (_, _, argv) in WAYS.items()},
            lambda server: load(server, *asked, 300),
            lambda server: load(server, *asked, milliseconds),
        )
        for label, asked in LOADS.items()
    }
    if not shutil.which("valgrind"):
        setting.miss("instructions of sharing", "valgrind is not installed")
        return {"loads": results, "plan": plan.said(), "instructions": {}}
    servers = {way: argv for way, (language, _, argv) in WAYS.items() if language == "Rust" and way != "again"}
    ran = {what: counted(servers, "h2c", what, count, setting.rounds(3, 1)) for what, count in COUNTED.items()}
    return {"loads": results, "plan": plan.said(), "instructions": ran}


def report(data, plots):
    sections, chart = [], []
    for label, taken in data["loads"].items():
        rows = []
        for way, (language, text, _) in WAYS.items():
            middle = lambda what: statistics.median(r[what] for r in taken[way])
            yardstick = YARDSTICK[language]
            row = [language, text, f"{middle('cpu') * 1e6:.2f} µs"]
            if way == yardstick:
                row += ["-", "-", f"{middle('rate'):,.0f}/s", "-"]
            else:
                capacity = ratios([r["cpu"] for r in taken[yardstick]], [r["cpu"] for r in taken[way]])
                rate = ratios([r["rate"] for r in taken[way]], [r["rate"] for r in taken[yardstick]])
                goal = capacity.at_least(1) if way.startswith("oneport") else "-"
                row += [capacity.text(times), goal, f"{middle('rate'):,.0f}/s", rate.text(times)]
                chart.append((f"{label}: {language}, {way.removeprefix('go-')}", capacity, colour(goal)))
            row += [f"{middle('busy'):.0%}", f"{middle('p50') / 1e3:.2f} ms", f"{middle('p99') / 1e3:.2f} ms", f"{sum(r['failed'] for r in taken[way]):.0f}"]
            rows.append(row)
        chart.append(None)
        head = ["", "way", "CPU per request", "what a processor serves", "goal 1", "requests", "÷", "processor in use", "p50", "p99", "failed"]
        sections.append(f"### {label}\n{table(head, rows)}\n")
    if data["instructions"]:
        unary, wide = (data["instructions"][what] for what in COUNTED)
        share = lambda ran, way: f"{ran[way]:,.0f}" + (f" ({(ran[way] / ran['merged'] - 1) * 100:+.1f} %)" if way != "merged" else "")
        rows = [[WAYS[way][1], share(unary, way), share(wide, way)] for way in unary]
        sections.append(f"""### Instructions of a call, Rust
Those of the program, not the kernel's, as [after the verdict](#after-the-verdict); the client waits for SETTINGS, so that oneport greets it.

{table(["way", "one at a time", "25 at a time"], rows)}
""")
    plots["sharing"] = plot.bars(
        "What a processor serves of calls and REST on one port", "as part of the merged router (Rust) or of ServeHTTP (Go); median, line: quartiles",
        chart, times, (1, "goal: 1"),
    )
    return f"""## Sharing a port at all
The health service of grpc-go or tonic and a handler for `GET /hello`, in one program, in the ways that there are: one server of HTTP/2 that hands calls on (`grpc.Server.ServeHTTP` in a handler of net/http,
tonic's service merged into axum's router), a multiplexer in front of two servers (cmux 0.1.5, oneport routing by connection), and two ports. Half of the connections are for calls only, half for REST only,
all of them HTTP/2 without TLS. TCP_NODELAY everywhere, keepalive as each language has it by default, the same in all its ways. The client is the same for all; it does not wait for SETTINGS, so cmux has its silent matcher, which works for it.
Each program has one processor and the client the other; each response is decoded and checked. Commands: `router merged|connections|axum|ports`, `peers share handler|cmux|ports`, `mix ADDR MILLISECONDS CONNECTIONS STREAMS apart`. {generations.text(data["plan"])}.

Processor time for a request is the server's; its inverse, what a processor can serve, stands beside that of the one server of the same language ("what a processor serves", "÷").
Goal: oneport at least as much as the merged router. The merged router is served by axum, calls too, and tonic's own server costs
something else: behind oneport there are both. "The same once more" is another process of the merged router: what a difference is worth here.

![what a processor serves](benchmarks/sharing.svg)

""" + "\n".join(sections)
