// Where text comes from: a file, a folder of files, JSON lines; handed over document by document.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "spikegpt/data/json_lines.h"
#include "spikegpt/data/text_file.h"
#include "spikegpt/data/token_stream.h"

namespace spikegpt {

enum class SourceKind {
  kText,       // a file that is one document
  kFolder,     // every file in it, in the order of their names, each a document or JSON lines
  kJsonLines,  // .jsonl or .ndjson
  kIndexed,    // tokens: .bin and .idx, named by either or by what they have in common
};

SourceKind source_kind(const std::filesystem::path& path);

bool is_json_lines(const std::filesystem::path& file);

// The file itself, or the files of a folder that are not empty, in the order of their names. Hidden files and folders
// are passed over. Throws Error: kIo; kInvalidArgument for a folder without files.
std::vector<std::filesystem::path> files_of(const std::filesystem::path& path);

// All documents of a text, folder or JSON lines. Hidden files and folders are passed over. Throws
// Error: as TextFile and for_each_json_line; kInvalidArgument for a folder without files.
void for_each_document(const std::filesystem::path& path, TextCheck check, const DocumentSink& sink);

// All documents as one text, a line feed between them, for what needs to see it whole.
std::string read_documents(const std::filesystem::path& path, TextCheck check);

// How a message names document `number` of a file, from 1, in front of a place in it: "corpus/a.txt, " or, of
// JSON lines, "corpus/b.jsonl, text 7, ".
std::string document_name(const std::filesystem::path& file, std::int64_t number);

// What stands behind every document of a source with several: the tokenizer's end of text, where it
// has none a line feed, or nothing when that is unknown too.
std::vector<TokenId> separator_of(const Tokenizer& tokenizer);

}  // namespace spikegpt
