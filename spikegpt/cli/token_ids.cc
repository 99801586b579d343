#include "spikegpt/cli/token_ids.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>

#include "spikegpt/core/error.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt::cli {

std::vector<TokenId> parse_token_ids(const std::string& where, std::string_view text) {
  const PlainText plain(text, where);
  text = plain.text();
  std::vector<TokenId> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    if (*at == ',' || std::isspace(static_cast<unsigned char>(*at)) != 0) {
      ++at;
      continue;
    }
    TokenId id = 0;
    const auto [next, failure] = std::from_chars(at, end, id);
    if (failure != std::errc()) {
      throw Error(ErrorKind::kInvalidArgument, "{}: expected token ids such as 5,17,3; found \"{}\"", where,
                  std::string(at, at + std::min<std::ptrdiff_t>(end - at, 20)));
    }
    ids.push_back(id);
    at = next;
  }
  if (ids.empty()) throw Error(ErrorKind::kInvalidArgument, "{} holds no token ids", where);
  return ids;
}

void warn_of_unknown(const std::string& where, const Unknowns& unknowns, const Tokenizer& tokenizer) {
  if (unknowns.count == 0) return;
  const auto token = tokenizer.stand_in();
  fmt::print(
      stderr, "spikegpt: {} has {}, {}\n", where, unknowns.describe(),
      token ? fmt::format("replaced by \"{}\"", displayable(tokenizer.token_bytes(*token))) : "left out");
}

std::string part_name(const std::filesystem::path& source, const EncodedFile& text, std::int64_t most_tokens,
                      const Tokenizer& tokenizer) {
  if (text.tokens->size() < most_tokens) return source.string();
  return fmt::format("{}, its first {} {}s,", source.string(), most_tokens, tokenizer.unit());
}

std::vector<TokenId> read_first_tokens(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                       std::int64_t limit) {
  const std::int64_t most_tokens = limit > 0 ? limit : INT64_MAX;
  const EncodedFile text = encode_text_file(path, tokenizer, most_tokens);
  warn_of_unknown(part_name(path, text, most_tokens, tokenizer), text.unknowns, tokenizer);
  std::vector<TokenId> tokens(static_cast<std::size_t>(text.tokens->size()));
  text.tokens->read(0, tokens);
  return tokens;
}

}  // namespace spikegpt::cli
