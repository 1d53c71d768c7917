"""Tests of what needs no measurement: `python3 benches/driver/tests.py`, with nothing built. The last one holds the page against the results."""

import json
import pathlib
import tempfile
import unittest
from unittest import mock

import circumstances
import first
import generations
import main
import page
import parts
import processes
import results
import stories
from stats import MET, SHORT, UNCLEAR, UNRESOLVED, Spread, duration

RECORD = {
    "data": [1], "commit": "aaaa", "date": "2026-01-02", "seconds": 3, "load": [0.1, 0.2], "others": 0.01, "stolen": 0.0, "machine": "m",
    "unpinned": None, "versions": "v", "locks": "l", "quick": False, "missing": [],
}


def reported(data, plots):
    plots["one"] = "<svg/>"
    return f"## A part\nSays {data}.\n"


class Results(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name in ("THOROUGH", "QUICK"):
            patch = mock.patch.object(results, name, pathlib.Path(folder.name) / name)
            patch.start()
            self.addCleanup(patch.stop)

    def test_a_quick_result_leaves_the_thorough_one(self):
        results.store("x", RECORD)
        results.store("x", RECORD | {"quick": True, "data": [2]})
        self.assertEqual(results.stored("x")["data"], [1])
        self.assertEqual(results.stored("x", quick=True)["data"], [2])

    def test_a_failure_keeps_the_data_and_the_next_success_forgets_it(self):
        results.store("x", RECORD)
        results.store_failure("x", False, {"date": "d", "commit": "c", "why": "w"})
        self.assertEqual((results.stored("x")["data"], results.stored("x")["failed"]["why"]), ([1], "w"))
        results.store("x", RECORD)
        self.assertNotIn("failed", results.stored("x"))

    def test_the_first_try_may_fail(self):
        results.store_failure("x", False, {"date": "d", "commit": "c", "why": "w"})
        self.assertIsNone(results.stored("x")["data"])

    def test_what_is_dumped_is_read_again(self):
        value = {"a": [{"b": [1.5, 2], "c": {}}], "d": [], "e": None, "f": {"g": {"h": {"i": [[1, 2], [3]]}}}}
        self.assertEqual(json.loads(results.dump(value)), value)

    def test_numbers_lose_what_they_do_not_have(self):
        self.assertEqual(results.rounded({"a": (1.23456789, 1234567890, "x")}), {"a": [1.23457, 1234567890, "x"]})

    def test_a_result_has_a_bound(self):
        with self.assertRaises(ValueError):
            results.store("x", RECORD | {"data": ["x" * results.MOST]})


class Page(unittest.TestCase):
    def setUp(self):
        for name, value in (("changed_since", lambda commit: {"old": ["core/src/x.rs"], "older": ["y"] * 7, "gone": None}.get(commit, [])),):
            patch = mock.patch.object(page, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def section(self, record, usual="aaaa"):
        return page.section("part", record, reported, usual, {})

    def test_nothing_is_marked_that_is_as_it_should_be(self):
        self.assertEqual(self.section(RECORD), "## A part\nSays [1].\n")

    def test_each_blemish_is_marked_below_the_heading(self):
        for change, word in (
            ({"commit": "aaaa-dirty"}, "not committed"),
            ({"commit": "bbbb"}, "most of this page at aaaa"),
            ({"commit": "old"}, "changed since: `core/src/x.rs`."),
            ({"commit": "older"}, "changed since: 7 files"),
            ({"commit": "gone"}, "does not have"),
            ({"quick": True}, "quick run"),
            ({"unpinned": "there is only one"}, "there is only one"),
            ({"failed": {"date": "d", "commit": "c", "why": "w"}}, "FAILED on d at c (w): what is shown is of before"),
        ):
            with self.subTest(word):
                lines = self.section(RECORD | change).splitlines()
                self.assertEqual(lines[0], "## A part")
                self.assertTrue(lines[2].startswith(page.MARK))
                self.assertIn(word, "\n".join(lines))
                self.assertEqual(lines[-1], "Says [1].")

    def test_comments_and_tests_are_no_code(self):
        text = "//! What it is.\nfn a() {} // said\n    // why\nfn b() {}\n"
        self.assertEqual(circumstances.code(text + "\n#[cfg(test)]\nmod tests {\n}\n"), ["fn a() {} // said", "fn b() {}"])
        self.assertEqual(circumstances.code(text), ["fn a() {} // said", "fn b() {}"])
        self.assertNotEqual(circumstances.code(text), circumstances.code(text.replace("fn b", "fn c")))

    def test_what_is_missing_has_its_heading(self):
        self.assertIn("Not measured yet", self.section(None))
        self.assertIn("there is nothing to show", self.section({"data": None, "missing": [], "quick": False, "failed": {"date": "d", "commit": "c", "why": "w"}}))

    def test_the_usual_commit_is_that_of_most(self):
        self.assertEqual(page.usual_commit([RECORD, RECORD, RECORD | {"commit": "b"}]), "aaaa")

    def test_values_are_said_once_if_they_are_the_same(self):
        self.assertEqual(page.distinct({"a": {"x": 1}, "b": {"x": 1}}, "x"), 1)
        self.assertEqual(page.distinct({"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 1}}, "x"), "a, c: 1; b: 2")

    def test_all_parts_are_on_it(self):
        with mock.patch.object(results, "stored", lambda name, quick=False: RECORD if name == "a" else None):
            plots = {}
            text = page.text({"a": (None, reported), "b": (None, reported)}, plots)
        self.assertIn("## A part", text)
        self.assertIn("- b: no result", text)
        self.assertIn("- a: 2026-01-02, aaaa, 3 s", text)
        self.assertEqual(plots, {"one": "<svg/>"})


class Setting(unittest.TestCase):
    def test_what_is_missed_is_said_once(self):
        setting = parts.Setting(quick=True)
        with mock.patch("builtins.print"):
            setting.miss("x", "y")
            setting.miss("x", "y")
        self.assertEqual(setting.missing, ["x: y"])


def spread(low, median, high):
    return Spread([low, low, median, high, high])


class Goals(unittest.TestCase):
    def test_between_the_quarters_nothing_is_said_in_either_direction(self):
        for low, high, most, least in ((0.8, 0.9, MET, SHORT), (0.9, 1.1, UNCLEAR, UNCLEAR), (1.1, 1.2, SHORT, MET)):
            self.assertEqual(spread(low, (low + high) / 2, high).at_most(1), most)
            self.assertEqual(spread(low, (low + high) / 2, high).at_least(1), least)

    def test_the_goal_itself_is_good(self):
        self.assertEqual((spread(1, 1, 1).at_most(1), spread(1, 1, 1).at_least(1)), (MET, MET))

    def test_what_a_program_differs_from_itself_by_is_no_news(self):
        quiet, noisy = spread(0.99, 1, 1.01), spread(0.95, 1, 1.05)
        self.assertEqual(spread(1, 1.01, 1.02).at_most_beside(1.02, quiet), MET)
        self.assertEqual(spread(1, 1.01, 1.02).at_most_beside(1.02, noisy), UNRESOLVED)
        self.assertEqual(spread(1.03, 1.04, 1.06).at_most_beside(1.02, quiet), SHORT)
        self.assertEqual(spread(1.03, 1.04, 1.06).at_most_beside(1.02, noisy), UNRESOLVED)
        self.assertEqual(spread(1.06, 1.07, 1.08).at_most_beside(1.02, noisy), SHORT)


class Stories(unittest.TestCase):
    def test_the_suite_as_it_is_published(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(stories, "ENCODERS", {"one": 2}):
            for story, cases in enumerate(([{"wire": "82", "headers": []}], [{"wire": "83", "header_table_size": 9}, {"wire": "84"}])):
                file = pathlib.Path(folder) / "one" / f"story_{story:02}.json"
                file.parent.mkdir(exist_ok=True)
                file.write_text(json.dumps({"cases": cases}))
            self.assertEqual(
                stories.unpacked(pathlib.Path(folder)), [("one", 0, None, "82"), ("one", 1, 9, "83"), ("one", 1, None, "84")]
            )


class Orders(unittest.TestCase):
    def test_each_process_has_another_order_of_all_servers(self):
        found = first.orders(10)
        self.assertEqual({tuple(sorted(order)) for order in found}, {tuple(sorted(first.WAYS))})
        self.assertEqual(len(set(map(tuple, found))), 10)
        self.assertEqual(found, first.orders(10))


class Durations(unittest.TestCase):
    def test_each_has_its_unit(self):
        for value, text in ((1.2e9, "1.2 s"), (999.96e6, "1 s"), (1.5e6, "1.5 ms"), (-2e3, "-2 µs"), (17, "17 ns")):
            self.assertEqual(duration(value), text)


class Generation:
    """A process that is none."""

    ended = 0

    def end(self):
        Generation.ended += 1


class Generations(unittest.TestCase):
    def setUp(self):
        Generation.ended = 0
        self.plan = generations.Generations(parts.Setting(quick=False), number=2, rounds=3)

    def test_processes_are_new_and_end(self):
        seen = set()
        taken = self.plan.take(lambda: {"a": Generation(), "b": Generation()}, seen.add, lambda process: process)
        self.assertEqual({case: len(samples) for case, samples in taken.items()}, {"a": 6, "b": 6})
        self.assertEqual((len(seen), Generation.ended), (4, 4))
        self.assertEqual(len(set(taken["a"])), 2)

    def test_a_peer_that_is_there_only_sometimes_is_an_error(self):
        starts = iter(({"a": Generation(), "b": Generation()}, {"a": Generation()}))
        with self.assertRaises(processes.Failed):
            self.plan.take(lambda: next(starts), lambda process: None, lambda process: 1)
        self.assertEqual(Generation.ended, 3)


class Clocks(unittest.TestCase):
    def test_what_a_program_uses_is_seen_in_less_than_a_tick(self):
        child = processes.Child(["python3", "-c", "import sys\nfor line in sys.stdin: print(sum(range(int(line))), flush=True)"])
        try:
            def work(number):
                child.say(str(number))
                child.line()

            work(1)
            few, many = (child.using(lambda: work(number))[1] for number in (1, 3_000_000))
            self.assertTrue(0 < few < many < 5, (few, many))
        finally:
            child.end()
            child.process.stdout.close()


class Written(unittest.TestCase):
    def test_the_page_is_what_the_results_make_of_it(self):
        """But for the marks, which say how it stands with the program of today."""
        if absent := [name for name in main.PARTS if results.stored(name) is None]:
            self.skipTest(f"no results of {', '.join(absent)} yet: the page is of before there were any")
        self.assertEqual(page.unmarked(page.PAGE.read_text()), page.unmarked(page.text(main.PARTS, {})))


if __name__ == "__main__":
    unittest.main(verbosity=2)
