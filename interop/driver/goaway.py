"""A backend that says GOAWAY all the time: nginx ends each HTTP/2 connection with its tenth request (`keepalive_requests 10`), and
never processes those that were on their way behind it. Through `--per-request` they go to its next connection, and none is lost.
"""

import dataclasses
import re

import peers
from processes import LOGS, WORK, Server, free_port
from processes import run as run_program

PER_CONNECTION = 10
BODY = 20_000  # less than what is held of a body for another try

CONFIG = """
daemon off;
master_process off;
pid {logs}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    log_format connection "$connection";
    access_log {logs}/nginx.access connection;
    client_body_temp_path {logs}/nginx.body;
    keepalive_requests {per_connection};
    server {{
        # Without TLS this nginx takes HTTP/2 with prior knowledge only.
        listen 127.0.0.1:{port} http2;
        location /hello {{ return 200 "hello\\n"; }}
    }}
}}
"""


@dataclasses.dataclass
class Goaways:
    rows: list = dataclasses.field(default_factory=list)  # (what, direct, through, connections of nginx, of)
    failures: list = dataclasses.field(default_factory=list)

    def render(self):
        out = ["## A backend that says GOAWAY all the time", "",
               f"nginx with `keepalive_requests {PER_CONNECTION}`: it ends each connection with that request and processes none behind "
               "it. Through `--per-request` these go to its next connection; the clients keep theirs.", "",
               "| client | straight to nginx | through `--per-request` | connections to nginx |", "|---|---|---|---|"]
        out += [f"| {what} | {direct} of {of} | {through} of {of} | {connections} |" for what, direct, through, connections, of in self.rows]
        return out + [""]


def start_nginx():
    port = free_port()
    access = LOGS / "nginx.access"
    access.unlink(missing_ok=True)
    config = LOGS / "nginx.conf"
    config.write_text(CONFIG.format(logs=LOGS, port=port, per_connection=PER_CONNECTION))
    return Server("nginx", [peers.NGINX, "-c", config, "-e", "stderr", "-p", LOGS], port=port), access


def run(quick, say):
    found = Goaways()
    body = WORK / "site/20k"
    body.write_bytes((WORK / "site/big").read_bytes()[:BODY])
    nginx, access = start_nginx()
    port = peers.start_oneport("goaway", [("any", nginx.addr)], "--per-request")
    count = 1_000 if quick else 10_000
    loads = {
        "h2load, one request at a time": lambda addr: h2load(addr, count, "-c", 1, "-m", 1),
        "h2load, 32 at a time on each of 4 connections": lambda addr: h2load(addr, count, "-c", 4, "-m", 32),
        "h2load, 100 at a time": lambda addr: h2load(addr, count, "-c", 1, "-m", 100),
        f"h2load, POSTs of {BODY // 1000} kB, 32 at a time": lambda addr: h2load(addr, count, "-c", 1, "-m", 32, "-d", body),
        "nghttp, 200 at once": nghttp,
        "net-http, in turn": lambda addr: series("net-http", addr),
        "node, in turn": lambda addr: series("node", addr),
        "httpx, in turn": lambda addr: series("httpx", addr),
    }
    for what, load in loads.items():
        direct, of, _ = load(nginx.addr)
        before = connections(access)
        through, _, is_right = load(port.addr)
        used = connections(access) - before
        found.rows.append((what, direct, through, used, of))
        say(f"{what}: direct {direct}, through {through} of {of}, on {used} connections")
        # As many connections as its limit makes necessary: it did say GOAWAY.
        if not is_right or through != of or used < of / PER_CONNECTION:
            found.failures.append(f"{what}: {through} of {of} on {used} connections to nginx")
    port.end()
    nginx.end()
    return found


def connections(access):
    return len(set(access.read_text().splitlines()))


def h2load(addr, count, *flags):
    _, out, _ = run_program(["h2load", "-n", count, *flags, f"http://{addr}/hello"])
    done = re.search(rb"(\d+) succeeded", out)
    right = int(done[1]) if done else 0
    return right, count, right == count


def nghttp(addr):
    _, out, _ = run_program(["nghttp", "-ns", "--no-push", "-m", 200, f"http://{addr}/hello"])
    right = len(re.findall(rb"(?m)^\s*\d+\s+\S+\s+\S+\s+\S+\s+200\s+\S+ /hello", out))
    return right, 200, right == 200


def series(client, addr):
    """200 requests; straight to nginx some clients make connections of their own accord."""
    seen = peers.observe(client, addr, ["many"], 1)["many"]
    tally = next((one for one in [*seen["obs"], seen["obs"]] if isinstance(one, dict)), {})
    right = sum(count for told, count in tally.items() if told.startswith("status 200"))
    return right, 200, seen["ok"]
