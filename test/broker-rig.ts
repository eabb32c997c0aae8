import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openBroker } from '../src/privsep/broker/broker.js'
import type { AuditLine, Broker, BrokerOptions } from '../src/privsep/broker/options.js'
import { brokerSocket, runtimePlaces } from '../src/privsep/broker/runtime-directory.js'
import type { RuntimePlaces } from '../src/privsep/broker/runtime-directory.js'
import type { PrivsepSettings } from '../src/privsep/settings.js'
import { issueTicket } from '../src/privsep/ticket.js'
import { openLink } from '../src/privsep/wire/link.js'
import type { Head, Link } from '../src/privsep/wire/link.js'
import { connectTo } from '../src/privsep/wire/one-time.js'
import { writePuppets } from './broker-puppets.js'

const pamHelper = fileURLToPath(new URL('../bin/pam-helper.js', import.meta.url))

/** Everything about a worker that a test may want, asked of itself. */
export interface WorkerAbout {
  readonly pid: number
  readonly tasks: readonly string[]
  readonly files: readonly (readonly [descriptor: number, what: string])[]
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
  readonly settings: Readonly<Record<string, unknown>>
}

export interface RigOptions extends Partial<Omit<BrokerOptions, 'settings'>> {
  readonly settings?: Partial<PrivsepSettings>
}

/** What an account is answered with. */
export interface Admitted {
  readonly user: string
  readonly uid: number
  readonly gid: number
  readonly generation: string
  readonly key: string
}

/** A real broker whose front and process of identities the test plays, over their sockets. */
export class BrokerRig {
  readonly broker: Broker
  readonly places: RuntimePlaces
  readonly audit: readonly AuditLine[]
  readonly log: readonly (readonly [facts: object, message: string])[]
  readonly #home: string
  readonly #links: Link[] = []

  private constructor(
    broker: Broker,
    places: RuntimePlaces,
    audit: readonly AuditLine[],
    log: readonly (readonly [facts: object, message: string])[],
    home: string,
  ) {
    this.broker = broker
    this.places = places
    this.audit = audit
    this.log = log
    this.#home = home
  }

  static async open({ settings, ...more }: RigOptions = {}): Promise<BrokerRig> {
    const home = mkdtempSync(join(tmpdir(), 'broker-'))
    chmodSync(home, 0o755)
    const audit: AuditLine[] = []
    const log: [object, string][] = []
    const note = (facts: object, message: string): void => void log.push([facts, message])
    try {
      const options = rigOptions(home, settings)
      const broker = await openBroker({
        ...options,
        log: { info: note, warn: note, error: note },
        audit: (line) => void audit.push(line),
        ...more,
      })
      return new BrokerRig(broker, runtimePlaces(options.settings.runtime), audit, log, home)
    } catch (error) {
      rmSync(home, { recursive: true, force: true })
      throw error
    }
  }

  /** As root, who may connect to all of them; with what it is told in `told`. */
  async #connect(folder: string, told: Head[]): Promise<Link> {
    const take = (name: string): [string, { maxBytes: number; handle: (asked: { head: Head }) => undefined }] => [
      name,
      { maxBytes: 4096, handle: ({ head }) => void told.push({ name, ...head }) },
    ]
    const link = openLink(await connectTo(brokerSocket(folder)), {
      table: Object.fromEntries(['closed', 'shed', 'stop', 'apply'].map(take)),
      maxAnswerBytes: 65536,
      maxAtOnce: 16,
    })
    this.#links.push(link)
    return link
  }

  front(told: Head[] = []): Promise<Link> {
    return this.#connect(this.places.front, told)
  }

  auth(told: Head[] = []): Promise<Link> {
    return this.#connect(this.places.auth, told)
  }

  /** Starts a worker and gives the link to it; the second connection stays open. */
  async worker(front: Link, ticket: string): Promise<{ readonly link: Link; readonly worker: number }> {
    const { head } = await front.ask('worker', { ticket })
    const path = String(head.path)
    const socket = await connectTo(path)
    const channel = await connectTo(path)
    const link = openLink(socket, { table: {}, maxAnswerBytes: 1024 * 1024, maxAtOnce: 16 })
    this.#links.push(link)
    void link.closed.then(() => channel.destroy())
    return { link, worker: Number(head.worker) }
  }

  async stop(): Promise<void> {
    for (const link of this.#links) link.close()
    await this.broker.stop()
    rmSync(this.#home, { recursive: true, force: true })
  }
}

/** Of a broker below `home` with puppets for processes. */
export function rigOptions(
  home: string,
  settings: Partial<PrivsepSettings> = {},
): Omit<BrokerOptions, 'log' | 'audit'> {
  const runtime = settings.runtime ?? join(home, 'run')
  const places = runtimePlaces(runtime)
  const folder = join(home, 'program')
  const puppets = writePuppets(folder)
  const plan = (place: string, message: object) => () => ({
    command: [...puppets.server, brokerSocket(place), JSON.stringify(message)],
  })
  return {
    settings: {
      records: join(home, 'records'),
      minimumUid: 1000,
      maximumUid: 60000,
      allowedGroups: [],
      umask: 0o002,
      ticketSeconds: 900,
      ...settings,
      runtime,
      workers: { max: 64, idleSeconds: 300, memoryBytes: 512 * 1024 * 1024, ...settings.workers },
    },
    mounts: [],
    workerCommand: puppets.worker,
    pamHelperCommand: [process.execPath, pamHelper],
    front: plan(places.front, { name: 'listening', head: { addresses: ['http://127.0.0.1:8080'] } }),
    auth: plan(places.auth, { name: 'ready', head: {} }),
    program: [folder, ...(existsSync(pamHelper) ? [pamHelper] : [])],
    environment: {},
  }
}

/** A good ticket, as the process of identities makes them. */
export function ticketOf(admitted: Head, expires = Date.now() + 60_000): string {
  const { user, uid, generation, key } = admitted as unknown as Admitted
  return issueTicket(Buffer.from(key, 'base64'), { user, uid, generation, expires })
}

export async function aboutOf(link: Link): Promise<WorkerAbout> {
  return (await link.ask('about')).head as unknown as WorkerAbout
}

/** Until it holds, or the test is over. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}
