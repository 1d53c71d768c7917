"""Clients that are command-line tools, wrapped to the suite's contract: `tools.py NAME ADDR idle=SECONDS SCENARIO…`.

The peers in `interop/peers` are programs of ours around a library; here the program itself is the real client, so
a scenario is a command line and what it shows. Bodies and hashes are those of the other peers.
"""

import json
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers/python"))
from common import BIG, LIMIT, pattern, sha  # noqa: E402  (the same bodies and hashes as the Python peers)
from processes import WORK, run  # noqa: E402

HELLO = b"hello\n"
BIG_FILE = WORK / "site/big"


def lines(text):
    return sorted(line.strip() for line in text.splitlines() if ":" in line and not line.lower().startswith("date:"))


def at_once(one):
    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(lambda _: one(), range(20)))


class Curl:
    """curl; what differs is how it comes to its protocol."""

    def __init__(self, addr, idle, flags, scheme="http"):
        self.base, self.idle = f"{scheme}://{addr}", idle
        self.flags = ["curl", "-sS", "--no-progress-meter", "--max-time", LIMIT * 4, *flags]

    def get(self, path, *flags, stdin=None):
        with tempfile.TemporaryDirectory() as folder:
            head, body = pathlib.Path(folder, "head"), pathlib.Path(folder, "body")
            code, out, _ = run([*self.flags, "-D", head, "-o", body, "-w", "%{http_code} %{http_version}", *flags,
                                self.base + path], LIMIT * 4, stdin)
            return {
                # 52, 55 and 56 tell of one thing: the server has ended the connection. Which of them is a race.
                "exit": 52 if code in (55, 56) else code,
                "status": out.decode(),
                "headers": lines(head.read_text()) if head.exists() else [],
                "sha": sha(body.read_bytes() if body.exists() else b""),
            }

    def series(self, count, *flags):
        code, out, _ = run([*self.flags, "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{num_connects}\n",
                            *flags, f"{self.base}/hello?n=[1-{count}]"], LIMIT * 4)
        answers = [line.split() for line in out.decode().splitlines()]
        distinct = {" ".join(answer[:2]) for answer in answers}
        connects = sum(int(answer[2]) for answer in answers)
        return {"exit": code, "answers": len(answers), "distinct": sorted(distinct), "connections": connects}

    def one(self):
        seen = self.get("/hello")
        return seen, seen["status"][:3] == "200" and seen["sha"] == sha(HELLO)

    def many(self):
        seen = self.series(200)
        return seen, seen == {"exit": 0, "answers": 200, "distinct": ["200 6"], "connections": 1}

    def bidi(self):
        """An upload of unknown length, as it comes from a pipe, and its echo."""
        body = pattern(20000)
        seen = self.get("/echo", "-X", "POST", "-H", "Expect:", "-T", "-", stdin=body)
        return seen, seen["sha"] == sha(body)

    def big(self):
        up = self.get("/echo", "-H", "Expect:", "--data-binary", f"@{BIG_FILE}")
        down = self.get("/big")
        return [up, down], up["sha"] == down["sha"] == sha(pattern(BIG))

    def ends(self):
        missing, cut = self.get("/missing"), self.get("/cut")
        cut["sha"] = ""  # how much of a cut body arrives before the cut is a race
        return [missing, cut], missing["status"][:3] == "404"

    def idle_(self):
        seen = self.series(2, "--rate", f"{max(1, round(3600 / self.idle))}/h")
        return seen, seen == {"exit": 0, "answers": 2, "distinct": ["200 6"], "connections": 1}

    def burst(self):
        seen = at_once(lambda: self.get("/hello"))
        return seen, all(one["status"][:3] == "200" for one in seen)


class Nghttp:
    """nghttp: requests by the dozen on one connection, five PRIORITY frames before the first."""

    def __init__(self, addr, idle):
        self.base = f"http://{addr}"

    def get(self, path, *flags):
        code, out, err = run(["nghttp", "-nv", "--no-push", *flags, self.base + path], LIMIT)
        text = out.decode(errors="replace")
        heads = re.findall(r"recv \(stream_id=\d+\) (\S+: .*)", re.sub(r"\x1b\[[0-9;]*m", "", text))
        _, body, _ = run(["nghttp", "--no-push", *flags, self.base + path], LIMIT)
        goaway = re.findall(r"recv GOAWAY[^\[]*error_code=(\w+)", text)
        return {"exit": code, "headers": lines("\n".join(heads)), "sha": sha(body), "goaway": goaway,
                "said": [line for line in err.decode(errors="replace").splitlines() if "127.0.0.1" not in line]}

    def one(self):
        seen = self.get("/hello")
        return seen, ":status: 200" in seen["headers"] and seen["sha"] == sha(HELLO)

    def many(self):
        code, out, _ = run(["nghttp", "-ns", "--no-push", "-m", 200, self.base + "/hello"], LIMIT)
        answers = re.findall(r"^\s*\d+\s+\S+\s+\S+\s+\S+\s+(\d+)\s+\S+ /hello", out.decode(), re.M)
        seen = {"exit": code, "answers": len(answers), "distinct": sorted(set(answers))}
        return seen, seen == {"exit": 0, "answers": 200, "distinct": ["200"]}

    def big(self):
        up, down = self.get("/echo", "-d", str(BIG_FILE)), self.get("/big")
        return [up, down], up["sha"] == down["sha"] == sha(pattern(BIG))

    def ends(self):
        missing = self.get("/missing")
        return missing, ":status: 404" in missing["headers"]

    def burst(self):
        seen = at_once(lambda: self.get("/hello"))
        return seen, all(":status: 200" in one["headers"] for one in seen)


class H2load:
    """h2load; it shows how many requests ended how, and how many bytes of bodies came."""

    def __init__(self, addr, idle):
        self.base = f"http://{addr}"

    def load(self, path, *flags):
        code, out, _ = run(["h2load", *flags, self.base + path], LIMIT * 2)
        text = out.decode()
        requests = re.search(r"^requests: .*", text, re.M)
        status = re.search(r"^status codes: .*", text, re.M)
        data = re.search(r"\((\d+)\) data$", text, re.M)
        found = [re.search(r"^Application protocol: .*", text, re.M), requests, status]
        return {"exit": code, "told": [one[0] if one else "" for one in found], "data": int(data[1]) if data else 0}

    def all_of(self, count, size, path, *flags):
        seen = self.load(path, "-n", count, *flags)
        return seen, f"{count} succeeded" in seen["told"][1] and seen["data"] == count * size

    def one(self):
        return self.all_of(1, 6, "/hello", "-c", 1)

    def many(self):
        return self.all_of(200, 6, "/hello", "-c", 1, "-m", 10)

    def big(self):
        return self.all_of(2, BIG, "/echo", "-c", 1, "-d", BIG_FILE)

    def burst(self):
        return self.all_of(20, 6, "/hello", "-c", 20, "-m", 1)


class Ssh:
    """OpenSSH with keys of the suite's own, and nobody's configuration."""

    def __init__(self, addr, idle):
        self.idle = idle
        host, _, port = addr.rpartition(":")
        self.flags = ["ssh", "-F", "none", "-p", port, "-i", WORK / "ssh/client_key", "-o", "IdentitiesOnly=yes",
                      "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                      "-o", "BatchMode=yes", "-o", "ServerAliveInterval=1", "-o", "ConnectTimeout=20"]
        self.host = host

    def do(self, command, *flags, stdin=b""):
        code, out, err = run([*self.flags, *flags, self.host, command], LIMIT * 2, stdin)
        return {"exit": code, "sha": sha(out), "said": "" if code in (0, 7) else err.decode()[-200:]}

    def one(self):
        seen = self.do("echo hello")
        return seen, seen == {"exit": 0, "sha": sha(HELLO), "said": ""}

    def many(self):
        """200 files by sftp, on one connection and without a shell for each."""
        with tempfile.TemporaryDirectory() as folder:
            files = [pathlib.Path(folder, str(i)) for i in range(200)]
            batch = "".join(f"get {WORK}/site/hello {file}\n" for file in files)
            flags = ["-P" if flag == "-p" else flag for flag in self.flags[1:]]
            code, _, _ = run(["sftp", "-q", *flags, "-b", "-", self.host], LIMIT * 2, batch.encode())
            distinct = {sha(file.read_bytes()) if file.exists() else "none" for file in files}
        return {"exit": code, "distinct": sorted(distinct)}, code == 0 and distinct == {sha(HELLO)}

    def bidi(self):
        return self.talk(20, 0)

    def big(self):
        body = BIG_FILE.read_bytes()
        seen = self.do("cat", stdin=body)
        return seen, seen["sha"] == sha(body)

    def ends(self):
        seen = [self.do("exit 7"), self.do("kill -9 $PPID")]
        return seen, seen[0]["exit"] == 7 and seen[1]["exit"] == 255

    def idle_(self):
        """A session in silence, but for the client's keepalives, and then used again."""
        return self.talk(2, self.idle)

    def burst(self):
        seen = at_once(lambda: self.do("echo hello"))
        return seen, all(one["sha"] == sha(HELLO) for one in seen)

    def talk(self, times, pause):
        with Pipe([*self.flags, self.host, "cat"]) as pipe:
            echoed = 0
            for i in range(times):
                message = f"message {i}\n".encode()
                pipe.write(message)
                echoed += pipe.read_line() == message
                time.sleep(pause)
            code = pipe.finish()
        return {"echoed": echoed, "exit": code}, echoed == times and code == 0


class SClient:
    """openssl s_client, with HTTP/1.1 spoken by hand through it."""

    FLAGS = ["-servername", "interop.test", "-alpn", "http/1.1"]

    def __init__(self, addr, idle):
        self.addr, self.idle = addr, idle

    def open(self):
        return Pipe(["openssl", "s_client", "-quiet", "-connect", self.addr, *self.FLAGS])

    def ask(self, pipe, path):
        pipe.write(f"GET {path} HTTP/1.1\r\nHost: interop.test\r\n\r\n".encode())
        return pipe.read_response()

    def one(self):
        code, out, err = run(["openssl", "s_client", "-brief", "-connect", self.addr, *self.FLAGS], LIMIT, b"")
        # A client random and a session are new each time; what was agreed is not.
        told = [line for line in (out + err).decode(errors="replace").splitlines()
                if line.startswith(("Protocol version", "Ciphersuite", "Peer certificate", "Verification"))]
        with self.open() as pipe:
            seen = self.ask(pipe, "/hello")
        return [code, told, seen], seen["sha"] == sha(HELLO)

    def many(self):
        with self.open() as pipe:
            seen = [self.ask(pipe, "/hello")["sha"] for _ in range(200)]
        return sorted(set(seen)), set(seen) == {sha(HELLO)}

    def bidi(self):
        """A chunked upload, each piece sent when the one before has come back."""
        with self.open() as pipe:
            pipe.write(b"POST /echo HTTP/1.1\r\nHost: interop.test\r\nTransfer-Encoding: chunked\r\n\r\n")
            pipe.write(b"5\r\nfirst\r\n")
            pipe.read_head()
            echoed = pipe.read_chunk() == b"first"
            for i in range(20):
                piece = f"piece {i}".encode()
                pipe.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                echoed = pipe.read_chunk() == piece and echoed
            pipe.write(b"0\r\n\r\n")
            last = pipe.read_chunk()
        return {"echoed": echoed, "last": last == b""}, echoed and last == b""

    def big(self):
        body = BIG_FILE.read_bytes()
        with self.open() as pipe:
            down = self.ask(pipe, "/big")
        seen = [down]
        if down["proto"] == "HTTP/1.1":  # s_server takes no uploads
            with self.open() as pipe:
                pipe.write(b"POST /echo HTTP/1.1\r\nHost: interop.test\r\nContent-Length: %d\r\n\r\n" % len(body), body)
                seen.append(pipe.read_response())
        return seen, all(one["sha"] == sha(body) for one in seen)

    def ends(self):
        with self.open() as pipe:
            missing = self.ask(pipe, "/missing")
        with self.open() as pipe:
            cut = self.ask(pipe, "/cut")
        cut["sha"] = ""
        return [missing, cut], missing["status"] == "404"

    def idle_(self):
        with self.open() as pipe:
            seen = [self.ask(pipe, "/hello")]
            time.sleep(self.idle)
            seen.append(self.ask(pipe, "/hello"))
        return seen, all(one["sha"] == sha(HELLO) for one in seen)

    def burst(self):
        def run_one():
            with self.open() as pipe:
                return self.ask(pipe, "/hello")

        seen = at_once(run_one)
        return seen, all(one["sha"] == sha(HELLO) for one in seen)


class Pipe:
    """A program whose standard input and output are a connection."""

    def __init__(self, argv):
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        os.set_blocking(self.process.stdin.fileno(), False)
        self.back, self.until = b"", time.monotonic() + LIMIT * 2

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def write(self, *pieces):
        """Reads meanwhile: an echo of much must not fill the pipe back."""
        out = b"".join(pieces)
        stdin, stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        while out:
            readable, writable, _ = select.select([stdout], [stdin], [], max(0, self.until - time.monotonic()))
            if not readable and not writable:
                return
            if readable:
                more = os.read(stdout, 1 << 16)
                if not more:
                    return
                self.back += more
            if writable:
                try:
                    out = out[os.write(stdin, out[: 1 << 16]):]
                except BrokenPipeError:
                    return

    def more(self):
        readable, _, _ = select.select([self.process.stdout], [], [], max(0, self.until - time.monotonic()))
        got = os.read(self.process.stdout.fileno(), 1 << 16) if readable else b""
        self.back += got
        return bool(got)

    def take(self, count):
        while len(self.back) < count and self.more():
            pass
        taken, self.back = self.back[:count], self.back[count:]
        return taken

    def read_until(self, mark):
        while mark not in self.back and self.more():
            pass
        found = self.back.find(mark)
        return self.take(found + len(mark) if found >= 0 else len(self.back))

    def read_line(self):
        return self.read_until(b"\n")

    def read_head(self):
        return self.read_until(b"\r\n\r\n").decode(errors="replace")

    def read_chunk(self):
        size = self.read_line().strip()
        taken = self.take(int(size, 16)) if size else None
        self.take(2)
        return taken

    def read_response(self):
        head = self.read_head()
        first, _, fields = head.partition("\r\n")
        words = first.split(" ") + ["", ""]
        length = re.search(r"(?im)^content-length: (\d+)", fields)
        if length:
            body = self.take(int(length[1]))
            whole = len(body) == int(length[1])
        elif "chunked" in fields.lower():
            body, whole = b"", False
            while (chunk := self.read_chunk()) is not None:
                body, whole = body + chunk, chunk == b""
                if whole:
                    break
        else:
            while self.more():
                pass
            body, self.back, whole = self.back, b"", True
        return {"proto": words[0], "status": words[1], "headers": lines(fields), "sha": sha(body), "whole": whole}

    def finish(self):
        self.process.stdin.close()
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            return "hung"


TOOLS = {
    "curl": lambda addr, idle: Curl(addr, idle, ["--http2-prior-knowledge"]),
    "curl-http1": lambda addr, idle: Curl(addr, idle, ["--http1.1"]),
    "curl-upgrade": lambda addr, idle: Curl(addr, idle, ["--http2"]),
    "curl-tls": lambda addr, idle: Curl(addr, idle, ["--insecure", "--http2"], "https"),
    "nghttp": Nghttp,
    "h2load": H2load,
    "ssh": Ssh,
    "s_client": SClient,
}


def main():
    name, addr, idle, *scenarios = sys.argv[1:]
    client = TOOLS[name](addr, float(idle.removeprefix("idle=")))
    for scenario in scenarios:
        obs, ok = getattr(client, {"idle": "idle_"}.get(scenario, scenario))()
        print(json.dumps({"scenario": scenario, "ok": bool(ok), "obs": obs}), flush=True)


if __name__ == "__main__":
    main()
