#include "spikegpt/model/pickle_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "spikegpt/core/error.h"
#include "spikegpt/model/pickle_reader_opcodes.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {
namespace {

using Kind = PickleValue::Kind;

static_assert(std::endian::native == std::endian::little, "pickles are little-endian");

// A global as people write it.
std::string dotted(std::string_view global) {
  std::string text(global);
  std::replace(text.begin(), text.end(), '\n', '.');
  return printable(text);
}

// The stack machine that a pickle is a program for.
class Machine {
 public:
  Machine(std::span<const std::byte> bytes, std::string_view where, std::deque<PickleValue>& values)
      : bytes_(bytes), where_(where), values_(values) {}

  PickleRef run() {
    if (bytes_.size() > kMaxPickleBytes) {
      fail(ErrorKind::kUnsupported, "a pickle of {} bytes; a state_dict has at most {}", bytes_.size(),
           kMaxPickleBytes);
    }
    for (;;) {
      opcode_at_ = at_;
      const auto opcode = take<unsigned char>();
      if (opcode == kOpStop) return pop();
      step(opcode);
    }
  }

  std::size_t position() const { return at_; }

 private:
  template <class... Args>
  [[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(kind, "{}: byte {}: {}", where_, opcode_at_, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  [[noreturn]] void corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorKind::kCorruptFile, format, std::forward<Args>(args)...);
  }
  void check_limit(std::size_t count, const char* what) const {
    if (count < kMaxPickleValues) return;
    fail(ErrorKind::kUnsupported, "more than {} {}; a state_dict needs fewer", kMaxPickleValues, what);
  }

  // Input.
  std::string_view take_text(std::size_t size) {
    if (size > bytes_.size() - at_) {
      corrupt("the pickle ends in the middle: {} more bytes needed, {} left", size, bytes_.size() - at_);
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + at_, size);
    at_ += size;
    return text;
  }
  template <class T>
  T take() {
    T value;
    std::memcpy(&value, take_text(sizeof(T)).data(), sizeof(T));
    return value;
  }
  void skip_line() {
    const auto rest = bytes_.subspan(at_);
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) corrupt("a name without an end");
    at_ += static_cast<std::size_t>(end - rest.begin()) + 1;
  }

  // The stack. Items of a mark lie above its position.
  void push(PickleValue* value) {
    check_limit(stack_.size(), "values on the stack");
    stack_.push_back(value);
  }
  PickleValue& push_new(Kind kind) {
    check_limit(values_.size(), "values");
    PickleValue& value = values_.emplace_back();
    value.kind = kind;
    push(&value);
    return value;
  }
  PickleValue* top() const {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) corrupt("nothing on the stack to work on");
    return stack_.back();
  }
  PickleValue* pop() {
    PickleValue* value = top();
    stack_.pop_back();
    return value;
  }
  void mark() {
    check_limit(marks_.size(), "marks");
    marks_.push_back(stack_.size());
  }
  std::vector<PickleRef> pop_to_mark() {
    if (marks_.empty()) corrupt("no mark on the stack");
    const std::size_t first = marks_.back();
    marks_.pop_back();
    std::vector<PickleRef> items(stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
    stack_.resize(first);
    return items;
  }
  PickleValue* expect_top(Kind kind, const char* what) const {
    PickleValue* value = top();
    if (value->kind != kind) corrupt("expected {} on the stack", what);
    return value;
  }

  void step(unsigned char opcode) {
    switch (opcode) {
      case kOpProto: return protocol();
      case kOpMark: return mark();
      case kOpNone: push_new(Kind::kNone); return;
      case kOpNewTrue: push_new(Kind::kBool).number = 1; return;
      case kOpNewFalse: push_new(Kind::kBool).number = 0; return;
      case kOpBinInt: push_new(Kind::kInt).number = take<std::int32_t>(); return;
      case kOpBinInt1: push_new(Kind::kInt).number = take<std::uint8_t>(); return;
      case kOpBinInt2: push_new(Kind::kInt).number = take<std::uint16_t>(); return;
      case kOpLong1: return long_integer();
      case kOpBinFloat:
        take_text(sizeof(double));
        push_new(Kind::kFloat);
        return;
      case kOpBinUnicode: push_new(Kind::kString).text = take_text(take<std::uint32_t>()); return;
      case kOpEmptyTuple: push_new(Kind::kTuple); return;
      case kOpTuple: return tuple(pop_to_mark());
      case kOpTuple1: return short_tuple(1);
      case kOpTuple2: return short_tuple(2);
      case kOpTuple3: return short_tuple(3);
      case kOpEmptyList: push_new(Kind::kList); return;
      case kOpAppend: return append({pop()}, Kind::kList);
      case kOpAppends: return append(pop_to_mark(), Kind::kList);
      case kOpEmptyDict: push_new(Kind::kDict); return;
      case kOpSetItem: return set_one();
      case kOpSetItems: return append(pop_to_mark(), Kind::kDict);
      case kOpBinPut: return remember(take<std::uint8_t>());
      case kOpLongBinPut: return remember(take<std::uint32_t>());
      case kOpBinGet: return recall(take<std::uint8_t>());
      case kOpLongBinGet: return recall(take<std::uint32_t>());
      case kOpGlobal: return global();
      case kOpBinPersId: return storage();
      case kOpReduce: return reduce();
      case kOpBuild: return build();
      default:
        fail(ErrorKind::kUnsupported, "opcode 0x{:02x} ({}) is not allowed: no state_dict needs it", opcode,
             name_of_refused_opcode(opcode));
    }
  }

  void protocol() {
    const int version = take<std::uint8_t>();
    if (version == 2) return;
    fail(ErrorKind::kUnsupported,
         "pickle protocol {}; expected 2, which torch.save writes unless it is given a "
         "pickle_protocol",
         version);
  }
  void long_integer() {
    const std::size_t size = take<std::uint8_t>();
    const std::string_view bytes = take_text(size);
    if (size > sizeof(std::int64_t)) corrupt("an integer of {} bytes; expected at most 8", size);
    const bool negative = size > 0 && (static_cast<unsigned char>(bytes.back()) & 0x80u) != 0;
    std::int64_t value = negative ? -1 : 0;
    std::memcpy(&value, bytes.data(), size);
    push_new(Kind::kInt).number = value;
  }
  void tuple(std::vector<PickleRef> items) { push_new(Kind::kTuple).items = std::move(items); }
  void short_tuple(std::size_t size) {
    std::vector<PickleRef> items(size);
    for (std::size_t i = size; i-- > 0;) items[i] = pop();
    tuple(std::move(items));
  }
  void append(const std::vector<PickleRef>& added, Kind kind) {
    if (kind == Kind::kDict && added.size() % 2 != 0) corrupt("a key without a value");
    auto& items = expect_top(kind, kind == Kind::kDict ? "a dictionary" : "a list")->items;
    items.insert(items.end(), added.begin(), added.end());
  }
  void set_one() {
    const PickleRef value = pop();
    const PickleRef key = pop();
    append({key, value}, Kind::kDict);
  }
  void remember(std::uint32_t index) {
    check_limit(memo_.size(), "memos");
    memo_[index] = top();
  }
  void recall(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) corrupt("memo {} was never set", index);
    push(found->second);
  }

  void global() {
    const std::size_t begin = at_;
    skip_line();
    skip_line();
    const std::string_view name(reinterpret_cast<const char*>(bytes_.data()) + begin, at_ - begin - 1);
    if (!is_allowed_global(name)) {
      fail(ErrorKind::kUnsupported,
           "global {} is not allowed: no state_dict needs it; nothing was executed (save model.state_dict(), not the "
           "model itself)",
           dotted(name));
    }
    push_new(Kind::kGlobal).text = name;
  }

  // ("storage", class, key, device, elements) -> storage. Files from before PyTorch 1.6 have a sixth, the
  // part of another storage that this one is: None, but for those from before 0.4.
  void storage() {
    const PickleValue* id = pop();
    const auto& items = id->items;
    const bool shaped = id->kind == Kind::kTuple && (items.size() == 5 || items.size() == 6) &&
                        items[0]->kind == Kind::kString && items[0]->text == "storage" &&
                        items[1]->kind == Kind::kGlobal && items[2]->kind == Kind::kString &&
                        items[4]->kind == Kind::kInt;
    if (!shaped) corrupt("expected (\"storage\", class, key, device, elements) as a persistent id");
    if (items.size() == 6 && items[5]->kind != Kind::kNone) {
      fail(ErrorKind::kUnsupported, "a storage that is part of another: save the clone() of its tensors");
    }
    const DType* dtype = find_storage_dtype(items[1]->text);
    if (dtype == nullptr) corrupt("{} is not a kind of storage", dotted(items[1]->text));
    PickleValue& value = push_new(Kind::kStorage);
    value.dtype = *dtype;
    value.text = items[2]->text;
    value.number = items[4]->number;
  }

  void reduce() {
    PickleValue* arguments = pop();
    const PickleValue* callable = pop();
    if (callable->kind != Kind::kGlobal || arguments->kind != Kind::kTuple) {
      corrupt("expected a function and its arguments");
    }
    const auto& items = arguments->items;
    if (callable->text == kOrderedDictGlobal && items.empty()) {
      push_new(Kind::kDict);
    } else if (callable->text == kRebuildTensorGlobal || callable->text == kFirstRebuildTensorGlobal) {
      tensor(items, callable->text == kFirstRebuildTensorGlobal);
    } else if (callable->text == kRebuildParameterGlobal && items.size() == 3 &&
               items[0]->kind == Kind::kTensor) {
      push(const_cast<PickleValue*>(items[0]));  // it lives in values_, which is ours
    } else {
      corrupt("{} is called with arguments it does not take", dotted(callable->text));
    }
  }

  // (storage, offset, shape, strides, requires_grad, hooks[, properties]) -> tensor; `first`: of the first
  // four, as PyTorch wrote it before 0.4.
  void tensor(const std::vector<PickleRef>& items, bool first) {
    const bool sized = first ? items.size() == 4 : items.size() == 6 || items.size() == 7;
    const bool shaped = sized && items[0]->kind == Kind::kStorage && items[1]->kind == Kind::kInt &&
                        items[2]->kind == Kind::kTuple && items[3]->kind == Kind::kTuple &&
                        items[2]->items.size() == items[3]->items.size();
    if (!shaped) corrupt("expected a tensor's storage, offset, shape and strides");
    check_extents(*items[2]);
    check_extents(*items[3]);
    if (items.size() == 7 && !items[6]->items.empty()) {
      fail(ErrorKind::kUnsupported, "a tensor with properties (conjugate or negative view): save its clone()");
    }
    PickleValue& value = push_new(Kind::kTensor);
    value.number = items[1]->number;
    value.items = {items[0], items[2], items[3]};
  }
  void check_extents(const PickleValue& tuple) const {
    if (tuple.items.size() > kMaxRank) {
      fail(ErrorKind::kUnsupported, "a tensor of {} dimensions; expected at most {}", tuple.items.size(), kMaxRank);
    }
    for (const PickleRef item : tuple.items) {
      if (item->kind != Kind::kInt) corrupt("expected whole numbers in a shape");
    }
  }

  // The state of an OrderedDict (its _metadata) holds nothing we need.
  void build() {
    pop();
    expect_top(Kind::kDict, "a dictionary");
  }

  std::span<const std::byte> bytes_;
  std::string_view where_;
  std::deque<PickleValue>& values_;
  std::size_t at_ = 0;
  std::size_t opcode_at_ = 0;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint32_t, PickleValue*> memo_;
};

}  // namespace

Pickle::Pickle(std::span<const std::byte> bytes, std::string_view where) {
  Machine machine(bytes, where, values_);
  root_ = machine.run();
  size_ = machine.position();
}

std::vector<std::int64_t> integers_of(const PickleValue& tuple) {
  std::vector<std::int64_t> numbers;
  for (const PickleRef item : tuple.items) numbers.push_back(item->number);
  return numbers;
}

}  // namespace spikegpt
