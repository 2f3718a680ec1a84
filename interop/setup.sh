#!/usr/bin/env bash
# Installs what the interop suite needs and is not there yet: Mosquitto's clients for the system,
# Paho and pytest in a virtual environment, MQTT.js beside it. Nothing is written into the checkout.
# Usage: interop/setup.sh DIRECTORY
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=$1
mkdir -p "$tools"

. "$here/../setup/install.sh"

# current STAMP FILE: true where what STAMP stands for was made from the same FILE.
current() { cmp -s "$1" "$2"; }

missing=()
{ have mosquitto_pub && have mosquitto_sub && have mosquitto_rr; } || missing+=(mosquitto-clients)
{ have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; } || missing+=(python3-venv)
{ have node && have npm; } || missing+=(nodejs npm)
[ ${#missing[@]} = 0 ] || install "The interop suite" "${missing[@]}"

# The second question is for an environment whose Python the system has since replaced.
if ! current "$tools/python.stamp" "$here/requirements.txt" || ! "$tools/python/bin/python" -c '' 2>/dev/null; then
  echo "Installing Paho and pytest"
  python3 -m venv --clear "$tools/python"
  "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" </dev/null
  cp "$here/requirements.txt" "$tools/python.stamp"
fi

if ! current "$tools/node.stamp" "$here/package-lock.json"; then
  echo "Installing MQTT.js"
  mkdir -p "$tools/node"
  cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$tools/node/"
  (cd "$tools/node" && npm ci --silent --ignore-scripts </dev/null)
  cp "$here/package-lock.json" "$tools/node.stamp"
fi
