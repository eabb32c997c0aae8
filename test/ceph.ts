import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Need } from './foreign/tools.js'
import { signedRequest } from './s3-signer.js'

/** A real S3 service that others wrote: Ceph's radosgw, or whatever the environment names. */
export interface Ceph {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** `s3://bucket/prefix?…` with the key in it, as a configuration may have it. */
  url(bucket: string, prefix?: string): string
  /** Ends what was started, with all data. */
  stop(): Promise<void>
}

const environment = {
  endpoint: process.env.S3_ENDPOINT,
  accessKeyId: process.env.S3_ACCESS_KEY_ID,
  secretAccessKey: process.env.S3_SECRET_ACCESS_KEY,
}

/** For `describeForeign`: nothing where the environment names a service. */
export const cephNeeds: readonly Need[] =
  environment.endpoint !== undefined
    ? []
    : ['ceph', 'ceph-authtool', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin'].map(
        (program): Need => `program: ${program}`,
      )

/**
 * The service of `S3_ENDPOINT`, `S3_ACCESS_KEY_ID` and `S3_SECRET_ACCESS_KEY`; where they are not set, one of its own: one
 * monitor, one object store in memory, one gateway, on free ports. That takes about twelve seconds.
 */
export async function startCeph(): Promise<Ceph> {
  const { endpoint, accessKeyId, secretAccessKey } = environment
  if (endpoint === undefined) return startOwn()
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new Error('S3_ENDPOINT is set, but not S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY')
  return serviceAt(endpoint, { id: accessKeyId, secret: secretAccessKey }, async () => undefined)
}

/** Makes an empty bucket, which stays; gives its name. */
export async function freshBucket(ceph: Pick<Ceph, 'endpoint' | 'accessKeyId' | 'secretAccessKey'>): Promise<string> {
  const bucket = `postern-${randomUUID()}`
  const { host, hostname: at, port } = new URL(ceph.endpoint)
  const key = { id: ceph.accessKeyId, secret: ceph.secretAccessKey }
  const { method, target, headers } = signedRequest({ key, method: 'PUT', path: `/${bucket}`, host })
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const sent = request({ host: at, port, method, path: target, headers: { ...headers, 'content-length': '0' } })
    sent.on('response', (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    sent.on('error', reject)
    sent.end()
  })
  if (status !== 200) throw new Error(`the bucket could not be made: ${status}`)
  return bucket
}

interface Key {
  readonly id: string
  readonly secret: string
}

function serviceAt(endpoint: string, key: Key, stop: () => Promise<void>): Ceph {
  return {
    endpoint,
    accessKeyId: key.id,
    secretAccessKey: key.secret,
    url: (bucket, prefix = '') =>
      `s3://${bucket}/${prefix}?endpoint=${encodeURIComponent(endpoint)}&region=us-east-1` +
      `&access_key_id=${encodeURIComponent(key.id)}&secret_access_key=${encodeURIComponent(key.secret)}`,
    stop,
  }
}

async function startOwn(): Promise<Ceph> {
  const home = await mkdtemp(join(tmpdir(), 'postern-ceph-'))
  const running = new Programs()
  const stop = async (): Promise<void> => {
    await running.stop()
    await rm(home, { recursive: true, force: true })
  }
  try {
    const endpoint = await startPrograms(home, running)
    const key = { id: 'POSTERNTEST', secret: randomUUID() }
    await waitUntilItAnswers(endpoint, running)
    const user = ['user', 'create', '--uid', 'test', '--display-name', 'test']
    const keys = ['--access-key', key.id, '--secret', key.secret]
    await run('radosgw-admin', ['-c', join(home, 'ceph.conf'), '-n', 'client.rgw', ...user, ...keys])
    return serviceAt(endpoint, key, stop)
  } catch (error) {
    const log = await readFile(join(home, 'client.rgw.log'), 'utf8').catch(() => '')
    await stop()
    throw new Error(`radosgw does not start:\n${log.slice(-2000)}`, { cause: error })
  }
}

async function startPrograms(home: string, running: Programs): Promise<string> {
  const [monitorPort, port] = [await freePort(), await freePort()]
  const fsid = randomUUID()
  const configuration = join(home, 'ceph.conf')
  await mkdir(join(home, 'mon'))
  await mkdir(join(home, 'osd'))
  await writeFile(configuration, configurationOf({ home, fsid, monitorPort, port }))
  const map = join(home, 'monmap')
  const keyring = join(home, 'keyring')
  const config = ['-c', configuration]
  await run('monmaptool', [...config, '--create', '--fsid', fsid, '--addv', 'a', `[v1:127.0.0.1:${monitorPort}]`, map])
  await run('ceph-authtool', ['-C', keyring, '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *'])
  await run('ceph-mon', [...config, '-i', 'a', '--mkfs', '--monmap', map, '--keyring', keyring])
  running.start('ceph-mon', [...config, '-i', 'a', '-f'])
  const osd = randomUUID()
  await run('ceph', [...config, 'osd', 'new', osd])
  await run('ceph-osd', [...config, '-i', '0', '--mkfs', '--osd-uuid', osd])
  // It may give up where it speaks before the monitor has told it which cluster this is.
  running.start('ceph-osd', [...config, '-i', '0', '-f'], { again: true })
  running.start('radosgw', [...config, '-n', 'client.rgw', '-f'])
  return `http://127.0.0.1:${port}`
}

interface Cluster {
  readonly home: string
  readonly fsid: string
  readonly monitorPort: number
  readonly port: number
}

function configurationOf({ home, fsid, monitorPort, port }: Cluster): string {
  return `
[global]
fsid = ${fsid}
mon host = [v1:127.0.0.1:${monitorPort}]
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
run dir = ${home}
admin socket = ${home}/$name.asok
log file = ${home}/$name.log
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[mon.a]
mon data = ${home}/mon
host = ${hostname()}
mon addr = 127.0.0.1:${monitorPort}
[osd.0]
osd data = ${home}/osd
osd objectstore = memstore
osd class update on start = false
memstore device bytes = 4294967296
host = ${hostname()}
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:${port} tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
keyring = ${home}/keyring
`
}

/** Ends the program when the test closes its input, which happens also where the test is killed. */
const untilInputEnds = '"$@" </dev/null & program=$!; { cat >/dev/null; kill -9 $program; } <&3 & wait $program'

/** What runs beside the test, and ends with it in any case. */
class Programs {
  readonly #children = new Set<ChildProcess>()
  #isStopping = false

  get areRunning(): boolean {
    return this.#children.size > 0
  }

  start(program: string, args: readonly string[], { again = false }: { readonly again?: boolean } = {}): void {
    const child = spawn('sh', ['-c', untilInputEnds, 'sh', program, ...args], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    })
    this.#children.add(child)
    child.on('error', () => this.#children.delete(child))
    child.on('exit', (code) => {
      this.#children.delete(child)
      child.stdio[3]?.destroy()
      if (again && code !== 0 && !this.#isStopping) this.start(program, args, { again })
    })
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(
      [...this.#children].map(async (child) => {
        const gone = once(child, 'exit')
        // Nothing of it is kept, so nothing needs to be put in order.
        child.stdio[3]?.destroy()
        await gone
      }),
    )
  }
}

async function waitUntilItAnswers(endpoint: string, running: Programs): Promise<void> {
  const end = Date.now() + 90_000
  while (Date.now() < end && running.areRunning) {
    if (await answers(endpoint)) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('no answer in time')
}

function answers(endpoint: string): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = request(endpoint, (answer) => {
      answer.resume()
      resolve(true)
    })
    sent.on('error', () => {
      resolve(false)
    })
    sent.end()
  })
}

async function run(program: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)(program, [...args], { timeout: 60_000 })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
