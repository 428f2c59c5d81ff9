#!/usr/bin/env bash
# Bootstrap action of EMR: a Python with what reviewmill requires, in a folder of its own, on
# every node. reviewmill itself travels with each job.
#   emr.sh S3-FOLDER SHA256 [SHA256-OF-PACKAGES]
# S3-FOLDER holds emr-requirements.txt, pinned and hashed, which itself has this SHA256, and
# packages.txt, more of the user's, where its SHA256 is given. What is said here is found in
# LOGS/CLUSTER/node/INSTANCE/bootstrap-actions/.
set -Eeuo pipefail
trap 'echo "reviewmill: bootstrap failed in line $LINENO: $BASH_COMMAND" >&2' ERR

source=$1 sha256=$2 packages_sha256=${3-}
folder=${REVIEWMILL_FOLDER:-/opt/reviewmill}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "$(date -u +%FT%TZ) reviewmill: $*"; }

command -v python3.11 >/dev/null || {
    echo "reviewmill: no python3.11 on this node; use a release from emr-7.1.0 on" >&2; exit 1; }

fetch() {
    say "fetching $source/$1"
    aws s3 cp --only-show-errors "$source/$1" "$work/$1"
    echo "$2  $work/$1" | sha256sum --check --quiet
}

fetch emr-requirements.txt "$sha256"

say "installing into $folder"
sudo python3.11 -m venv "$folder"
sudo "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
    --require-hashes --only-binary :all: -r "$work/emr-requirements.txt"
if [ -n "$packages_sha256" ]; then
    fetch packages.txt "$packages_sha256"
    # What reviewmill needs stays as it is.
    grep -o '^[^ #]*==[^ ]*' "$work/emr-requirements.txt" >"$work/pins.txt"
    say "installing packages.txt"
    sudo "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        -r "$work/packages.txt" -c "$work/pins.txt"
fi
say "$folder is ready"
