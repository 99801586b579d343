#!/usr/bin/env python3
"""Keeps the house in order: fails when a source file breaks a rule of docs/architecture.md.

Usage: check_layers.py [ROOT]     (ROOT: the checkout; default: the one this file lies in)

Prints one "file:line: what is wrong" a line.
Exit code 0: all well; 1: a rule is broken; 2: nothing to check.
"""
import dataclasses
import pathlib
import re
import sys

# The layer table: folder of spikegpt/ -> the other folders it may include.
MAY_INCLUDE = {
    "core": [],
    "neurons": ["core"],
    "text": ["core"],
    "kernels": ["core", "neurons"],
    "data": ["core", "text"],
    "model": ["core", "neurons", "kernels"],
    "train": ["core", "neurons", "kernels", "model", "data"],
    "infer": ["core", "neurons", "kernels", "model", "text"],
    "plot": ["core", "text"],
    "report": ["core", "text", "plot"],
    "energy": ["core", "neurons", "model"],
    "serve": ["core", "text", "model", "infer", "energy"],
}
MAY_INCLUDE["cli"] = list(MAY_INCLUDE)  # the door to everything

# Trees with sources, and how long a file in them may be.
MAX_LINES = {
    "spikegpt": 500,
    "tests": 700,
    "bench": 500,
    "python": 500,
    "examples": 500,
    "tools": 500,
    "scripts": 500,
}
CXX = {".h", ".cc"}
SUFFIXES = CXX | {".py"}

MAY_INCLUDE_DNNL = re.compile(r"spikegpt/kernels/gemm\w*\.cc")
MAY_MAKE_A_SPIKE = re.compile(
    r"spikegpt/neurons/|spikegpt/kernels/(spike_scan|spike_encode)[\w-]*\.|tests/"
)
MAY_PRINT = re.compile(r"(?!spikegpt/)|spikegpt/cli/")
SHAPELESS_NAME = re.compile(r"(utils?|helpers?|misc|common|stuff)\.(h|cc)")

# Comments and string literals, so that rules about code do not trip over prose. A raw string is one
# literal; a quote between digits (1'000) opens none.
NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])(?:u8|[uUL])?'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)
COMMENT = re.compile(r"//|/\*")
INCLUDE = re.compile(
    r'^[ \t]*#[ \t]*include[ \t]*(?P<open>["<])(?P<path>[^">\n]+)[">]', re.MULTILINE
)
PRINTS = re.compile(
    r"\b(cout|cerr|clog)\s*<<|\bstd\s*::\s*(cout|cerr|clog)\b|\b(stdout|stderr)\b"
    r"|(?<![\w.>])(v?printf|puts|putchar|perror)\s*\(|\b(fmt|std)\s*::\s*print(ln)?\s*\("
)
ENDS_THE_PROGRAM = re.compile(r"(?<![\w.>])(abort|exit|_exit|_Exit|quick_exit|terminate)\s*\(")
HEAVISIDE = re.compile(r"\bheaviside\s*\(")


@dataclasses.dataclass(frozen=True)
class Problem:
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


class Source:
    """One file: its text, `directives` without comments, `code` without string literals too."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.name = path.name
        self.tree, *folders = pathlib.PurePosixPath(self.path).parts[:-1]
        self.layer = folders[0] if self.tree == "spikegpt" and folders else None
        self.text = path.read_text(encoding="utf-8", errors="replace")
        self.has_twin_header = path.suffix == ".cc" and path.with_suffix(".h").is_file()
        self.directives = NOT_CODE.sub(
            lambda m: blank(m[0]) if COMMENT.match(m[0]) else m[0], self.text
        )
        self.code = NOT_CODE.sub(lambda m: blank(m[0]), self.text)

    def includes(self):
        """(line, "<" or '"', path) of every include outside comments and raw strings."""
        for match in INCLUDE.finditer(self.directives):
            if "#" in self.code[match.start() : match.end()]:
                yield self.line_of(match.start("path")), match["open"], match["path"]

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def matches(self, pattern):
        for match in pattern.finditer(self.code):
            yield self.line_of(match.start()), match[0]

    def problem(self, line, message):
        return Problem(self.path, line, message)


def blank(text):
    """As many lines of nothing, so that line numbers and words keep their places."""
    return re.sub(r"[^\n]", " ", text)


def check_layer(source):
    if source.tree != "spikegpt":
        return
    if source.layer not in MAY_INCLUDE:
        yield source.problem(1, f"lies outside the layers {', '.join(MAY_INCLUDE)}")
        return
    allowed = MAY_INCLUDE[source.layer]
    for line, _, path in source.includes():
        used = re.match(r"spikegpt/(\w+)/", path)
        if used and used[1] != source.layer and used[1] not in allowed:
            row = ", ".join(allowed) or "nothing"
            message = f"{source.layer}/ may not include {used[1]}/ (it may: {row})"
            yield source.problem(line, message)


def check_length(source):
    lines = source.text.rstrip("\n").count("\n") + 1
    if lines > MAX_LINES[source.tree]:
        yield source.problem(lines, f"{lines} lines; split it (limit {MAX_LINES[source.tree]})")


def check_dnnl(source):
    if MAY_INCLUDE_DNNL.fullmatch(source.path):
        return
    for line, _, path in source.includes():
        if re.search(r"dnnl", path):
            yield source.problem(line, "only spikegpt/kernels/gemm*.cc may include oneDNN")


def check_heaviside(source):
    if MAY_MAKE_A_SPIKE.match(source.path):
        return
    for line, _ in source.matches(HEAVISIDE):
        yield source.problem(line, "only the kernels spike_scan and spike_encode call heaviside")


def check_silence(source):
    if MAY_PRINT.match(source.path):
        return
    for line, found in source.matches(PRINTS):
        yield source.problem(line, f"the library does not print: {found}")
    for line, found in source.matches(ENDS_THE_PROGRAM):
        yield source.problem(line, f"the library throws, and never calls {found}...)")


def check_include_style(source):
    own_header = source.path[: -len(".cc")] + ".h" if source.has_twin_header else None
    for index, (line, opening, path) in enumerate(source.includes()):
        ours = path.split("/")[0] in MAX_LINES and "/" in path
        if opening == "<" and ours:
            yield source.problem(line, f'write "{path}" in quotes: it is a file of this project')
        if opening == '"' and not ours:
            yield source.problem(
                line, f'write "spikegpt/folder/file.h" from the root, or <{path}> for a library'
            )
        if path.startswith("bits/"):
            yield source.problem(line, f"<{path}> is internal to one standard library")
        if ours and path.endswith(".cc"):
            yield source.problem(line, "a .cc file is compiled, not included")
        if index == 0 and own_header and path != own_header:
            yield source.problem(line, f'the first include is the own header "{own_header}"')


def check_pragma_once(source):
    # Highway compiles its -inl.h files once for each instruction set, with a guard that toggles.
    if not source.name.endswith(".h") or "HWY_TARGET_TOGGLE" in source.code:
        return
    if not re.match(r"\s*#pragma once\b", source.directives):
        yield source.problem(1, "the first line of a header's code is #pragma once")


def check_name(source):
    if SHAPELESS_NAME.fullmatch(source.name):
        yield source.problem(1, "a file is named after the one thing it is about")
    if not re.fullmatch(r"[a-z0-9_]+(-inl)?\.\w+", source.name):
        yield source.problem(1, "file names are snake_case")


RULES_FOR_ALL = [check_length]
RULES_FOR_CXX = [
    check_layer,
    check_dnnl,
    check_heaviside,
    check_silence,
    check_include_style,
    check_pragma_once,
    check_name,
]


def sources(root):
    for tree in MAX_LINES:
        for path in sorted((root / tree).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and "node_modules" not in path.parts:
                yield Source(root, path)


def problems_of(source):
    is_cxx = source.name.endswith(tuple(CXX))
    for rule in RULES_FOR_ALL + (RULES_FOR_CXX if is_cxx else []):
        yield from rule(source)


def check(root):
    """(number of files, problems) of the checkout at `root`."""
    files = list(sources(pathlib.Path(root)))
    return len(files), [problem for source in files for problem in problems_of(source)]


def main(arguments):
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[2]
    count, problems = check(root)
    for problem in problems:
        print(problem)
    if count == 0:
        print(f"no source file found under {root}: nothing was checked")
        return 2
    print(f"{count} files: {len(problems)} problems" if problems else f"{count} files: layers ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
