// Pickles put together opcode by opcode, for tests that must not depend on Python.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikegpt::test {

// Adds opcodes at the end; `bytes` may be changed at will.
struct PickleAssembler {
  std::string bytes;

  PickleAssembler& raw(std::string_view text) {
    bytes += text;
    return *this;
  }
  PickleAssembler& proto(int version = 2) {
    bytes += '\x80';
    bytes += static_cast<char>(version);
    return *this;
  }
  template <class T>
  PickleAssembler& value(T number) {
    char stored[sizeof(T)];
    std::memcpy(stored, &number, sizeof(T));
    return raw({stored, sizeof(T)});
  }
  PickleAssembler& text(std::string_view content) {  // BINUNICODE
    return raw("X").value(static_cast<std::uint32_t>(content.size())).raw(content);
  }
  PickleAssembler& global(std::string_view module, std::string_view name) {
    return raw("c").raw(module).raw("\n").raw(name).raw("\n");
  }
  // The shortest of BININT1, BININT2, BININT and LONG1, as Python chooses.
  PickleAssembler& integer(std::int64_t number) {
    if (number >= 0 && number < 256) return raw("K").value(static_cast<std::uint8_t>(number));
    if (number >= 0 && number < 65536) return raw("M").value(static_cast<std::uint16_t>(number));
    if (number == static_cast<std::int32_t>(number)) return raw("J").value(static_cast<std::int32_t>(number));
    return raw("\x8a").value(std::uint8_t{8}).value(number);
  }
  PickleAssembler& put(int memo) { return raw("q").value(static_cast<std::uint8_t>(memo)); }
  PickleAssembler& get(int memo) { return raw("h").value(static_cast<std::uint8_t>(memo)); }
  PickleAssembler& integers(const std::vector<std::int64_t>& numbers) {
    raw("(");
    for (const std::int64_t number : numbers) integer(number);
    return raw("t");
  }
  PickleAssembler& stop() { return raw("."); }

  // `legacy`: with the view of the storage that old files have, none.
  PickleAssembler& storage(std::string_view type, std::string_view key, std::int64_t elements,
                           bool legacy = false) {
    raw("(").text("storage").global("torch", type).text(key).text("cpu").integer(elements);
    return raw(legacy ? "NtQ" : "tQ");
  }
  std::span<const std::byte> span() const { return std::as_bytes(std::span(bytes)); }
};

struct TensorPlan {
  std::string_view type = "FloatStorage";
  std::string_view key = "0";
  std::int64_t elements = 6;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape = {2, 3};
  std::vector<std::int64_t> stride = {3, 1};
  bool legacy = false;  // in a file of PyTorch before 1.6
};

// What torch.save writes for a tensor.
inline PickleAssembler& add_tensor(PickleAssembler& pickle, const TensorPlan& plan) {
  pickle.global("torch._utils", "_rebuild_tensor_v2").raw("(");
  pickle.storage(plan.type, plan.key, plan.elements, plan.legacy).integer(plan.offset);
  pickle.integers(plan.shape).integers(plan.stride).raw("\x89");
  return pickle.global("collections", "OrderedDict").raw(")RtR");
}

// {"name": tensor, ...} under construction.
class StateDict {
 public:
  StateDict() { pickle_.proto().raw("}("); }
  StateDict& add(std::string_view name, const TensorPlan& plan) {
    pickle_.text(name);
    add_tensor(pickle_, plan);
    return *this;
  }
  PickleAssembler& pickle() { return pickle_; }
  std::string finish() { return pickle_.raw("u").stop().bytes; }

 private:
  PickleAssembler pickle_;
};

}  // namespace spikegpt::test
