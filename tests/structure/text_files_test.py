#!/usr/bin/env python3
"""Lines are short enough to read, and what the build names is there."""
import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROSE = 110  # columns of what is read first
CODE = 120   # as .clang-format says
RAW = re.compile(r'R"(\w*)\(')


def long_lines(path, columns, skip_raw=False):
    """Numbers of the lines that are too long. Raw strings, pages and scripts say, may be as they are."""
    found = []
    ends = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        starts = RAW.search(line) if skip_raw and ends is None else None
        if starts:
            ends = f'){starts.group(1)}"'
        if ends is None and len(line) > columns:
            found.append(number)
        if ends is not None and ends in (line[starts.end():] if starts else line):
            ends = None
    return found


def source_files():
    for folder in ("spikegpt", "tests", "bench"):
        for ending in ("*.cc", "*.h"):
            yield from sorted((ROOT / folder).rglob(ending))


def fuzz_targets():
    return (ROOT / "tests/fuzz/CMakeLists.txt").read_text(encoding="utf-8")


class Lines(unittest.TestCase):
    def test_of_the_first_pages(self):
        for name in ("README.md", "CONTRIBUTING.md"):
            self.assertEqual([], long_lines(ROOT / name, PROSE), name)

    def test_of_sources(self):
        files = list(source_files())
        self.assertGreater(len(files), 300, "the test looked in the wrong place")
        for path in files:
            self.assertEqual([], long_lines(path, CODE, skip_raw=True), path)

    def test_long_ones_are_seen(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file.cc"
            long = "x" * 121
            path.write_text(f'{long}\nR"(\n{long}\n)"\n{long[1:]}\n{long}\n', encoding="utf-8")
            self.assertEqual([1, 3, 6], long_lines(path, CODE))
            self.assertEqual([1, 6], long_lines(path, CODE, skip_raw=True))


class Build(unittest.TestCase):
    def test_names_of_the_fuzzers_are_files(self):
        for source in re.findall(r"spikegpt/\S+\.cc", fuzz_targets()):
            self.assertTrue((ROOT / source).is_file(), source)

    def test_every_fuzzer_is_built(self):
        built = set(re.findall(r"^spikegpt_fuzzer\((\w+)", fuzz_targets(), flags=re.MULTILINE))
        written = {path.stem.removeprefix("fuzz_") for path in (ROOT / "tests/fuzz").glob("fuzz_*.cc")}
        self.assertEqual(built, written)
        self.assertGreater(len(built), 10)


if __name__ == "__main__":
    unittest.main()
