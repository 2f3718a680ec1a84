#!/usr/bin/env bash
# Compiles RocksDB once for all profiles and checkouts of this machine, below the user's cache, and
# tells cargo where it is, in .cargo/config.toml. Without this, cargo compiles it for each profile:
# about 13 minutes on two cores, each time. Installs a C++ compiler and libclang where they are missing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
. "$here/install.sh"

# libclang_found: true if the library that the bindings are made with is where they look for it.
libclang_found() {
  # The developer tools of macOS have both a compiler and libclang.
  [ "$(uname)" = Darwin ] || [ -n "${LIBCLANG_PATH:-}" ] || have llvm-config ||
    ls /usr/lib/llvm*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib*/libclang*.so* >/dev/null 2>&1
}

missing=()
have c++ || missing+=(g++)
libclang_found || missing+=(libclang-dev)
[ ${#missing[@]} = 0 ] || install "The RocksDB store" "${missing[@]}"

version=$(awk '/^name = "librocksdb-sys"/ { getline; gsub(/"/, ""); print $3 }' Cargo.lock)
place="${XDG_CACHE_HOME:-$HOME/.cache}/mqtt-toolkit/rocksdb-$version"

if [ ! -f "$place/librocksdb.a" ]; then
  echo "Compiling RocksDB $version into $place: once for this machine, about 13 minutes on two cores"
  build="$place/build-$$"
  # The checksums of the log are several times faster with these instructions, which every x86-64
  # processor has had since 2011.
  [ "$(uname -m)" != x86_64 ] || export CXXFLAGS="-msse4.2 -mpclmul ${CXXFLAGS:-}"
  # From source, whatever an earlier version of this script has told cargo.
  ROCKSDB_COMPILE=1 CARGO_PROFILE_RELEASE_DEBUG=false \
    cargo build --quiet --release -p librocksdb-sys --target-dir "$build" </dev/null
  # In one step: somebody else may look for it now.
  mv "$(find "$build" -name librocksdb.a)" "$place/librocksdb.a"
  rm -rf "$build"
fi

config=.cargo/config.toml
told="# Written by setup/rocksdb.sh.
[env]
ROCKSDB_LIB_DIR = \"$place\"
ROCKSDB_STATIC = \"1\""
if [ ! -f "$config" ] || head -1 "$config" | grep -q 'Written by setup/rocksdb.sh'; then
  mkdir -p .cargo
  [ "$(cat "$config" 2>/dev/null)" = "$told" ] || echo "$told" >"$config"
elif ! grep -q ROCKSDB_LIB_DIR "$config"; then
  echo "$config is yours: add these lines to it, or cargo compiles RocksDB again for each profile." >&2
  echo "$told" >&2
fi
