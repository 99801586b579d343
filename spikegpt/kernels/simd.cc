#include "spikegpt/kernels/simd.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
static std::int64_t this_target() { return HWY_TARGET; }
}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

HWY_EXPORT(this_target);

// Highway's next set above AVX-512 stands for VNNI: nothing is compiled for it, kernels ask simd_has_vnni().
constexpr std::int64_t kVnni = HWY_AVX3_DL;
constexpr std::int64_t kAllTargets = HWY_TARGETS | ((HWY_TARGETS & HWY_AVX3) != 0 ? kVnni : 0);

std::string name_of_target(std::int64_t target) {
  if (target == kVnni) return "avx512vnni";
  if (target == HWY_AVX3) return "avx512";
  if (target == HWY_STATIC_TARGET) return "baseline";
  std::string name = hwy::TargetName(target);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

// Highway asks the CPU at every call of SupportedTargets, for which a virtual machine takes tens of microseconds.
bool find_vnni() { return (kAllTargets & kVnni & hwy::SupportedTargets()) != 0; }
std::atomic<bool>& vnni() {
  static std::atomic<bool> found = find_vnni();
  return found;
}

void choose(std::int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  vnni() = find_vnni();
}

}  // namespace

bool simd_has_vnni() { return vnni().load(std::memory_order_relaxed); }

std::string simd_target() { return name_of_target(simd_has_vnni() ? kVnni : HWY_DYNAMIC_DISPATCH(this_target)()); }

void set_simd_target(std::string_view name) {
  choose(0);
  if (name == "best") return;
  const std::int64_t supported = hwy::SupportedTargets();
  std::string known;
  for (std::int64_t rest = kAllTargets; rest != 0; rest &= rest - 1) {
    const std::int64_t target = rest & -rest;
    known += known.empty() ? name_of_target(target) : ", " + name_of_target(target);
    if (name_of_target(target) != name) continue;
    if ((supported & target) == 0) {
      throw Error(ErrorKind::kUnsupported, "this CPU cannot run the instruction set \"{}\"", name);
    }
    choose(target == kVnni ? kVnni | HWY_AVX3 : target);
    return;
  }
  throw Error(ErrorKind::kInvalidArgument, "instruction set \"{}\" is not known; expected best or one of {}", name,
              known);
}

void apply_simd_environment() {
  const char* name = std::getenv("SPIKEGPT_SIMD");
  if (name != nullptr && *name != '\0') set_simd_target(name);
}

}  // namespace spikegpt
#endif
