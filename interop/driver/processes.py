"""Starting programs, and making sure that none outlives the driver.

Three nets hold every child: a server's standard input is a pipe that ends with the driver, the kernel kills a
child whose parent has died (`setpriv --pdeathsig`), and `end_all` runs at exit. A server must be started from the
main thread, since the kernel's "parent" is the thread.
"""

import atexit
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTEROP = ROOT / "interop"
WORK = INTEROP / ".work"
LOGS = WORK / "logs"

LISTENING = re.compile(r"listening on (\S+)")


class Failed(Exception):
    """A program did not do what the suite needs of it."""


class Server:
    """A child that listens; `addr` is where, `lines` what it has printed.

    It prints "listening on ADDR", or is told its `port`, or `find` gives the address once there is one.
    """

    def __init__(self, name, argv, port=None, env=None, within=30, find=None):
        self.name, self.lines = name, []
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, argv)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                text=True,
            )
        servers.append(self)
        self.told = threading.Event()
        self.addr = f"127.0.0.1:{port}" if port else None
        threading.Thread(target=self._read, daemon=True).start()
        self._await(port, find, time.monotonic() + within)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            found = LISTENING.search(line)
            if found and not self.addr:
                self.addr = found[1]
                self.told.set()
        self.told.set()

    def _await(self, port, find, until):
        """A server of ours says where it listens; another one is tried until it answers."""
        while time.monotonic() < until and self.process.poll() is None:
            if port and accepts(port):
                return
            self.addr = self.addr or (find and find())
            if find and self.addr:
                return
            if not port and not find and self.told.wait(0.05) and self.addr:
                return
            time.sleep(0.02)
        self.end()
        raise Failed(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")

    def alive(self):
        return self.process.poll() is None

    def tell(self, line):
        """On its standard input."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self):
        if self.alive():
            try:
                os.killpg(self.process.pid, signal.SIGTERM)
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            except ProcessLookupError:
                pass
        self.process.stdin.close()
        if self in servers:
            servers.remove(self)


servers = []


@atexit.register
def end_all():
    for server in list(servers):
        server.end()


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    """For the servers that cannot say which port the system gave them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(argv, within=120, stdin=None, env=None):
    """Runs a program to its end; one that hangs is killed with all its children. Gives (exit code, stdout, stderr)."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *map(str, argv)],
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout=within)
        return process.returncode, out, err
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return -9, out, err + b"\n(killed: it hung)"
