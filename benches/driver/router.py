"""In process on tokio: tonic and axum behind `per_request()`, beside a router that merges both."""

import statistics

import generations
import plot
from parts import table
from processes import PROGRAMS, Server, output
from stats import colour, ratios, times

MODES = {"merged": "merged router", "oneport": "behind per_request()"}
# Label: what, connections, streams on each.
LOADS = {
    "half calls, half REST; 4 connections × 25": ("both", 4, 25),
    "half calls, half REST; 1 connection × 100": ("both", 1, 100),
    "half calls, half REST; 16 connections × 1": ("both", 16, 1),
    "calls only; 4 connections × 25": ("grpc", 4, 25),
    "REST only; 4 connections × 25": ("rest", 4, 25),
}


def load(server, what, connections, streams, milliseconds):
    line, used = server.using(lambda: output([PROGRAMS / "mix", server.address, milliseconds, connections, streams, what], cpu=1))
    done, failed, seconds, p50, p99 = map(float, line.split())
    return {"rate": done / seconds, "cpu": used / max(done, 1), "failed": failed, "p50": p50, "p99": p99, "busy": used / seconds}


def measure(setting):
    plan, milliseconds = generations.Generations(setting), setting.rounds(1500, 400)
    results = {
        label: plan.take(
            lambda: {mode: Server([PROGRAMS / "router", mode], cpu=0) for mode in MODES},
            lambda server: load(server, *asked, 300),
            lambda server: load(server, *asked, milliseconds),
        )
        for label, asked in LOADS.items()
    }
    return {"loads": results, "plan": plan.said()}


def report(data, plots):
    rows, chart = [], []
    for label, taken in data["loads"].items():
        rate = ratios([r["rate"] for r in taken["oneport"]], [r["rate"] for r in taken["merged"]])
        capacity = ratios([r["cpu"] for r in taken["merged"]], [r["cpu"] for r in taken["oneport"]])
        verdict = capacity.at_least(0.8)
        chart.append((label, capacity, colour(verdict)))
        for mode, text in MODES.items():
            middle = lambda what: statistics.median(r[what] for r in taken[mode])
            ours = mode == "oneport"
            rows.append([
                label if not ours else "", text, f"{middle('cpu') * 1e6:.2f} µs", capacity.text(times) if ours else "-",
                verdict if ours else "-", f"{middle('rate'):,.0f}/s", rate.text(times) if ours else "-",
                f"{middle('busy'):.0%}", f"{middle('p50') / 1e3:.2f} ms", f"{middle('p99') / 1e3:.2f} ms", f"{sum(r['failed'] for r in taken[mode]):.0f}",
            ])
    plots["router"] = plot.bars(
        "What a processor serves behind per_request(), as part of what it serves of a merged router", "median, line: quartiles; blue: goal met, yellow: short of it, grey: unclear",
        chart, times, (0.8, "goal: 0.8"),
    )
    head = ["load", "server", "CPU per request", "merged ÷ it", "goal 0.8", "requests", "÷ merged", "processor in use", "p50", "p99", "failed"]
    return f"""## In process, beside a merged router
tonic's health service and a handler of axum in one program on tokio: merged into one router behind `axum::serve`, which serves both as one HTTP/2 server, and as two servers behind
`per_request()`. The client keeps so many streams open on so many connections and puts calls and REST requests on them in turn; it runs on the other processor, costs little, decodes and checks each response.
Behind oneport each request goes through HTTP/2 twice: over the socket, and in memory to its server. {generations.text(data["plan"])}.
Commands: `router merged|oneport`, `mix ADDR MILLISECONDS CONNECTIONS STREAMS both|grpc|rest`.

What counts is the processor time for a request: its inverse is what a processor can serve, also where others were on this machine and neither server had all of one
("processor in use"); the requests per second that were seen are beside it. Goal: at least 0.8 of the router's.

![what a processor serves](benchmarks/router.svg)

{table(head, rows)}
"""
