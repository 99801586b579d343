#include "spikegpt/infer/open_model.h"

#include "spikegpt/core/error.h"
#include "spikegpt/model/model_files.h"

namespace spikegpt {

PackedModel open_model(const std::filesystem::path& folder, const OpenOptions& options) {
  if (!is_packed_folder(folder)) {
    StoredModel stored = load_model(folder);
    stored.config.published_rescale |= options.published_rescale;
    const WeightType type = options.type.empty() ? WeightType::kF32 : weight_type(options.type);
    return {stored.config, stored.parameters.data(), default_pack_options(stored.config, type)};
  }
  PackedModel model = PackedModel::load(folder);
  if (!options.type.empty() && weight_type(options.type) != model.type()) {
    throw Error(ErrorKind::kInvalidArgument, "{} holds {} weights; for {}, quantize the model it was made from again",
                folder.string(), name_of(model.type()), options.type);
  }
  if (options.published_rescale && !model.config().published_rescale) {
    throw Error(ErrorKind::kInvalidArgument, "{} is packed without published_rescale; give the model it was made from",
                folder.string());
  }
  return model;
}

}  // namespace spikegpt
