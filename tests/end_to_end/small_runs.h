// What the end-to-end tests share: a folder of their own, small texts, small models, and what to
// expect of them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/core/json_fields.h"
#include "spikegpt/model/checksum.h"
#include "spikegpt/model/safetensors.h"
#include "tests/support/program.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {

// Words drawn at random, the same at every call: a model soon learns to spell them.
inline std::string small_text(int words) {
  constexpr const char* kWords[] = {"the ", "cat ", "sat ", "on ", "a ",     "mat ",
                                    "and ", "dog ", "ran ", "to ", "see.\n", "red "};
  std::string text;
  std::uint32_t state = 7;
  for (int i = 0; i < words; ++i) {
    state = state * 1664525u + 1013904223u;
    text += kWords[(state >> 16) % std::size(kWords)];
  }
  return text;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

// The content of every file below a folder, by relative path.
inline std::map<std::string, std::string> content_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> content;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      content[std::filesystem::relative(entry.path(), folder).string()] = read_file(entry.path());
    }
  }
  return content;
}

inline void expect_words(std::string_view text, const std::vector<std::string_view>& words) {
  for (const std::string_view word : words) {
    EXPECT_NE(text.find(word), std::string_view::npos) << "no \"" << word << "\" in: " << text;
  }
}

inline void expect_success(const ProgramResult& result) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.status, 0) << result.err;
}

// A fault found before work began: one line on standard error, which holds all the words, and
// nothing else.
inline void expect_refused(const ProgramResult& result, int status, const std::vector<std::string_view>& words) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(lines_of(result.err).size(), 1u) << result.err;
  EXPECT_TRUE(result.err.starts_with("spikegpt: ")) << result.err;
  EXPECT_TRUE(result.err.ends_with("\n")) << result.err;
  expect_words(result.err, words);
}

// A fault that ended work under way: after lines of progress, one line that says so.
inline void expect_stopped(const ProgramResult& result, const std::vector<std::string_view>& words) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.status, 1) << result.err;
  const auto lines = lines_of(result.err);
  ASSERT_FALSE(lines.empty());
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    EXPECT_EQ(lines[i].find("spikegpt: "), std::string::npos) << "more than one message: " << result.err;
  }
  EXPECT_TRUE(lines.back().starts_with("spikegpt: ")) << result.err;
  expect_words(lines.back(), words);
}

// Names, shapes and every bit of the tensors.
inline void expect_same_tensors(const std::filesystem::path& a, const std::filesystem::path& b) {
  const WeightFile first = read_safetensors(a);
  const WeightFile second = read_safetensors(b);
  EXPECT_EQ(first.tensors().size(), second.tensors().size());
  for (const TensorView& tensor : first.tensors()) {
    const TensorView* other = second.find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    ASSERT_EQ(tensor.shape, other->shape) << tensor.name;
    ASSERT_EQ(tensor.data.size(), other->data.size()) << tensor.name;
    EXPECT_EQ(std::memcmp(tensor.data.data(), other->data.data(), tensor.data.size()), 0) << tensor.name;
  }
}

inline std::vector<float> floats_of(const WeightFile& file, const std::string& name) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr) {
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  std::vector<float> values(static_cast<std::size_t>(element_count(*tensor)));
  copy_as_float(*tensor, values);
  return values;
}

// A tensor file being falsified. The bytes of a tensor are its own, to be changed at will.
struct OwnedTensor {
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;
};
using OwnedTensors = std::map<std::string, OwnedTensor>;

inline void change_tensors(const std::filesystem::path& path, const std::function<void(OwnedTensors&)>& change) {
  OwnedTensors tensors;
  std::map<std::string, std::string> metadata;
  {
    const WeightFile file = read_safetensors(path);
    metadata = file.metadata();
    for (const TensorView& tensor : file.tensors()) {
      tensors[tensor.name] = {tensor.dtype, tensor.shape, {tensor.data.begin(), tensor.data.end()}};
    }
  }
  change(tensors);
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : tensors) views.push_back({name, tensor.dtype, tensor.shape, tensor.data});
  // The fault is in the numbers, not in the file.
  if (metadata.count(kChecksum) != 0) metadata[kChecksum] = checksum_of(metadata, views);
  write_safetensors(path, metadata, views);
}

inline void set_float(OwnedTensor& tensor, std::size_t index, float value) {
  ASSERT_LE((index + 1) * sizeof(float), tensor.data.size());
  std::memcpy(tensor.data.data() + index * sizeof(float), &value, sizeof(float));
}

inline void fill_floats(OwnedTensor& tensor, float value) {
  for (std::size_t i = 0; i < tensor.data.size() / sizeof(float); ++i) set_float(tensor, i, value);
}

// A folder for one test, with text.txt to learn from. The program runs in it, so that names are
// short.
class SmallRuns : public testing::Test {
 protected:
  SmallRuns() { write("text.txt", small_text(1500)); }

  std::filesystem::path at(std::string_view name) const { return folder_ / name; }
  void write(std::string_view name, std::string_view content) const { write_file(at(name), content); }
  std::string read(std::string_view name) const { return read_file(at(name)); }
  const std::filesystem::path& folder() const { return folder_.path(); }

  ProgramOptions here() const {
    ProgramOptions options;
    options.folder = folder();
    return options;
  }
  ProgramResult run(const Args& args) const { return run_program(args, here()); }
  ProgramResult run_with_input(const Args& args, const std::string& input) const {
    ProgramOptions options = here();
    options.input = input;
    return run_program(args, options);
  }

  // With variables of the environment, as NAME=value.
  ProgramResult run_in(const Args& environment, const Args& args) const {
    ProgramOptions options = here();
    options.program = "env";
    Args words = environment;
    words.push_back(program_file().string());
    words.insert(words.end(), args.begin(), args.end());
    return run_program(words, options);
  }

  // The arguments that train the smallest model in `out`; `more` must not repeat them.
  static Args train_args(const std::string& out, const Args& more = {}) {
    Args args = {"train", "--data",    "text.txt", "--out",        out, "--n-layer",       "1", "--n-embd",
                 "16",    "--ctx-len", "16",       "--batch-size", "2", "--sample-tokens", "0"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  // A model after a few steps, in the folder `out`.
  void make_model(const std::string& out, const Args& more = {"--steps", "4"}) const {
    const ProgramResult result = run(train_args(out, more));
    ASSERT_EQ(result.status, 0) << result.err;
  }

  // The lines of metrics.jsonl but those that say where and when a process began, which differ from run to run.
  std::vector<Json> metrics(const std::string& out) const {
    std::vector<Json> lines;
    for (const std::string& line : lines_of(read(out + "/metrics.jsonl"))) {
      Json json = Json::parse(line);
      if (!json.contains("session")) lines.push_back(std::move(json));
    }
    return lines;
  }
  std::vector<std::string> checkpoints(const std::string& out) const {
    std::vector<std::string> names;
    for (const auto& [name, content] : content_of(at(out))) {
      if (name.starts_with("checkpoints/")) names.push_back(name.substr(name.find('/') + 1));
    }
    return names;
  }

 private:
  TemporaryDirectory folder_;
};

}  // namespace spikegpt::test
