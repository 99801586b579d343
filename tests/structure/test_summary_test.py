#!/usr/bin/env python3
"""scripts/test-summary.py counts what ctest writes, and calls nothing passed that did not run."""
import importlib.util
import pathlib
import unittest
import xml.etree.ElementTree as ElementTree

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "test-summary.py"
SPEC = importlib.util.spec_from_file_location("test_summary", SCRIPT)
test_summary = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(test_summary)

PASSED = '<testcase name="ok" status="run"><system-out>[ OK ]</system-out></testcase>'
FAILED = '<testcase name="bad" status="fail"><failure message=""/></testcase>'
SKIPPED = """<testcase name="skips" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
<system-out>[ RUN ] A.B
/x/y.cc:5: Skipped
no shared data
[ SKIPPED ] A.B</system-out></testcase>"""
DISABLED = '<testcase name="off" status="disabled"><system-out>Disabled</system-out></testcase>'
NOT_BUILT = """<testcase name="gone" status="notrun"><skipped message="Unable to find executable"/>
</testcase>"""


class Summary(unittest.TestCase):
    def report(self, *cases):
        """(exit code, lines) for a JUnit file with these test cases."""
        lines = []
        suite = ElementTree.fromstring(f"<testsuite>{''.join(cases)}</testsuite>")
        return test_summary.report(suite.iter("testcase"), lines.append), lines

    def test_all_well(self):
        code, lines = self.report(PASSED, PASSED)
        self.assertEqual((0, ["tests: 2 passed, 0 failed, 0 skipped"]), (code, lines))

    def test_failure(self):
        code, lines = self.report(PASSED, FAILED)
        self.assertEqual(1, code)
        self.assertEqual(["FAILED  bad", "tests: 1 passed, 1 failed, 0 skipped"], lines)

    def test_skips_are_not_passes_and_say_why(self):
        code, lines = self.report(PASSED, SKIPPED, SKIPPED, DISABLED)
        self.assertEqual(0, code)
        self.assertEqual("tests: 1 passed, 0 failed, 3 skipped", lines[-1])
        self.assertIn("skipped 2: no shared data", lines)

    def test_a_program_that_was_not_built_is_a_failure(self):
        code, lines = self.report(PASSED, NOT_BUILT)
        self.assertEqual(1, code)
        self.assertEqual("tests: 1 passed, 1 failed, 0 skipped", lines[-1])

    def test_nothing_ran(self):
        self.assertEqual(1, self.report()[0])
        self.assertEqual(1, self.report(SKIPPED)[0])


if __name__ == "__main__":
    unittest.main()
