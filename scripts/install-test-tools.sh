#!/bin/bash
# Installs the programs that test/foreign drives (Debian and its children). Does nothing when they are all there.
set -euo pipefail

packages=(
  acl apache2-bin attr awscli btrfs-progs cadaver caddy ceph-mon ceph-osd curl davfs2 dbus fuse3 git git-annex gvfs-backends gvfs-fuse
  haproxy libglib2.0-bin libpam-modules libpam0g litmus lua-socket nginx-light openssl passwd python3-boto3 radosgw rclone
  restic s3cmd s3fs util-linux xfsprogs
)

missing=()
for package in "${packages[@]}"; do
  if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "test tools: all present"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    echo "test tools: root is needed to install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo -n)
fi

echo "test tools: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}
# The package lists may be fresh enough; fetching them is the slow part.
if ! install 2>/dev/null; then
  "${as_root[@]}" apt-get update -qq
  install
fi
echo "test tools: ready"
