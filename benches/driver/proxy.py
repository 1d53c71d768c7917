"""The command as a proxy of layer 4, beside HAProxy, nginx and sslh."""

import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import time

import generations
import plot
from parts import table
from processes import ONEPORT, PROGRAMS, WORK, Child, Failed, Server, output
from stats import duration, ratios, times

LOAD = PROGRAMS / "load"
CONCURRENCY = 16
GIB = 1 << 30

HAPROXY = """global
    maxconn 4000
    nbthread 1
    {pipes}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    option clitcpka
    option srvtcpka
    {splice}
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    server one {backend}
"""
NGINX_STREAM = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
NGINX = """load_module {module};
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{ worker_connections 4096; }}
stream {{
    server {{
        listen 127.0.0.1:{port} so_keepalive=on;
        tcp_nodelay on;
        proxy_socket_keepalive on;
        proxy_pass {backend};
    }}
}}
"""
SSLH = """foreground: true;
numeric: true;
timeout: 2;
listen: ( {{ host: "127.0.0.1"; port: "{port}"; keepalive: true; }} );
protocols: ( {{ name: "http"; host: "{host}"; port: "{backend_port}"; keepalive: true; log_level: 0; }} );
"""


# oneport with everything copied: what splicing saves.
COPYING = "oneport, --no-splice"


def which(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")


def version(argv, pattern):
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "?"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy(Child):
    """A proxy that listens on a port that it was told."""

    def __init__(self, argv, port, cpu=0):
        super().__init__(argv, cpu=cpu)
        self.address = f"127.0.0.1:{port}"
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.end()
        raise Failed(f"{argv[0]} does not listen")

    def end(self):
        # Workers first: they may outlive the one that started them.
        for pid in reversed(self.family()):
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass
        super().end()


def proxies(setting, backend, versions):
    """Running proxies by name; their versions are put down. The ones that are not here are said."""
    folder = WORK / "proxy"
    folder.mkdir(exist_ok=True)
    host, backend_port = backend.split(":")
    found = {}

    def configured(name, text, **more):
        file, port = folder / name, free_port()
        file.write_text(text.format(port=port, backend=backend, work=folder, host=host, backend_port=backend_port, **more))
        return file, port

    for name, options in {"oneport": [], COPYING: ["--no-splice"]}.items():
        port = free_port()
        argv = [ONEPORT, "serve", "--listen", f"127.0.0.1:{port}", "--route", f"http1={backend}", "--route", f"any={backend}", "--log-level", "error"]
        found[name] = Proxy(argv + options, port)
        versions[name] = version([ONEPORT, "--version"], r"(\d[\d.]+)")
    if program := which("haproxy"):
        # Not `splice-auto`: it leaves to HAProxy whether it does. oneport's pipes have 256 KiB.
        splice = "option splice-request\n    option splice-response"
        for name, options in {
            "HAProxy, splice": {"splice": splice, "pipes": "tune.pipesize 262144"},
            "HAProxy, splice, pipes of 64 KiB": {"splice": splice, "pipes": ""},
            "HAProxy": {"splice": "", "pipes": ""},
        }.items():
            file, port = configured(name.replace(", ", "-").replace(" ", "-") + ".cfg", HAPROXY, **options)
            found[name] = Proxy([program, "-db", "-f", file], port)
            versions[name] = version([program, "-v"], r"version (\d[\w.]+)")
    else:
        setting.miss("HAProxy", "not installed")
    if (program := which("nginx")) and NGINX_STREAM.exists():
        file, port = configured("nginx.conf", NGINX, module=NGINX_STREAM)
        found["nginx stream"] = Proxy([program, "-c", file, "-p", folder, "-e", folder / "nginx.log"], port)
        versions["nginx stream"] = version([program, "-v"], r"nginx/(\S+)")
    else:
        setting.miss("nginx stream", f"nginx or {NGINX_STREAM} is not installed")
    for kind in ("sslh-select", "sslh-ev"):
        if program := which(kind):
            file, port = configured(f"{kind}.cfg", SSLH)
            found[kind] = Proxy([program, "-F" + str(file)], port)
            versions[kind] = version([program, "-V"], r"(\d+\.\d+\S*)")
    if not any(name.startswith("sslh") for name in found):
        setting.miss("sslh", "not installed")
    return found


def download(target, mebibytes, connections):
    line, used = target.using(lambda: output([LOAD, "download", target.address, mebibytes, connections], cpu=1))
    size, seconds = map(float, line.split())
    return {"rate": size / GIB / seconds, "cpu": used / (size / GIB)}


def connect(target, milliseconds):
    line, used = target.using(lambda: output([LOAD, "connections", "http1", target.address, milliseconds, CONCURRENCY], cpu=1))
    done, failed, seconds = map(float, line.split())
    # One that failed was work as well.
    return {"rate": done / seconds, "cpu": used / max(done + failed, 1), "done": done, "failed": failed}


def measure(setting):
    plan, versions = generations.Generations(setting), {}
    size, milliseconds = setting.rounds(1024, 256), setting.rounds(1500, 400)

    def start():
        backend = Server([LOAD, "backend"], cpu=1)
        return {"direct": backend} | proxies(setting, backend.address, versions)

    kinds = {
        "one": (lambda target: download(target, 128, 1), lambda target: download(target, size, 1)),
        "eight": (lambda target: download(target, 128, 8), lambda target: download(target, size, 8)),
        "connections": (lambda target: connect(target, 200), lambda target: connect(target, milliseconds)),
    }
    return {"results": {kind: plan.take(start, *how) for kind, how in kinds.items()}, "versions": versions, "plan": plan.said()}


def report(data, plots):
    results, names = data["results"], list(data["versions"])
    ours = {kind: results[kind]["oneport"] for kind in results}

    def against(kind, name, what):
        """A peer's value as part of oneport's, round by round."""
        return ratios([r[what] for r in results[kind][name]], [max(r[what], 1e-9) for r in ours[kind]])

    rows = []
    for name in ["direct", *names]:
        row = [f"{name} {data['versions'].get(name, '')}".strip()]
        for kind in ("one", "eight"):
            row.append(f"{statistics.median(r['rate'] for r in results[kind][name]):.2f} GiB/s")
            row.append("-" if name == "direct" else duration(statistics.median(r["cpu"] for r in results[kind][name]) * 1e9))
            beside = None if name in ("direct", "oneport") else against(kind, name, "cpu")
            # How it does without splicing is no goal of its own.
            goal = "" if name == COPYING else f": {beside.at_least(1)}" if beside else ""
            row.append(f"{beside.text(times)}{goal}" if beside else "-")
        row.append(f"{statistics.median(r['rate'] for r in results['connections'][name]):,.0f}/s")
        row.append("-" if name == "direct" else duration(statistics.median(r["cpu"] for r in results["connections"][name]) * 1e9))
        failed, all_ = (sum(r[what] for r in results["connections"][name]) for what in ("failed", "done"))
        row.append(f"{failed:,.0f} of {failed + all_:,.0f}")
        rows.append(row)
    peers = [name for name in names if name != "oneport"]
    chart = [(f"{name}, {count}", against(kind, name, "cpu"), "c") for kind, count in (("one", "one connection"), ("eight", "eight")) for name in peers]
    if peers:
        plots["proxy"] = plot.bars(
            "Processor time for a GiB: others as part of oneport's", "median, line: quartiles; below 1 the peer needs less", chart,
            lambda value: f"{times(value)} ×", (1, "as oneport"),
        )
    head = [
        "proxy", "one connection", "CPU per GiB", "÷ oneport, goal 1", "eight", "CPU per GiB", "÷ oneport, goal 1", "connections", "CPU each", "failed",
    ]
    return f"""## The command as a proxy
`oneport serve` with two routes (HTTP/1, anything) between a client and a server on loopback, beside proxies of layer 4. HAProxy and nginx pass everything on without a
look; sslh decides by the first bytes, as oneport does. One thread or process each, on one processor; client and server share the other one. The client
lets the kernel throw the bytes away. HAProxy splices with pipes as large as oneport's (256 KiB, `tune.pipesize`), with those of the system, and not at all; oneport with `--no-splice`, too. Same TCP_NODELAY and keepalive, as far as they have options for it (sslh has none for TCP_NODELAY). {generations.text(data["plan"])}.
HAProxy, nginx and sslh are as the distribution has them, which is years behind; the configurations are in [proxy.py](../benches/driver/proxy.py).
Commands: `oneport serve --listen ADDR --route http1=ADDR --route any=ADDR`, `load backend`, `load download ADDR MEBIBYTES CONNECTIONS`, `load connections http1 ADDR MILLISECONDS {CONCURRENCY}`.
Goal: CPU time for a GiB not above any other's.

Connections that sslh-select 1.20 fails are its own doing, and happen when several are open (strace): the socket to the server often gets the number of one that was closed in the same turn of its loop, and the answer of
`select` for the old one still says that there is something to read; the read finds nothing, and sslh takes that for the end and closes both. "CPU each" counts them as connections.

![CPU per GiB](benchmarks/proxy.svg)

{table(head, rows)}
"""
