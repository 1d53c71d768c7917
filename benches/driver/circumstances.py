"""Under what circumstances a part was measured: commit, machine, versions, and what else the machine did meanwhile."""

import hashlib
import os
import platform
import re
import resource
import subprocess
import time

from processes import PEERS, ROOT, output, unpinned

# What a measurement makes itself does not make the tree dirty.
OWN = [":(exclude)benches/results", ":(exclude)docs/benchmarks.md", ":(exclude)docs/benchmarks"]
# Of what the kernel counts in /proc/stat.
TICK = os.sysconf("SC_CLK_TCK")
# What decides which versions of everything are compiled.
LOCKS = ["Cargo.lock", "benches/Cargo.lock", "benches/go/go.sum", "interop/peers/go/go.sum", "interop/peers/python/requirements.txt"]


def git(*words):
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)


def commit():
    """Short, with `-dirty` if anything else than results and page has been changed since."""
    said = git("rev-parse", "--short=10", "HEAD")
    if said.returncode:
        return "not a checkout"
    return said.stdout.strip() + ("-dirty" if git("status", "--porcelain", "--", ".", *OWN).stdout.strip() else "")


def changed_since(commit):
    """Files of which the code has changed since this commit, beyond comments and tests; `None` if the commit is not to be found."""
    commit = commit.removesuffix("-dirty")
    said = git("diff", "--name-only", commit, "--", "core", "adapters", "cli")
    if said.returncode:
        return None
    then = lambda path: git("show", f"{commit}:{path}").stdout
    now = lambda path: (ROOT / path).read_text() if (ROOT / path).exists() else ""
    return [path for path in said.stdout.split() if not path.endswith(".rs") or "/src/" in path and code(then(path)) != code(now(path))]


def code(text):
    """What is compiled into the product: without comments on lines of their own, and without the tests at the end."""
    lines = text.split("\n#[cfg(test)]\nmod tests {")[0].splitlines()
    return [line for line in lines if not line.lstrip().startswith("//")]


def versions():
    """Programs of this machine, as far as they say."""
    found = [output(["rustc", "--version"]).split(" (")[0]]
    go = output([PEERS, "versions"]).replace("google.golang.org/grpc ", "grpc-go ").replace("github.com/soheilhy/", "").replace("go go", "go ")
    # Less what only those need that are compared with.
    found += [line.replace("golang.org/", "") for line in go.splitlines() if not line.startswith(("google.", "golang.org/x/sys"))]
    lock = (ROOT / "benches" / "Cargo.lock").read_text()
    for crate in ("tokio", "smol", "hyper", "h2", "tonic", "axum", "fluke-hpack"):
        found.append(f"{crate} " + re.search(rf'name = "{crate}"\nversion = "(.*)"', lock)[1])
    return ", ".join(found)


def locks():
    """A short hash of the lock files together."""
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in LOCKS)).hexdigest()[:12]


def machine():
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    return f"{len(os.sched_getaffinity(0))} × {model[1] if model else platform.machine()}, Linux {'.'.join(platform.release().split('.')[:2])}"


class Watch:
    """What the machine did from now on until `seen`."""

    def __init__(self):
        self.started, self.load = time.time(), os.getloadavg()[0]
        self.date = time.strftime("%Y-%m-%d", time.gmtime(self.started))
        self.commit, self.before = commit(), self.spent()

    @staticmethod
    def spent():
        """Seconds of all processors: in use by anybody, stolen by other machines, and in use by us."""
        user, nice, system, _, _, irq, softirq, steal, *_ = (int(word) / TICK for word in open("/proc/stat").readline().split()[1:])
        ours = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return user + nice + system + irq + softirq, steal, sum(usage.ru_utime + usage.ru_stime for usage in ours)

    def seen(self, setting):
        seconds = time.time() - self.started
        busy, stolen, ours = (after - before for before, after in zip(self.before, self.spent(), strict=True))
        room, after = seconds * os.cpu_count(), commit()
        return {
            "commit": self.commit if after == self.commit else f"{self.commit.removesuffix('-dirty')}-dirty",
            "date": self.date,
            "seconds": round(seconds),
            "load": [round(self.load, 2), round(os.getloadavg()[0], 2)],
            "others": round(max(busy - ours, 0) / room, 3),
            "stolen": round(stolen / room, 3),
            "machine": machine(),
            "unpinned": unpinned(),
            "versions": versions(),
            "locks": locks(),
            "quick": setting.quick,
            "missing": setting.missing,
        }
