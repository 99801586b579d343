"""scripts/get-enwik8.sh on files made here: the cut, the checks, and nothing left behind by a failure."""
import hashlib
import pathlib
import subprocess
import tempfile
import unittest
import zipfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "get-enwik8.sh"
TEXT = bytes(range(256)) * 8


def run(*arguments):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


class GetEnwik8Test(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        self.source = self.root / "text"
        self.source.write_bytes(TEXT)
        self.out = self.root / "out"
        self.known = ["--out", self.out, "--md5", hashlib.md5(TEXT).hexdigest(), "--size", len(TEXT)]

    def expect_cut(self):
        part = len(TEXT) // 20
        self.assertEqual((self.out / "train.txt").read_bytes(), TEXT[:-2 * part])
        self.assertEqual((self.out / "valid.txt").read_bytes(), TEXT[-2 * part:-part])
        self.assertEqual((self.out / "test.txt").read_bytes(), TEXT[-part:])
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["test.txt", "train.txt", "valid.txt"])

    def expect_refusal(self, result, *words):
        self.assertEqual(result.returncode, 1, result.stderr)
        for word in words:
            self.assertIn(str(word), result.stderr)
        if self.out.exists():
            self.assertEqual(list(self.out.iterdir()), [])

    def test_cuts_a_text(self):
        result = run("--from", self.source, *self.known)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.expect_cut()

    def test_cuts_a_zip(self):
        packed = self.root / "text.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(self.source, "enwik8")
        result = run("--from", packed, *self.known)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.expect_cut()

    def test_refuses_a_wrong_checksum(self):
        result = run("--from", self.source, "--out", self.out, "--size", len(TEXT))
        self.expect_refusal(result, self.source, hashlib.md5(TEXT).hexdigest(), "a1fa5ffddb56f4953e226637dabbb36a")

    def test_refuses_a_wrong_size(self):
        self.expect_refusal(run("--from", self.source, "--out", self.out), len(TEXT), 100000000)

    def test_refuses_a_damaged_zip(self):
        packed = self.root / "text.zip"
        packed.write_bytes(b"PK\x03\x04 nothing")
        self.expect_refusal(run("--from", packed, *self.known), packed)

    def test_refuses_a_zip_that_unpacks_to_more(self):
        packed = self.root / "text.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("enwik8", b"0" * 10_000_000)
        self.expect_refusal(run("--from", packed, *self.known), packed)

    def test_refuses_what_is_not_there(self):
        self.expect_refusal(run("--from", self.root / "none", *self.known), "none")
        self.expect_refusal(run("--cut"), "--cut")
        self.expect_refusal(run("--from"), "--from")


if __name__ == "__main__":
    unittest.main()
