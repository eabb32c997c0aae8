import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'

const key = { id: 'POSTERNBENCH', secret: 'a secret for one run' }

/**
 * Ceph's gateway: one monitor, one object store that keeps everything in memory, one gateway, in the foreground below one
 * shell. Its disk costs it nothing, so it is measured at its best.
 * @type {import('./index.mjs').Peer}
 */
export const radosgw = {
  packages: ['ceph-mon', 'ceph-osd', 'radosgw'],
  needs: ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph', 'radosgw-admin'],
  version: ['radosgw', '--version'],
  speaks: 's3',
  servesRoot: false,
  only: ['s3-put1k', 's3-get1k', 's3-list10k', 's3-chunked1g', 's3-multi1g', 's3-get1g'],
  patience: 120_000,
  configuration: ({ port, state }) => `
[global]
fsid = ${randomUUID()}
mon host = [v1:127.0.0.1:${port + 1}]
ms bind msgr2 = false
ms bind ipv4 = true
auth cluster required = none
auth service required = none
auth client required = none
cephx require signatures = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 1
run dir = ${state}
admin socket = ${state}/$name.asok
log file = ${state}/$name.log
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[mon.a]
mon data = ${state}/mon
host = bench
mon addr = 127.0.0.1:${port + 1}
[osd.0]
osd data = ${state}/osd
osd objectstore = memstore
osd class update on start = false
memstore device bytes = 6442450944
host = bench
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:${port} tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
keyring = ${state}/keyring
`,
  command: ({ port, state, configuration }) => [
    'bash',
    '-c',
    `set -e
export CEPH_CONF=${configuration}
trap 'kill $(jobs -p) 2>/dev/null || true; wait' TERM
mkdir -p ${state}/mon ${state}/osd
fsid=$(sed -n 's/^fsid = //p' ${configuration})
monmaptool --create --clobber --fsid $fsid --addv a "[v1:127.0.0.1:${port + 1}]" ${state}/monmap
ceph-authtool -C ${state}/keyring --gen-key -n mon. --cap mon 'allow *'
ceph-mon -i a --mkfs --monmap ${state}/monmap --keyring ${state}/keyring
ceph-mon -i a -f &
osd=$(cat /proc/sys/kernel/random/uuid)
ceph osd new $osd
ceph-osd -i 0 --mkfs --osd-uuid $osd
(
  # It may give up where it speaks before the monitor has told it which cluster this is.
  trap 'kill $!; exit' TERM
  while :; do ceph-osd -i 0 -f & wait $! && break; done
) &
radosgw -n client.rgw -f &
while jobs %3 >/dev/null 2>&1; do wait %3 || true; done`,
  ],
  async keyFor({ configuration }) {
    const user = ['user', 'create', '--uid', 'bench', '--display-name', 'bench']
    const config = ['-c', configuration, '-n', 'client.rgw']
    execFileSync('radosgw-admin', [...config, ...user, '--access-key', key.id, '--secret', key.secret], {
      stdio: 'ignore',
    })
    return key
  },
}
