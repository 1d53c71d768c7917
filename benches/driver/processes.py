"""Starting programs, and making sure that none outlives the driver."""

import atexit
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCHES = ROOT / "benches"
WORK = BENCHES / ".work"
PROGRAMS = WORK / "rust" / "release"
PEERS = WORK / "peers"
# The command, where cargo puts it.
ONEPORT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "oneport"

LISTENING = re.compile(r"listening on (\S+)")


class Failed(Exception):
    """A program did not do what a measurement needs of it."""


def raise_limits():
    """As many files as the system lets us have: children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def unpinned():
    """Why programs can not be given processors of their own here; `None` if they can."""
    if len(os.sched_getaffinity(0)) < 2:
        return "there is only one"
    return None if shutil.which("taskset") else "taskset is not installed"


def on(cpu, argv):
    """The program on one processor, if that is possible: the driver and the page say where it is not."""
    if cpu is None or unpinned():
        return argv
    return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[cpu]), *argv]


class Child:
    """A program with pipes; the kernel kills it when the driver dies, `end_all` when it ends."""

    def __init__(self, argv, cpu=None):
        self.argv = [str(word) for word in argv]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *on(cpu, self.argv)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        children.append(self)

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{' '.join(self.argv)} ended: exit code {self.process.wait()}")
        return line.strip()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, within=2):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
        if self in children:
            children.remove(self)

    # A program may have processes of its own (nginx, sslh).
    def family(self):
        pids, all_ = [self.process.pid], []
        while pids:
            pid = pids.pop()
            all_.append(pid)
            try:
                pids += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                pass
        return all_

    def clocks(self):
        """Nanoseconds of processor time, by process, of all its threads that ever were: finer than the system's ticks."""
        # What clock_getcpuclockid() gives for a process, which Python has no name for: the sum of user and system time.
        return {pid: time.clock_gettime_ns(~pid << 3 | 2) for pid in self.family()}

    def using(self, work):
        """What `work()` gives, and the seconds of processor time that it took this program."""
        before = self.clocks()
        result = work()
        after = self.clocks()
        if before.keys() - after.keys():
            raise Failed(f"{self.argv[0]}: a process of it ended, and nobody knows what it had used")
        return result, (sum(after.values()) - sum(before.values())) / 1e9

    def rss(self):
        """Bytes of memory that are resident, without what the kernel holds for its sockets."""
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+) kB", text, re.M)[1]) * 1024


    def pss(self):
        """Bytes of memory of all its processes: each page by the share that it has in it."""
        texts = (pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.family())
        return sum(int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1]) for text in texts) * 1024


class Server(Child):
    """A child that says where it listens."""

    def __init__(self, argv, cpu=None):
        super().__init__(argv, cpu)
        self.address = LISTENING.search(self.line())[1]
        # Whatever else it prints must not fill the pipe.
        threading.Thread(target=lambda: [None for _ in self.process.stdout], daemon=True).start()


class Asker(Child):
    """A child that takes samples on request: `micro ask`, `peers ask`."""

    def ask(self, name, milliseconds):
        """Nanoseconds of processor time of one run: of the thread that did it, and of all threads."""
        self.say(f"{name} {milliseconds}")
        thread, process, _ = self.line().split()
        return float(thread), float(process)


children = []


@atexit.register
def end_all():
    for child in list(children):
        child.end()


def output(argv, cpu=None, within=600, env=None):
    """What a program prints; an error if it fails."""
    argv = [str(word) for word in argv]
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", *on(cpu, argv)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        raise Failed(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout
