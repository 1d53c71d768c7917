"""The scene that oneport exists for: one port, gRPC to a grpc-go server, everything else to golang.org/x/net/http2.

All gRPC clients, curl and h2load at once on that port, whole and with every opening cut in pieces. Anything below
100 % is a failure. (What Go's cmux 0.1.5 makes of it is in the README.)
"""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor

import peers
from processes import WORK, run as run_program

GRPC_CLIENTS = ["grpc-go", "grpc-java", "grpcio", "grpc-js", "tonic"]
GRPC_SCENARIOS = ["one", "many", "bidi", "burst"]
CALLS = 2 + 200 + 1 + 20  # of these scenarios, for each client
GETS, LOAD, POSTS, POST_SIZE = 60, 2000, 400, 200_000


@dataclasses.dataclass
class Scene:
    counts: dict = dataclasses.field(default_factory=dict)  # (what, mode) -> [succeeded, of]
    runs: int = 0
    failures: list = dataclasses.field(default_factory=list)

    def add(self, what, mode, succeeded, of, told=""):
        count = self.counts.setdefault((what, mode), [0, 0])
        count[0] += succeeded
        count[1] += of
        if succeeded != of:
            self.failures.append(f"{what}, {mode}: {succeeded} of {of} {told}")

    def render(self):
        modes = sorted({mode for _, mode in self.counts}, reverse=True)
        out = ["## The scene", "", "One port: gRPC goes to grpc-go, everything else to golang.org/x/net/http2, which announces 0x9 and "
               f"counts ACKs. {self.runs} runs of each kind; in each run all clients at once.", ""]
        out += ["| client | " + " | ".join(modes) + " |", "|---" * (1 + len(modes)) + "|"]
        for what in sorted({what for what, _ in self.counts}):
            out.append(f"| {what} | " + " | ".join("{} of {}".format(*self.counts[what, mode]) for mode in modes) + " |")
        return out + [""]


def run(quick, say):
    scene = Scene(runs=2 if quick else 10)
    grpc, rest = peers.start_backend("grpc-go"), peers.start_backend("x-net")
    port = peers.start_oneport("scene", [("grpc", grpc.addr), ("any", rest.addr)])
    body = WORK / "site/200k"
    body.write_bytes((WORK / "site/big").read_bytes()[:POST_SIZE])
    started = [grpc, rest, port]
    for n in range(scene.runs):
        relay = peers.start_relay("scene", port.addr, "-cut", "-seed", str(n * 100_000))
        for mode, addr in (("whole", port.addr), ("in pieces", relay.addr)):
            failed = len(scene.failures)
            with ThreadPoolExecutor(8) as pool:
                jobs = [pool.submit(grpc_calls, scene, mode, addr, client) for client in GRPC_CLIENTS]
                jobs += [pool.submit(job, scene, mode, addr) for job in (curl_gets, load, posts)]
                for job in jobs:
                    job.result()
            say(f"run {n + 1}, {mode}: {'ok' if len(scene.failures) == failed else scene.failures[failed:]}")
        relay.end()
    for server in started:
        server.end()
    return scene


def grpc_calls(scene, mode, addr, client):
    seen = peers.observe(client, addr, GRPC_SCENARIOS, 1)
    wrong = {scenario: one["obs"] for scenario, one in seen.items() if not one["ok"]}
    scene.add(f"{client}, calls", mode, CALLS if not wrong else 0, CALLS, str(wrong)[:400] if wrong else "")


def curl_gets(scene, mode, addr):
    """A connection each, four at a time."""

    def get(_):
        code, out, _ = run_program(["curl", "-sS", "--http2-prior-knowledge", "--max-time", 30, f"http://{addr}/hello"])
        return code == 0 and out == b"hello\n"

    def post(_):
        code, out, _ = run_program(["curl", "-sS", "--http2-prior-knowledge", "--max-time", 30, "-H", "Expect:", "--data-binary",
                                    f"@{WORK}/site/200k", f"http://{addr}/echo"])
        return code == 0 and len(out) == POST_SIZE

    with ThreadPoolExecutor(4) as pool:
        scene.add("curl, GETs", mode, sum(pool.map(get, range(GETS))), GETS)
        scene.add("curl, POSTs of 200 kB", mode, sum(pool.map(post, range(GETS))), GETS)


def load(scene, mode, addr):
    h2load(scene, "h2load, GETs", mode, LOAD, 6, ["-c", 20, "-m", 10, f"http://{addr}/hello"])


def posts(scene, mode, addr):
    h2load(scene, "h2load, POSTs of 200 kB", mode, POSTS, POST_SIZE,
           ["-c", 40, "-m", 1, "-d", WORK / "site/200k", f"http://{addr}/echo"])


def h2load(scene, what, mode, count, size, flags):
    _, out, _ = run_program(["h2load", "-n", count, *flags])
    done = re.search(rb"(\d+) succeeded", out)
    data = re.search(rb"\((\d+)\) data", out)
    succeeded = int(done[1]) if done else 0
    whole = data and int(data[1]) == count * size
    scene.add(what, mode, succeeded if whole or succeeded < count else 0, count)
