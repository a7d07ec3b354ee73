# Nibble. `make help` lists the targets. Knobs, on the command line:
#   MODE=release|debug SAN=address,undefined OMP=0|1 BLAS=openblas|none MPI=0|1|ompi-c|mpich WERROR=1 V=1 CC CFLAGS PREFIX DESTDIR FUZZ_SECONDS
# Nothing is written outside build/ and runs/; every combination of compiler and flags has its own folder below build/.
# Paths of sources and products are relative, so the folder may be called anything; what a user names is quoted.
.DEFAULT_GOAL := all
ABI     := 0# of the shared library: grows when a program built before would no longer run
VERSION := $(shell sed -n 's/^\#define NB_VERSION "\(.*\)"/\1/p' include/nibble/nibble.h)
MODE ?= release# release | debug
OMP  ?= 1
BLAS ?= openblas# openblas | none
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
quote = '$(subst ','\'',$(1))'# one word of the shell, whatever is in it
Q = $(if $(filter 1,$(V)),,@)
ifeq ($(filter openblas none,$(BLAS)),)
$(error BLAS=$(BLAS): must be openblas or none)
endif
ifeq ($(filter release debug,$(MODE)),)
$(error MODE=$(MODE): must be release or debug)
endif

# Warnings are for plain builds: under a sanitizer gcc warns about its own instrumentation.
WARN := $(if $(SAN),,-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual \
        -Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 $(if $(filter 1,$(WERROR)),-Werror))
OPT_release := $(if $(SAN),-O1 -g1,-O3 -g)# sanitizers look at the same code at any level; -g1 is what their stack traces need
OPT_debug   := -Og -g3 -DNB_DEBUG=1
# ONNX is there when protobuf-c, its compiler and the schema are (libonnx-dev); ONNX=0 builds without.
ONNX_PROTO  := $(firstword $(wildcard /usr/include/onnx/onnx.proto /usr/local/include/onnx/onnx.proto))
ONNX        ?= $(if $(ONNX_PROTO),$(shell command -v protoc-c >/dev/null && pkg-config --exists libprotobuf-c && echo 1),)
# More than one machine: Open MPI, or MPICH, by the name of their pkg-config file; MPI=0 builds without.
MPI_FOUND   := $(firstword $(shell for m in ompi-c mpich; do pkg-config --exists $$m 2>/dev/null && echo $$m; done))
MPI         ?= $(if $(SAN),0,$(if $(MPI_FOUND),1,0))# what MPI keeps for itself, sanitizers call leaks
MPI_MODULE  := $(if $(filter 1,$(MPI)),$(MPI_FOUND),$(filter-out 0,$(MPI)))
ifneq ($(shell $(if $(MPI_MODULE),pkg-config --exists $(MPI_MODULE) || echo missing)$(if $(filter 1,$(MPI)),$(if $(MPI_FOUND),,echo missing))),)
$(error MPI=$(MPI): pkg-config does not know it; libopenmpi-dev has ompi-c, libmpich-dev has mpich)
endif
DEPS        := libpng zlib yaml-0.1 libcjson $(if $(filter openblas,$(BLAS)),openblas) $(if $(filter 1,$(ONNX)),libprotobuf-c) $(MPI_MODULE)
DEPS_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(DEPS) 2>/dev/null))
LIBS        := $(shell pkg-config --libs $(DEPS) 2>/dev/null) -lpthread -lm
FLAGS = -std=c11 -D_XOPEN_SOURCE=700 -ffp-contract=off -fPIC -fvisibility=hidden $(WARN) $(OPT_$(MODE)) \
        $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) $(if $(filter 0,$(OMP)),-DNB_SERIAL,-fopenmp) $(if $(filter openblas,$(BLAS)),-DNB_BLAS) $(if $(filter 1,$(ONNX)),-DNB_ONNX) $(if $(MPI_MODULE),-DNB_MPI) \
        -Iinclude -Isrc $(DEPS_CFLAGS)
# The engine on its own: no libc, no float library, no threads.
FLAGS_FREESTANDING = -std=c11 -ffreestanding -DNB_FREESTANDING -fvisibility=hidden $(WARN) $(OPT_$(MODE)) -Iinclude -Isrc

# One object folder per distinct compiler and flags: an ASan object is never linked into a release.
KEY := $(shell printf '%s' $(call quote,$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS)) | cksum | cut -d' ' -f1)
B   := build/$(MODE)-$(KEY)
LIB_SRC    := $(sort $(filter-out src/cli/% src/bench/%,$(wildcard src/*/*.c)) $(wildcard src/kernels/*/*.c layers/*.c datasets/*.c))
BENCH_SRC  := $(sort $(wildcard src/bench/*.c))# of the tool and the tests, not of the library
CLI_SRC    := $(sort $(wildcard src/cli/*.c))
ENGINE_SRC := $(sort $(wildcard src/engine/*.c src/kernels/integer/*.c))
TEST_SRC   := $(sort $(wildcard tests/unit/test_*.c tests/prop/test_*.c))
EXPORTED   := $(sort $(wildcard src/export/c/*.[ch]))# C of exported programs, in the library as strings
REF_SRC    := $(sort $(wildcard tests/ref/*.c))
FUZZ_SRC   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
ALL_SRC    := $(LIB_SRC) $(BENCH_SRC) $(CLI_SRC) $(TEST_SRC) $(REF_SRC) $(FUZZ_SRC) tests/fuzz/replay.c
HEADERS    := $(sort $(wildcard include/nibble/*.h include/nibble/extend/*.h))
FORMATTED   = $(ALL_SRC) $(HEADERS) $(EXPORTED) $(wildcard src/*/*.h src/kernels/*/*.h layers/*.h datasets/*.h tests/*/*.h)
obj         = $(1:%.c=$(B)/%.o)
LIB_OBJ     = $(call obj,$(LIB_SRC)) $(B)/gen/cgen_texts.o $(if $(filter 1,$(ONNX)),$(B)/gen/onnx.pb-c.o)
TESTS       = $(TEST_SRC:%.c=$(B)/%)
FUZZERS     = $(FUZZ_SRC:%.c=$(B)/%)
# Tests that reach kernels, for the runs under each instruction set.
ISA_TESTS   = $(patsubst %.c,$(B)/%,$(shell grep -lE 'kernels/|nibble/engine' $(TEST_SRC) /dev/null))
# Tests of what is computed on several threads, or on data that several read.
THREAD_TESTS = $(patsubst %.c,$(B)/%,$(shell grep -lE 'kernels/|nibble/engine|set_threads|small_model|train|nibble/post|nb_post|base/parallel|loader|dataset|nb_evaluate' $(TEST_SRC) /dev/null))
# Tests that compute for seconds on memory that others look at as well.
LONG_TESTS  = $(patsubst %,$(B)/tests/%,unit/test_block_solve unit/test_mac_wide unit/test_mac_matrix unit/test_step_adaround unit/test_step_reconstruct prop/test_blame)
# Tests of whoever starts threads.
TSAN_TESTS  = $(patsubst %,$(B)/tests/unit/test_%,parallel loader trainer)
E2E         = $(sort $(wildcard tests/e2e/*.sh))
SHARED      = $(B)/libnibble.so.$(VERSION)
# Tests of kernels that also run without an operating system, in an emulator.
EMULATED    = $(patsubst %,$(B)/emulated/test_%,iconv qgrad fconv variant sweep)
PRODUCTS    = $(if $(CLI_SRC),$(B)/nibble) $(B)/libnibble.a $(B)/libnibble_engine.a $(if $(SAN),,$(SHARED))

all: products                           ## library, engine library and command line tool; build/current points to them
	@ln -sfn $(notdir $(B)) build/current
	@echo "made build/current/nibble: $$(build/current/nibble --version 2>/dev/null | head -n 2 | paste -sd, | sed 's/,/, /' | grep . || echo for another machine)"
	@$(if $(MPI_MODULE),,echo "without MPI, for more than one machine: that needs libopenmpi-dev")
	@$(if $(filter 1,$(ONNX)),,echo "without ONNX files: that needs libprotobuf-c-dev, protobuf-c-compiler and libonnx-dev")
products: $(PRODUCTS)                   ## the same; build/current stays, as for every check

# ---- rules ----
# ThreadSanitizer does not see into libgomp: tests/tsan/gomp.c stands in for it.
$(B)/libnibble.a: $(LIB_OBJ) $(if $(findstring thread,$(SAN)),$(B)/tests/tsan/gomp.o)
$(SHARED): $(LIB_OBJ) nibble.map
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libnibble.so.$(ABI) -Wl,--version-script=nibble.map -o $@ $(filter %.o,$^) $(LIBS)
$(B)/libref.a: $(call obj,$(REF_SRC))
$(B)/libbench.a: $(call obj,$(BENCH_SRC))
$(B)/libnibble_engine.a: $(ENGINE_SRC:%.c=$(B)/freestanding/%.o)
$(B)/%.a:
	@rm -f $@ && $(AR) rcsD $@ $^
$(B)/nibble: $(call obj,$(CLI_SRC)) $(B)/libbench.a $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
$(TESTS): $(B)/%: $(B)/%.o $(B)/libref.a $(B)/libbench.a $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka
# With SAN=fuzzer-no-link,... the engine brings main(); else replay.c does.
$(FUZZERS): $(B)/%: $(B)/%.o $(if $(findstring fuzzer,$(SAN)),,$(B)/tests/fuzz/replay.o) $(B)/libref.a $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) $(if $(findstring fuzzer,$(SAN)),-fsanitize=fuzzer) -o $@ $^ $(LIBS)
# Tests are compiled in half the time so (at -O0, some run ten times longer); the oracles below tests/ref are worth more.
$(B)/tests/%.o: FLAGS += -Itests $(if $(filter release,$(MODE)),-O1 -g1)
$(B)/tests/ref/%.o: FLAGS += $(if $(filter release,$(MODE)),-O2)
# No value depends on it: selects become vectors, as nobody asks for the exceptions of what was not selected.
$(B)/layers/activation.o: FLAGS += -fno-trapping-math
# clang's sanitizers take minutes over these templates; gcc's look at them, and the tests put guard pages around every buffer.
ifneq ($(and $(SAN),$(findstring clang,$(CC))),)
SLOW_TEMPLATES := float/fconv_generic float/fconv_avx2 float/fconv_avx512 integer/iconv_avx512 integer/iconv_vnni grad16/qgrad_avx2 grad16/qgrad_avx512 grad16/qgrad_avxvnni grad16/qgrad_vnni
$(addprefix $(B)/src/kernels/,$(SLOW_TEMPLATES:%=%.o)): FLAGS += -fno-sanitize=all
endif
$(B)/gen/cgen_texts.c: scripts/c_strings.awk $(EXPORTED)
	@mkdir -p $(@D)
	$(Q)awk -f $^ >$@.part && mv $@.part $@
$(B)/gen/cgen_texts.o: $(B)/gen/cgen_texts.c Makefile
	$(Q)$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(B)/gen/onnx.pb-c.c $(B)/gen/onnx.pb-c.h &: $(ONNX_PROTO)
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=$(dir $<) --c_out=$(B)/gen $<
$(B)/gen/onnx.pb-c.o: $(B)/gen/onnx.pb-c.c
	$(Q)$(CC) $(filter-out -W%,$(FLAGS)) $(CPPFLAGS) $(CFLAGS) -I$(B)/gen -c -o $@ $<
ifeq ($(ONNX),1)
USE_PROTO = $(addprefix $(B)/,src/export/onnx_model.o src/import/onnx_file.o tests/unit/test_export_onnx.o tests/unit/test_onnx_file.o)
$(USE_PROTO): FLAGS += -I$(B)/gen
$(USE_PROTO): $(B)/gen/onnx.pb-c.h
endif
$(EMULATED): $(B)/emulated/%: $(B)/emulated/boot.o $(B)/emulated/machine.o $(B)/emulated/%.o $(B)/libref.a $(B)/libnibble.a
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-Ttext=0x200000,-z,max-page-size=4096,--build-id=none,-e,start -o $@ $^
$(B)/emulated/%.o: tests/emulated/%.S
	@mkdir -p $(@D)
	$(Q)$(CC) -c -o $@ $<
$(B)/emulated/machine.o: tests/emulated/machine.c tests/emulated/include/cmocka.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -fno-builtin -fno-tree-loop-distribute-patterns -Itests/emulated/include -c -o $@ $<
$(B)/emulated/%.o: tests/unit/%.c tests/emulated/include/cmocka.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -Wno-unused-parameter -Wno-unused-variable -DNB_EMULATED -Itests/emulated/include -Itests -MMD -MP -c -o $@ $<
$(B)/freestanding/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(FLAGS_FREESTANDING) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# ---- what a newcomer types ----
deps:                                   ## install the Debian packages that are missing (root), or print the command
	@scripts/deps.sh test
demo:                                   ## train, quantize and check the demo network (a minute and a half on two cores)
	@scripts/deps.sh demo
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	@scripts/demo.sh build/current/nibble
test: deps                              ## everything: builds, tests, sanitizers, fuzz corpus, end to end, lint (under 10 minutes)
	@MAKE='$(MAKE)' tests/all.sh
test-long: deps                         ## what takes longer, before a release: PARTS="networks fuzz ..." for some of it
	@MAKE='$(MAKE)' tests/long.sh $(PARTS)

# ---- parts of `make test`, for work in progress ----
check-fast: $(TESTS)                    ## unit and property tests of this build
	@tests/run.sh $(TESTS)
check-isa: $(ISA_TESTS) $(B)/nibble     ## kernel and engine tests under every level of NB_CPU below this processor's best, which all others run under
	@for cpu in $$($(B)/nibble --version | sed -n 's/^NB_CPU:\(.*\) .*/\1/p'); do echo "---- NB_CPU=$$cpu" && \
	    NB_CPU=$$cpu tests/run.sh $(ISA_TESTS) || exit 1; done
check-arm:                              ## kernel and engine tests for aarch64, under qemu-user (tests/emulated/README.md)
	@MAKE='$(MAKE)' tests/emulated/arm.sh
check-emulated: $(EMULATED)             ## kernel tests on processors with AVX-512, VNNI, AMX, in the Bochs emulator (same README)
	@tests/emulated/run.sh $(EMULATED); code=$$?; [ $$code = 77 ] || exit $$code
check-threads: $(THREAD_TESTS)          ## those of them that threads can matter to, on 1 and 4 threads (THREADS="2 3": on others)
	@for n in $(or $(THREADS),1 4); do OMP_NUM_THREADS=$$n tests/run.sh $(THREAD_TESTS) || exit 1; done
check-short: $(TESTS)                   ## all but those that compute for seconds (for sanitizers)
	@tests/run.sh $(filter-out $(LONG_TESTS),$(TESTS))
check-computed: $(TESTS)                ## those that reach kernels, and property tests: where compilers differ
	@tests/run.sh $(sort $(ISA_TESTS) $(filter $(B)/tests/prop/%,$(TESTS)))
check-san:                              ## unit and property tests under ASan and UBSan, gcc and clang
	@for cc in gcc clang; do $(MAKE) --no-print-directory CC=$$cc SAN=address,undefined OMP=0 check-fast || exit 1; done
check-e2e: $(PRODUCTS)                  ## scripts that run the command line tool
	@NIBBLE="$$PWD/$(B)/nibble" tests/run.sh $(E2E)
check-bad: $(PRODUCTS)                  ## those of them that feed it bad input (also run under sanitizers)
	@NIBBLE="$$PWD/$(B)/nibble" tests/run.sh $(sort $(wildcard tests/e2e/bad*.sh))
check-exported: $(B)/tests/prop/test_exported_c ## random networks as C programs, under several compilers
	@tests/exported.sh $(B)/tests/prop/test_exported_c
check-onnx: $(B)/tests/onnx/export_networks ## random networks, or MODELS=..., in ONNX Runtime (PYTHON: one with onnx and onnxruntime; TIES=ties: other ranges than ema as well)
	@rm -rf $(B)/onnx && mkdir -p $(B)/onnx && $< onnx $(B)/onnx $(if $(MODELS),models $(MODELS),0 $(or $(NETWORKS),300) $(TIES)) && $(or $(PYTHON),python3) tests/onnx/check.py $(B)/onnx
check-tflite: $(B)/tests/onnx/export_networks ## the same in LiteRT (PYTHON: one with numpy and ai-edge-litert)
	@rm -rf $(B)/tflite && mkdir -p $(B)/tflite && $< tflite $(B)/tflite $(if $(MODELS),models $(MODELS),0 $(or $(NETWORKS),300) $(TIES)) && $(or $(PYTHON),python3) tests/tflite/check.py $(B)/tflite
$(B)/tests/onnx/export_networks: $(B)/tests/onnx/export_networks.o $(B)/libref.a $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka
$(B)/tests/adaround/dump_layers: $(B)/tests/adaround/dump_layers.o $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
check-import: $(PRODUCTS)               ## networks of PyTorch through `nibble import`: logits within 1e-4 (PYTHON: one with torch, onnx and safetensors; PUBLISHED=all or names: large ones as well)
	@rm -rf $(B)/import && $(or $(PYTHON),python3) tests/import/round_trip.py "$$PWD/$(B)/nibble" $(B)/import
	@$(or $(PYTHON),python3) tests/import/operators.py "$$PWD/$(B)/nibble" $(B)/import/operators
	@$(if $(PUBLISHED),$(or $(PYTHON),python3) tests/import/published.py "$$PWD/$(B)/nibble" $(B)/import/published $(filter-out all,$(PUBLISHED)))
check-mcu: $(PRODUCTS) $(B)/tests/mcu/make_images $(B)/tests/prop/test_exported_c ## exported networks on emulated Cortex-M4 and M55 (needs gcc-arm-none-eabi, qemu-system-arm)
	@NIBBLE="$$PWD/$(B)/nibble" tests/mcu/run.sh $(B)/tests/mcu/make_images $(MODELS)
	@for target in "m4-portable -O2" "m4 -O2" "m55 -O2" "m55 -Os"; do NB_TEST_NETWORKS=$(or $(NETWORKS),100) \
	    NB_TEST_CC="\"$$PWD/tests/mcu/cross.sh\" $$target" tests/run.sh $(B)/tests/prop/test_exported_c || exit 1; done
$(B)/tests/mcu/make_images: $(B)/tests/mcu/make_images.o $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
check-tsan:                             ## training on 4 threads, and the tests of who starts threads, under ThreadSanitizer
	@$(MAKE) --no-print-directory CC=gcc SAN=thread check-tsan-run
$(B)/tests/tsan/race: $(B)/tests/tsan/race.o $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
check-tsan-run: $(B)/nibble $(B)/tests/tsan/race $(TSAN_TESTS)
	@NIBBLE="$$PWD/$(B)/nibble" RACE="$$PWD/$(B)/tests/tsan/race" OMP_NUM_THREADS=4 TSAN_OPTIONS=exitcode=66 tests/run.sh $(TSAN_TESTS) tests/tsan.sh
check-install: $(PRODUCTS)              ## install into a temporary place, build a program against it, uninstall
	@MAKE='$(MAKE)' CC=$(call quote,$(CC)) tests/install_test.sh
check-make: $(PRODUCTS)                 ## this file in a folder with spaces and quotes in its name, on a copy of this build
	@MAKE='$(MAKE)' B=$(B) tests/make_test.sh
fuzz-replay: $(FUZZERS)                 ## every fuzz target on its committed corpus, no engine needed
	@for t in $(FUZZERS); do $$t tests/fuzz/corpus/$${t##*/} || exit 1; done
fuzz:                                   ## every fuzz target for FUZZ_SECONDS with libFuzzer
	@$(MAKE) --no-print-directory CC=clang SAN=fuzzer-no-link,address,undefined OMP=0 fuzz-run
fuzz-run: $(FUZZERS)
	@tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)
lint: $(B)/libnibble_engine.a           ## layering, sizes, names, comments, what must not be called
	@ENGINE=$(B)/libnibble_engine.a tests/run.sh $(sort $(wildcard tests/lint/*.sh))
tidy:                                   ## clang-tidy over the library and the tool
	clang-tidy --quiet $(LIB_SRC) $(BENCH_SRC) $(CLI_SRC) -- $(FLAGS)
format:                                 ## clang-format (version 14) over all C files
	@clang-format -i $(FORMATTED)
format-check:                           ## fails when `make format` would change something
	@clang-format --dry-run -Werror $(FORMATTED)

# ---- install ----
place = PREFIX=$(call quote,$(PREFIX)) DESTDIR=$(call quote,$(DESTDIR)) scripts/install.sh
install: $(PRODUCTS) $(SHARED)          ## tool, libraries, headers and nibble.pc below $(DESTDIR)$(PREFIX)
	@$(place) install $(B) $(VERSION) $(ABI) '$(DEPS)' $(if $(filter 0,$(OMP)),,$(if $(findstring clang,$(CC)),-lomp,-lgomp))
uninstall:                              ## remove what install put there
	@$(place) uninstall

help:                                   ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1	/p' $(MAKEFILE_LIST) | expand -t 18
clean:                                  ## remove build/
	rm -rf build
print-B:
	@echo $(B)
.PHONY: all deps demo test check-fast check-short check-computed check-isa check-threads check-arm check-emulated check-san check-e2e check-bad check-exported check-onnx check-tflite check-import check-mcu check-install check-make check-tsan check-tsan-run products test-long fuzz-replay fuzz fuzz-run \
        lint tidy format format-check install uninstall help clean print-B
.SECONDARY:
-include $(patsubst %.c,$(B)/%.d,$(ALL_SRC)) $(ENGINE_SRC:%.c=$(B)/freestanding/%.d)
