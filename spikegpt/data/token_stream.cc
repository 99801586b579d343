#include "spikegpt/data/token_stream.h"

#include <algorithm>
#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

template <class Stored>
class MemoryStream final : public TokenStream {
 public:
  explicit MemoryStream(std::vector<Stored> tokens) : tokens_(std::move(tokens)) {}
  std::int64_t size() const noexcept override { return static_cast<std::int64_t>(tokens_.size()); }

 private:
  void read_checked(std::int64_t first, std::span<TokenId> out) const override {
    std::copy_n(tokens_.begin() + first, out.size(), out.begin());
  }

  std::vector<Stored> tokens_;
};

class CountedStream final : public TokenStream {
 public:
  explicit CountedStream(std::int64_t size) : size_(size) {}
  std::int64_t size() const noexcept override { return size_; }

 private:
  void read_checked(std::int64_t, std::span<TokenId>) const override { ensure(false, "tokens were only counted"); }

  std::int64_t size_;
};

class SliceStream final : public TokenStream {
 public:
  SliceStream(TokenStreamPtr whole, std::int64_t first, std::int64_t count)
      : whole_(std::move(whole)), first_(first), count_(count) {}
  std::int64_t size() const noexcept override { return count_; }

 private:
  void read_checked(std::int64_t first, std::span<TokenId> out) const override { whole_->read(first_ + first, out); }

  TokenStreamPtr whole_;
  std::int64_t first_;
  std::int64_t count_;
};

class ConcatenatedStream final : public TokenStream {
 public:
  explicit ConcatenatedStream(std::vector<TokenStreamPtr> parts) : parts_(std::move(parts)) {
    for (const TokenStreamPtr& part : parts_) {
      size_ += part->size();
      ends_.push_back(size_);
    }
  }
  std::int64_t size() const noexcept override { return size_; }

 private:
  void read_checked(std::int64_t first, std::span<TokenId> out) const override {
    auto part = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), first) - ends_.begin());
    for (; !out.empty(); ++part) {
      const std::int64_t left = ends_[part] - first;
      const std::size_t count = std::min(out.size(), static_cast<std::size_t>(left));
      parts_[part]->read(parts_[part]->size() - left, out.first(count));
      out = out.subspan(count);
      first += static_cast<std::int64_t>(count);
    }
  }

  std::vector<TokenStreamPtr> parts_;
  std::vector<std::int64_t> ends_;
  std::int64_t size_ = 0;
};

}  // namespace

void TokenStream::read(std::int64_t first, std::span<TokenId> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  ensure(first >= 0 && count <= size() && first <= size() - count, "tokens are read within their stream");
  read_checked(first, out);
}

void TokenStreamBuilder::append(std::span<const TokenId> ids) {
  const auto stranger = std::find_if(ids.begin(), ids.end(), [&](TokenId id) { return id < 0 || id >= vocab_size_; });
  if (stranger != ids.end()) {
    throw Error(ErrorKind::kInvalidArgument, "token {} of the stream has the id {}, outside the vocabulary of {}",
                size() + (stranger - ids.begin()), *stranger, vocab_size_);
  }
  if (is_narrow()) {
    const std::size_t before = narrow_.size();
    narrow_.resize(before + ids.size());
    std::transform(ids.begin(), ids.end(), narrow_.begin() + static_cast<std::ptrdiff_t>(before),
                   [](TokenId id) { return static_cast<std::uint16_t>(id); });
  } else {
    wide_.insert(wide_.end(), ids.begin(), ids.end());
  }
}

std::int64_t TokenStreamBuilder::size() const noexcept {
  return static_cast<std::int64_t>(narrow_.size() + wide_.size());
}

TokenStreamPtr TokenStreamBuilder::finish() {
  if (is_narrow()) {
    return std::make_shared<MemoryStream<std::uint16_t>>(std::exchange(narrow_, {}));
  }
  return std::make_shared<MemoryStream<std::int32_t>>(std::exchange(wide_, {}));
}

TokenStreamPtr counted_token_stream(std::int64_t size) { return std::make_shared<CountedStream>(size); }

TokenStreamPtr make_token_stream(std::span<const TokenId> ids, std::int64_t vocab_size) {
  TokenStreamBuilder builder(vocab_size);
  builder.append(ids);
  return builder.finish();
}

TokenStreamPtr slice(TokenStreamPtr whole, std::int64_t first, std::int64_t count) {
  ensure(first >= 0 && count >= 0 && first <= whole->size() - count, "a slice lies within its stream");
  return std::make_shared<SliceStream>(std::move(whole), first, count);
}

TokenStreamPtr concatenate(std::vector<TokenStreamPtr> parts) {
  ensure(!parts.empty(), "there are streams to concatenate");
  if (parts.size() == 1) return parts[0];
  return std::make_shared<ConcatenatedStream>(std::move(parts));
}

}  // namespace spikegpt
