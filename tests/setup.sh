# Functions shared by the scripts in this folder, which source this file.
# shellcheck shell=bash

# The Claude Code clients to test with.
client_versions=(2.1.332 2.1.330 2.1.197)

install_clients() {
  local version
  for version in "${client_versions[@]}"; do tests/install-client "$version"; done
}

say() { printf '\n== %s\n' "$*"; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Installs Debian packages unless they are already there. Arguments: PROGRAM=PACKAGE, or /PATH=PACKAGE.
need() {
  local pair brings missing=()
  for pair in "$@"; do
    brings="${pair%%=*}"
    case "$brings" in
      /*) [ -e "$brings" ] || missing+=("${pair#*=}") ;;
      *) PATH="$PATH:/usr/sbin:/sbin" command -v "$brings" >/dev/null || missing+=("${pair#*=}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "These are missing, and apt-get is not here to install them: ${missing[*]} (names of Debian packages)" >&2
    exit 1
  fi
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "These are missing: ${missing[*]}. As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Prometheus with promtool. The package starts a service, which the tests do not need.
need_prometheus() {
  ! command -v prometheus >/dev/null || return 0
  need prometheus=prometheus
  as_root systemctl disable --now prometheus >/dev/null 2>&1 || true
}

# The C library's archive, needed to link static executables.
need_static_libc() {
  [ -e "$(cc -print-file-name=libc.a 2>/dev/null || echo /nowhere)" ] || need /nowhere=libc6-dev
}

# Hooks start fastest with musl (README, "Install"), so test that, if Rust has the target.
use_musl() {
  local musl; musl="$(uname -m)-unknown-linux-musl"
  if rustup target add "$musl" >/dev/null 2>&1 && [ -d "$(rustc --print target-libdir --target "$musl")" ]; then
    need "musl-gcc=musl-tools"
    export CARGO_BUILD_TARGET="$musl"
  else
    say "SKIPPED: hooks with musl: rustup cannot add $musl; these tests are of hooks with this machine's C library"
  fi
}

export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"
# Most tests wait for programs that they start.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) * 2))}"
