# Nibble. `make help` lists the targets; knobs: MODE=release|debug SAN=address,undefined OMP=0|1 WERROR=1 V=1 CC CFLAGS PREFIX DESTDIR
.DEFAULT_GOAL := all
VERSION := $(shell sed -n 's/^\#define NB_VERSION "\(.*\)"/\1/p' include/nibble/nibble.h)
MODE ?= release# release | debug
OMP  ?= 1
Q     = $(if $(filter 1,$(V)),,@)
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual \
        -Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 $(if $(filter 1,$(WERROR)),-Werror)
OPT_release := -O3 -g
OPT_debug   := -Og -g3 -DNB_DEBUG=1
DEPS := libpng zlib yaml-0.1 libcjson
FLAGS = -std=c11 -D_XOPEN_SOURCE=700 -ffp-contract=off -fvisibility=hidden $(WARN) $(OPT_$(MODE)) \
        $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) $(if $(filter 1,$(OMP)),-fopenmp) \
        -Iinclude -Isrc $(shell pkg-config --cflags $(DEPS) 2>/dev/null)
LIBS  = $(shell pkg-config --libs $(DEPS) 2>/dev/null) -lpthread -lm
# One object folder per distinct compiler and flags: an ASan object is never linked into a release.
KEY := $(shell printf '%s' '$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS)' | cksum | cut -d' ' -f1)
B   := build/$(MODE)-$(KEY)
LIB_SRC  := $(sort $(filter-out src/cli/%,$(wildcard src/*/*.c)) $(wildcard layers/*.c datasets/*.c))
CLI_SRC  := $(sort $(wildcard src/cli/*.c))
TEST_SRC := $(sort $(wildcard tests/unit/test_*.c tests/prop/test_*.c))
REF_SRC  := $(sort $(wildcard tests/ref/*.c))
obj      = $(1:%.c=$(B)/%.o)
TESTS    = $(TEST_SRC:%.c=$(B)/%)

all: $(if $(CLI_SRC),$(B)/nibble) $(B)/libnibble.a      ## library and command line tool
	@ln -sfn $(notdir $(B)) build/current
$(B)/libnibble.a: $(call obj,$(LIB_SRC))
	@rm -f $@ && $(AR) rcsD $@ $^
$(B)/libref.a: $(call obj,$(REF_SRC))
	@rm -f $@ && $(AR) rcsD $@ $^
$(B)/nibble: $(call obj,$(CLI_SRC)) $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -o $@ $^ $(LIBS)
$(TESTS): $(B)/%: $(B)/%.o $(B)/libref.a $(B)/libnibble.a
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -o $@ $^ $(LIBS) -lcmocka
$(B)/tests/%.o: FLAGS += -Itests
$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
check-fast: $(TESTS)               ## unit and property tests of this build
	@for t in $(TESTS); do $$t || exit 1; done
help:                              ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' $(MAKEFILE_LIST)
clean:                             ## remove build/
	rm -rf build
.PHONY: all check-fast help clean
.SECONDARY:
-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(CLI_SRC) $(TEST_SRC) $(REF_SRC)))
