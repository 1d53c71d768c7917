"""The committed list of required pairs, and what it demands."""

import dataclasses
import tomllib

from peers import BACKENDS, CLIENTS
from processes import INTEROP, Failed


@dataclasses.dataclass(frozen=True)
class Pair:
    client: str
    backend: str
    slot: str
    expect: str
    scenarios: tuple
    why: str
    # The same with --per-request, where a proxy must differ by its nature.
    expect_per_request: str
    why_per_request: str


@dataclasses.dataclass(frozen=True)
class Required:
    pairs: list
    exceptions: dict  # (client, backend) -> reason


def load():
    """Reads pairs.toml; a pair that it forgets, or names twice, is an error."""
    listed = tomllib.loads((INTEROP / "pairs.toml").read_text())
    scenarios = listed["scenarios"]
    pairs, exceptions = {}, {}
    for group in listed["pair"]:
        for client in group["clients"]:
            for backend in group["backends"]:
                can = scenarios.get(client, scenarios["all"])
                other = group.get("per-request", {})
                expected = {group["expect"], other.get("expect", "ok")}
                if expected - {"ok", "same", "fails"} or ("only" in group) != ("why" in group):
                    raise Failed(f"pairs.toml: {client} × {backend}: expect is ok, same or fails, and `only` needs a `why`")
                if other and set(other) != {"expect", "why"}:
                    raise Failed(f"pairs.toml: {client} × {backend}: `per-request` has an `expect` and a `why`")
                pair = Pair(client, backend, group["slot"], group["expect"],
                            tuple(s for s in can if s in group.get("only", can)), group.get("why", ""),
                            other.get("expect", group["expect"]), other.get("why", ""))
                if pairs.setdefault((client, backend), pair) is not pair:
                    raise Failed(f"pairs.toml names {client} × {backend} twice")
    for group in listed["exception"]:
        for client in group["clients"]:
            for backend in group["backends"]:
                exceptions[client, backend] = group["reason"]
    for client in CLIENTS:
        for backend in BACKENDS:
            if ((client, backend) in pairs) == ((client, backend) in exceptions):
                raise Failed(f"pairs.toml: {client} × {backend} must be required or excepted, and not both")
    unknown = [key for key in [*pairs, *exceptions] if key[0] not in CLIENTS or key[1] not in BACKENDS]
    if unknown:
        raise Failed(f"pairs.toml names unknown peers: {unknown}")
    return Required(list(pairs.values()), exceptions)
