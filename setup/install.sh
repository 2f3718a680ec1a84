# Functions for scripts that set up what is missing. To be sourced by bash.

# have COMMAND: true if there is such a command.
have() { command -v "$1" >/dev/null 2>&1; }

# install WHO PACKAGE...: from Debian, for WHO needs them. The package lists are fetched only when the
# ones at hand do not do.
install() {
  local who=$1 as_root=()
  shift
  if [ "$(id -u)" != 0 ]; then
    have sudo || { echo "$who needs $*. Install them, or run this as root." >&2; exit 1; }
    as_root=(sudo)
  fi
  have apt-get || { echo "$who needs $*. Install them with the package manager of this system." >&2; exit 1; }
  local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y)
  echo "Installing $*"
  "${get[@]}" install --no-install-recommends "$@" >/dev/null 2>&1 </dev/null || {
    "${get[@]}" update </dev/null
    "${get[@]}" install --no-install-recommends "$@" </dev/null
  }
}
