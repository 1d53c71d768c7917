"""The first response of a fresh gRPC connection: real clients, servers alone and behind whatever shares their port."""

import json
import random
import statistics
import subprocess
import venv

import plot
from parts import table
from processes import ONEPORT, PEERS, PROGRAMS, ROOT, WORK, Failed, Server, output
from proxy import Proxy, free_port
from stats import Spread, colour, ratios, times

PYTHON = ROOT / "interop" / "peers" / "python"
ROUTER = PROGRAMS / "router"
SERVE = PROGRAMS / "serve"
PATIENCE = 5.0
GOAL = 1.1

# Way: (what is said of it, the way that it is held against, patience in ms).
WAYS = {
    "go": ("grpc-go", None, None),
    "cmux": ("grpc-go behind cmux", "go", 0),
    "command": ("grpc-go behind `oneport serve`", "go", PATIENCE),
    "command-0": ("the same, `--settings-patience 0ms`", "go", 0),
    "tonic": ("tonic", None, None),
    "library": ("tonic behind oneport in its program", "tonic", PATIENCE),
    "library-0": ("the same, no patience", "tonic", 0),
    "smol": ("hyper on smol", None, None),
    "smol-behind": ("hyper on smol behind oneport in its program", "smol", PATIENCE),
}
# In the plot.
SHORT = {
    "cmux": "cmux",
    "command": "oneport serve",
    "command-0": "oneport serve, 0 ms",
    "library": "library, tokio",
    "library-0": "library, tokio, 0 ms",
    "smol-behind": "library, smol",
}


def clients(setting):
    """By name: what comes before `N ADDR…` on the command line. They are those of the interop suite."""
    found = {"grpc-go": [WORK / "interop-peers", "fresh", "grpc-go"]}
    folder = WORK / "grpcio"
    python = folder / "bin" / "python"
    wanted = next(line for line in (PYTHON / "requirements.txt").read_text().splitlines() if line.startswith("grpcio=="))
    try:
        if not python.exists():
            venv.create(folder, with_pip=True)
        output([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wanted])
        found["grpcio"] = [python, PYTHON / "grpcio_client.py", "fresh"]
    except (Failed, OSError, subprocess.SubprocessError) as error:
        setting.miss("grpcio", str(error).splitlines()[0])
    return found, wanted.replace("==", " ")


def orders(count):
    """The ways in so many orders, by luck that is the same each time."""
    luck = random.Random("first")
    return [luck.sample(list(WAYS), len(WAYS)) for _ in range(count)]


def measure(setting):
    found, grpcio = clients(setting)
    rest = Server([PEERS, "serve", "direct", "http1"], cpu=0)
    go = Server([PEERS, "share", "ports"], cpu=0)
    tonic = Server([ROUTER, "ports"], cpu=0)
    calls = lambda server: server.address.split(",")[0]

    def command(*options):
        port = free_port()
        routes = ["--route", f"grpc={calls(go)}", "--route", f"any={rest.address}"]
        return Proxy([ONEPORT, "serve", "--listen", f"127.0.0.1:{port}", *routes, "--log-level", "error", *options], port)

    servers = {
        "cmux": Server([PEERS, "share", "cmux-send"], cpu=0),
        "command": command(),
        "command-0": command("--settings-patience", "0ms"),
        "library": Server([ROUTER, "connections"], cpu=0),
        "library-0": Server([ROUTER, "connections", "0"], cpu=0),
        "smol": Server([SERVE, "smol", "direct", "h2c"], cpu=0),
        "smol-behind": Server([SERVE, "smol", "oneport", "h2c"], cpu=0),
    }
    addresses = {"go": calls(go), "tonic": calls(tonic), **{way: server.address for way, server in servers.items()}}
    millis = {}
    for name, argv in found.items():
        take = lambda count, order: json.loads(output([*argv, count, *(addresses[way] for way in order)], cpu=1))
        take(3, WAYS)  # warm
        taken = {way: [] for way in WAYS}
        # Some processes of the client, one after the other; each takes the servers in another order, since each finds what the one before it has left.
        for order in orders(setting.rounds(10, 2)):
            for way, samples in zip(order, take(setting.rounds(30, 10), order), strict=True):
                taken[way] += samples
        millis[name] = taken
    for server in (rest, go, tonic, *servers.values()):
        server.end()
    return {"millis": millis, "grpcio": grpcio}


def report(data, plots):
    rows, chart = [], []
    for client, taken in data["millis"].items():
        name = data["grpcio"] if client == "grpcio" else client
        for way, (text, yardstick, patience) in WAYS.items():
            row = [name, text, f"{statistics.median(taken[way]):.2f} ms"]
            if yardstick is None:
                rows.append([*row, "-", "-", "-", "-"])
                continue
            direct = taken[yardstick]
            added = Spread([through - alone for through, alone in zip(taken[way], direct, strict=True)])
            whole = ratios(taken[way], [alone + patience for alone in direct])
            less = ratios([through - patience for through in taken[way]], direct)
            goal = whole.at_most(GOAL) if way != "cmux" else "-"
            rows.append([
                *row, added.text(lambda value: f"{value:+.2f}") + " ms", whole.text(times), goal, less.text(times),
            ])
            chart.append((f"{name}: {SHORT[way]}", whole, colour(goal)))
        chart.append(None)
    plots["first"] = plot.bars(
        "First response of a fresh gRPC connection, as part of direct plus patience", "median, line: quartiles; blue: goal met, yellow: short of it, grey: unclear, or cmux in front of grpc-go", chart, times,
        (GOAL, "goal: 1.1"),
    )
    head = ["client", "server", "first response", "added", "÷ (direct + patience)", "goal 1.1", "less patience ÷ direct"]
    return f"""## The first response of a fresh gRPC connection
A new channel, one unary call (`Health/Check`), the channel closed: the time from its creation to the answer, with the clients of [interop](interop.md). Servers stand alone and behind cmux
(with the matcher that sends SETTINGS, without which these clients wait for ever), `oneport serve`, and oneport in the server's program; a client takes all of them in turn; ten processes of it, each in another order. All servers are on one processor and the client on
the other. Commands: `peers share ports|cmux-send`, `router ports|connections [MILLISECONDS]`, `serve smol direct|oneport h2c`, `oneport serve --route grpc=… --route any=…`. TCP_NODELAY everywhere, keepalive as the servers have it by default.

Both clients wait for SETTINGS, so each connection pays `settings_patience` ({PATIENCE:.0f} ms) once; with a patience of 0 the rest is to be seen. `oneport serve` is a hop more, with a connection of its own to the server.
Over a distance the client pays one way more: it sends nothing before the SETTINGS have come, which leave only when patience has run out. With 20 ms each way that was 88.9 ms against 63.0 direct ([interop](interop.md)).
Goal: direct plus patience, plus at most 10 %, sample by sample; the last column reads it more narrowly, as 10 % of direct alone.

![first response](benchmarks/first.svg)

{table(head, rows)}
"""
