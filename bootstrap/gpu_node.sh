#!/usr/bin/env bash
# User data of a GPU node on EC2, run once by root at its first start. The launcher puts a line of
# settings above it:
#   SOURCE         s3:// folder of the wheel and of gpu-requirements.txt
#   WHEEL, WHEEL_SHA256, REQUIREMENTS_SHA256
#   GPUS           number of GPUs that the node must have
#   DEADLINE       seconds since 1970 at which the node ends, whatever happens
#   LEASE_MINUTES  minutes without a heartbeat after which it ends
#   NODE_USER      user that trains
# A shutdown terminates the instance. What is said here is in the console's output.
set -euo pipefail
root=${REVIEWMILL_ROOT:-}
state=$root/var/lib/reviewmill folder=$root/opt/reviewmill scratch=$root/mnt/reviewmill
heartbeat=$root/usr/local/sbin/reviewmill-heartbeat
mkdir -p "$state" "${heartbeat%/*}"

say() { echo "$(date -u +%FT%TZ) reviewmill: $*"; }
fail() { say "failed: $*"; echo "$*" >"$state/failed"; exit 1; }
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# Before anything that could fail: without a heartbeat the node ends, and at the deadline it ends.
cat >"$heartbeat" <<END
#!/usr/bin/env bash
# Renews the shutdown of this node, and says \`notice\` where AWS is about to take it away.
set -euo pipefail
left=\$((($DEADLINE - \$(date +%s)) / 60))
[ "\$left" -gt 0 ] || left=0
shutdown -P "+\$((left < $LEASE_MINUTES ? left : $LEASE_MINUTES))" 2>/dev/null
metadata=http://169.254.169.254/latest
token=\$(curl -fsS -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "\$metadata/api/token" 2>/dev/null) || token=
if [ -n "\$token" ] && curl -fsS -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: \$token" \\
    "\$metadata/meta-data/spot/instance-action" 2>/dev/null; then
    echo notice
else
    echo alive
fi
END
chmod 755 "$heartbeat"
"$heartbeat" >/dev/null
say "ends without a heartbeat for $LEASE_MINUTES minutes, and at $(date -u -d "@$DEADLINE" +%FT%TZ)"

# The launcher knows the node by these: the console's output comes by AWS's own interface.
{
    echo "-----BEGIN SSH HOST KEY KEYS-----"
    cat "$root"/etc/ssh/ssh_host_*_key.pub
    echo "-----END SSH HOST KEY KEYS-----"
} | tee "${REVIEWMILL_CONSOLE:-/dev/console}"

if [ "$GPUS" -gt 0 ]; then
    command -v nvidia-smi >/dev/null || fail "no NVIDIA driver: use an image that has it"
    found=$(nvidia-smi --query-gpu=uuid --format=csv,noheader | grep -c .) || found=0
    [ "$found" -eq "$GPUS" ] || fail "the driver sees $found GPUs of $GPUS"
fi

mkdir -p "$scratch"
# Amazon's deep learning images stripe and mount the disks by themselves, at a place of their own.
systemctl start dlami-nvme.service 2>/dev/null || true
striped=$root/opt/dlami/nvme
mapfile -t disks < <(lsblk -dpno NAME,MODEL | awk '/Instance Storage/ {print $1}')
if mountpoint -q "$striped"; then
    disks=()
    mkdir -p "$striped/reviewmill"
    mount --bind "$striped/reviewmill" "$scratch"
    say "$scratch is on the image's own $striped"
elif [ "${#disks[@]}" -eq 0 ]; then
    say "no disk of its own: $scratch is on the volume"
elif [ "${#disks[@]}" -gt 1 ]; then
    command -v mdadm >/dev/null || dnf install -q -y mdadm
    mdadm --create /dev/md0 --run --level=0 --raid-devices="${#disks[@]}" "${disks[@]}"
    disks=(/dev/md0)
fi
if [ "${#disks[@]}" -eq 1 ]; then
    mkfs.ext4 -q -E nodiscard "${disks[0]}"
    mount -o noatime "${disks[0]}" "$scratch"
    say "$scratch is on ${disks[0]}"
fi
chown "$NODE_USER" "$scratch"

command -v python3.11 >/dev/null || dnf install -q -y python3.11
work=$(mktemp -d -p "$scratch")
for file in gpu-requirements.txt "$WHEEL"; do
    aws s3 cp --only-show-errors "$SOURCE/$file" "$work/$file"
done
printf '%s  %s\n' "$REQUIREMENTS_SHA256" "$work/gpu-requirements.txt" \
    "$WHEEL_SHA256" "$work/$WHEEL" | sha256sum --check --quiet || fail "another content of $SOURCE"
say "installing into $folder"
python3.11 -m venv "$folder"
pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir)
export TMPDIR=$work
"${pip[@]}" --no-deps --require-hashes --only-binary :all: -r "$work/gpu-requirements.txt"
# What torch needs of NVIDIA's libraries; it names their exact versions.
"${pip[@]}" --only-binary :all: "$(grep -o '^torch==[^ ]*' "$work/gpu-requirements.txt")"
printf './%s --hash=sha256:%s\n' "$WHEEL" "$WHEEL_SHA256" >"$work/wheel.txt"
(cd "$work" && "${pip[@]}" --no-deps --no-index --require-hashes -r wheel.txt)
unset TMPDIR
rm -rf "$work"
touch "$state/ready"
say "ready"
