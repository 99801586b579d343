# A front for CMake, so that a newcomer needs one word. `make help` lists the words.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# SKIP_DEPS=1: leave the machine's packages alone (not Debian, or installed some other way).
SKIP_DEPS ?=
INSTALL_DEPS := $(if $(SKIP_DEPS),@:,scripts/install-deps.sh)

# OMP_WAIT_POLICY: several tests run at once, so a thread that waits must not hold a core.
TEST_ENVIRONMENT := OMP_WAIT_POLICY=passive

# $(call build_preset,NAME)
define build_preset
	cmake --preset $(1)
	cmake --build --preset $(1) --parallel $(JOBS)
endef

# $(call run_tests,NAME): ctest, then its summary; fails when a test failed or none ran.
define run_tests
	@rm -f build/$(1)/tests.xml; status=0; \
	$(TEST_ENVIRONMENT) ctest --preset $(1) --parallel $(JOBS) --no-tests=error \
	  --output-junit $(CURDIR)/build/$(1)/tests.xml || status=$$?; \
	python3 scripts/test-summary.py build/$(1)/tests.xml || status=1; \
	exit $$status
endef

.PHONY: help deps deps-demo deps-dev build demo reproduce test bench format tidy test-asan test-tsan fuzz fuzz-smoke \
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
	$(call build_preset,release)

demo: deps-demo
	$(call build_preset,release)
	@scripts/demo.sh

reproduce: deps-demo
	$(call build_preset,release)
	@scripts/reproduce.sh

test: build
	$(call run_tests,release)

bench: build
	build/release/spikegpt bench

test-asan: deps
	$(call build_preset,asan)
	$(call run_tests,asan)

# The runtimes of OpenMP and oneDNN are not instrumented: what they do inside is not ours to report.
test-tsan: TEST_ENVIRONMENT += TSAN_OPTIONS=ignore_noninstrumented_modules=1
test-tsan: deps
	$(call build_preset,tsan)
	$(call run_tests,tsan)

# Every reader of files is tried with files that are nearly right (needs clang: make deps-dev).
FUZZ_SECONDS ?= 600
FUZZERS ?=
fuzz: deps
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
