#!/usr/bin/env bash
# Makes a virtual environment with all that the demo and the tests need.
# usage: bootstrap/environment.sh PYTHON FOLDER, from the root of a checkout
set -euo pipefail
python=$1 folder=$2

command -v "$python" >/dev/null || { echo "$python is not there; set PYTHON=..." >&2; exit 2; }
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
# Bytecode of the modules that are used comes with their first use; that of all takes a minute.
"$folder/bin/pip" install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[train,score,features,report,aws,dask,spark,hadoop,dev]'
# Kernels are compiled once for an installation, not in the first run of each command.
"$folder/bin/python" -m mapreduce.compile_kernels
"$folder/bin/python" -m scoring.compile_kernels
touch "$folder/ready"
