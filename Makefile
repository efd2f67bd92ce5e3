# hallpass: one Makefile, folders by wildcard, BUILD= for variants (make BUILD=build-x CC=clang check).
#
#   make          builds hallpassd and hallpass      make demo   the main job, against the bundled stand-in
#   make check    builds and runs every test         make run    the same, against Google, with your credentials
#   make help     lists the rest

BUILD    ?= build
CC       ?= cc
CXX      ?= c++
PREFIX   ?= /usr/local
VERSION  := 0.1.0
DATE     := November 26, 2026
PKGS      = libcurl libevent_core libevent_pthreads jansson openssl yaml-0.1

CPPFLAGS += -D_GNU_SOURCE -DHALLPASS_VERSION='"$(VERSION)"' -DHALLPASS_DATE='"$(DATE)"' -Iinclude -I.
CFLAGS   ?= -O2 -g
WARNINGS  = -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wvla -Wundef
CFLAGS_C  = -std=gnu17 $(WARNINGS) -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -fno-strict-aliasing \
	    -fstack-protector-strong -MMD -MP
CFLAGS_CXX = -std=c++17 -Wall -Wextra -Werror -MMD -MP
# Small tables of relocations: each page that the loader looks at is time at the start, and memory after it. (libgcc stays the
# shared one: the C library unwinds by it, too, and an exception that goes through both must meet one unwinder.)
LDFLAGS_X = -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,-z,pack-relative-relocs

# pkg-config is itself one of the things that `make deps` installs, so it is asked when a recipe runs, not before.
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# libpolicy.a needs these and no more; RE2 and the C++ runtime go in statically (start-up time; PERF).
LIBS_POLICY = -ljansson -lyaml -Wl,-Bstatic -lre2 -lstdc++ -Wl,-Bdynamic -lm -lpthread
# The command is started for every token: all that it needs goes in statically, so that it starts in half of the time; but
# sanitizers want the C library as it is.
LDFLAGS_CLI = $(if $(findstring sanitize,$(CFLAGS)),,-static-pie)
LIBS_CLI    = $(if $(LDFLAGS_CLI),,-Wl,-Bstatic) -ljansson -lyaml -lre2 -lstdc++ -lcrypto $(if $(LDFLAGS_CLI),,-Wl,-Bdynamic) -lm -lpthread
LIBS_BROKER = -levent_core -levent_pthreads -lcrypto

POLICY    = $(patsubst %.c,$(BUILD)/%.o,$(wildcard policy/*.c)) $(patsubst %.cc,$(BUILD)/%.o,$(wildcard policy/*.cc))
BROKER    = $(patsubst %.c,$(BUILD)/%.o,$(filter-out broker/main.c,$(wildcard broker/*.c)) \
	    $(filter-out $(wildcard broker/cli/*.c),$(wildcard broker/*/*.c)))
CLI       = $(patsubst %.c,$(BUILD)/%.o,$(filter-out broker/cli/main.c,$(wildcard broker/cli/*.c)))
GOOGLE    = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/google/*.c))
TESTLIB   = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
TESTS_POLICY = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/policy/test_*.c))
TESTS_BROKER = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/broker/test_*.c))
TESTS_SCENARIO = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/scenario/test_*.c))

# All cores, unless the caller says otherwise (a make below this one has the jobs of its caller); commands in full with V=1.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $@)

all: $(BUILD)/hallpassd $(BUILD)/hallpass

$(BUILD)/hallpassd: $(BUILD)/broker/main.o $(BUILD)/libbroker.a $(BUILD)/libpolicy.a
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_X) -o $@ $^ $(LIBS_BROKER) $(LIBS_POLICY)
$(BUILD)/hallpass: $(BUILD)/broker/cli/main.o $(BUILD)/libcli.a $(BUILD)/libbroker.a $(BUILD)/libpolicy.a
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_X) $(LDFLAGS_CLI) -o $@ $^ $(LIBS_CLI)
# The Google stand-in: a test tool, never installed.
$(BUILD)/google-standin: $(GOOGLE) $(BUILD)/tests/lib/testcert.o
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_X) -o $@ $^ -levent_core -levent_extra -levent_openssl -ljansson -lssl -lcrypto
$(BUILD)/libpolicy.a: $(POLICY)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^
$(BUILD)/libtest.a: $(TESTLIB)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^
$(BUILD)/libcli.a: $(CLI)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^
$(BUILD)/libbroker.a: $(BROKER)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^
$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS_C) $(CFLAGS) -c -o $@ $<
$(BUILD)/%.o: %.cc Makefile
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(CPPFLAGS) $(CFLAGS_CXX) $(CFLAGS) -c -o $@ $<

# Nobody reads errno after a square root, so it is the machine's instruction and wants no libm.
$(BUILD)/policy/cel_lib_math.o: CFLAGS_C += -fno-math-errno

# Policy tests link libpolicy.a and nothing else: a call to the outside does not link.
$(TESTS_POLICY) $(BUILD)/tests/policy/conformance: $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libpolicy.a
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LIBS_POLICY)
$(BUILD)/tests/policy/conformance $(BUILD)/tests/policy/test_conformance $(BUILD)/tests/scenario/test_eval: $(BUILD)/tests/policy/suite.o
$(BUILD)/tests/policy/test_cel_random $(BUILD)/tests/fuzz/fuzz_typed: $(BUILD)/tests/policy/naive.o
$(TESTS_BROKER) $(TESTS_SCENARIO): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libtest.a $(BUILD)/libcli.a $(BUILD)/libbroker.a $(BUILD)/libpolicy.a
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka -lssl $(LIBS_BROKER) $(LIBS_POLICY)
$(TESTS_SCENARIO): | $(BUILD)/hallpassd $(BUILD)/hallpass $(BUILD)/google-standin $(BUILD)/fakeclock.so $(BUILD)/crashpoint.so $(BUILD)/failalloc.so $(BUILD)/gate.so
# Shift a daemon's wall clock, end it at a chosen file call, let its memory run out, hold it at a file, in scenario tests; no
# sanitizer in them, they are loaded before theirs.
$(BUILD)/fakeclock.so: tests/fakeclock/fakeclock.c
$(BUILD)/crashpoint.so: tests/crashpoint/crashpoint.c
$(BUILD)/failalloc.so: tests/failalloc/failalloc.c tests/failalloc/failalloc.h
$(BUILD)/gate.so: tests/gate/gate.c
$(BUILD)/fakeclock.so $(BUILD)/crashpoint.so $(BUILD)/failalloc.so $(BUILD)/gate.so:
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) -std=gnu17 -O2 -Wall -Wextra -Werror -I. -fPIC -shared -o $@ $<

# The other opinion on HTTP (tests/broker/test_llhttp.c), where its sources are: Debian's node-llhttp, as deps.sh unpacks it.
LLHTTP ?= $(firstword $(wildcard build-llhttp/usr/share /usr/share))
ifneq ($(wildcard $(LLHTTP)/llhttp/llhttp.c),)
$(BUILD)/tests/broker/test_llhttp: | $(BUILD)/llhttp.so
endif
$(BUILD)/llhttp.so: tests/llhttp/shim.c tests/llhttp/shim.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) -std=gnu17 -O1 -fPIC -shared -DLLHTTP_STRICT_MODE=1 -I. -I$(LLHTTP)/include/llhttp -I$(LLHTTP)/llhttp -o $@ $< $(LLHTTP)/llhttp/*.c

# policy/ is pure: no files, clock, sockets, environment, event loop.
OUTSIDE = open|openat|fopen|fdopen|read|write|pread|pwrite|socket|connect|time|clock_gettime|gettimeofday|localtime|localtime_r|gmtime|gmtime_r|getenv|secure_getenv|setlocale|curl_.*|event_.*|EVP_.*|SHA256.*
check-layers: $(BUILD)/libpolicy.a
	@! nm -u $(filter %.o,$(patsubst %.c,$(BUILD)/%.o,$(wildcard policy/*.c))) | grep -wE 'U ($(OUTSIDE))' || \
		{ echo 'check-layers: policy/ reaches outside itself (see above)'; exit 1; }
	@! grep -nE '#include "broker/' policy/*.[ch] include/hallpass/*.h || \
		{ echo 'check-layers: an include points up (see above)'; exit 1; }
	@echo 'check-layers: policy/ is pure'

# --- tests

TESTS = $(TESTS_POLICY) $(TESTS_BROKER) $(TESTS_SCENARIO)
SAN   = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=function,vptr -fno-sanitize-recover=all
FUZZERS = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
# Each fuzz target's time in seconds: a minute in CI, a taste at the desk.
FUZZ_SECONDS ?= $(if $(CI),60,5)

check: deps-check
	$(MAKE) --no-print-directory test check-layers check-docs
	$(MAKE) --no-print-directory interop-quick
	@HALLPASS_BUILD=$(BUILD) tests/mutants.sh
	$(MAKE) --no-print-directory valgrind VALGRIND_TESTS='$(VALGRIND_CHECK)'
	$(MAKE) --no-print-directory asan
	$(MAKE) --no-print-directory fuzz
	@cat $(BUILD)/logs/summary $(BUILD)-asan/logs/summary $(BUILD)-fuzz/summary
	@cat $(BUILD)/logs/*.count $(BUILD)-asan/logs/*.count | \
		awk '{ p += $$1; f += $$2; s += $$3 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s }'

test: all $(TESTS) $(BUILD)/google-standin
	@HALLPASS_BUILD=$(BUILD) HALLPASS_TEST_NAME=$(notdir $(CC)) tests/run.sh $(BUILD)/logs $(TESTS) | tee $(BUILD)/logs.out; \
		r=$${PIPESTATUS[0]}; tail -n 1 $(BUILD)/logs.out > $(BUILD)/logs/summary; exit $$r

# The same tests under the other compiler, with AddressSanitizer and UBSan.
asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-asan CC=clang CXX=clang++ CFLAGS='$(SAN)' LDFLAGS='-fsanitize=address,undefined' test

# valgrind on the unit tests: what ASan cannot see (uninitialised reads, the libraries' own buffers). HALLPASS_SLOW tells tests that
# count into the millions that they are not meant. Debian 12's valgrind lacks openat2(), so no listener comes up in it.
VALGRIND_TESTS = $(TESTS_POLICY) $(patsubst %.c,$(BUILD)/%,$(shell grep -L listener_unix tests/broker/test_*.c))
# Of them what reads bytes from outside: these run in `check`, half a minute.
PARSERS = ask cli_settings config document eval explain google http journal recover sockdiag uri yaml zones
VALGRIND_CHECK = $(filter $(foreach p,$(PARSERS),%/test_$(p)),$(VALGRIND_TESTS))
valgrind: $(VALGRIND_TESTS)
	@HALLPASS_BUILD=$(BUILD) HALLPASS_TEST_NAME=valgrind HALLPASS_SLOW=1 HALLPASS_TEST_WRAP='valgrind -q --error-exitcode=9 --leak-check=full --suppressions=tests/valgrind.supp' \
		tests/run.sh $(BUILD)/logs-valgrind $(VALGRIND_TESTS)

# libFuzzer. `make fuzz FUZZ_SECONDS=600 FUZZERS=http`.
fuzz:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-fuzz CC=clang CXX=clang++ \
		CFLAGS='-O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize=function,vptr -fno-sanitize-recover=all' fuzz-run
fuzz-run: $(patsubst %,$(BUILD)/tests/fuzz/fuzz_%,$(FUZZERS))
	@tests/fuzz/run.sh $(BUILD) $(FUZZ_SECONDS) $(FUZZERS)
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/libcli.a $(BUILD)/libbroker.a $(BUILD)/libpolicy.a
	$(call say,LD)
	$(Q)$(CXX) $(CFLAGS) -fsanitize=address,undefined,fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_BROKER) $(LIBS_POLICY)

# The long forms of the crash, order and fault tests: 200 kills at random, one at every file call of the writer, 10,000 mints.
soak: all $(TESTS_SCENARIO)
	@HALLPASS_BUILD=$(BUILD) HALLPASS_TEST_NAME=soak HALLPASS_KILLS=200 HALLPASS_CRASHES=all HALLPASS_MINTS=10000 \
		HALLPASS_TEST_JOBS=1 HALLPASS_TEST_SECONDS=3600 \
		tests/run.sh $(BUILD)/logs-soak $(patsubst %,$(BUILD)/tests/scenario/test_%,crash order faults)
	@grep -h -E 'kills|crashes|tokens|records' $(BUILD)/logs-soak/*.log

# Tests of tests: each promise's mechanism switched off once, and its test seen to fail.
mutants: test
	@HALLPASS_BUILD=$(BUILD) HALLPASS_STRICT=1 tests/mutants.sh

coverage:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-cov CC=gcc CFLAGS='-O0 -g --coverage' LDFLAGS='--coverage' test
	@tests/coverage.sh $(BUILD)-cov

# What README and the man pages say of configuration and commands is what the tables say.
check-docs: all pages
	@tests/docs.sh $(BUILD)

# The CEL conformance suite: a table per file. V=1 shows the tests that fail.
conformance: $(BUILD)/tests/policy/conformance
	@$< $(if $(V),-v)

# Google's real clients in front of hallpassd, in a network of its own: those that are installed, and client libraries by name from
# their languages' registries. `make interop INTEROP="--only gcloud"`.
interop: all $(BUILD)/google-standin
	@tests/interop/run.sh $(BUILD) $(INTEROP)
# Of what is here already each client once, as people use it, and a fault: half a minute.
interop-quick: all $(BUILD)/google-standin
	@HALLPASS_INTEROP_OFFLINE=1 tests/interop/run.sh $(BUILD) --quick

# Web pages against our ports, in a real Chromium: the one that is installed, else Debian's, unpacked. The other tests are those of the
# mutants that switch the rules about pages off.
browser: all $(patsubst %,$(BUILD)/tests/scenario/test_%,browser iam_credentials metadata relay)
	@tests/browser.sh $(BUILD)

# --- set-up

deps:
	@contrib/deps.sh build
deps-check:
	@contrib/deps.sh check

# --- the main job

demo: deps
	@$(MAKE) --no-print-directory -s all $(BUILD)/google-standin
	@contrib/demo.sh $(BUILD)
run: deps
	@$(MAKE) --no-print-directory -s all
	@contrib/run.sh $(BUILD)

# Benchmarks: side by side with their yardsticks; nothing here is a test.
BENCH = $(patsubst %,$(BUILD)/tests/bench/%,load rawsync idle firstaccept)
$(BENCH): %: %.o
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) -o $@ $<
$(BUILD)/tests/bench/policybench: $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libpolicy.a
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LIBS_POLICY)
bench: all $(BUILD)/google-standin $(BENCH) $(BUILD)/tests/bench/policybench
	@tests/bench/bench.sh $(BUILD) $(ROUNDS)
# Of the policy engine alone.
bench-policy: $(BUILD)/tests/bench/policybench
	@tests/bench/policy.sh $(BUILD) $(ROUNDS)

# Manual pages and completion are printed by the programs themselves, from the tables that they run by.
PAGES = $(BUILD)/share/hallpass.1 $(BUILD)/share/hallpassd.8 $(BUILD)/share/hallpassd.yaml.5 \
	$(patsubst %,$(BUILD)/share/completion.%,bash zsh fish)
UNITS = $(BUILD)/share/system.service $(BUILD)/share/user.service
$(BUILD)/share/hallpass.1: $(BUILD)/hallpass
	$(Q)mkdir -p $(@D) && $< help --man > $@
$(BUILD)/share/hallpassd.8: $(BUILD)/hallpassd
	$(Q)mkdir -p $(@D) && $< --man > $@
$(BUILD)/share/hallpassd.yaml.5: $(BUILD)/hallpassd
	$(Q)mkdir -p $(@D) && $< --help-config=man > $@
$(BUILD)/share/completion.%: $(BUILD)/hallpass
	$(Q)mkdir -p $(@D) && $< help --completion $* > $@
# The units name the programs by their installed paths, whatever PREFIX was the last time.
$(BUILD)/share/%.service: contrib/systemd/%.service FORCE
	$(Q)mkdir -p $(@D) && sed 's|@bindir@|$(PREFIX)/bin|g' $< > $@
FORCE:
pages: $(PAGES) $(UNITS)

# The names by which other programs start hallpass; check-docs compares them with its own.
LINKS = docker-credential-hallpass git-credential-hallpass hallpass-gcp-executable hallpass-kubectl-credential

install: all pages
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin share/man/man1 share/man/man5 share/man/man8 \
		share/bash-completion/completions share/zsh/site-functions share/fish/vendor_completions.d \
		share/doc/hallpass/examples share/hallpass lib/systemd/system lib/systemd/user lib/sysusers.d)
	install -m 755 $(BUILD)/hallpass $(BUILD)/hallpassd $(DESTDIR)$(PREFIX)/bin/
	for link in $(LINKS); do ln -sf hallpass $(DESTDIR)$(PREFIX)/bin/$$link; done
	install -m 644 $(BUILD)/share/hallpass.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 $(BUILD)/share/hallpassd.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 $(BUILD)/share/hallpassd.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -m 644 $(BUILD)/share/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hallpass
	install -m 644 $(BUILD)/share/completion.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hallpass
	install -m 644 $(BUILD)/share/completion.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hallpass.fish
	install -m 644 $(BUILD)/share/system.service $(DESTDIR)$(PREFIX)/lib/systemd/system/hallpassd.service
	install -m 644 $(BUILD)/share/user.service $(DESTDIR)$(PREFIX)/lib/systemd/user/hallpassd.service
	install -m 644 contrib/systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/hallpass.conf
	install -m 644 README.md contrib/doc/guide.md contrib/doc/policy.md $(DESTDIR)$(PREFIX)/share/doc/hallpass/
	install -m 644 contrib/policy.schema.json $(DESTDIR)$(PREFIX)/share/hallpass/
	install -m 644 contrib/policies/*.yaml contrib/systemd/hallpassd.yaml $(DESTDIR)$(PREFIX)/share/doc/hallpass/examples/

help:
	@sed -n 's/^#   //p' Makefile
	@echo 'make test        the tests alone, as built        make asan       clang, AddressSanitizer, UBSan'
	@echo 'make valgrind    unit tests under valgrind        make fuzz       libFuzzer, FUZZ_SECONDS each'
	@echo 'make coverage    line coverage                    make bench      side by side with the yardsticks'
	@echo 'make soak        the long crash tests, minutes    make mutants    tests of the tests'
	@echo 'make conformance the CEL conformance suite        make interop    Google'"'"'s real clients, minutes'
	@echo 'make install     PREFIX, DESTDIR                  make browser    web pages in a real Chromium'

.SECONDARY:
.PHONY: all check test soak mutants asan valgrind fuzz fuzz-run coverage check-docs check-layers conformance interop interop-quick browser deps deps-check demo run bench bench-policy pages install clean help FORCE
SHELL = /bin/bash
clean:
	rm -rf build build-*
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
