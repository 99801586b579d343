// Style and script of the pages. Colours are variables, so that one page serves light and dark screens.
#pragma once

#include <string_view>

namespace spikegpt {

extern const std::string_view kPageStyle;
// Values under the pointer or the arrow keys; without it a page still shows everything.
extern const std::string_view kPageScript;

}  // namespace spikegpt
