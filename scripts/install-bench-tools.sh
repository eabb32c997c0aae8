#!/bin/bash
# Installs what bench/ compares Postern with and measures by (Debian and its children). Nothing is left running.
# Does nothing when all is there.
set -euo pipefail

packages=(
  apache2 e2fsprogs gcc libc6-dev libnginx-mod-http-dav-ext lighttpd lighttpd-mod-webdav mount nginx-light rclone
  util-linux wrk
)

missing=()
for package in "${packages[@]}"; do
  if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "bench tools: all present"
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "bench tools: as root, run: apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# Debian starts a web server as soon as it is installed, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi

echo "bench tools: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() {
  apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
}
if ! install 2>/dev/null; then
  apt-get update -qq
  install
fi
if [ -d /run/systemd/system ]; then
  for service in apache2 nginx lighttpd; do
    case " ${missing[*]} " in *" $service"*) systemctl disable --quiet --now "$service" ;; esac
  done
fi
echo "bench tools: ready"
