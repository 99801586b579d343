# A front for CMake, so that a newcomer needs one word. `make help` lists the words.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# SKIP_DEPS=1: leave the machine's packages alone (not Debian, or installed some other way).
SKIP_DEPS ?=
INSTALL_DEPS := $(if $(SKIP_DEPS),@:,scripts/install-deps.sh)

# OMP_WAIT_POLICY: several tests run at once, so a thread that waits must not hold a core.
TEST_ENVIRONMENT := OMP_WAIT_POLICY=passive

# $(call build_preset,NAME[,TARGET])
define build_preset
	cmake --preset $(1)
	cmake --build --preset $(1) --parallel $(JOBS) $(if $(2),--target $(2))
endef

# $(call run_tests,NAME[,FLAGS]): ctest, then its summary; fails when a test failed or none ran.
define run_tests
	@rm -f build/tests-$(1).xml; status=0; \
	$(TEST_ENVIRONMENT) ctest --preset $(1) --parallel $(JOBS) --no-tests=error $(2) \
	  --output-junit $(CURDIR)/build/tests-$(1).xml || status=$$?; \
	python3 scripts/test-summary.py build/tests-$(1).xml || status=1; \
	exit $$status
endef

# The tests whose result may depend on the instruction set.
CPU_TESTS := -L '^(kernels|model|train|infer|energy|end_to_end)$$'

.PHONY: help deps deps-demo deps-dev build demo reproduce test test-cpus bench format tidy test-asan test-tsan fuzz fuzz-smoke \
        clean

help:
	@echo 'spikegpt: language models made of spiking neurons. The words you can say after "make":'
	@echo
	@echo '  demo       install, build, train a small model for 3 minutes, let it write'
	@echo '             (TEXT=file: your own text; MINUTES=10; ARCH=event or rwkv; OUT=folder)'
	@echo '  reproduce  train rwkv, spikegpt and event on the same text and compare quality, energy and speed'
	@echo '             (TEXT=file; STEPS=700; SEEDS=1,2,3; OUT=folder); after Ctrl-C it goes on'
	@echo '  build      install what is missing, then build; the program is build/release/spikegpt'
	@echo '  test       build, then run every test'
	@echo '  bench      build, then measure speed on this machine'
	@echo
	@echo 'For those who change the code (CONTRIBUTING.md):'
	@echo '  test-cpus  the tests as smaller CPUs would run them: AVX2 only, and no AVX'
	@echo '  test-asan  the tests under AddressSanitizer and UBSan'
	@echo '  test-tsan  the tests under ThreadSanitizer'
	@echo '  fuzz       ten minutes of every fuzzer (FUZZ_SECONDS=600; FUZZERS='\''pth safetensors'\''); fuzz-smoke: 3 s'
	@echo '  format     rewrite all sources with clang-format'
	@echo '  tidy       clang-tidy over all sources (needs: make deps-dev)'
	@echo '  clean      remove what was built; the demo'\''s models stay'
	@echo
	@echo 'JOBS=n sets how many compilers and tests run at once (now $(JOBS)). SKIP_DEPS=1 installs nothing.'

deps:
	$(INSTALL_DEPS)

deps-demo:
	$(INSTALL_DEPS) --demo

deps-dev:
	$(INSTALL_DEPS) --dev

build: deps
	$(call build_preset,release,spikegpt)

demo:
	@echo 'What happens now, on two processors with nothing else to do:'
	@echo '  1. packages are installed, once: about a minute'
	@echo '  2. the program is built, once: 4 to 7 minutes'
	@echo '  3. a small model learns from a text: $(or $(MINUTES),3) minutes (MINUTES=n changes that)'
	@echo '  4. it writes: seconds'
	@$(INSTALL_DEPS) --demo
	$(call build_preset,release,spikegpt)
	@scripts/demo.sh

reproduce: deps-demo
	$(call build_preset,release,spikegpt)
	@scripts/reproduce.sh

test: deps
	$(call build_preset,release)
	$(call run_tests,release)

# The same tests as a CPU with AVX2 and no more, and one without AVX, would run them.
test-cpus: deps
	$(call build_preset,release)
	$(call run_tests,avx2,$(CPU_TESTS))
	$(call run_tests,baseline,$(CPU_TESTS))

bench: deps
	$(call build_preset,release,spikegpt)
	build/release/spikegpt bench

test-asan: deps
	$(call build_preset,asan)
	$(call run_tests,asan)

# The runtimes of OpenMP and oneDNN are not instrumented: what they do inside is not ours to report.
test-tsan: TEST_ENVIRONMENT += TSAN_OPTIONS=ignore_noninstrumented_modules=1
test-tsan: deps
	$(call build_preset,tsan)
	$(call run_tests,tsan)

# Every reader of files is tried with files that are nearly right (with clang).
FUZZ_SECONDS ?= 600
FUZZERS ?=
fuzz:
	$(if $(SKIP_DEPS),@:,scripts/install-deps.sh --fuzz)
	$(call build_preset,fuzz)
	tests/fuzz/run.sh --seconds $(FUZZ_SECONDS) $(FUZZERS)

fuzz-smoke: FUZZ_SECONDS = 3
fuzz-smoke: fuzz

format:
	find $(wildcard spikegpt tests bench) -name '*.h' -o -name '*.cc' | xargs -r clang-format -i

# Without OpenMP's header clang-tidy stops at the first include: deps-dev brings libomp-dev.
tidy: build
	run-clang-tidy -quiet -p build/release -j $(JOBS) '$(CURDIR)/(spikegpt|tests|bench)/.*\.cc$$'

clean:
	rm -rf build/release build/debug build/asan build/tsan build/fuzz
