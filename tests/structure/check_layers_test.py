#!/usr/bin/env python3
"""The rules of check_layers.py hold in this checkout, and each of them can fail."""
import contextlib
import io
import pathlib
import tempfile
import unittest

import check_layers

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = "// About one thing.\n#pragma once\n\n"


class RealTree(unittest.TestCase):
    def test_keeps_every_rule(self):
        count, problems = check_layers.check(ROOT)
        self.assertGreater(count, 10, "the check looked in the wrong place")
        self.assertEqual([], [str(problem) for problem in problems])

    def test_every_folder_is_a_layer(self):
        folders = {path.name for path in (ROOT / "spikegpt").iterdir() if path.is_dir()}
        self.assertLessEqual(folders, set(check_layers.MAY_INCLUDE))


class LayerTable(unittest.TestCase):
    def reachable(self, folder):
        seen = set()
        waiting = [folder]
        while waiting:
            for used in check_layers.MAY_INCLUDE[waiting.pop()]:
                if used not in seen:
                    seen.add(used)
                    waiting.append(used)
        return seen

    def test_has_no_cycle(self):
        for folder in check_layers.MAY_INCLUDE:
            self.assertNotIn(folder, self.reachable(folder))

    def test_training_and_inference_never_meet(self):
        self.assertNotIn("infer", self.reachable("train"))
        self.assertNotIn("train", self.reachable("infer"))

    def test_only_the_command_line_reaches_everything(self):
        self.assertEqual(set(check_layers.MAY_INCLUDE) - {"cli"}, self.reachable("cli"))


class Rules(unittest.TestCase):
    """Each rule against a small tree that breaks it, and one that comes close without doing so."""

    def check(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return [str(problem) for problem in check_layers.check(root)[1]]

    def assert_breaks(self, name, text, expected):
        """Exactly one problem, which says file, line and `expected`."""
        problems = self.check({name: text})
        self.assertEqual(1, len(problems), problems)
        self.assertTrue(problems[0].startswith(name + ":"), problems[0])
        self.assertIn(expected, problems[0])

    def assert_keeps(self, name, text):
        self.assertEqual([], self.check({name: text}))

    def test_forbidden_direction(self):
        for folder, used in [
            ("core", "neurons"), ("neurons", "kernels"), ("text", "neurons"), ("kernels", "model"),
            ("data", "model"), ("model", "data"), ("train", "infer"), ("infer", "train"),
            ("infer", "data"), ("energy", "train"), ("serve", "train"), ("model", "energy"),
        ]:  # fmt: skip
            with self.subTest(folder=folder, used=used):
                text = HEADER + f'#include "spikegpt/{used}/thing.h"\n'
                expected = f"thing.h:4: {folder}/ may not include {used}/"
                self.assert_breaks(f"spikegpt/{folder}/thing.h", text, expected)

    def test_every_pair_of_the_table_is_allowed_and_no_other(self):
        for folder, allowed in check_layers.MAY_INCLUDE.items():
            for used in check_layers.MAY_INCLUDE:
                problems = self.check(
                    {f"spikegpt/{folder}/thing.h": HEADER + f'#include "spikegpt/{used}/other.h"\n'}
                )
                self.assertEqual(used == folder or used in allowed, problems == [], (folder, used))

    def test_unconventional_spelling_of_an_include(self):
        text = HEADER + '  #  include  "spikegpt/model/config.h"  // why\n'
        self.assert_breaks("spikegpt/core/thing.h", text, "may not include model/")

    def test_include_in_a_comment_or_string_does_not_count(self):
        included = '#include "spikegpt/cli/thing.h"\n'
        self.assert_keeps("spikegpt/core/thing.h", HEADER + f"// {included}/*\n{included}*/\n")
        self.assert_keeps("spikegpt/core/thing.h", HEADER + f'auto text = R"(\n{included})";\n')

    def test_folder_that_is_no_layer(self):
        self.assert_breaks("spikegpt/stray.h", HEADER, "lies outside the layers")
        self.assert_breaks("spikegpt/gadgets/thing.h", HEADER, "lies outside the layers")

    def test_length(self):
        self.assert_keeps("spikegpt/core/thing.cc", "\n" * 499 + "int x;\n")
        text = "\n" * 500 + "int x;\n"
        self.assert_breaks("spikegpt/core/thing.cc", text, "501 lines; split it (limit 500)")
        self.assert_keeps("tests/core/thing_test.cc", "\n" * 699 + "int x;\n")
        self.assert_breaks("tests/core/thing_test.cc", "\n" * 700 + "int x;\n", "limit 700")
        self.assert_breaks("tools/thing.py", "\n" * 500 + "x = 1\n", "limit 500")

    def test_one_file_sees_onednn(self):
        for header in ["<dnnl.hpp>", "<oneapi/dnnl/dnnl.hpp>"]:
            text = f"#include {header}\n"
            self.assert_keeps("spikegpt/kernels/gemm.cc", text)
            self.assert_keeps("spikegpt/kernels/gemm_packed.cc", text)
            for name in ["kernels/gemm.h", "kernels/adam.cc", "model/gemm.cc"]:
                header_text = (HEADER if name.endswith(".h") else "") + text
                self.assert_breaks("spikegpt/" + name, header_text, "may include oneDNN")

    def test_one_place_makes_a_spike(self):
        text = "float f(float x) { return heaviside (x); }\n"
        for name in ["kernels/spike_scan.cc", "kernels/spike_encode.cc", "neurons/lif.cc"]:
            self.assert_keeps("spikegpt/" + name, text)
        self.assert_keeps("tests/neurons/heaviside_test.cc", text)
        for name in ["kernels/wkv_scan.cc", "model/embedding.cc", "infer/step.cc", "cli/main.cc"]:
            self.assert_breaks("spikegpt/" + name, text, "call heaviside")
        prose = '// heaviside(x)\nauto help = "heaviside(E[token])";\n'
        self.assert_keeps("spikegpt/model/config.cc", prose)

    def test_library_is_silent(self):
        for call in [
            "std::cout << 1;", "std::cerr << 1;", "using std::cout;", "cout << 1;", 'printf("x");',
            'std::printf("x");', 'fprintf(stderr, "x");', 'puts("x");', "perror(0);",
            'fmt::print("x");', 'fmt::println("x");',
        ]:  # fmt: skip
            with self.subTest(call=call):
                text = f"void f() {{ {call} }}\n"
                self.assert_breaks("spikegpt/train/thing.cc", text, "does not print")
                self.assert_keeps("spikegpt/cli/thing.cc", text)
                self.assert_keeps("bench/thing.cc", text)
        calls = 'std::snprintf(b, n, "printf("); x.printf(1); blueprintf(1);  // std::cout <<\n'
        self.assert_keeps("spikegpt/train/thing.cc", f"void f() {{ {calls} }}\n")

    def test_library_does_not_end_the_program(self):
        for call in ["std::exit(1);", "exit(1);", "abort();", "std::abort();", "std::terminate();"]:
            with self.subTest(call=call):
                text = f"void f() {{ {call} }}\n"
                self.assert_breaks("spikegpt/core/thing.cc", text, "never calls")
        calls = "job.abort(); job->exit(); at_exit(f);"
        self.assert_keeps("spikegpt/core/thing.cc", f"void f() {{ {calls} }}\n")

    def test_include_style(self):
        for text, expected in [
            ('#include "thing.h"\n', "from the root"),
            ('#include "../core/error.h"\n', "from the root"),
            ('#include "fmt/format.h"\n', "from the root"),
            ("#include <spikegpt/core/error.h>\n", "in quotes"),
            ("#include <bits/stdc++.h>\n", "internal"),
            ('#include "spikegpt/core/other.cc"\n', "not included"),
        ]:
            with self.subTest(text=text):
                self.assert_breaks("spikegpt/core/first.cc", text, expected)
        self.assert_keeps("tests/core/a_test.cc", '#include "tests/support/shared_data.h"\n')

    def test_own_header_comes_first(self):
        files = {"spikegpt/core/thing.h": HEADER}
        own = '#include "spikegpt/core/thing.h"\n'
        other = "#include <cmath>\n"
        self.assertEqual([], self.check(files | {"spikegpt/core/thing.cc": own + other}))
        problems = self.check(files | {"spikegpt/core/thing.cc": other + own})
        self.assertEqual(1, len(problems), problems)
        self.assertIn("the first include is the own header", problems[0])

    def test_pragma_once(self):
        self.assert_breaks("spikegpt/core/thing.h", "// About.\nint x;\n", "#pragma once")
        self.assert_breaks("spikegpt/core/thing.h", "int x;\n#pragma once\n", "#pragma once")
        self.assert_breaks("tests/support/thing.h", "// #pragma once\n", "#pragma once")
        self.assert_keeps("spikegpt/core/thing.h", "/* About\nmore */\n#pragma once\n")
        toggled = "#if defined(X) == defined(HWY_TARGET_TOGGLE)\n#endif\n"
        self.assert_keeps("spikegpt/kernels/thing-inl.h", toggled)

    def test_names(self):
        self.assert_breaks("spikegpt/core/utils.h", HEADER, "named after the one thing")
        self.assert_breaks("spikegpt/core/Thing.cc", "int x;\n", "snake_case")

    def test_digit_separators_and_quotes_do_not_hide_code(self):
        before = "int n = 1'000; char c = '\"'; char d = '\\'';"
        text = f"{before} void f() {{ std::cout << n; }} char e = '\"';\n"
        self.assert_breaks("spikegpt/core/thing.cc", text, "does not print")


class Program(unittest.TestCase):
    def run_on(self, files):
        output = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(output):
            for name, text in files.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True)
                path.write_text(text)
            return check_layers.main([folder]), output.getvalue()

    def test_exit_codes(self):
        code, output = self.run_on({"spikegpt/core/thing.h": HEADER})
        self.assertEqual((0, "1 files: layers ok\n"), (code, output))
        code, output = self.run_on({"spikegpt/core/thing.h": "int x;\n"})
        self.assertEqual(1, code)
        self.assertIn("spikegpt/core/thing.h:1: ", output)
        code, output = self.run_on({})
        self.assertEqual(2, code)
        self.assertIn("nothing was checked", output)


if __name__ == "__main__":
    unittest.main()
