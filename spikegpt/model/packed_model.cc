#include "spikegpt/model/packed_model.h"

#include <cstring>
#include <string>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/kernels/spike_encode.h"
#include "spikegpt/model/architecture.h"
#include "spikegpt/model/block.h"
#include "spikegpt/model/checksum.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

constexpr const char* kFileName = "packed.safetensors";
constexpr const char* kFormat = "spikegpt-packed";
constexpr const char* kVersion = "1";
constexpr const char* kMadeBy = "a file of spikegpt quantize";

bool is_folded(const Product& product, const PackOptions& options) {
  return product.token_shift >= 0 && options.fold_token_shift;
}

std::int64_t packed_inputs(const Product& product, const PackOptions& options) {
  return is_folded(product, options) ? 2 * product.inputs : product.inputs;
}

MatrixLayout layout_of(const Product& product, const PackOptions& options) {
  const bool in_rows = product.kind == InputKind::kSpikes && options.event_rows;
  return in_rows ? MatrixLayout::kRows : MatrixLayout::kPanels;
}

WeightType type_of(const Product& product, const PackOptions& options) {
  const bool is_head = product.weight < 0;
  return is_head && options.head ? *options.head : options.type;
}

// The weights of a product input-major, with the token shift folded in where it is wanted.
std::vector<float> input_major(const ModelConfig& config, const ModelWeights& weights, const Product& product,
                               const PackOptions& options) {
  const bool is_head = product.weight < 0;
  const auto parameter = [&](int index) {
    const HalfWeights& half = weights.blocks[static_cast<std::size_t>(product.layer)].halves[product.half];
    return half.mixer[static_cast<std::size_t>(index)];
  };
  const float* const weight = is_head ? weights.head : parameter(product.weight);
  const float* const mu = is_folded(product, options) ? parameter(product.token_shift) : nullptr;
  const float scale = product.is_last ? published_scale(config, product.layer) : 1.0f;
  const std::int64_t in = product.inputs;
  const std::int64_t out = product.outputs;
  std::vector<float> values(static_cast<std::size_t>(packed_inputs(product, options) * out));
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      const float value = scale * weight[o * in + i];
      const float now = mu == nullptr ? 1.0f : mu[i];
      values[static_cast<std::size_t>(i * out + o)] = value * now;
      if (mu != nullptr) values[static_cast<std::size_t>((in + i) * out + o)] = value * (1.0f - now);
    }
  }
  return values;
}

DType stored_dtype(WeightType type) {
  switch (type) {
    case WeightType::kF32: return DType::kF32;
    case WeightType::kBf16: return DType::kBf16;
    case WeightType::kInt8: return DType::kI8;
    case WeightType::kInt4: break;
  }
  return DType::kU8;
}

std::vector<std::int64_t> weight_shape(WeightType type, std::int64_t inputs, std::int64_t outputs,
                                       MatrixLayout layout) {
  const auto element = static_cast<std::int64_t>(size_of(stored_dtype(type)));
  const std::int64_t panels = PackedMatrix::panel_count(outputs);
  const std::int64_t row = PackedMatrix::row_bytes(type) / element;
  if (layout == MatrixLayout::kRows) return {inputs, panels, row};
  return {panels, inputs, row};
}
std::vector<std::int64_t> scale_shape(WeightType type, std::int64_t inputs, std::int64_t outputs) {
  return {PackedMatrix::panel_count(outputs), PackedMatrix::group_count(type, inputs), kPanelWidth};
}
DType scale_dtype(WeightType type) { return type == WeightType::kInt4 ? DType::kBf16 : DType::kF32; }
bool has_scales(WeightType type) { return PackedMatrix::scale_bytes(type, 1) > 0; }

// A row of the embedding.
struct EmbeddingFormat {
  DType dtype;
  std::int64_t elements;
  std::size_t row_bytes() const { return static_cast<std::size_t>(elements) * size_of(dtype); }
};
EmbeddingFormat embedding_format(const ModelConfig& config, WeightType type) {
  if (config.binary_embedding) return {DType::kU8, (config.n_embd + 7) / 8};
  return {type == WeightType::kF32 ? DType::kF32 : DType::kBf16, config.n_embd};
}

// What a stored tensor must be.
struct Expected {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
};
const TensorView& expect_tensor(const WeightFile& file, const Expected& expected) {
  const TensorView* tensor = file.find(expected.name);
  if (tensor == nullptr) {
    throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" is missing", file.path().string(), expected.name);
  }
  if (tensor->dtype != expected.dtype || tensor->shape != expected.shape) {
    throw Error(ErrorKind::kCorruptFile,
                "{}: tensor \"{}\" is {} [{}]; config.json and the file's type ask for {} [{}]", file.path().string(),
                expected.name, name_of(tensor->dtype), fmt::join(tensor->shape, ", "), name_of(expected.dtype),
                fmt::join(expected.shape, ", "));
  }
  return *tensor;
}

// Floats that stand in the file as they are: none may be NaN or infinite.
void check_finite(const WeightFile& file, const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(element_count(tensor)));
  copy_as_float(tensor, values);
  require_finite(file, tensor.name, values);
}

void expect_metadata(const WeightFile& file, const std::string& key, const std::string& expected) {
  const std::string& found = file.metadata_at(key, kMadeBy);
  if (found == expected) return;
  throw Error(ErrorKind::kUnsupported, "{}: \"{}\" is \"{}\" in the metadata; this program reads \"{}\"",
              file.path().string(), key, printable(found), expected);
}

PackOptions options_of(const WeightFile& file) {
  expect_metadata(file, "format", kFormat);
  expect_metadata(file, "version", kVersion);
  expect_metadata(file, "panel_width", std::to_string(kPanelWidth));
  expect_metadata(file, "int4_group", std::to_string(kInt4Group));
  PackOptions options;
  const std::string& shift = file.metadata_at("token_shift", kMadeBy);
  if (shift != "folded") expect_metadata(file, "token_shift", "separate");
  options.fold_token_shift = shift == "folded";
  if (file.metadata().contains("event_rows")) {
    expect_metadata(file, "event_rows", "true");
    options.event_rows = true;
  }
  try {
    options.type = weight_type(file.metadata_at("type", kMadeBy));
    if (file.metadata().contains("head_type")) options.head = weight_type(file.metadata_at("head_type", kMadeBy));
  } catch (const Error& error) {
    throw Error(ErrorKind::kCorruptFile, "{}: {}", file.path().string(), error.what());
  }
  return options;
}

}  // namespace

PackOptions default_pack_options(const ModelConfig& config, WeightType type) {
  const bool reads_spikes = architecture_of(config).reads_spikes();
  const bool shifts_after = config.token_shift == "after";
  return {.type = type, .fold_token_shift = reads_spikes && !shifts_after, .event_rows = reads_spikes && shifts_after};
}

bool is_packed_folder(const std::filesystem::path& folder) { return std::filesystem::exists(folder / kFileName); }

PackedModel::PackedModel(const ModelConfig& config)
    : config_(config),
      layout_(config, ParameterSelection::kVectors),
      vectors_(static_cast<std::size_t>(layout_.flat_size())),
      weights_(bind_weights(config, vectors_.data(), ParameterSelection::kVectors)) {}

PackedModel::PackedModel(const ModelConfig& config, const float* parameters, const PackOptions& options)
    : PackedModel(config) {
  options_ = options;
  const ParameterLayout all(config);
  for (const ParameterInfo& info : layout_.infos()) {
    std::memcpy(vectors_.data() + info.offset, parameters + all.find(info.name)->offset,
                static_cast<std::size_t>(info.size) * sizeof(float));
  }
  const ModelWeights weights = bind_weights(config, const_cast<float*>(parameters));  // only read
  pack_embedding(weights.embedding);
  for (const Product& product : network_form(config).products) {
    matrices_.emplace_back(type_of(product, options), packed_inputs(product, options), product.outputs,
                           input_major(config, weights, product, options).data(), layout_of(product, options));
  }
}

void PackedModel::pack_embedding(const float* embedding) {
  const EmbeddingFormat format = embedding_format(config_, options_.type);
  embedding_ = AlignedBytes(static_cast<std::size_t>(config_.vocab_size) * format.row_bytes());
  const EmbeddingMode mode = {config_.binary_embedding, lif_parameters(config_).surrogate, FireMode::kSpike};
  std::vector<float> values(static_cast<std::size_t>(config_.n_embd));
  for (std::int32_t token = 0; token < config_.vocab_size; ++token) {
    embedding_forward({&token, 1}, config_.n_embd, mode, embedding, values.data());
    std::byte* const row = embedding_.data() + static_cast<std::size_t>(token) * format.row_bytes();
    for (std::size_t c = 0; c < values.size(); ++c) {
      if (format.dtype == DType::kF32) reinterpret_cast<float*>(row)[c] = values[c];
      if (format.dtype == DType::kBf16) reinterpret_cast<Bf16*>(row)[c] = to_bf16(values[c]);
      if (format.dtype == DType::kU8 && values[c] != 0.0f) row[c / 8] |= std::byte{1} << (c % 8);
    }
  }
}

void PackedModel::embed(std::span<const std::int32_t> tokens, float* x) const noexcept {
  const EmbeddingFormat format = embedding_format(config_, options_.type);
  for (const std::int32_t token : tokens) {
    const std::byte* const row = embedding_.data() + static_cast<std::size_t>(token) * format.row_bytes();
    for (std::int64_t c = 0; c < config_.n_embd; ++c) {
      if (format.dtype == DType::kF32) x[c] = reinterpret_cast<const float*>(row)[c];
      if (format.dtype == DType::kBf16) x[c] = to_float(reinterpret_cast<const Bf16*>(row)[c]);
      if (format.dtype == DType::kU8) x[c] = static_cast<float>(std::to_integer<int>(row[c / 8] >> (c % 8)) & 1);
    }
    x += config_.n_embd;
  }
}

std::size_t PackedModel::size_in_bytes() const {
  std::size_t size = vectors_.size() * sizeof(float) + embedding_.size();
  for (const PackedMatrix& matrix : matrices_) size += matrix.size_in_bytes();
  return size;
}

std::string PackedModel::fingerprint() const {
  ContentHash hash;
  hash.add(config_to_json(config_));
  hash.add(std::as_bytes(vectors_.span()));
  hash.add(std::span<const std::byte>(embedding_.data(), embedding_.size()));
  for (const PackedMatrix& matrix : matrices_) {
    hash.add(matrix.weights());
    hash.add(matrix.scales());
  }
  return hash.text();
}

void PackedModel::save(const std::filesystem::path& folder) const {
  std::vector<TensorView> tensors = parameter_views(layout_, vectors_.data());
  const EmbeddingFormat format = embedding_format(config_, type());
  tensors.push_back(
      {"emb.weight", format.dtype, {config_.vocab_size, format.elements}, {embedding_.data(), embedding_.size()}});
  const NetworkForm form = network_form(config_);
  for (std::size_t i = 0; i < matrices_.size(); ++i) {
    const PackedMatrix& matrix = matrices_[i];
    const std::string& name = form.products[i].name;
    const WeightType type = matrix.type();
    tensors.push_back({name + ".weight", stored_dtype(type),
                       weight_shape(type, matrix.inputs(), matrix.outputs(), matrix.layout()), matrix.weights()});
    if (!has_scales(type)) continue;
    tensors.push_back({name + ".scale", scale_dtype(type), scale_shape(type, matrix.inputs(), matrix.outputs()),
                       matrix.scales()});
  }
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"version", kVersion},
                                                 {"type", std::string(name_of(type()))},
                                                 {"token_shift", folded() ? "folded" : "separate"},
                                                 {"panel_width", std::to_string(kPanelWidth)},
                                                 {"int4_group", std::to_string(kInt4Group)}};
  if (options_.event_rows) metadata["event_rows"] = "true";
  if (head_type() != type()) metadata["head_type"] = std::string(name_of(head_type()));
  make_folder(folder);
  save_config(config_, folder / "config.json");
  write_safetensors(folder / kFileName, metadata, tensors);
}

PackedModel PackedModel::load(const std::filesystem::path& folder) {
  const ModelConfig config = load_config(folder / "config.json");
  const WeightFile file = read_safetensors(folder / kFileName);
  const PackOptions options = options_of(file);
  // All of them before memory is taken for any.
  const ParameterLayout vectors(config, ParameterSelection::kVectors);
  for (const ParameterInfo& info : vectors.infos()) expect_tensor(file, {info.name, DType::kF32, info.shape});
  PackedModel model(config);
  model.options_ = options;
  for (const ParameterInfo& info : model.layout_.infos()) {
    const TensorView& tensor = expect_tensor(file, {info.name, DType::kF32, info.shape});
    check_finite(file, tensor);
    std::memcpy(model.vectors_.data() + info.offset, tensor.data.data(), tensor.data.size());
  }
  const EmbeddingFormat format = embedding_format(config, model.type());
  const TensorView& embedding = expect_tensor(file, {"emb.weight", format.dtype, {config.vocab_size, format.elements}});
  if (format.dtype != DType::kU8) check_finite(file, embedding);
  model.embedding_ = AlignedBytes(embedding.data.size());
  std::memcpy(model.embedding_.data(), embedding.data.data(), embedding.data.size());
  for (const Product& product : network_form(config).products) {
    const std::int64_t inputs = packed_inputs(product, model.options_);
    const MatrixLayout layout = layout_of(product, model.options_);
    const WeightType type = type_of(product, model.options_);
    const TensorView& weights = expect_tensor(
        file, {product.name + ".weight", stored_dtype(type), weight_shape(type, inputs, product.outputs, layout)});
    std::span<const std::byte> scales;
    if (has_scales(type)) {
      const TensorView& tensor =
          expect_tensor(file, {product.name + ".scale", scale_dtype(type), scale_shape(type, inputs, product.outputs)});
      check_finite(file, tensor);
      scales = tensor.data;
    } else {
      check_finite(file, weights);
    }
    model.matrices_.emplace_back(type, inputs, product.outputs, weights.data, scales, layout);
  }
  return model;
}

}  // namespace spikegpt
