#include "spikegpt/model/pickle_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

using Kind = PickleValue::Kind;

// The opcodes of protocol 2 that PyTorch writes, by their byte.
enum Opcode : unsigned char {
  kMark = '(', kStop = '.', kBinGet = 'h', kBinPut = 'q', kLongBinGet = 'j', kLongBinPut = 'r',
  kBinInt = 'J', kBinInt1 = 'K', kBinInt2 = 'M', kLong1 = 0x8a, kBinFloat = 'G', kNone = 'N',
  kNewTrue = 0x88, kNewFalse = 0x89, kBinUnicode = 'X', kShortBinUnicode = 0x8c, kEmptyTuple = ')',
  kTuple = 't', kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87, kEmptyList = ']', kAppend = 'a',
  kAppends = 'e', kEmptyDict = '}', kSetItem = 's', kSetItems = 'u', kGlobal = 'c', kReduce = 'R',
  kBuild = 'b', kBinPersId = 'Q', kProto = 0x80
};

struct StorageName {
  std::string_view name;
  DType dtype;
};
constexpr std::array<StorageName, 10> kStorages = {{{"torch FloatStorage", DType::kF32},
                                                    {"torch HalfStorage", DType::kF16},
                                                    {"torch BFloat16Storage", DType::kBf16},
                                                    {"torch DoubleStorage", DType::kF64},
                                                    {"torch LongStorage", DType::kI64},
                                                    {"torch IntStorage", DType::kI32},
                                                    {"torch ShortStorage", DType::kI16},
                                                    {"torch CharStorage", DType::kI8},
                                                    {"torch ByteStorage", DType::kU8},
                                                    {"torch BoolStorage", DType::kBool}}};
constexpr std::string_view kOrderedDict = "collections OrderedDict";
constexpr std::string_view kRebuildTensor = "torch._utils _rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils _rebuild_parameter";

const StorageName* find_storage(std::string_view name) {
  const auto found = std::find_if(kStorages.begin(), kStorages.end(),
                                  [&](const StorageName& entry) { return entry.name == name; });
  return found == kStorages.end() ? nullptr : &*found;
}

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where, std::deque<PickleValue>& values)
      : bytes_(bytes), where_(where), values_(values) {}

  PickleRef run() {
    for (;;) {
      opcode_at_ = at_;
      const auto opcode = static_cast<unsigned char>(take_bytes(1)[0]);
      if (opcode == kStop) return pop();
      step(opcode);
    }
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(kind, "{}: byte {}: {}", where_, opcode_at_,
                fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  [[noreturn]] void corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorKind::kCorruptFile, format, std::forward<Args>(args)...);
  }

  // Input.
  std::span<const std::byte> take_bytes(std::size_t count) {
    if (count > bytes_.size() - at_) {
      corrupt("the pickle ends in the middle: {} more bytes needed, {} left", count, bytes_.size() - at_);
    }
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }
  template <class T>
  T take() {
    T value;
    std::memcpy(&value, take_bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string take_text(std::size_t size) {
    const auto taken = take_bytes(size);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  std::string take_line() {
    const auto rest = bytes_.subspan(at_);
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) corrupt("a name without an end");
    std::string line = take_text(static_cast<std::size_t>(end - rest.begin()));
    ++at_;
    return line;
  }

  // The stack. Items of a mark lie above its position.
  PickleValue& make(Kind kind) {
    PickleValue& value = values_.emplace_back();
    value.kind = kind;
    return value;
  }
  void push(PickleRef value) { stack_.push_back(const_cast<PickleValue*>(value)); }
  PickleValue& push_new(Kind kind) {
    PickleValue& value = make(kind);
    push(&value);
    return value;
  }
  PickleValue* top() {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) corrupt("nothing on the stack to work on");
    return stack_.back();
  }
  PickleValue* pop() {
    PickleValue* value = top();
    stack_.pop_back();
    return value;
  }
  std::vector<PickleRef> pop_to_mark() {
    if (marks_.empty()) corrupt("no mark on the stack");
    const std::size_t first = marks_.back();
    marks_.pop_back();
    std::vector<PickleRef> items(stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
    stack_.resize(first);
    return items;
  }
  PickleValue* expect_top(Kind kind, const char* what) {
    PickleValue* value = top();
    if (value->kind != kind) corrupt("expected {} on the stack", what);
    return value;
  }

  void step(unsigned char opcode) {
    switch (opcode) {
      case kProto: return protocol();
      case kMark: return marks_.push_back(stack_.size());
      case kNone: push_new(Kind::kNone); return;
      case kNewTrue: push_new(Kind::kBool).number = 1; return;
      case kNewFalse: push_new(Kind::kBool).number = 0; return;
      case kBinInt: push_new(Kind::kInt).number = take<std::int32_t>(); return;
      case kBinInt1: push_new(Kind::kInt).number = take<std::uint8_t>(); return;
      case kBinInt2: push_new(Kind::kInt).number = take<std::uint16_t>(); return;
      case kLong1: return long_integer();
      case kBinFloat: take_bytes(8); push_new(Kind::kFloat); return;  // no tensor depends on one
      case kBinUnicode: return text(take<std::uint32_t>());
      case kShortBinUnicode: return text(take<std::uint8_t>());
      case kEmptyTuple: push_new(Kind::kTuple); return;
      case kTuple: return tuple(pop_to_mark());
      case kTuple1: return short_tuple(1);
      case kTuple2: return short_tuple(2);
      case kTuple3: return short_tuple(3);
      case kEmptyList: push_new(Kind::kList); return;
      case kAppend: return append({pop()});
      case kAppends: return append(pop_to_mark());
      case kEmptyDict: push_new(Kind::kDict); return;
      case kSetItem: return set_one();
      case kSetItems: return set_items(pop_to_mark());
      case kBinPut: memo_[take<std::uint8_t>()] = top(); return;
      case kLongBinPut: memo_[take<std::uint32_t>()] = top(); return;
      case kBinGet: return recall(take<std::uint8_t>());
      case kLongBinGet: return recall(take<std::uint32_t>());
      case kGlobal: return global();
      case kBinPersId: return storage();
      case kReduce: return reduce();
      case kBuild: return build();
      default:
        fail(ErrorKind::kUnsupported,
             "opcode 0x{:02x} is not one a PyTorch state_dict needs; nothing was executed", opcode);
    }
  }

  void protocol() {
    const int version = take<std::uint8_t>();
    if (version != 2) {
      fail(ErrorKind::kUnsupported, "pickle protocol {}; expected 2, which torch.save writes", version);
    }
  }
  void long_integer() {
    const std::size_t size = take<std::uint8_t>();
    const auto bytes = take_bytes(size);
    if (size > sizeof(std::int64_t)) corrupt("an integer of {} bytes", size);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    const bool negative = size > 0 && (std::to_integer<unsigned>(bytes[size - 1]) & 0x80u) != 0;
    if (negative && size < 8) value |= ~std::uint64_t{0} << (8 * size);
    push_new(Kind::kInt).number = static_cast<std::int64_t>(value);
  }
  void text(std::size_t size) { push_new(Kind::kString).text = take_text(size); }
  void tuple(std::vector<PickleRef> items) { push_new(Kind::kTuple).items = std::move(items); }
  void short_tuple(std::size_t size) {
    std::vector<PickleRef> items(size);
    for (std::size_t i = size; i-- > 0;) items[i] = pop();
    tuple(std::move(items));
  }
  void append(const std::vector<PickleRef>& items) {
    auto& list = expect_top(Kind::kList, "a list")->items;
    list.insert(list.end(), items.begin(), items.end());
  }
  void set_one() {
    const PickleRef value = pop();
    const PickleRef key = pop();
    set_items({key, value});
  }
  void set_items(const std::vector<PickleRef>& items) {
    if (items.size() % 2 != 0) corrupt("a key without a value");
    PickleValue* dict = expect_top(Kind::kDict, "a dictionary");
    for (std::size_t i = 0; i < items.size(); i += 2) dict->entries.emplace_back(items[i], items[i + 1]);
  }
  void recall(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) corrupt("memo {} was never set", index);
    push(found->second);
  }

  void global() {
    const std::string module = take_line();
    const std::string name = take_line();
    const std::string whole = module + " " + name;
    const bool allowed = whole == kOrderedDict || whole == kRebuildTensor ||
                         whole == kRebuildParameter || find_storage(whole) != nullptr;
    if (!allowed) {
      fail(ErrorKind::kUnsupported,
           "the file asks for {}.{}, which a state_dict does not need; refused, nothing was executed",
           module, name);
    }
    push_new(Kind::kGlobal).text = whole;
  }

  // ("storage", class, key, device, elements) -> storage
  void storage() {
    const PickleValue* id = pop();
    const bool shaped = id->kind == Kind::kTuple && id->items.size() == 5 &&
                        id->items[0]->kind == Kind::kString && id->items[0]->text == "storage" &&
                        id->items[1]->kind == Kind::kGlobal && id->items[2]->kind == Kind::kString &&
                        id->items[4]->kind == Kind::kInt;
    if (!shaped) corrupt("expected the description of a tensor's storage");
    const StorageName* type = find_storage(id->items[1]->text);
    if (type == nullptr) corrupt("{} is not a kind of storage", id->items[1]->text);
    PickleValue& value = push_new(Kind::kStorage);
    value.dtype = type->dtype;
    value.text = id->items[2]->text;
    value.number = id->items[4]->number;
  }

  void reduce() {
    const PickleValue* arguments = pop();
    const PickleValue* callable = pop();
    if (callable->kind != Kind::kGlobal || arguments->kind != Kind::kTuple) {
      corrupt("expected a function and its arguments");
    }
    const auto& items = arguments->items;
    if (callable->text == kOrderedDict && items.empty()) {
      push_new(Kind::kDict);
    } else if (callable->text == kRebuildTensor && items.size() >= 4) {
      tensor(items);
    } else if (callable->text == kRebuildParameter && !items.empty() && items[0]->kind == Kind::kTensor) {
      push(items[0]);
    } else {
      corrupt("{} is called with arguments it does not take", callable->text);
    }
  }

  // (storage, offset, shape, stride, ...) -> tensor
  void tensor(const std::vector<PickleRef>& items) {
    const bool shaped = items[0]->kind == Kind::kStorage && items[1]->kind == Kind::kInt &&
                        items[2]->kind == Kind::kTuple && items[3]->kind == Kind::kTuple &&
                        items[2]->items.size() == items[3]->items.size();
    if (!shaped) corrupt("expected a tensor's storage, offset, shape and strides");
    PickleValue& value = push_new(Kind::kTensor);
    value.storage = items[0];
    value.number = items[1]->number;
    value.shape = integers(*items[2]);
    value.stride = integers(*items[3]);
  }
  std::vector<std::int64_t> integers(const PickleValue& tuple) const {
    std::vector<std::int64_t> numbers;
    for (const PickleRef item : tuple.items) {
      if (item->kind != Kind::kInt) corrupt("expected whole numbers in a shape");
      numbers.push_back(item->number);
    }
    return numbers;
  }

  // The state of an OrderedDict (its _metadata) holds nothing we need.
  void build() {
    pop();
    expect_top(Kind::kDict, "a dictionary");
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::deque<PickleValue>& values_;
  std::size_t at_ = 0;
  std::size_t opcode_at_ = 0;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, PickleValue*> memo_;
};

}  // namespace

Pickle::Pickle(std::span<const std::byte> bytes, std::string where) {
  root_ = Machine(bytes, where, values_).run();
}

}  // namespace spikegpt
