# hallpass: one Makefile, folders by wildcard, BUILD= for variants (make BUILD=build-x CC=clang check).
#
#   make          builds hallpassd and hallpass             make demo     the main job, against the bundled stand-in
#   make check    builds and runs every test                make run      the same, against Google, with your credentials
#   make help     lists the rest

BUILD    ?= build
CC       ?= cc
CXX      ?= c++
PREFIX   ?= /usr/local
VERSION  := 0.1.0
PKGS      = libcurl libevent_core libevent_pthreads jansson openssl yaml-0.1

CPPFLAGS += -D_GNU_SOURCE -DHALLPASS_VERSION='"$(VERSION)"' -Iinclude -I.
CFLAGS   ?= -O2 -g -fno-omit-frame-pointer
WARNINGS  = -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wvla -Wundef
CFLAGS_C  = -std=gnu17 $(WARNINGS) -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -fno-strict-aliasing \
	    -fstack-protector-strong -MMD -MP
CFLAGS_CXX = -std=c++17 -Wall -Wextra -Werror -MMD -MP
LDFLAGS_X = -Wl,-z,relro,-z,now -Wl,--as-needed

# pkg-config is itself one of the things that `make deps` installs, so it is asked when a recipe runs, not before.
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# libpolicy.a needs these and no more; RE2 and the C++ runtime go in statically (start-up time; PERF).
LIBS_POLICY = -ljansson -lyaml -Wl,-Bstatic -lre2 -lstdc++ -Wl,-Bdynamic -lm -lpthread
LIBS_BROKER = -lcurl -levent_core -levent_pthreads -lssl -lcrypto

POLICY    = $(patsubst %.c,$(BUILD)/%.o,$(wildcard policy/*.c)) $(patsubst %.cc,$(BUILD)/%.o,$(wildcard policy/*.cc))
BROKER    = $(patsubst %.c,$(BUILD)/%.o,$(filter-out broker/main.c,$(wildcard broker/*.c)) \
	    $(filter-out $(wildcard broker/cli/*.c),$(wildcard broker/*/*.c)))
CLI       = $(patsubst %.c,$(BUILD)/%.o,$(wildcard broker/cli/*.c))
GOOGLE    = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/google/*.c))
TESTLIB   = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
TESTS_POLICY = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/policy/test_*.c))
TESTS_BROKER = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/broker/test_*.c))
TESTS_SCENARIO = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/scenario/test_*.c))

all: $(BUILD)/hallpassd $(BUILD)/hallpass

$(BUILD)/hallpassd: $(BUILD)/broker/main.o $(BUILD)/libbroker.a $(BUILD)/libpolicy.a
	$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_X) -o $@ $^ $(LIBS_BROKER) $(LIBS_POLICY)
$(BUILD)/hallpass: $(CLI) $(BUILD)/libbroker.a $(BUILD)/libpolicy.a
	$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_X) -o $@ $^ $(LIBS_BROKER) $(LIBS_POLICY)
# The Google stand-in: a test tool, never installed.
$(BUILD)/google-standin: $(GOOGLE)
	$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_X) -o $@ $^ -levent_core -ljansson -lcrypto
$(BUILD)/libpolicy.a: $(POLICY)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/libbroker.a: $(BROKER)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS_C) $(CFLAGS) -c -o $@ $<
$(BUILD)/%.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CFLAGS_CXX) $(CFLAGS) -c -o $@ $<

# Policy tests link libpolicy.a and nothing else: a call to the outside does not link.
$(TESTS_POLICY): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libpolicy.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_POLICY)
$(TESTS_BROKER) $(TESTS_SCENARIO): $(BUILD)/%: $(BUILD)/%.o $(TESTLIB) $(BUILD)/libbroker.a $(BUILD)/libpolicy.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_BROKER) $(LIBS_POLICY)
$(TESTS_SCENARIO): $(BUILD)/hallpassd $(BUILD)/hallpass $(BUILD)/google-standin

# policy/ is pure: no files, clock, sockets, environment, event loop.
OUTSIDE = open|openat|fopen|fdopen|read|write|pread|pwrite|socket|connect|time|clock_gettime|gettimeofday|localtime|localtime_r|gmtime|gmtime_r|getenv|secure_getenv|setlocale|curl_.*|event_.*|EVP_.*|SHA256.*
check-layers: $(BUILD)/libpolicy.a
	@! nm -u $(filter %.o,$(patsubst %.c,$(BUILD)/%.o,$(wildcard policy/*.c))) | grep -wE 'U ($(OUTSIDE))' || \
		{ echo 'check-layers: policy/ reaches outside itself (see above)'; exit 1; }
	@! grep -nE '#include "broker/' policy/*.[ch] include/hallpass/*.h || \
		{ echo 'check-layers: an include points up (see above)'; exit 1; }
	@echo 'check-layers: policy/ is pure'

.PHONY: all check-layers clean help
clean:
	rm -rf build build-*
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
