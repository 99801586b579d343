// Unicode normal forms, for tokenizers that ask for one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace spikegpt {

enum class NormalForm : std::uint8_t { kNone, kNfc, kNfd, kNfkc, kNfkd };

// `text` in a normal form: `text` itself where nothing changes, else what is put into `storage`.
// Ill-formed bytes stay as they are and part what lies on both sides. Time is n log n in the
// longest row of combining marks.
std::string_view normalize(NormalForm form, std::string_view text, std::string& storage);

// True for characters that NFC neither changes nor joins to what stands before them, as far as is
// known cheaply: common letters, ideographs, punctuation, emoji.
bool is_inert_in_nfc(char32_t code_point) noexcept;

}  // namespace spikegpt
