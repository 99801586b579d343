#include "spikegpt/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/text/character_class.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

// The character that ends at `end`, as a step of its length.
Utf8Step step_before(std::string_view text, std::size_t end) {
  for (std::size_t length = 1; length <= 4 && length <= end; ++length) {
    const Utf8Step step = decode_utf8(text.substr(end - length, length));
    if (step.valid && static_cast<std::size_t>(step.length) == length) return step;
  }
  return {};
}

bool is_space(const Utf8Step& step) { return step.valid && classify(step.code_point) == CharacterClass::kSpace; }

bool is_word(const Utf8Step& step) { return step.valid && is_word_character(step.code_point); }

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  for (std::size_t token = 0; token < tokens_.size(); ++token) insert(static_cast<int>(token));
}

void AddedTokenFinder::insert(int token) {
  const std::string& content = tokens_[static_cast<std::size_t>(token)].content;
  ensure(!content.empty(), "an added token has content");
  starts_[static_cast<unsigned char>(content[0])] = true;
  std::size_t node = 0;
  for (const char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    auto& children = nodes_[node].children;
    const auto child =
        std::find_if(children.begin(), children.end(), [&](const auto& entry) { return entry.first == byte; });
    if (child != children.end()) {
      node = static_cast<std::size_t>(child->second);
      continue;
    }
    children.emplace_back(byte, static_cast<int>(nodes_.size()));
    node = nodes_.size();
    nodes_.emplace_back();
  }
  if (nodes_[node].token < 0) nodes_[node].token = token;
}

int AddedTokenFinder::longest_at(std::string_view text, std::size_t at) const {
  int longest = -1;
  for (std::size_t node = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto& children = nodes_[node].children;
    const auto child =
        std::find_if(children.begin(), children.end(), [&](const auto& entry) { return entry.first == byte; });
    if (child == children.end()) break;
    node = static_cast<std::size_t>(child->second);
    if (nodes_[node].token >= 0) longest = nodes_[node].token;
  }
  return longest;
}

bool AddedTokenFinder::stands_alone(std::string_view text, std::size_t start, std::size_t end) const {
  if (start > 0 && is_word(step_before(text, start))) return false;
  return end == text.size() || !is_word(decode_utf8(text.substr(end)));
}

AddedTokenFinder::Match AddedTokenFinder::widen(std::string_view text, std::size_t done, Match match,
                                                const AddedToken& token) {
  while (token.lstrip && match.start > done) {
    const Utf8Step step = step_before(text, match.start);
    if (!is_space(step)) break;
    match.start = std::max(done, match.start - static_cast<std::size_t>(step.length));
  }
  while (token.rstrip && match.end < text.size()) {
    const Utf8Step step = decode_utf8(text.substr(match.end));
    if (!is_space(step)) break;
    match.end += static_cast<std::size_t>(step.length);
  }
  return match;
}

AddedTokenFinder::Match AddedTokenFinder::find(std::string_view text, std::size_t from, std::size_t done) const {
  const Match none = {text.size(), text.size(), text.size(), -1};
  if (tokens_.empty()) return none;
  for (std::size_t at = from; at < text.size(); ++at) {
    if (!starts_[static_cast<unsigned char>(text[at])]) continue;
    const int index = longest_at(text, at);
    if (index < 0) continue;
    const AddedToken& token = tokens_[static_cast<std::size_t>(index)];
    const std::size_t end = at + token.content.size();
    if (token.single_word && !stands_alone(text, at, end)) {
      at = end - 1;  // as the reference does, look on behind the match that was thrown away
      continue;
    }
    return widen(text, done, {at, end, end, token.id}, token);
  }
  return none;
}

bool AddedTokenFinder::Cursor::next(TextPiece& piece) {
  if (found_.token < 0) {
    if (search_ == text_.size() && done_ == text_.size()) return false;
    found_ = finder_.find(text_, search_, done_);
    search_ = found_.content_end;
    if (found_.start > done_) {
      piece = {text_.substr(done_, found_.start - done_), -1};
      done_ = found_.start;
      return true;
    }
    if (found_.token < 0) return false;
  }
  piece = {text_.substr(found_.start, found_.end - found_.start), found_.token};
  done_ = found_.end;
  found_.token = -1;
  return true;
}

}  // namespace spikegpt
