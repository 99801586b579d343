// That a call fails as the user should see it: the kind, and the words that matter.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "spikegpt/core/error.h"

namespace spikegpt {

template <class Call>
void expect_error(ErrorKind kind, std::initializer_list<std::string_view> words, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(name_of(error.kind()), name_of(kind)) << error.what();
    for (const std::string_view word : words) {
      EXPECT_NE(std::string_view(error.what()).find(word), std::string_view::npos)
          << "no \"" << word << "\" in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "no error where one of kind " << name_of(kind) << " was expected";
}

}  // namespace spikegpt
