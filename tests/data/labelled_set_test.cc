#include "spikegpt/data/labelled_set.h"

#include <gtest/gtest.h>

#include <fstream>

#include "spikegpt/core/error.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

class LabelledSetTest : public testing::Test {
 protected:
  LabelledSet read(const std::string& name, const std::string& content) {
    const auto path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return read_labelled(path);
  }
  void expect_refused(const std::string& name, const std::string& content, const std::string& words) {
    try {
      read(name, content);
      FAIL() << content;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
  TemporaryDirectory folder_;
};

TEST_F(LabelledSetTest, LabelThenText) {
  const LabelledSet set = read("a.all", "1 a fine film\n\n0\tdull \r\n10 so so\n");
  EXPECT_EQ(set.labels, (std::vector<std::string>{"0", "1", "10"}));
  ASSERT_EQ(set.examples.size(), 3u);
  EXPECT_EQ(set.examples[0].label, 1);
  EXPECT_EQ(set.examples[0].text, "a fine film");
  EXPECT_EQ(set.examples[1].text, "dull");
  EXPECT_EQ(set.examples[2].label, 2);
}

TEST_F(LabelledSetTest, Latin1IsReadLineByLine) {
  const LabelledSet set = read("a.txt", "1 caf\xe9\n0 caf\xc3\xa9\n");
  EXPECT_EQ(set.examples[0].text, "caf\xc3\xa9");
  EXPECT_EQ(set.examples[1].text, "caf\xc3\xa9");
  EXPECT_EQ(set.from_latin1, 1);
}

TEST_F(LabelledSetTest, Tables) {
  const LabelledSet csv = read("a.csv", "id,text,label\r\n7,\"good, \"\"very\"\"\nindeed\",pos\r\n8,bad,neg\r\n");
  EXPECT_EQ(csv.labels, (std::vector<std::string>{"neg", "pos"}));
  EXPECT_EQ(csv.examples[0].text, "good, \"very\"\nindeed");
  EXPECT_EQ(csv.examples[1].label, 0);
  const LabelledSet tsv = read("a.tsv", "1\tit's \"good\n0\tbad");
  EXPECT_EQ(tsv.examples[0].text, "it's \"good");
  EXPECT_EQ(read("b.csv", "pos,good\nneg,bad\n").examples.size(), 2u);
}

TEST_F(LabelledSetTest, JsonLines) {
  const LabelledSet set =
      read("a.jsonl", "{\"text\": \"x\\ny\", \"label\": 1}\n{\"label\": \"b\", \"sentence\": \"z\"}\n");
  EXPECT_EQ(set.labels, (std::vector<std::string>{"1", "b"}));
  EXPECT_EQ(set.examples[0].text, "x\ny");
}

TEST_F(LabelledSetTest, FaultsNameTheLine) {
  expect_refused("a.txt", "1 good\nbad\n", "line 2: expected a label");
  expect_refused("a.txt", " \n\n", "no labelled text");
  expect_refused("a.csv", "1,good\n0\n", "line 2: expected at least two columns");
  expect_refused("a.csv", "1,\"good\n0,bad\n", "line 1: a quote that is never closed");
  expect_refused("a.csv", "1,\"good\"x\n", "line 1: characters behind");
  expect_refused("a.csv", ",text here\n", "line 1: the label is empty");
  expect_refused("a.tsv", "1\t  \n", "line 1: the text is empty");
  expect_refused("a.jsonl", "{\"label\": 1, \"text\": \"x\"}\n[1]\n", "line 2: expected");
  EXPECT_THROW(read_labelled(folder_.path() / "none"), Error);
  LabelledSet set = read("b.txt", "1 a\n2 b\n");
  EXPECT_THROW(use_labels({"0", "1"}, "b.txt", set), Error);
  use_labels({"2", "1"}, "b.txt", set);
  EXPECT_EQ(set.examples[0].label, 1);
}

}  // namespace
}  // namespace spikegpt::test
