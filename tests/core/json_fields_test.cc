#include "spikegpt/core/json_fields.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

struct Fields {
  std::int64_t count = 3;
  double rate = 0.5;
  bool on = true;
  std::string name = "x";
  std::optional<double> maybe = 1.5;

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("count", self.count, "");
    visitor("rate", self.rate, "");
    visitor("on", self.on, "");
    visitor("name", self.name, "");
    visitor("maybe", self.maybe, "");
  }
};

TEST(JsonFields, RoundTrip) {
  Fields fields;
  fields.count = -7;
  fields.name = "\"quoted\" \xc3\xa9";
  fields.maybe.reset();
  const Json json = fields_to_json(fields);
  EXPECT_TRUE(json["maybe"].is_null());
  Fields read;
  read_fields(json, "a.json", read);
  EXPECT_EQ(fields_to_json(read), json);
  EXPECT_EQ(read.count, -7);
  EXPECT_FALSE(read.maybe.has_value());
}

TEST(JsonFields, MissingKeysKeepTheirValue) {
  Fields fields;
  read_fields(Json::parse(R"({"rate": 2})"), "a.json", fields);
  EXPECT_EQ(fields.rate, 2.0);
  EXPECT_EQ(fields.count, 3);
  EXPECT_EQ(fields.maybe, 1.5);
}

TEST(JsonFields, WrongTypesAreErrorsThatNameTheKey) {
  for (const char* text : {R"({"count": 1.5})", R"({"count": "1"})", R"({"count": null})", R"({"count": true})",
                           R"({"count": 9223372036854775808})", R"({"rate": "fast"})", R"({"on": "yes"})",
                           R"({"name": 3})", R"({"maybe": []})"}) {
    SCOPED_TRACE(text);
    Fields fields;
    const Json json = Json::parse(text);
    expect_error(ErrorKind::kCorruptFile, {"a.json", json.begin().key()}, [&] { read_fields(json, "a.json", fields); });
  }
}

TEST(JsonFields, NumbersThatAreNotFiniteAreRefused) {
  const double huge = std::numeric_limits<double>::infinity();
  for (const double value : {huge, -huge, std::nan(""), 1e300}) {
    for (const char* key : {"rate", "maybe"}) {
      Fields fields;
      Json json = Json::object();
      json[key] = value;
      expect_error(ErrorKind::kCorruptFile, {"a.json", key, "a finite number"},
                   [&] { read_fields(json, "a.json", fields); });
    }
  }
}

struct Limits {
  double grad_clip = 1.0;
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("grad_clip", self.grad_clip, "");
  }
};

TEST(JsonFields, AnInfiniteLimitIsNone) {
  for (const Json& value : {Json(std::numeric_limits<double>::infinity()), Json(nullptr)}) {
    Limits limits;
    read_fields(Json{{"grad_clip", value}}, "a.json", limits);
    EXPECT_EQ(limits.grad_clip, 0.0);
  }
  Limits limits;
  expect_error(ErrorKind::kCorruptFile, {"grad_clip", "nan"}, [&] {
    read_fields(Json{{"grad_clip", std::nan("")}}, "a.json", limits);
  });
}

struct Names {
  std::string name;
  std::vector<std::string> more;
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("name", self.name, "");
    visitor("more", self.more, "");
  }
};

TEST(JsonFields, NamesOfAnyBytesComeBack) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  const Names names = {"caf\xE9.txt", {"caf\xC3\xA9", all, ""}};
  Names read;
  read_fields(Json::parse(json_text(fields_to_json(names))), "a.json", read);
  EXPECT_EQ(read.name, names.name);
  EXPECT_EQ(read.more, names.more);
}

TEST(JsonFields, UnknownKeysAreErrors) {
  Fields fields;
  expect_error(ErrorKind::kInvalidArgument, {"a.json", "\"coumt\"", "4"},
               [&] { read_fields(Json::parse(R"({"coumt": 4})"), "a.json", fields); });
}

}  // namespace
}  // namespace spikegpt
