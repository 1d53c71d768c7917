"""Header blocks that other encoders wrote: the public suite http2jp/hpack-test-case, each of its stories a connection."""

import gzip
import json
import os
import shutil
import subprocess

from processes import ROOT, WORK

FILE = WORK / "stories.txt"
CLONE = WORK / "hpack-test-case"
HOME = "https://github.com/http2jp/hpack-test-case"
COMMIT = "8a1406e7d14bfcb6c046021f13cc15cfb162726d"
# By encoder, how many of its stories, from the first one; `linear` of haskell-http2 and the like write what others write as well.
ENCODERS = {
    "nghttp2": 16, "nghttp2-16384-4096": 16, "nghttp2-change-table-size": 31, "node-http2-hpack": 16, "python-hpack": 16, "haskell-http2-linear-huffman": 16,
    "haskell-http2-naive": 16, "swift-nio-hpack-huffman": 32, "swift-nio-hpack-plain-text": 16, "go-hpack": 16,
}


def prepare(setting):
    """Makes the file that the programs read, of what the tests use or else of the suite itself: whether it is there."""
    try:
        found = packed(os.environ.get("ONEPORT_HPACK_STORIES", ROOT.parent / "shared" / "hpack-stories"))
    except OSError as absent:
        if "ONEPORT_HPACK_STORIES" in os.environ:
            raise
        try:
            clone()
            found = unpacked(CLONE)
        except (OSError, subprocess.SubprocessError) as error:
            setting.miss("HPACK of whole connections", f"no recordings beside the repository ({absent.strerror}), and {HOME} can not be fetched ({type(error).__name__})")
            return False
    FILE.write_text("".join(f"{encoder} {story} {size or '-'} {wire}\n" for encoder, story, size, wire in found))
    return True


def clone():
    """The suite at its commit, unless it is there already."""
    if CLONE.exists():
        return
    half = CLONE.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for words in (["init", "-q"], ["fetch", "-q", "--depth", "1", HOME, COMMIT], ["checkout", "-q", "FETCH_HEAD"]):
        subprocess.run(["git", *words], cwd=half, check=True, timeout=300, stdin=subprocess.DEVNULL)
    half.rename(CLONE)


def packed(folder):
    """(encoder, story, size of the table from here on or none, block) of each block, as the tests have them: a line of JSON for each."""
    with gzip.open(f"{folder}/stories.jsonl.gz", "rt") as file:
        return [(b["encoder"], b["story"], b["header_table_size"], b["wire"]) for b in map(json.loads, file)]


def unpacked(folder):
    """The same of the suite as it is published."""
    found = []
    for encoder, count in ENCODERS.items():
        for story in range(count):
            cases = json.loads((folder / encoder / f"story_{story:02}.json").read_text())["cases"]
            found += [(encoder, story, case.get("header_table_size"), case["wire"]) for case in cases]
    return found
