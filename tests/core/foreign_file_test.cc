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
      {"<!-- from a proxy -->\n<!-- two -->\n<html>", "HTML page"},
      {"<title>Sign in</title>", "HTML page"},
      {"<body>404", "HTML page"},
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
  for (const std::string_view bytes : {"", " ", "{\"a\": 1}", "PK\3\4", "version 1", "<", "<b>text</b>",
                                       "<!-- a note -->\nText", "<!-- no end <html>"}) {
    EXPECT_EQ(describe_foreign(bytes), "") << bytes;
    refuse_foreign(bytes, "file");
  }
}

void expect_refused_data(std::string_view bytes, const char* name, ForeignData where, std::string_view word) {
  try {
    refuse_foreign_data(bytes, name, where);
    ADD_FAILURE() << "accepted: " << bytes;
  } catch (const Error& error) {
    const std::string_view what = error.what();
    EXPECT_TRUE(what.starts_with(std::string(name) + ": this is ")) << what;
    EXPECT_NE(what.find(word), what.npos) << what;
    EXPECT_EQ(error.kind(), ErrorKind::kCorruptFile);
  }
}

TEST(ForeignFile, DataThatADownloadLeftAreNamed) {
  for (const ForeignData where : {ForeignData::kInText, ForeignData::kInBytes}) {
    expect_refused_data("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a.txt", where,
                        "git lfs pull");
    expect_refused_data("\n<!DOCTYPE html>\n<html>", "a.txt", where, "HTML page");
    expect_refused_data("<html><body>404", "a.csv", where, "HTML page");
    expect_refused_data("<?xml version=\"1.0\"?><Error><Code>AccessDenied", "a.txt", where, "XML page");
  }
  expect_refused_data("\x1f\x8b\x08", "a.txt", ForeignData::kInText, "gzip -d");
  expect_refused_data("PK\x03\x04", "a.txt", ForeignData::kInText, "unzip");
}

TEST(ForeignFile, DataThatAreMeantAreNotRefused) {
  for (const ForeignData where : {ForeignData::kInText, ForeignData::kInBytes}) {
    refuse_foreign_data("<!DOCTYPE html>\n<html>", "page.html", where);
    refuse_foreign_data("<html>", "page.HTM", where);
    refuse_foreign_data("<?xml version=\"1.0\"?><mediawiki>", "wiki.txt", where);
    refuse_foreign_data("version 1 of this text, see git-lfs", "a.txt", where);
    refuse_foreign_data("In HTML one writes <html>.", "a.txt", where);
    refuse_foreign_data("", "a.txt", where);
  }
  refuse_foreign_data("\x1f\x8b\x08", "a.bin", ForeignData::kInBytes);
  refuse_foreign_data("PK\x03\x04", "a.bin", ForeignData::kInBytes);
}

}  // namespace
}  // namespace spikegpt
