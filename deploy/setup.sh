#!/bin/sh
# Makes a bare clone runnable: Debian packages, npm packages, compiled parts, bpffs. Does only what
# is missing, so a second run costs milliseconds. What to compile and when is the Makefile's affair.
#
#   sh deploy/setup.sh [--test] [--bench] [--unprivileged]
#
# --test          also what the tests need
# --bench         also what the benchmarks need
# --unprivileged  no mounts; without root, missing Debian packages are named instead of installed
#
# Progress goes to stderr. Exit 0, or 2 with one line that names what is missing and how to get it.
set -eu

say() { echo "imker: $*" >&2; }
die() {
  say "$*"
  exit 2
}

cd "$(dirname "$0")/.."
project=$PWD
logs=$project/.build/log
with_test=no with_bench=no privileged=yes
for option in "$@"; do
  case $option in
  --test) with_test=yes ;;
  --bench) with_bench=yes ;;
  --unprivileged) privileged=no ;;
  *) die "cannot set up: unknown option $option (known: --test --bench --unprivileged)" ;;
  esac
done

# npm puts node_modules/.bin first; npm itself must not run on the node it is about to replace.
system_path=
old_ifs=$IFS
IFS=:
for folder in $PATH /usr/local/sbin /usr/sbin /sbin; do
  case $folder in
  *node_modules/.bin | *node-gyp-bin) ;;
  *) system_path=$system_path${system_path:+:}$folder ;;
  esac
done
IFS=$old_ifs
PATH=$system_path
export PATH

is_root() { [ "$(id -u)" = 0 ]; }

check_machine() {
  [ "$(uname -s)" = Linux ] || die "cannot run on $(uname -s): Imker needs Linux"
  case $(uname -m) in
  x86_64 | aarch64) ;;
  *) die "cannot run on $(uname -m): supported are x86_64 and aarch64" ;;
  esac
  [ -r /sys/kernel/btf/vmlinux ] ||
    die "kernel $(uname -r) has no BTF (/sys/kernel/btf/vmlinux):" \
      "boot one built with CONFIG_DEBUG_INFO_BTF=y, as Debian's are"
  if [ $privileged = yes ] && ! is_root; then
    die "must be root to load BPF programs: run it as root (npm run ok needs no root)"
  fi
  for tool in node npm; do
    command -v $tool >/dev/null ||
      die "$tool is missing: install Node.js 20 or later with npm"
  done
}

# One set-up of this tree at a time; the lock is on this script, so it leaves no file behind.
take_lock() {
  mkdir -p "$logs" 2>/dev/null && [ -w "$logs" ] ||
    die "cannot write $logs: it belongs to another user, who should run this"
  exec 9<deploy/setup.sh
  flock -n 9 && return
  say "another set-up of this tree is running, waiting for it"
  flock -w 1800 9 || die "cannot set up: another set-up of this tree did not end in 30 minutes"
}

# Each line: the Debian package, then what shows that it is there: a command, a file (/…) or a
# Python module (py:…).
needed_packages="
  clang-16      clang-16
  libbpf-dev    /usr/include/bpf/libbpf.h
  libelf-dev    /usr/include/libelf.h
  bpftool       bpftool
  g++           g++
  make          make
  iproute2      tc
  iputils-ping  ping
  curl          curl
  procps        sysctl
"
test_packages="
  clang-format-16  clang-format-16
  etcd-client      etcdctl
  etcd-server      etcd
  haproxy          haproxy
  iptables         iptables-restore
  nftables         nft
  postgresql       /usr/bin/pg_ctlcluster
  postgresql-client  psql
  memcached        memcached
  redis-server     redis-server
"
bench_packages="
  ethtool       ethtool
  haproxy       haproxy
  iptables      iptables-restore
  nftables      nft
  python3-venv  py:ensurepip
"
[ $with_test = no ] || needed_packages="$needed_packages$test_packages"
[ $with_bench = no ] || needed_packages="$needed_packages$bench_packages"

is_present() {
  case $1 in
  /*) [ -e "$1" ] ;;
  py:*) /usr/bin/python3 -c "import ${1#py:}" 2>/dev/null ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

missing_packages() {
  echo "$needed_packages" | while read -r package evidence; do
    [ -z "$package" ] || is_present "$evidence" || printf '%s ' "$package"
  done
}

apt() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@" \
    </dev/null >>"$logs/apt.log" 2>&1 9<&-
}

# Packages such as haproxy would start a daemon when installed; Debian asks this file first.
forbid_daemons() {
  [ -e /usr/sbin/policy-rc.d ] && return
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  trap 'exit 2' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
}

install_packages() {
  missing=$(missing_packages)
  missing=${missing% }
  [ -n "$missing" ] || return 0
  is_root || die "Debian packages are missing: as root run: apt-get install $missing"
  command -v apt-get >/dev/null ||
    die "cannot install $missing: no apt-get here; install them as your distribution does"
  say "installing Debian packages ($missing)…"
  : >"$logs/apt.log"
  forbid_daemons
  apt update || true # a broken foreign source must not stop us: the install below decides
  # shellcheck disable=SC2086 # a list of words
  if ! apt install --no-install-recommends $missing; then
    reason=$(grep -m 1 '^E:' "$logs/apt.log" || tail -n 1 "$logs/apt.log")
    die "cannot install $missing: apt-get says \"$reason\"" \
      "(is the Debian mirror reachable? all of it: $logs/apt.log)"
  fi
  rm -f /usr/sbin/policy-rc.d
  trap - EXIT HUP INT TERM
  missing=$(missing_packages)
  [ -z "$missing" ] || die "installed, but still not found: what ${missing% } should bring"
}

# After `npm install` by hand the tree may agree with the lock file without our stamp.
npm_tree_agrees() {
  node -e '
    const read = (path) => JSON.parse(require("fs").readFileSync(path, "utf8")).packages;
    const wanted = read("package-lock.json");
    const present = read("node_modules/.package-lock.json");
    for (const [path, entry] of Object.entries(wanted)) {
      if (path === "" || entry.link) continue;
      const there = present[path];
      if (there === undefined ? !entry.optional : there.version !== entry.version) process.exit(1);
    }' 2>/dev/null
}

install_npm_packages() {
  stamp=node_modules/.imker-stamp
  digest=$(sha256sum package-lock.json | cut -d ' ' -f 1)
  if [ -x node_modules/.bin/node ]; then
    [ "$(cat $stamp 2>/dev/null)" != "$digest" ] || return 0
    if npm_tree_agrees; then
      echo "$digest" >$stamp
      return
    fi
  fi
  say "installing npm packages, Node and Deno among them…"
  # Without network `npm install` tries each optional package for a minute; one question tells.
  npm view node version --fetch-retries=1 --fetch-retry-mintimeout=1000 \
    </dev/null >"$logs/npm.log" 2>&1 9<&- ||
    die "cannot install npm packages: $(npm config get registry 2>/dev/null) does not answer" \
      "(is there a network, or a proxy to set? all of it: $logs/npm.log)"
  # Not `npm ci`: it refuses a lock file without the optional packages of other platforms, and a
  # registry mirror that does not carry those cannot write a lock file that has them. This installs
  # the locked versions, checks their integrity and leaves the lock file alone just the same.
  if ! npm install --no-save --no-audit --no-fund --no-progress \
    </dev/null >"$logs/npm.log" 2>&1 9<&-; then
    reason=$(grep -m 1 -E '^npm (ERR!|error) [a-z]' "$logs/npm.log" || tail -n 1 "$logs/npm.log")
    die "cannot install npm packages: \"$reason\"" \
      "(is $(npm config get registry 2>/dev/null) reachable? all of it: $logs/npm.log)"
  fi
  if ! node_modules/.bin/node --version >/dev/null 2>&1; then
    rm -rf node_modules/node node_modules/.package-lock.json # or npm would take it for installed
    die "npm did not install Node: its install scripts are switched off" \
      "(npm config set ignore-scripts false)"
  fi
  echo "$digest" >$stamp
}

build() {
  make -q all >/dev/null 2>&1 9<&- && return
  say "building BPF objects, native addons and plugins…"
  if ! make -j2 all </dev/null >"$logs/make.log" 2>&1 9<&-; then
    tail -n 25 "$logs/make.log" >&2
    die "cannot build: make failed (all of it: $logs/make.log)"
  fi
}

mount_bpffs() {
  [ $privileged = yes ] || return 0
  grep -q '^[^ ]* /sys/fs/bpf bpf ' /proc/mounts && return
  mount -t bpf bpf /sys/fs/bpf 2>/dev/null ||
    die "cannot mount /sys/fs/bpf: needs CAP_SYS_ADMIN (a privileged container, or the host)"
}

check_machine
take_lock
install_packages
install_npm_packages
build
mount_bpffs
