#include "spikegpt/core/foreign_file.h"

#include <gtest/gtest.h>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

TEST(ForeignFile, WhatADownloadLeftIsNamed) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "git lfs pull"},
      {"<!DOCTYPE html><html></html>", "HTML page"},
      {"<!doctype HTML>", "HTML page"},
      {"\xef\xbb\xbf\r\n  <HTML lang=en>", "HTML page"},
      {"<?xml version='1.0'?>", "XML page"},
      {"\x1f\x8b\x08", "gzip"},
      {"GGUF\x03", "GGUF"}};
  for (const auto& [bytes, word] : cases) {
    EXPECT_NE(describe_foreign(bytes).find(word), std::string_view::npos) << bytes;
    try {
      refuse_foreign(bytes, "folder/file");
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_NE(std::string_view(error.what()).find("folder/file: this is "), std::string_view::npos)
          << error.what();
      EXPECT_EQ(error.kind(), ErrorKind::kCorruptFile);
    }
  }
}

TEST(ForeignFile, AnythingElseMayBeTheFile) {
  for (const std::string_view bytes : {"", " ", "{\"a\": 1}", "PK\3\4", "version 1", "<", "<b>text</b>"}) {
    EXPECT_EQ(describe_foreign(bytes), "") << bytes;
    refuse_foreign(bytes, "file");
  }
}

}  // namespace
}  // namespace spikegpt
