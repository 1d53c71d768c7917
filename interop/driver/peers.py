"""The real programs: how each backend and each client is started, and which version it is."""

import json
import os
import pathlib
import re
import subprocess
import sys

from processes import INTEROP, ROOT, WORK, Failed, Server, free_port, run

GO = WORK / "gopeers"
PYTHON = WORK / "venv/bin/python"
RUST = WORK / "rust/release/peers"
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-jar", WORK / "java/peers.jar"]
ENVOY = WORK / "venv/bin/envoy"
NGINX = WORK / "nginx/usr/sbin/nginx"
SITE = WORK / "site"  # what the servers of files serve
TOOLS = INTEROP / "driver/tools.py"


def node(program):
    return ["node", "--no-warnings", INTEROP / "peers/node" / program]


def python(program, *args):
    return [PYTHON, INTEROP / "peers/python" / program, *args]


# Backends that print where they listen.
OURS = {
    "grpc-go": [GO, "serve", "grpc-go"],
    "grpc-java": [*JAVA, "serve"],
    "grpcio": python("grpcio_server.py"),
    "tonic": [RUST, "serve", "tonic"],
    "x-net": [GO, "serve", "x-net"],
    "late-ack": [GO, "serve", "late-ack"],
    "axum": [RUST, "serve", "axum"],
    "node": [*node("server.mjs"), "plain"],
    "node-0x9": [*node("server.mjs"), "0x9"],
    "node-1-stream": [*node("server.mjs"), "1-stream"],
    "http1": [GO, "serve", "http1"],
    "go-tls": [GO, "serve", "tls"],
}

# Backends that are told their port.
FOREIGN = {
    "nghttpd": lambda port: ["nghttpd", "--no-tls", "--echo-upload", "-a", "127.0.0.1", "-d", SITE, port],
    "sshd": lambda port: ["/usr/sbin/sshd", "-D", "-e", "-f", WORK / "ssh/sshd_config", "-p", port],
    "s_server": lambda port: ["sh", "-c", f"cd {SITE} && exec openssl s_server -quiet -WWW"
                              f" -accept 127.0.0.1:{port} -cert {WORK}/tls/cert.pem -key {WORK}/tls/key.pem"],
}

BACKENDS = [*OURS, *FOREIGN]


def start_backend(name, *addr):
    """At `addr` if given: only those of OURS that are Go or Rust take one."""
    if name in OURS:
        return Server(name, [*OURS[name], *addr])
    port = free_port()
    return Server(name, FOREIGN[name](port), port=port)


def tool(name):
    return [sys.executable, TOOLS, name]


# What comes before ADDR SCENARIO… on a client's command line.
CLIENTS = {
    "grpc-go": [GO, "client", "grpc-go"],
    "grpc-java": [*JAVA, "client"],
    "grpcio": python("grpcio_client.py"),
    "grpc-js": node("grpc_client.mjs"),
    "tonic": [RUST, "client"],
    "net-http": [GO, "client", "net-http"],
    "node": node("http2_client.mjs"),
    "httpx": python("httpx_client.py", "http2"),
    "httpx-http1": python("httpx_client.py", "http1"),
    "curl": tool("curl"),
    "curl-http1": tool("curl-http1"),
    "curl-upgrade": tool("curl-upgrade"),
    "curl-tls": tool("curl-tls"),
    "nghttp": tool("nghttp"),
    "h2load": tool("h2load"),
    "ssh": tool("ssh"),
    "s_client": tool("s_client"),
}

# Clients that speak no HTTP/2, or only behind something else: --per-request routes their connections as a whole.
NOT_HTTP2 = {"httpx-http1", "curl-http1", "curl-upgrade", "curl-tls", "ssh", "s_client"}


def observe(client, addr, scenarios, idle, within=100):
    """Runs the scenarios; gives {scenario: {"ok": …, "obs": …}}. One that is missing has crashed or hung."""
    code, out, err = run([*CLIENTS[client], addr, f"idle={idle}", *scenarios], within)
    seen = {}
    for line in out.decode(errors="replace").splitlines():
        try:
            found = json.loads(line)
            seen[found.pop("scenario")] = found
        except (ValueError, KeyError, TypeError):
            pass
    for scenario in scenarios:
        if scenario not in seen:
            tail = err.decode(errors="replace").strip().splitlines()[-3:]
            seen[scenario] = {"ok": False, "obs": f"the client ended with code {code}: {' / '.join(tail)}"}
    return seen


def oneport():
    """The command under test: this checkout's, or the one that ONEPORT_BIN names."""
    return pathlib.Path(os.environ.get("ONEPORT_BIN") or ROOT / "target/release/oneport")


def start_oneport(name, routes, *options):
    argv = [oneport(), "serve", "--listen", "127.0.0.1:0", "--log-format", "json", *options]
    for match, addr in routes:
        argv += ["--route", f"{match}={addr}"]
    return Server(f"oneport-{name}", argv)


def start_relay(name, target, *flags):
    return Server(f"relay-{name}", [GO, "relay", "-target", target, *flags])


def mix(addr, seconds, *flags):
    """Requests of all kinds at once, for so long; gives [{"kind", "told", "begin", "end"}]."""
    code, out, err = run([GO, "mix", "-addr", addr, "-for", f"{seconds}s", *flags], seconds + 90)
    if code != 0:
        raise Failed(f"the mix ended with code {code}: {err.decode(errors='replace')[-500:]}")
    return json.loads(out)


def versions():
    """What ran, by name; a program that cannot tell its version fails the run."""
    go = json.loads(_said([GO, "versions"]))
    node_lock = json.loads((INTEROP / "peers/node/package-lock.json").read_text())["packages"]
    cargo_lock = (INTEROP / "peers/rust/Cargo.lock").read_text()
    pom = (INTEROP / "peers/java/pom.xml").read_text()
    curl = _said(["curl", "--version"])

    def crate(name):
        return re.search(rf'name = "{name}"\nversion = "([^"]+)"', cargo_lock)[1]

    def package(name):
        return _said([PYTHON, "-c", f"import importlib.metadata as m; print(m.version('{name}'))"]).strip()

    return {
        "oneport": _word(_said([oneport(), "--version"]), 1) if oneport().exists() else "(direct)",
        "Go": go["go"],
        "grpc-go": go["google.golang.org/grpc"],
        "golang.org/x/net": go["golang.org/x/net"],
        "grpc-java (netty)": re.search(r"<grpc\.version>([^<]+)<", pom)[1],
        "Java": re.search(r'"([^"]+)"', _said(["java", "-version"]))[1],
        "Python": _word(_said([PYTHON, "--version"]), 1),
        "grpcio (C-core)": package("grpcio"),
        "httpx": package("httpx"),
        "h2 (Python)": package("h2"),
        "Node.js": _said(["node", "--version"]).strip().lstrip("v"),
        "nghttp2 in Node.js": _said(["node", "-p", "process.versions.nghttp2"]).strip(),
        "grpc-js": node_lock["node_modules/@grpc/grpc-js"]["version"],
        "tonic": crate("tonic"),
        "axum": crate("axum"),
        "hyper": crate("hyper"),
        "h2 (Rust)": crate("h2"),
        "curl": _word(curl, 1),
        "nghttp2 in curl": re.search(r"nghttp2/(\S+)", curl)[1],
        "nghttp, nghttpd, h2load": _said(["nghttp", "--version"]).strip().rpartition("/")[2],
        "Envoy": re.search(r"version: \w+/([^/]+)/", _said([ENVOY, "--version"]))[1],
        "nginx": _said([NGINX, "-v"]).strip().rpartition("/")[2],
        "OpenSSL": _word(_said(["openssl", "version"]), 1),
        "OpenSSH": re.search(r"OpenSSH_(\S+?),?\s", _said(["ssh", "-V"]))[1],
    }


def _said(argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{pathlib.Path(argv[0]).name} does not run: {done.stderr[-500:]}")
    return done.stdout + done.stderr


def _word(text, index):
    return text.split()[index]
