#include "spikegpt/data/indexed_dataset.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "spikegpt/core/files.h"
#include "spikegpt/core/random.h"
#include "spikegpt/data/indexed_writer.h"
#include "spikegpt/data/text_corpus.h"
#include "tests/support/shared_data.h"
#include "tests/text/expect_error.h"
#include "tests/text/small_bpe.h"

namespace spikegpt {
namespace {

using Ids = std::vector<TokenId>;

Ids all_of(const TokenStreamPtr& stream) {
  Ids ids(static_cast<std::size_t>(stream->size()));
  stream->read(0, ids);
  return ids;
}

template <class T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// An index laid out by hand, after the description in SPEC.md 9.
struct Index {
  std::string magic = std::string("MMIDIDX\0\0", 9);
  std::uint64_t version = 1;
  std::uint8_t dtype = 8;
  std::vector<std::int32_t> lengths = {3, 0, 2};
  std::vector<std::int64_t> offsets = {0, 6, 6};
  std::vector<std::int64_t> documents = {0, 2, 3};

  std::string bytes() const {
    std::string out = magic;
    append(out, version);
    append(out, dtype);
    append(out, std::uint64_t{lengths.size()});
    append(out, std::uint64_t{documents.size()});
    for (const auto length : lengths) append(out, length);
    for (const auto offset : offsets) append(out, offset);
    for (const auto document : documents) append(out, document);
    return out;
  }
};

class IndexedDatasetTest : public testing::Test {
 protected:
  void write(std::string_view name, std::string_view content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  IndexedDataset open(const Index& index, std::string_view bin, std::int64_t vocab_size = 65536) {
    write("d.idx", index.bytes());
    write("d.bin", bin);
    return IndexedDataset(folder_ / "d", vocab_size);
  }
  void expect_refused(const Index& index, std::initializer_list<std::string_view> words,
                      ErrorKind kind = ErrorKind::kCorruptFile) {
    expect_error(kind, {"d.idx"}, [&] { open(index, kBin); });
    expect_error(kind, words, [&] { open(index, kBin); });
  }

  static constexpr std::string_view kBin{"\1\0\2\0\xFF\xFF\4\0\5\1", 10};
  TemporaryDirectory folder_;
};

TEST_F(IndexedDatasetTest, ReadsWhatTheFormatSays) {
  const IndexedDataset narrow = open(Index(), kBin);
  EXPECT_EQ(all_of(narrow.tokens()), (Ids{1, 2, 65535, 4, 261}));
  EXPECT_EQ(narrow.sequences(), 3);
  EXPECT_EQ(narrow.documents(), 2);
  EXPECT_EQ(narrow.dtype(), DType::kU16);

  Index index;
  index.dtype = 4;
  index.lengths = {2};
  index.offsets = {0};
  index.documents = {0, 1};
  const IndexedDataset wide = open(index, std::string_view("\1\0\0\0\0\0\1\0", 8), 70'000);
  EXPECT_EQ(all_of(wide.tokens()), (Ids{1, 65536}));
}

TEST_F(IndexedDatasetTest, IsFoundByAnyOfItsNames) {
  open(Index(), kBin);
  for (const char* name : {"d", "d.bin", "d.idx"}) {
    EXPECT_EQ(IndexedDataset(folder_ / name, 65536).tokens()->size(), 5) << name;
  }
  expect_error(ErrorKind::kNotFound, {"other.idx"}, [&] { IndexedDataset(folder_ / "other", 9); });
  std::filesystem::remove(folder_ / "d.bin");
  expect_error(ErrorKind::kNotFound, {"d.bin"}, [&] { IndexedDataset(folder_ / "d", 9); });
}

TEST_F(IndexedDatasetTest, IdsAreCheckedWhenRead) {
  const IndexedDataset dataset = open(Index(), kBin, 300);
  Ids out(2);
  dataset.tokens()->read(0, out);
  expect_error(ErrorKind::kCorruptFile, {"d.bin", "token 2", "65535", "300"}, [&] { dataset.tokens()->read(1, out); });
  Index index;
  index.dtype = 4;
  index.lengths = {1};
  index.offsets = {0};
  index.documents = {0, 1};
  const IndexedDataset negative = open(index, "\xFF\xFF\xFF\xFF");
  expect_error(ErrorKind::kCorruptFile, {"-1"}, [&] { negative.tokens()->read(0, std::span(out).first(1)); });
}

TEST_F(IndexedDatasetTest, RefusesWhatContradictsItself) {
  Index index;
  index.magic[3] = 'X';
  expect_refused(index, {"MMIDIDX"});
  index = {};
  index.version = 2;
  expect_refused(index, {"version 2", "byte 9"}, ErrorKind::kUnsupported);
  index = {};
  index.dtype = 6;
  expect_refused(index, {"type 6", "byte 17", "uint16"}, ErrorKind::kUnsupported);
  index = {};
  index.lengths = {3, 0};
  expect_refused(index, {"2 sequences"});
  index = {};
  index.lengths = {3, -1, 3};
  expect_refused(index, {"sequence 1", "length -1", "byte 38"});
  index = {};
  index.offsets = {0, 4, 6};
  expect_refused(index, {"sequence 1 starts at 4", "ends at 6"});
  index = {};
  index.lengths = {3, 0, 1};
  expect_refused(index, {"8 bytes of tokens", "d.bin", "has 10"});
  index.lengths = {3, 0, 2'000'000'000};
  expect_refused(index, {"at least", "has 10"});
  for (const std::vector<std::int64_t>& documents :
       {std::vector<std::int64_t>{1, 3}, {0, 2}, {0, 4}, {0, 2, 1, 3}, {0, -1, 3}}) {
    index = {};
    index.documents = documents;
    expect_refused(index, {"document", "0 to 3"});
  }
}

TEST_F(IndexedDatasetTest, RefusesCountsBeyondTheFile) {
  std::string bytes = Index().bytes();
  for (const std::size_t at : {18, 26}) {
    for (const std::uint64_t count : {std::uint64_t{4}, std::uint64_t{1} << 61, ~std::uint64_t{0}}) {
      std::string changed = bytes;
      std::memcpy(changed.data() + at, &count, sizeof(count));
      write("d.idx", changed);
      write("d.bin", kBin);
      expect_error(ErrorKind::kCorruptFile, {"header"}, [&] { IndexedDataset(folder_ / "d", 9); });
    }
  }
}

TEST_F(IndexedDatasetTest, CutAnywhereItIsRefused) {
  const std::string bytes = Index().bytes();
  write("d.bin", kBin);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    write("d.idx", bytes.substr(0, size));
    EXPECT_THROW(IndexedDataset(folder_ / "d", 65536), Error) << size;
  }
  write("d.idx", bytes);
  for (std::size_t size = 0; size < kBin.size(); ++size) {
    write("d.bin", kBin.substr(0, size));
    EXPECT_THROW(IndexedDataset(folder_ / "d", 65536), Error) << size;
  }
}

TEST_F(IndexedDatasetTest, AnyByteChangedItIsReadOrRefused) {
  const std::string bytes = Index().bytes();
  write("d.bin", kBin);
  RandomStream random(2, RandomPurpose::kSampling);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int round = 0; round < 8; ++round) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(random.next_below(256));
      write("d.idx", changed);
      try {
        EXPECT_EQ(all_of(IndexedDataset(folder_ / "d", 65536).tokens()).size(), 5u);
      } catch (const Error&) {
      }
    }
  }
}

TEST_F(IndexedDatasetTest, WrittenIsRead) {
  for (const std::int64_t vocab_size : {300, 65536, 65537}) {
    const Ids ids = {0, 1, 299, 7};
    write_indexed_dataset(folder_ / "w", vocab_size, [&](IndexedWriter& writer) {
      writer.end_document();  // leaves no trace
      writer.add(std::span(ids).first(3));
      writer.end_document();
      writer.add(std::span(ids).last(1));
    });
    const IndexedDataset dataset(folder_ / "w", vocab_size);
    EXPECT_EQ(all_of(dataset.tokens()), ids);
    EXPECT_EQ(dataset.documents(), 2);
    EXPECT_EQ(dataset.dtype(), vocab_size <= 65536 ? DType::kU16 : DType::kI32);
  }
}

TEST_F(IndexedDatasetTest, WritesTheBytesOfTheFormat) {
  const Ids ids = {1, 2, 65535, 4, 261};
  write_indexed_dataset(folder_ / "w.bin", 65536, [&](IndexedWriter& writer) {
    writer.add(std::span(ids).first(3));
    writer.end_document();
    writer.add(std::span(ids).last(2));
    writer.end_document();
  });
  Index expected;
  expected.lengths = {3, 2};
  expected.offsets = {0, 6};
  expected.documents = {0, 1, 2};
  EXPECT_EQ(read_text(folder_ / "w.idx"), expected.bytes());
  EXPECT_EQ(read_text(folder_ / "w.bin"), kBin);
}

TEST_F(IndexedDatasetTest, AFailedWriteLeavesTheEarlierFiles) {
  open(Index(), kBin);
  const Ids stranger = {5, 300};
  expect_error(ErrorKind::kInvalidArgument, {"token 1", "300"}, [&] {
    write_indexed_dataset(folder_ / "d", 300, [&](IndexedWriter& writer) { writer.add(stranger); });
  });
  EXPECT_EQ(IndexedDataset(folder_ / "d", 65536).tokens()->size(), 5);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path())) ++files;
  EXPECT_EQ(files, 2u);
}

TEST_F(IndexedDatasetTest, TextsBecomeDocumentsWithAnEnd) {
  const auto tokenizer_file = small_bpe({"t h", "th e"});  // <|endoftext|> is 258
  write("tokenizer.json", tokenizer_file.dump());
  write("a.txt", "the");
  write("b.jsonl", "{\"text\": \"ath\"}\n{\"text\": \"b\"}\n");
  const auto tokenizer = load_tokenizer(folder_.path());
  int calls = 0;
  const TokenizeSummary summary =
      tokenize_to_files({folder_ / "a.txt", folder_ / "b.jsonl"}, *tokenizer, folder_ / "out",
                        [&](const TokenizeSummary& so_far) { EXPECT_EQ(so_far.documents, ++calls); });
  EXPECT_EQ(summary.documents, 3);
  EXPECT_EQ(summary.tokens, 7);
  EXPECT_EQ(summary.bytes, 7);
  const IndexedDataset dataset(folder_ / "out", tokenizer->vocab_size());
  EXPECT_EQ(all_of(dataset.tokens()), (Ids{257, 258, 'a', 256, 258, 'b', 258}));
  EXPECT_EQ(dataset.documents(), 3);

  // And they can be trained on: the tokenizer is found beside them.
  CorpusOptions options;
  options.data = folder_ / "out.bin";
  options.ctx_len = 3;
  options.valid_fraction = 0.3;
  const TextCorpus corpus = load_text_corpus(options);
  EXPECT_EQ(corpus.tokenizer->kind(), "bpe");
  EXPECT_EQ(corpus.train->size(), 5);
  EXPECT_EQ(corpus.valid->size(), 2);
}

TEST_F(IndexedDatasetTest, TokensNeedTheirTokenizer) {
  open(Index(), kBin);
  CorpusOptions options;
  options.data = folder_ / "d.idx";
  options.ctx_len = 2;
  expect_error(ErrorKind::kInvalidArgument, {"d.idx", "--tokenizer"}, [&] { load_text_corpus(options); });
}

}  // namespace
}  // namespace spikegpt
