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

TEST_F(LabelledSetTest, AByteOrderMarkIsNoPartOfTheLabel) {
  const std::string mark = "\xEF\xBB\xBF";
  const std::vector<std::string> labels = {"0", "1"};
  EXPECT_EQ(read("a.txt", mark + "0 dull\r\n1 fine\r\n").labels, labels);
  EXPECT_EQ(read("a.tsv", mark + "0\tdull\n1\tfine\n").labels, labels);
  EXPECT_EQ(read("a.csv", mark + "label,text\r\n0,dull\r\n1,fine\r\n").labels, labels);
  EXPECT_EQ(read("a.jsonl", mark + "{\"label\": 0, \"text\": \"a\"}\n{\"label\": 1, \"text\": \"b\"}\n").labels,
            labels);
  std::string wide = "\xFF\xFE";
  for (const char c : std::string("0\tdull\r\n1\tfine\r\n")) wide += {c, '\0'};
  const LabelledSet set = read("wide.tsv", wide);
  EXPECT_EQ(set.labels, labels);
  EXPECT_EQ(set.examples[1].text, "fine");
  EXPECT_EQ(read("unmarked.tsv", wide.substr(2)).labels, labels);
  expect_refused("a.txt", std::string("0 a\0b\n", 7), "zero byte at 3");
}

TEST_F(LabelledSetTest, NamesOfColumnsInAnyCaseAndOfAnyKind) {
  EXPECT_EQ(read("a.csv", "Label,Text\n0,dull\n1,fine\n").examples.size(), 2u);
  const LabelledSet usual = read("a.tsv", "id\tReview\tSENTIMENT\n7\tdull\tneg\n8\tfine\tpos\n");
  EXPECT_EQ(usual.labels, (std::vector<std::string>{"neg", "pos"}));
  EXPECT_EQ(usual.examples[1].text, "fine");
  const std::string strange = "Stars,Who,Words\n1,me,dull\n5,you,fine\n";
  expect_refused("b.csv", strange, "3 columns");
  const auto write = [&](const char* name, const std::string& content) {
    std::ofstream(folder_.path() / name, std::ios::binary) << content;
    return folder_.path() / name;
  };
  const LabelledSet named = read_labelled(write("c.csv", strange), {"stars", "WORDS"});
  EXPECT_EQ(named.labels, (std::vector<std::string>{"1", "5"}));
  EXPECT_EQ(named.examples[0].text, "dull");
  const LabelledSet numbered = read_labelled(write("d.csv", "x,dull,neg\ny,fine,pos\n"), {"3", "2"});
  EXPECT_EQ(numbered.examples[1].text, "fine");
  EXPECT_EQ(numbered.labels.size(), 2u);
  EXPECT_THROW(read_labelled(write("e.csv", strange), {"stars", "nothing"}), Error);
  EXPECT_THROW(read_labelled(write("f.csv", "x,dull\ny,fine\n"), {"3", "2"}), Error);
  const LabelledSet json =
      read_labelled(write("a.jsonl", "{\"Stars\": 1, \"Words\": \"dull\"}\n{\"Stars\": 2, \"Words\": \"fine\"}\n"),
                    {"stars", "words"});
  EXPECT_EQ(json.examples[1].text, "fine");
}

// A first line of names that are not known is no example to learn from.
TEST_F(LabelledSetTest, UnknownNamesOfColumnsAreNotTakenForAText) {
  const std::pair<const char*, const char*> tables[] = {
      {"a.csv", "mood,remark\npos,a fine film\nneg,a dull film\n"},
      {"a.csv", "Mood,Remark\r\npos,fine\r\nneg,dull\r\npos,good\r\nneg,bad\r\n"},
      {"a.tsv", "stars\twords\n1\tdull\n5\tfine\n2\tso\n"},
      {"a.csv", "label,remark\npos,fine\nneg,dull\n"},
      {"a.csv", "mood;text\npos;fine\nneg;dull\n"},
      {"a.csv", "review text,star rating\na fine film,5\na dull film,1\na good film,5\n"},
      {"a.txt", "mood remark\npos a fine film\nneg a dull film\n"},
      {"a.txt", "label\ttext\n0\tdull\n1\tfine\n"},
      {"a.txt", "\xC3\xA9tiquette texte\n0 un film\n1 un beau film\n"}};
  for (const auto& [name, content] : tables) {
    SCOPED_TRACE(content);
    expect_refused(name, content, "line 1: ");
    expect_refused(name, content, "look like names of columns");
    expect_refused(name, content, "--label-column and --text-column");
  }
  expect_refused("a.csv", "mood,remark\npos,a fine film\nneg,a dull film\n", "\"mood\" and \"remark\"");
  const auto sized = [&](const char* name, const std::string& content, const LabelledColumns& columns) {
    std::ofstream(folder_.path() / name, std::ios::binary) << content;
    return read_labelled(folder_.path() / name, columns).examples.size();
  };
  const std::string table = "mood,remark\npos,a fine film\nneg,a dull film\n";
  EXPECT_EQ(sized("a.csv", table, {"mood", "remark"}), 2u);
  EXPECT_EQ(sized("a.csv", table, {"1", "2"}), 3u) << "the user says that it is a text";
  EXPECT_EQ(sized("a.txt", "mood remark\npos a fine film\nneg a dull film\n", {"1", "2"}), 3u);
  EXPECT_THROW(sized("a.txt", "pos a fine film\n", {"mood", "remark"}), Error);
}

TEST_F(LabelledSetTest, TablesWithoutNamesKeepTheirFirstText) {
  const std::pair<const char*, const char*> tables[] = {
      {"a.csv", "pos,good\nneg,bad\nmixed,so so\n"},
      {"a.csv", "pos,good\nneg,a dull film\npos,a fine film\n"},
      {"a.csv", "pos,Great!\nneg,a dull film\nneg,a long film\n"},
      {"a.csv", "1,good\n0,a dull film\n0,a long film\n"},
      {"a.tsv", "pos\ta fine old film\nneg\tdull\nneg\tbad\n"},
      {"a.txt", "pos good\nneg bad\nmixed so so\n"},
      {"a.csv", "class,good\nclass,bad\npupil,so\n"}};
  for (const auto& [name, content] : tables) EXPECT_EQ(read(name, content).examples.size(), 3u) << content;
}

TEST_F(LabelledSetTest, TablesOfSpreadsheets) {
  const LabelledSet german = read("a.csv", "label;text\r\npos;gut, sehr\r\nneg;\"schlecht; leider\"\r\n");
  EXPECT_EQ(german.examples[0].text, "gut, sehr");
  EXPECT_EQ(german.examples[1].text, "schlecht; leider");
  EXPECT_EQ(read("b.csv", "pos;gut, sehr\nneg;nein\n").examples[0].text, "gut, sehr");
  EXPECT_EQ(read("c.csv", "sep=;\npos;gut\nneg;nein\n").examples.size(), 2u);
  EXPECT_EQ(read("d.csv", "label,text,,\npos,good,,\nneg,bad,,\n,,,\n").examples.size(), 2u);
  EXPECT_EQ(read("e.csv", "label\ttext\npos\tgood\nneg\tbad\n").examples.size(), 2u);
}

TEST_F(LabelledSetTest, TextsAreNotCutAtFurtherSeparators) {
  expect_refused("a.tsv", "0\tsame start\tdull\n1\tsame start\tfine\n", "3 columns");
  expect_refused("b.tsv", "label\ttext\n0\tsame start\tdull\n", "line 2: 3 columns, more than the 2");
  expect_refused("c.csv", "0,dull\n1,fine, really\n", "line 2: 3 columns");
}

TEST_F(LabelledSetTest, LabelsThatAreNoneAreRefused) {
  for (const char* label : {"null", "[1]", "{}"}) {
    expect_refused("a.jsonl", std::string("{\"label\": ") + label + ", \"text\": \"a\"}\n", "line 1: the label is");
  }
  expect_refused("a.jsonl", "{\"label\": 1, \"text\": null}\n", "line 1: expected");
  EXPECT_EQ(read("b.jsonl", "{\"label\": true, \"text\": \"a\"}\n{\"label\": 0.5, \"text\": \"b\"}\n").labels,
            (std::vector<std::string>{"0.5", "true"}));
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
