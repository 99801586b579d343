// Checkpoints as others save them: names behind prefixes, dictionaries in dictionaries, vectors of other
// shapes, the format before PyTorch 1.6, and what is no checkpoint.
#include "spikegpt/model/import.h"

#include <gtest/gtest.h>

#include <fstream>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/model/safetensors.h"
#include "tests/fuzz/well_formed.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_model.h"
#include "tests/support/torch_files.h"

namespace spikegpt::test {
namespace {

using Words = std::vector<std::string_view>;
using Shape = std::vector<std::int64_t>;

class ImportTest : public testing::Test {
 protected:
  ImportTest()
      : config_(small_config("spikegpt", {.n_embd = 4, .vocab_size = 5, .ctx_len = 8})), layout_(config_) {
    parameters_ = AlignedBuffer<float>(static_cast<std::size_t>(layout_.flat_size()));
    initialise(config_, InitKind::kDefault, 3, parameters_.data());
    bytes_ = {reinterpret_cast<const char*>(parameters_.data()), parameters_.size() * sizeof(float)};
  }

  // A name or a shape of the model as another program has it.
  using Rename = std::function<std::string(const std::string&)>;
  using Reshape = std::function<Shape(const ParameterInfo&)>;
  static Shape own_shape(const ParameterInfo& info) { return info.shape; }
  static Rename behind(const std::string& prefix) {
    return [prefix](const std::string& name) { return prefix + name; };
  }

  // Adds {name: tensor, ...} of the model.
  void add_model(PickleAssembler& pickle, const Rename& rename, const Reshape& reshape = own_shape,
                 bool legacy = false) const {
    pickle.global("collections", "OrderedDict").raw(")R(");
    for (const ParameterInfo& info : layout_.infos()) {
      TensorPlan plan{"FloatStorage", "0", layout_.flat_size(), info.offset, reshape(info), {}, legacy};
      plan.stride.resize(plan.shape.size());
      std::int64_t stride = 1;
      for (std::size_t i = plan.shape.size(); i-- > 0; stride *= plan.shape[i]) plan.stride[i] = stride;
      add_tensor(pickle.text(rename(info.name)), plan);
    }
    pickle.raw("u");
  }
  std::string model_pickle(const Rename& rename, const Reshape& reshape = own_shape,
                           bool legacy = false) const {
    PickleAssembler pickle = PickleAssembler().proto();
    add_model(pickle, rename, reshape, legacy);
    return pickle.stop().bytes;
  }

  std::filesystem::path write_pth(const std::string& pickle) const {
    write_torch_archive(folder_ / "m.pth", pickle, {{"0", bytes_}});
    return folder_ / "m.pth";
  }
  std::filesystem::path write_file(const std::string& name, std::string_view bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  std::filesystem::path write_safe(const Rename& rename, const Reshape& reshape = own_shape) const {
    std::vector<TensorView> tensors = parameter_views(layout_, parameters_.data());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      tensors[i].name = rename(tensors[i].name);
      tensors[i].shape = reshape(layout_.infos()[i]);
    }
    write_safetensors(folder_ / "m.safetensors", {}, tensors);
    return folder_ / "m.safetensors";
  }

  void expect_model(const std::filesystem::path& path) const {
    SCOPED_TRACE(path.string());
    try {
      const WeightFile file = read_weights(path);
      check_well_formed(file);
      ModelConfig config = default_config("spikegpt");
      infer_config(file, config);
      EXPECT_EQ(config.n_layer, 2);
      const AlignedBuffer<float> read = read_parameters(file, layout_, {.asked_by = ""});
      for (const ParameterInfo& info : layout_.infos()) {
        for (std::int64_t i = info.offset; i < info.offset + info.size; ++i) {
          ASSERT_EQ(read.data()[i], parameters_.data()[i]) << info.name;
        }
      }
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  // Refused by the whole of a conversion, with these words and without a config.json.
  void expect_refused(const std::filesystem::path& path, const Words& words,
                      const Words& without = {}) const {
    SCOPED_TRACE(path.string());
    try {
      const WeightFile file = read_weights(path);
      ModelConfig config = default_config("spikegpt");
      infer_config(file, config);
      read_parameters(file, ParameterLayout(config), {.asked_by = ""});
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      const std::string_view message = error.what();
      EXPECT_EQ(message.find("config.json"), message.npos) << message;
      EXPECT_EQ(message.find('\n'), message.npos) << message;
      EXPECT_LT(message.size(), 600u) << message;
      for (const std::string_view word : words) EXPECT_NE(message.find(word), message.npos) << message;
      for (const std::string_view word : without) EXPECT_EQ(message.find(word), message.npos) << message;
    }
  }

  ModelConfig config_;
  ParameterLayout layout_;
  AlignedBuffer<float> parameters_;
  std::string bytes_;
  TemporaryDirectory folder_;
};

TEST_F(ImportTest, PrefixesInAnyOrderAreTakenOff) {
  for (const char* prefix :
       {"", "module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "_orig_mod.module.",
        "model.module._orig_mod.", "module.module.", "student.gpt."}) {
    SCOPED_TRACE(prefix);
    expect_model(write_pth(model_pickle(behind(prefix))));
    expect_model(write_safe(behind(prefix)));
  }
}

// Modules that were compiled or sharded one by one.
TEST_F(ImportTest, WrappersInsideNamesAreTakenOff) {
  for (const char* wrapper : {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."}) {
    const Rename rename = [&](const std::string& name) {
      const std::size_t second = name.find('.', name.find('.') + 1);
      return name.starts_with("blocks.") ? name.substr(0, second + 1) + wrapper + name.substr(second + 1)
                                         : name;
    };
    expect_model(write_pth(model_pickle(rename)));
    expect_model(write_safe(rename));
  }
  const Rename both = [](const std::string& name) {
    return name == "head.weight" ? "_orig_mod.emb.weight" : name;
  };
  expect_refused(write_safe(both), {"\"emb.weight\" occurs twice"});
}

TEST_F(ImportTest, ThePlaceOfTheModelInACheckpoint) {
  for (const char* key : {"model_state_dict", "state_dict", "net", "model", "weights", "anything"}) {
    SCOPED_TRACE(key);
    PickleAssembler pickle = PickleAssembler().proto().raw("}(").text("epoch").integer(3).text(key);
    add_model(pickle, behind("module."));
    expect_model(write_pth(pickle.raw("u").stop().bytes));
  }
  // Deeper, through lists, and the second of a tuple.
  PickleAssembler deep =
      PickleAssembler().proto().raw("}(").text("run").raw("](").integer(1).raw("}(").text("best");
  add_model(deep, behind(""));
  expect_model(write_pth(deep.raw("ueu").stop().bytes));
  PickleAssembler pair = PickleAssembler().proto().integer(7);
  add_model(pair, behind(""));
  expect_model(write_pth(pair.raw("\x86").stop().bytes));
}

// {"optimizer": {"state": {0: {"exp_avg": ...}}}, "scale": tensor, KEY: model}
TEST_F(ImportTest, TheModelNotTheOptimiser) {
  const TensorPlan six{"FloatStorage", "0", layout_.flat_size(), 0, {6}, {1}, false};
  PickleAssembler pickle =
      PickleAssembler().proto().raw("}(").text("optimizer").raw("}(").text("state").raw("}(");
  for (int i = 0; i < 40; ++i) {
    pickle.integer(i).raw("}(");
    add_tensor(pickle.text("exp_avg"), six);
    add_tensor(pickle.text("exp_avg_sq"), six).raw("u");
  }
  pickle.raw("uu");
  add_tensor(pickle.text("scale"), six);
  pickle.text("my_net");
  add_model(pickle, behind("_orig_mod."));
  expect_model(write_pth(pickle.raw("u").stop().bytes));
}

TEST_F(ImportTest, OfSeveralModelsTheOneThatIsCalledSo) {
  PickleAssembler named = PickleAssembler().proto().raw("}(").text("ema");
  add_model(named, behind("shadow."));
  named.text("model_state_dict");
  add_model(named, behind(""));
  expect_model(write_pth(named.raw("u").stop().bytes));
  PickleAssembler unnamed = PickleAssembler().proto().raw("}(").text("first").raw("}(").text("weights_of");
  add_model(unnamed, behind(""));
  unnamed.raw("u").text("second");
  add_model(unnamed, behind(""));
  expect_refused(write_pth(unnamed.raw("u").stop().bytes),
                 {"m.pth", "holds several models: second, first.weights_of", "torch.save"});
}

TEST_F(ImportTest, WhatIsNotFoundIsSaidWithTheKeysThatAre) {
  const Rename other = [](const std::string& name) { return "transformer." + name + ".q"; };
  expect_refused(write_pth(model_pickle(other)),
                 {"no tensor \"emb.weight\"", "transformer.emb.weight.q", "... (", " tensors)"},
                 {"ffn.value"});
  expect_refused(write_safe(other), {"no tensor \"emb.weight\"", "transformer.emb.weight.q"});
  expect_refused(
      write_pth(
          PickleAssembler().proto().raw("}(").text("epoch").integer(1).text("args").raw("}u").stop().bytes),
      {"no tensors", "found epoch, args"});
  const Rename misspelt = [](const std::string& name) {
    return name == "ln_out.bias" ? "ln_out.shift" : name;
  };
  expect_refused(write_pth(model_pickle(misspelt)),
                 {"\"ln_out.shift\" is not a parameter of the model", "emb.weight"});
}

TEST_F(ImportTest, VectorsMayHaveExtentsOfOneInFront) {
  for (const std::size_t rank : {1u, 2u, 3u}) {
    const Reshape reshape = [&](const ParameterInfo& info) {
      if (info.shape.size() == 2) return info.shape;
      Shape shape(rank, 1);
      shape.back() = info.size;
      return shape;
    };
    expect_model(write_pth(model_pickle(behind(""), reshape)));
    expect_model(write_safe(behind(""), reshape));
  }
  const auto with = [&](const std::string& name, const Shape& shape) {
    return write_safe(
        behind(""), [&, shape](const ParameterInfo& info) { return info.name == name ? shape : info.shape; });
  };
  expect_refused(with("blocks.0.att.time_mix_k", {4, 1}), {"time_mix_k", "[4, 1]", "expected [1, 1, 4]"});
  expect_refused(with("blocks.1.ln1.weight", {2, 2}), {"blocks.1.ln1.weight", "[2, 2]", "expected [4]"});
  const WeightFile whole = read_weights(write_safe(behind("")));
  std::vector<TensorView> tensors(whole.tensors().begin(), whole.tensors().end());
  for (TensorView& tensor : tensors) {
    if (tensor.name == "head.weight") tensor = {tensor.name, DType::kF32, {0}, {}};
  }
  write_safetensors(folder_ / "parts.safetensors", {}, tensors);
  expect_refused(folder_ / "parts.safetensors", {"head.weight", "[0]; expected [5, 4]", "ZeRO-3"});
  expect_refused(with("blocks.1.att.key.weight", {16}), {"att.key.weight", "[16]", "expected [4, 4]"});
  expect_refused(with("blocks.1.att.key.weight", {1, 4, 4}),
                 {"att.key.weight", "[1, 4, 4]", "expected [4, 4]"});
}

TEST_F(ImportTest, TheFormatBeforePyTorch16) {
  const std::vector<LegacyStorage> storages = {{"0", 4, bytes_}};
  const auto pickle = model_pickle(behind("module."), own_shape, true);
  expect_model(write_file("old.pth", legacy_torch_file(pickle, storages)));
  expect_model(write_file("old.without-a-known-name", legacy_torch_file(pickle, storages)));
  // A storage of another format in front.
  PickleAssembler two = PickleAssembler().proto().raw("}(").text("n");
  add_tensor(two, {"LongStorage", "7", 1, 0, {}, {}, true});
  two.text("model");
  add_model(two, behind(""), own_shape, true);
  const std::string whole = PickleAssembler{two}.raw("u").stop().bytes;
  expect_model(
      write_file("old.pth", legacy_torch_file(whole, {{"7", 8, std::string(8, '\1')}, {"0", 4, bytes_}})));
  // _rebuild_tensor of the first versions: four arguments.
  PickleAssembler first =
      PickleAssembler().proto().raw("}(").text("a").global("torch._utils", "_rebuild_tensor").raw("(");
  first.storage("FloatStorage", "0", layout_.flat_size(), true)
      .integer(0)
      .integers({2})
      .integers({1})
      .raw("tRu");
  const WeightFile file =
      read_weights(write_file("old.pth", legacy_torch_file(first.stop().bytes, storages)));
  EXPECT_EQ(file.find("a")->shape, Shape{2});
}

TEST_F(ImportTest, OldFilesThatAreDamaged) {
  const auto pickle = model_pickle(behind(""), own_shape, true);
  const std::string whole = legacy_torch_file(pickle, {{"0", 4, bytes_}});
  for (std::size_t size = 15; size<whole.size(); size += size + 400> whole.size() ? 1 : 37) {
    EXPECT_THROW(read_weights(write_file("cut.pth", whole.substr(0, size))), Error) << size;
  }
  for (std::size_t at = 0; at < whole.size() - bytes_.size(); at += 5) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    try {
      check_well_formed(read_weights(write_file("damaged.pth", damaged)));
    } catch (const Error&) {
    }
  }
  expect_refused(write_file("big.pth", legacy_torch_file(pickle, {{"0", 4, bytes_}}, false)),
                 {"byte order \"big\""});
  std::string claims = whole;
  const std::uint64_t huge = std::uint64_t{1} << 62;
  std::memcpy(claims.data() + claims.size() - bytes_.size() - 8, &huge, sizeof huge);
  expect_refused(write_file("huge.pth", claims), {"storage 0", "4611686018427387904 values", "cut short"});
  expect_refused(write_file("none.pth", legacy_torch_file(pickle, {})), {"storage 0: missing"});
  expect_refused(write_file("other.pth", legacy_torch_file(pickle, {{"1", 4, bytes_}})),
                 {"no tensor of the object"});
  const std::string call =
      PickleAssembler().proto().global("posix", "system").text("touch x").raw("\x85R").stop().bytes;
  expect_refused(write_file("call.pth", legacy_torch_file(call, {})), {"global posix.system is not allowed"});
}

TEST_F(ImportTest, FilesThatAreSomethingElse) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 1234567\n";
  const std::string page =
      "\n\n<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Sign in</title></head></html>\n";
  std::string tar(1024, '\0');
  tar.replace(0, 8, "sys_info");
  for (const char* name : {"m.pth", "m.pt", "m.ckpt", "m.bin", "m.safetensors", "m"}) {
    expect_refused(write_file(name, pointer), {name, "git-lfs pointer", "git lfs pull"});
    expect_refused(write_file(name, page), {name, "HTML page"});
    expect_refused(write_file(name, "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
                   {"XML page"});
    expect_refused(write_file(name, "\x1f\x8b\x08 and so on"), {"gzip"});
    expect_refused(write_file(name, "Entry not found"), {name, "with \"Entry no"});
    expect_refused(write_file(name, ""), {name, "0 bytes"});
  }
  expect_refused(write_file("m.pth", tar), {"tar archive", "before 0.1.10", "torch.save"});
  tar.replace(0, 8, "m/data.p");
  tar.replace(257, 5, "ustar");
  expect_refused(write_file("m.pth", tar), {"tar archive"});
  write_zip(folder_ / "m.npz", {{"weights.npy", "x"}, {"bias.npy", "x"}});
  expect_refused(folder_ / "m.npz", {"no folder with a data.pkl", "weights.npy"});
}

// Memory is taken once the file is known to hold what the configuration asks for.
TEST_F(ImportTest, AConfigurationBeyondTheFileTakesNoMemory) {
  ModelConfig huge = config_;
  huge.n_layer = 1000;
  huge.n_embd = 65536;
  save_config(huge, folder_ / "config.json");
  const auto refused = [](const auto& load) {
    try {
      load();
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCorruptFile) << error.what();
    }
  };
  write_safetensors(folder_ / "model.safetensors", {}, parameter_views(layout_, parameters_.data()));
  refused([&] { load_model(folder_.path()); });
  const PackedModel packed(config_, parameters_.data(), default_pack_options(config_, WeightType::kInt8));
  packed.save(folder_.path());
  save_config(huge, folder_ / "config.json");
  refused([&] { PackedModel::load(folder_.path()); });
}

TEST_F(ImportTest, ACheckpointWithoutBlocks) {
  const std::vector<TensorView> all = parameter_views(layout_, parameters_.data());
  std::vector<TensorView> some;
  for (const TensorView& tensor : all) {
    if (!tensor.name.starts_with("blocks.")) some.push_back(tensor);
  }
  write_safetensors(folder_ / "m.safetensors", {}, some);
  const WeightFile file = read_weights(folder_ / "m.safetensors");
  ModelConfig config = default_config("spikegpt");
  infer_config(file, config);
  EXPECT_EQ(config.n_layer, 0);
  validate(config);
  EXPECT_EQ(ParameterLayout(config).infos().size(), 4u);
  read_parameters(file, ParameterLayout(config));
}

}  // namespace
}  // namespace spikegpt::test
