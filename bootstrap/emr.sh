#!/usr/bin/env bash
# Bootstrap action of EMR: a Python with what reviewmill requires, in a folder of its own, on
# every node. reviewmill itself travels with each job.
#   emr.sh S3-FOLDER SHA256
# S3-FOLDER holds emr-requirements.txt, pinned and hashed, which itself has this SHA256. What is
# said here is found in LOGS/CLUSTER/node/INSTANCE/bootstrap-actions/.
set -euo pipefail
trap 'echo "reviewmill: bootstrap failed in line $LINENO: $BASH_COMMAND" >&2' ERR

source=$1 sha256=$2
folder=${REVIEWMILL_FOLDER:-/opt/reviewmill}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "$(date -u +%FT%TZ) reviewmill: $*"; }

command -v python3.11 >/dev/null || {
    echo "reviewmill: no python3.11 on this node; use a release from emr-7.1.0 on" >&2; exit 1; }

say "fetching $source/emr-requirements.txt"
aws s3 cp --only-show-errors "$source/emr-requirements.txt" "$work/emr-requirements.txt"
echo "$sha256  $work/emr-requirements.txt" | sha256sum --check --quiet

say "installing into $folder"
sudo python3.11 -m venv "$folder"
sudo "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
    --require-hashes --only-binary :all: -r "$work/emr-requirements.txt"
say "$folder is ready"
