// fuzz_seeds FOLDER: a folder of valid files for each fuzzer, named as it is, and a few that are nearly
// valid.
#include <atomic>
#include <fmt/format.h>

#include <cstring>

#include "spikegpt/core/files.h"
#include "spikegpt/data/indexed_dataset.h"
#include "spikegpt/data/indexed_writer.h"
#include "spikegpt/infer/session.h"
#include "spikegpt/infer/state_file.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/safetensors.h"
#include "spikegpt/text/char_tokenizer.h"
#include "spikegpt/train/checkpoint.h"
#include "spikegpt/train/classifier.h"
#include "tests/fuzz/fuzz_training.h"
#include "tests/support/shared_data.h"
#include "tests/support/torch_files.h"
#include "tests/text/small_bpe.h"

namespace spikegpt::test {
namespace {

class Seeds {
 public:
  explicit Seeds(std::filesystem::path root) : root_(std::move(root)) {}

  // A seed of this fuzzer.
  void add(const char* fuzzer, const std::string& name, std::string_view bytes) const {
    write_text_atomically(path(fuzzer, name), bytes);
  }
  std::filesystem::path path(const char* fuzzer, const std::string& name) const {
    make_folder(root_ / fuzzer);
    return root_ / fuzzer / name;
  }
  std::filesystem::path scratch(std::string_view name) const { return scratch_ / name; }

 private:
  std::filesystem::path root_;
  TemporaryDirectory scratch_;
};

void add_texts(const Seeds& seeds) {
  seeds.add("text", "utf8", "\xEF\xBB\xBFna\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x90\x88\r\nend");
  seeds.add("text", "utf16le",
            {"\xFF\xFE"
             "a\0\x3D\xD8\x08\xDC",
             8});
  seeds.add("text", "utf16be", {"\xFE\xFF\0a\xD8\x3D\xDC\x08", 8});
  seeds.add("text", "damaged", "\xF0\x9F\x90 \xC3 \xED\xA0\x80 \xC0\x80 \xFF");
  seeds.add("json_lines", "two",
            "{\"text\": \"one\", \"meta\": {\"n\": [1, null]}}\n\n{\"text\": \"tw\\u00f6\"}\n");
  seeds.add("labelled", "tsv", {"\0sentence\tlabel\na good film\t1\nbad\t0\n", 36});
  seeds.add("labelled", "csv", "\1label,text\npos,\"a \"\"good\"\" film\"\nneg,bad\n");
  seeds.add("labelled", "jsonl",
            "\2{\"label\": 1, \"text\": \"good\"}\n{\"label\": \"neg\", \"sentence\": \"bad\"}\n");
  seeds.add("labelled", "txt",
            "\3"
            "1\ta good film\n0 bad\n\n1 caf\xE9\n");
}

void add_settings(const Seeds& seeds) {
  seeds.add("toml", "settings",
            "arch = \"event\" # one\nlr = 6e-4\nv_reset = \"none\"\nfreeze = ['emb.*', 'head.*']\n"
            "steps = 1_000\nrecompute = true\n[table]\nkey = 1979-05-27T07:32:00Z\n");
  seeds.add("prices", "table",
            "{\"name\": \"mine\", \"source\": \"a book\", \"mac\": 4.6, \"accumulate\": 0.9, "
            "\"multiply\": 3.7, \"exponential\": 10, \"division\": 10, \"byte\": 162.5}");
  for (std::size_t i = 0; i < kFuzzModels.size(); ++i) {
    seeds.add("config", kFuzzModels[i].arch, config_to_json(fuzz_config(i)));
  }
  const std::string metrics =
      "{\"step\": 0, \"session\": {\"host\": \"here\", \"simd\": \"avx2\", \"threads\": 2, \"unix_time\": "
      "1700000000}}\n"
      "{\"step\": 1, \"loss\": 2.5, \"bits\": 3.6, \"grad_norm\": 1, \"lr\": 1e-3, \"tokens\": 8, "
      "\"seconds\": 1}\n"
      "{\"step\": 1, \"valid_loss\": 2, \"valid_bits\": 3, \"site_firing_rates\": {\"blocks.0.att\": 0.1}}\n"
      "{\"step\": 1, \"sample\": \"the\"}\n{\"step\": 1, \"note\": \"done\"}\n";
  seeds.add("metrics", "run",
            metrics + '\0' + "{\"model\": {\"arch\": \"event\"}, \"train\": {\"lr\": 1e-3}}");
}

void add_tokenizers(const Seeds& seeds) {
  nlohmann::json bpe = small_bpe({"t h", "th e", "\xC4\xA0 the"});
  seeds.add("tokenizer", "bpe", bpe.dump());
  bpe["normalizer"] = nullptr;
  bpe["pre_tokenizer"] = {{"type", "Sequence"},
                          {"pretokenizers",
                           {{{"type", "Split"},
                             {"pattern", {{"Regex", "\\p{L}+|\\s"}}},
                             {"behavior", "Isolated"},
                             {"invert", false}},
                            {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", false}}}}};
  seeds.add("tokenizer", "split", bpe.dump());
  seeds.add("tokenizer", "bytes", "{\"spikegpt_tokenizer\": \"bytes\"}");
  const auto characters = CharTokenizer::from_corpus("the cat, na\xC3\xAFve \xF0\x9F\x90\x88\n");
  characters->save(seeds.scratch("."));
  seeds.add("vocabulary", "utf8", read_text(seeds.scratch("vocab.json")));
  seeds.add("vocabulary", "utf16",
            {"\xFF\xFE{\0\"\0"
             "0\0\"\0:\0\"\0a\0\"\0}\0",
             20});
}

void add_tokens(const Seeds& seeds) {
  for (const std::int64_t vocabulary : {100, 100'000}) {
    const auto name = seeds.scratch("tokens");
    write_indexed_dataset(name, vocabulary, [](IndexedWriter& writer) {
      const std::vector<TokenId> ids = {1, 2, 3, 99};
      writer.add(ids);
      writer.end_document();
      writer.add(std::span(ids).first(2));
      writer.end_document();
    });
    const IndexedPaths paths = indexed_paths(name);
    const std::string index = read_text(paths.idx);
    const auto length = static_cast<std::uint32_t>(index.size());
    seeds.add(
        "indexed", std::to_string(vocabulary),
        std::string(reinterpret_cast<const char*>(&length), sizeof length) + index + read_text(paths.bin));
  }
}

// Every parameter of a model in one storage, under these names, in this nest.
std::string torch_pickle(const ModelConfig& config, std::string_view prefix, bool nested, bool legacy) {
  const ParameterLayout layout(config);
  PickleAssembler pickle = PickleAssembler().proto();
  if (nested) pickle.raw("}(").text("epoch").integer(3).text("model_state_dict");
  pickle.global("collections", "OrderedDict").raw(")R(");
  for (const ParameterInfo& info : layout.infos()) {
    TensorPlan plan{"FloatStorage", "0", layout.flat_size(), info.offset, info.shape, {}, legacy};
    plan.stride.resize(info.shape.size());
    std::int64_t stride = 1;
    for (std::size_t i = info.shape.size(); i-- > 0; stride *= info.shape[i]) plan.stride[i] = stride;
    add_tensor(pickle.text(std::string(prefix) + info.name), plan);
  }
  pickle.raw("u");
  if (nested) pickle.raw("u");
  return pickle.stop().bytes;
}

void add_weights(const Seeds& seeds) {
  const ModelConfig config = fuzz_config(0);
  const AlignedBuffer<float> parameters = fuzz_parameters(config);
  const std::string bytes(reinterpret_cast<const char*>(parameters.data()),
                          parameters.size() * sizeof(float));
  write_safetensors(seeds.path("safetensors", "model"), {{"format", "pt"}},
                    parameter_views(ParameterLayout(config), parameters.data()));
  // Data that begins at an odd byte.
  const std::string header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} ";
  const std::uint64_t length = header.size() - header.size() % 2 + 1;
  seeds.add("safetensors", "misaligned",
            std::string(reinterpret_cast<const char*>(&length), sizeof length) + header +
                std::string(length - header.size() + 4, ' '));
  for (const std::string_view prefix : {"", "module._orig_mod."}) {
    const bool nested = !prefix.empty();
    const std::string name = nested ? "nested" : "plain";
    seeds.add("pickle", name, torch_pickle(config, prefix, nested, false));
    write_torch_archive(seeds.path("pth", name), torch_pickle(config, prefix, nested, false), {{"0", bytes}});
    seeds.add("legacy_pth", name,
              legacy_torch_file(torch_pickle(config, prefix, nested, true), {{"0", 4, bytes}}));
  }
}

void add_models(const Seeds& seeds) {
  for (std::size_t i = 0; i < kFuzzModels.size(); ++i) {
    const PackedModel model = fuzz_packed_model(i);
    model.save(seeds.scratch("packed"));
    seeds.add("packed", std::to_string(i),
              static_cast<char>(i) + read_text(seeds.scratch("packed/packed.safetensors")));
  }
  const PackedModel model = fuzz_packed_model(0);
  Session session(model);
  const std::vector<std::int32_t> tokens = {1, 2, 3};
  session.feed(tokens);
  save_state(seeds.path("state", "session"), model, session.state());
  const auto tokenizer = make_tokenizer("chars", "abcde");
  TextWriter writer(session, *tokenizer, {.sampler = {}, .stop = {"abc", "d"}, .on_token = {}});
  const std::atomic<bool> never = false;
  writer.give("abacad", never, [](const std::string&) {});
  writer.write(5, never, [](const std::string&) {});
  save_state(seeds.path("state", "text"), model, session.state(), writer.state());
}

void add_training(const Seeds& seeds) {
  FuzzTraining training;
  training.trainer.initialise_parameters();
  training.trainer.step(1e-3);
  const auto path = save_checkpoint(seeds.scratch("run"), training.trainer, {}, 1);
  seeds.add("checkpoint", "format2", read_text(path));
  // The first format has no checksum, so that what is behind it is tried too.
  const WeightFile file = read_safetensors(path);
  auto metadata = file.metadata();
  metadata.erase("checksum");
  metadata["format"] = "spikegpt checkpoint 1";
  metadata["seconds"] = "1.5";
  write_safetensors(seeds.path("checkpoint", "format1"), metadata, file.tensors());
  Classifier classifier(fuzz_config(0), {"neg", "pos"}, Pooling::kMean, FuzzTraining::run(),
                        {.batch = 1, .tokens = 8});
  classifier.save(seeds.scratch("classifier"));
  seeds.add("classifier", "head", read_text(seeds.scratch("classifier/classifier.safetensors")));
}

}  // namespace
}  // namespace spikegpt::test

int main(int count, char** arguments) {
  using namespace spikegpt::test;
  if (count != 2) {
    fmt::print(stderr, "usage: fuzz_seeds FOLDER\n");
    return 2;
  }
  const Seeds seeds(arguments[1]);
  for (const auto add :
       {add_texts, add_settings, add_tokenizers, add_tokens, add_weights, add_models, add_training}) {
    add(seeds);
  }
  return 0;
}
