#!/usr/bin/env python3
"""Says what ctest's JUnit file holds: failed and skipped tests by name, and as the last line

    tests: 123 passed, 0 failed, 4 skipped

Exit code 1 when a test failed or none ran. ctest writes three different things as "notrun": a test
that skipped itself, one whose program was never built, and one that needs another that failed. Only
the first is a skip; the others count as failures here.

Usage: test-summary.py build/release/tests.xml
"""
import collections
import re
import sys
import xml.etree.ElementTree as ElementTree

SKIPPED_ITSELF = re.compile(r"SKIP_(REGULAR_EXPRESSION|RETURN_CODE)")


def outcome_of(case):
    """(passed | failed | skipped, a word on why) of one <testcase>."""
    status = case.get("status")
    if status == "run":
        return "passed", ""
    if status == "disabled":
        return "skipped", "disabled"
    skipped = case.find("skipped")
    if status == "notrun" and skipped is not None:
        message = skipped.get("message", "")
        if SKIPPED_ITSELF.match(message):
            return "skipped", reason_for_skip(case.findtext("system-out", ""))
        return "failed", message
    return "failed", ""


def reason_for_skip(output):
    """The text a test gave to GTEST_SKIP(): the line after "file:line: Skipped"."""
    found = re.search(r": Skipped\n(.+)", output)
    return found.group(1).strip() if found else "no reason given"


def report(cases, write):
    """Writes the summary and returns the exit code."""
    names = {"passed": [], "failed": [], "skipped": []}
    reasons = collections.Counter()
    for case in cases:
        outcome, why = outcome_of(case)
        names[outcome].append(case.get("name") + (f" ({why})" if why else ""))
        if outcome == "skipped":
            reasons[why] += 1
    for why, count in reasons.most_common():
        write(f"skipped {count}: {why}")
    for name in names["failed"]:
        write(f"FAILED  {name}")
    passed, failed, skipped = (len(names[key]) for key in ("passed", "failed", "skipped"))
    if passed + failed == 0:
        write("no test ran")
    write(f"tests: {passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed > 0 and failed == 0 else 1


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        cases = ElementTree.parse(arguments[0]).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError) as error:
        print(f"test-summary: cannot read {arguments[0]}: {error}", file=sys.stderr)
        return 1
    return report(cases, print)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
