"""Results as JSON: thorough ones in `benches/results`, which belongs to the repository, since the page is made of them; quick ones in `.work`,
so that they never take the place of thorough ones."""

import json

from processes import BENCHES, WORK

THOROUGH = BENCHES / "results"
QUICK = WORK / "quick"
# More than this in one file, and summaries would have to do.
MOST = 300_000


def store(name, record):
    """Gives it as it was stored, which is rounded."""
    text = dump(rounded(record)) + "\n"
    if len(text) > MOST:
        raise ValueError(f"the result of {name} has {len(text)} bytes, and may have {MOST}")
    file = of(name, record["quick"])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return json.loads(text)


def store_failure(name, quick, failure):
    """A part that failed keeps what it had before, and says that it is of before."""
    return store(name, (stored(name, quick) or {"data": None, "missing": [], "quick": quick}) | {"failed": failure})


def stored(name, quick=False):
    file = of(name, quick)
    return json.loads(file.read_text()) if file.exists() else None


def of(name, quick):
    return (QUICK if quick else THOROUGH) / f"{name}.json"


def rounded(value):
    """Samples have no more than six digits that mean anything."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, (list, tuple)) else value


def dump(value, depth=3):
    """A line for each sample list or so: readable as a difference between two commits, and small."""
    if not depth or not value or not isinstance(value, (dict, list)) or isinstance(value, list) and not isinstance(value[0], (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(str(key))}:{dump(each, depth - 1)}" for key, each in value.items()) + "\n}"
    return "[\n" + ",\n".join(dump(each, depth - 1) for each in value) + "\n]"
