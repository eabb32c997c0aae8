import { chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { brokerPam } from '../privsep/auth/broker-pam.js'
import { Door } from '../privsep/auth/door.js'
import { BrokerTickets } from '../privsep/auth/tickets.js'
import { openLink } from '../privsep/wire/link.js'
import type { Answer, Link, Table } from '../privsep/wire/link.js'
import { connectTo } from '../privsep/wire/one-time.js'
import { freeSocketPath } from '../transport/unix-socket.js'
import type { Config } from './load.js'
import { openKnowledge, sameKnowledge } from './knowledge.js'
import type { KnowledgeOptions, KnowledgeSettings } from './knowledge.js'

/** What the process that knows all callers is told when it begins. */
export interface AuthBriefing {
  readonly config: AuthConfig
  /** Where the sockets between the processes are. */
  readonly runtime: string
  readonly ticketSeconds: number
  /** For the first admin; made up where there is none. */
  readonly adminPassword?: string | undefined
  /** Who has started the server, for the audit log. */
  readonly startedBy: string
}

/** What it must know of a configuration. */
export interface AuthConfig extends KnowledgeSettings {
  readonly log: Config['log']
}

/** Connections of fronts: each of their processes has one, and a new one may come before the old one is gone. */
const mostConnections = 256
/** One slow check must not hold up the others. */
const checksAtOnce = 4096
const mostConfigBytes = 16 * 1024 * 1024

/**
 * Knows all callers, for as long as its broker is there: opens all sources, listens for fronts, and asks the broker for what
 * needs a privilege. Resolves when it was told to stop or the broker has gone. What keeps it from starting is told to the
 * broker, and thrown.
 */
export async function runAuthProcess(briefing: AuthBriefing, log: Logger): Promise<void> {
  const { runtime, ticketSeconds, adminPassword, startedBy } = briefing
  const orders = new Orders()
  const broker = openLink(await connectTo(join(runtime, 'auth', 'broker')), {
    table: orders.table,
    maxAnswerBytes: 64 * 1024,
    maxAtOnce: 16,
    onFault: (err, order) => log.error({ err, order }, 'an order could not be carried out'),
  })
  void broker.closed.then(() => orders.stop())
  const options = { log, startPam: brokerPam(broker) }
  const tickets = new BrokerTickets(broker, systemClock, ticketSeconds)
  let opened: Opened | undefined
  try {
    const known = await openKnowledge(briefing.config, options)
    const door = new Door(known, tickets, (err) => log.error({ err }, 'what a configuration had opened stays open'))
    opened = { door, close: () => door.close() }
    const admin = await known.begin(adminPassword, startedBy)
    const close = await listen(join(runtime, 'door', 'auth'), door.table, log)
    opened = { door, close: () => close().then(() => door.close()) }
    orders.follow({ config: briefing.config, door, options, forget: (user) => tickets.forget(user) })
    await broker.ask('ready', { ...(admin && { admin }) })
    await orders.stopped
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    await broker.ask('failed', { problem }).catch(() => undefined)
    throw error
  } finally {
    await orders.finish()
    await opened?.close()
    broker.close()
  }
}

interface Opened {
  readonly door: Door
  readonly close: () => Promise<void>
}

interface Followed {
  readonly config: AuthConfig
  readonly door: Door
  readonly options: KnowledgeOptions
  readonly forget: (unixUser: string) => void
}

/** What a broker orders, one after the other. */
class Orders {
  readonly stopped: Promise<void>
  readonly stop: () => void
  readonly table: Table
  #followed: Followed | undefined
  #applying: Promise<void> = Promise.resolve()

  constructor() {
    let stop: () => void = () => undefined
    this.stopped = new Promise((resolve) => (stop = resolve))
    this.stop = stop
    this.table = {
      // The broker is to be believed.
      apply: { maxBytes: mostConfigBytes, handle: ({ head }) => this.#queue(head['config'] as AuthConfig) },
      closed: {
        maxBytes: 4096,
        handle: ({ head }) => {
          this.#followed?.forget(String(head['user']))
          return {}
        },
      },
      stop: {
        maxBytes: 256,
        handle: () => {
          stop()
          return {}
        },
      },
    }
  }

  follow(followed: Followed): void {
    this.#followed = followed
  }

  /** Resolves when nothing is being applied. */
  async finish(): Promise<void> {
    await this.#applying
    this.#followed = undefined
  }

  async #queue(config: AuthConfig): Promise<Answer> {
    const applied = this.#applying.then(() => this.#apply(config))
    this.#applying = applied.catch(() => undefined)
    await applied
    return {}
  }

  async #apply(config: AuthConfig): Promise<void> {
    const followed = this.#followed
    if (followed === undefined) throw new Failure('unavailable', 'Logins are not ready yet.', { retryAfterSeconds: 1 })
    const { door, options } = followed
    if (!sameKnowledge(followed.config, config)) door.swap(await openKnowledge(config, options))
    options.log.level = config.log.level
    this.#followed = { ...followed, config }
  }
}

/** Listens for fronts; gives what ends that. */
async function listen(path: string, table: Table, log: Logger): Promise<() => Promise<void>> {
  await freeSocketPath(path)
  const links = new Set<Link>()
  const server = createServer((socket) => {
    const link = openLink(socket, {
      table,
      maxAnswerBytes: 1024,
      maxAtOnce: checksAtOnce,
      onFault: (err, question) => log.error({ err, question }, 'a question could not be answered'),
    })
    links.add(link)
    void link.closed.then(({ how, why }) => {
      links.delete(link)
      if (how === 'violation') log.error({ why }, 'a front has asked what it may not, and was cut off')
    })
  })
  server.maxConnections = mostConnections
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  // The folder lets only fronts in, by its group.
  chmodSync(path, 0o660)
  return async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    for (const link of links) link.close()
    await closed
  }
}
