"""Which `settings_patience`? What each value costs a client that waits, and how many eager clients it greets for nothing.

`interop/run --only patience` writes docs/patience.md. It is a part of its own and not of the whole run: the numbers are a basis
for a decision, not a check.
"""

import dataclasses
import os
import statistics
import time

import peers
import timing
from processes import ROOT

VALUES = ["0ms", "1ms", "2ms", "5ms", "10ms", "20ms", "50ms"]

PAGE = """# Patience

How long an HTTP/2 client must have been silent behind its SETTINGS before oneport greets it: `Config::settings_patience`,
`--settings-patience`. Each connection of a client that waits (grpc-go, grpc-java, grpc-js, C-core) pays it once. Too short, and a client that
would have spoken in the next segment is greeted for nothing: it works all the same (`handshake.md`), but its backend connection is
no longer untouched, and it loses extended CONNECT.

Written by `interop/run --only patience` on a machine of {cores} cores. Loopback; behind a relay that adds 20 ms each way; and with two busy
loops a core. Absolute times depend on the machine: read the columns against each other.

## What it costs who waits

Time to the first response of a fresh connection, median of {count}; `direct` is the same call without oneport, measured in turn with it.

{waiting}
## Whom it greets for nothing

Connections of clients that send their request without waiting, out of those made.

{eager}
## The default

{choice}
"""

CHOICE = """5 ms: at least twice the value from which on no client of the sweep was greeted for nothing in any of the conditions, busy machine included.
At 0 and 1 ms a client that writes its request in a second segment (httpx, net/http) still loses the race
now and then. Each step further costs every gRPC connection the whole difference and spares hardly anybody a greeting. A client that
is slower than that is not harmed: it is greeted, and its request goes where it would have gone. 0 is allowed; choose it when all
HTTP/2 clients are gRPC."""


@dataclasses.dataclass
class Sweep:
    count: int
    waiting: dict = dataclasses.field(default_factory=dict)  # (condition, client) -> {value: (direct, through)}
    eager: dict = dataclasses.field(default_factory=dict)  # (condition, client) -> {value: (greeted, of)}
    failures: list = dataclasses.field(default_factory=list)

    def render(self):
        def table(rows, cell):
            lines = ["| condition | client | " + " | ".join(VALUES) + " |", "|---" * (2 + len(VALUES)) + "|"]
            for (condition, client), found in rows.items():
                lines.append(f"| {condition} | {client} | " + " | ".join(cell(*found[value]) for value in VALUES) + " |")
            return "\n".join(lines) + "\n"

        waiting = table(self.waiting, lambda direct, through: f"{through:.1f} ms (direct {direct:.1f})")
        eager = table(self.eager, lambda greeted, of: f"{greeted} of {of}")
        return PAGE.format(cores=os.cpu_count(), count=self.count, waiting=waiting, eager=eager, choice=CHOICE)


def run(quick, say):
    found = Sweep(count=20 if quick else 40)
    grpc, rest = peers.start_backend("grpc-go"), peers.start_backend("x-net")
    routes = [("grpc", grpc.addr), ("any", rest.addr)]
    for condition, (delay, loops) in timing.CONDITIONS.items():
        busy = timing.burn(loops)
        try:
            for value in VALUES:
                option = ("--settings-patience", value)
                for client in ("grpc-go", "grpcio"):
                    port = peers.start_oneport("patience", routes, *option)
                    ends = timing.delayed([grpc.addr, port.addr], delay)
                    direct, through = timing.fresh(client, found.count, [addr for addr, _ in ends])
                    row = found.waiting.setdefault((condition, client), {})
                    row[value] = (statistics.median(direct), statistics.median(through))
                    timing.end([port, *(relay for _, relay in ends)])
                for client, connections in timing.EAGER.items():
                    port = peers.start_oneport("patience", routes, *option)
                    ends = timing.delayed([port.addr], delay)
                    connections(ends[0][0])
                    time.sleep(0.3)
                    flags = timing.greetings(port)
                    timing.end([port, *(relay for _, relay in ends)])
                    if not flags:
                        found.failures.append(f"{client}, {condition}, {value}: the log tells of no connection")
                    found.eager.setdefault((condition, client), {})[value] = (sum(flags), len(flags))
                say(f"{condition}, {value}: done")
        finally:
            for process in busy:
                process.kill()
                process.wait()
    timing.end([grpc, rest])
    if not found.failures and not quick:
        (ROOT / "docs/patience.md").write_text(found.render())
    return found
