# Everything that is compiled: BPF objects, native addons, generated code, plugins.
# `make` builds what is out of date; a second run does nothing. Set-up of tools: deploy/setup.sh.

BUILD := .build
NODE := node_modules/.bin/node
NODE_INCLUDE := node_modules/node-api-headers/include
CLANG ?= clang-16
CXX ?= g++
ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')

BPF_OBJECTS := $(patsubst bpf/%.c,$(BUILD)/bpf/%.o,$(wildcard bpf/*.c))
BPF_TESTS := $(patsubst bpf/tests/%.c,$(BUILD)/bpf/tests/%.o,$(wildcard bpf/tests/*.c))
PLUGINS := $(patsubst plugins/%/plugin.json,$(BUILD)/plugins/%/plugin.wasm,$(wildcard plugins/*/plugin.json))
BENCH := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))

.PHONY: all bpf native plugins gen bench cache clean fmt fmt-check
all: bpf native gen plugins bench cache
bpf: $(BPF_OBJECTS) $(BPF_TESTS)
native: $(BUILD)/native/datapath.node $(BUILD)/native/engine.node
plugins: $(PLUGINS)
bench: $(BENCH)

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -D__bpf__ \
	-I$(BUILD)/bpf -Ibpf -Wall -Wextra -Werror -Wno-unused-parameter -Wno-address-of-packed-member

$(BUILD)/bpf/vmlinux.h:
	@mkdir -p $(@D)
	bpftool btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp && mv $@.tmp $@

$(BUILD)/bpf/%.o: bpf/%.c $(BUILD)/bpf/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

CXXFLAGS_COMMON := -std=c++20 -O2 -g -fPIC -shared -fvisibility=hidden -pthread \
	-Wall -Wextra -Werror -Wno-unused-parameter -Wno-cast-function-type -Wno-missing-field-initializers \
	-DNAPI_VERSION=9 -DNODE_ADDON_API_DISABLE_DEPRECATED -DNAPI_CPP_EXCEPTIONS \
	-I$(NODE_INCLUDE) -Inode_modules/node-addon-api -Ibpf

$(BUILD)/native/datapath.node: $(wildcard host/native/*.cc host/native/*.h) bpf/abi/abi.h
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS_COMMON) -o $@.tmp $(filter %.cc,$^) -lbpf -lelf && mv $@.tmp $@

$(BUILD)/native/engine.node: $(wildcard runtime/engine/*.cc runtime/engine/*.h) bpf/abi/abi.h
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS_COMMON) -o $@.tmp $(filter %.cc,$^) && mv $@.tmp $@

gen: $(BUILD)/gen.stamp
$(BUILD)/gen.stamp: $(shell find host/hubble/proto -name '*.proto') host/hubble/buf.gen.yaml
	@mkdir -p $(@D)
	if [ -n "$^" ]; then cd host/hubble && ../../node_modules/.bin/buf generate proto --template buf.gen.yaml; fi
	touch $@

PLUGIN_TOOLS := $(wildcard runtime/build/*.ts runtime/build/assembly/*.as runtime/sdk/*.ts runtime/contract/*) package-lock.json
.SECONDEXPANSION:
$(BUILD)/plugins/%/plugin.wasm: plugins/%/plugin.json $$(filter-out %.test.ts,$$(wildcard plugins/$$*/*.ts plugins/wire/*.ts)) $(PLUGIN_TOOLS)
	@mkdir -p $(@D)
	$(NODE) runtime/build/main.ts plugins/$* --out $(@D)

$(BUILD)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -Wall -Wextra -Werror -pthread -o $@ $<

# Loading TypeScript that Node has not seen before costs a process 30 MB for good. So it is seen here.
PROCESSES := host/main.ts host/cli/main.ts runtime/worker/thread.ts
cache: $(BUILD)/compile-cache.stamp
$(BUILD)/compile-cache.stamp: $(shell find host runtime -name '*.ts' ! -name '*.test.ts') package-lock.json | gen native
	NODE_COMPILE_CACHE=$(BUILD)/compile-cache $(NODE) -e '$(foreach file,$(PROCESSES),import("./$(file)");)'
	NODE_COMPILE_CACHE=$(BUILD)/compile-cache $(NODE) runtime/main.ts --help >/dev/null
	touch $@

C_SOURCES = $$(find bpf host runtime plugins bench -name '*.c' -o -name '*.h' -o -name '*.cc')
fmt:
	clang-format-16 -i $(C_SOURCES)
fmt-check:
	clang-format-16 --dry-run --Werror $(C_SOURCES)

clean:
	rm -rf $(BUILD) host/hubble/gen

# Records what the verifier goes through (test/instructions.root.test.ts guards it). Needs root.
.PHONY: instructions
instructions: bpf native
	$(NODE) test/instructions.ts --write

-include $(wildcard $(BUILD)/bpf/*.d $(BUILD)/bpf/tests/*.d)
