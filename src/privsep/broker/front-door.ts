import { Failure } from '../../core/failure.js'
import { maxTicketLength } from '../ticket.js'
import type { Head, Table } from '../wire/link.js'
import { hasOnly, isNumber, isPlainText, message, strictTable } from './heads.js'
import type { AuditLine, MadeCertificate } from './options.js'
import type { UserBook } from './user-book.js'
import type { FrontEnd, WorkerTable } from './workers.js'

export interface FrontDoorOptions {
  readonly users: Pick<UserBook, 'bearerOf'>
  readonly workers: Pick<WorkerTable, 'start' | 'hung'>
  /** The front serves at these addresses, with a certificate that it has made, where it has. */
  readonly onListening: (addresses: readonly string[], certificate: MadeCertificate | undefined) => void
  /** The front cannot serve. */
  readonly onFailed: (problem: string) => void
  readonly onBroken: (why: string) => void
  readonly audit: (line: AuditLine) => void
}

const longestProblem = 4000
const longestAddress = 300
const mostAddresses = 256
const longestFile = 4096

/** All that a process of the front may ask of the broker. */
export function frontTable(front: FrontEnd, options: FrontDoorOptions): Table {
  const { users, workers, onListening, onFailed, onBroken, audit } = options
  return strictTable(
    {
      worker: message(
        maxTicketLength,
        (head) =>
          hasOnly(head, 'ticket') && typeof head.ticket === 'string' && head.ticket.length <= maxTicketLength
            ? head.ticket
            : undefined,
        async (ticket) => {
          const user = users.bearerOf(ticket)
          if (user === undefined) {
            audit({ what: 'worker', result: 'refused', front: front.id, why: 'ticket' })
            throw new Failure('denied', 'The ticket is not good.')
          }
          const { name, uid } = user
          try {
            return { ...(await workers.start(front, user)) }
          } catch (error) {
            const why = error instanceof Error ? error.message : String(error)
            audit({ what: 'worker', result: 'failed', user: name, uid, front: front.id, why })
            throw error
          }
        },
      ),
      hung: message(
        64,
        ({ worker, ...rest }) => (hasOnly(rest) && isNumber(worker) ? worker : undefined),
        (worker) => {
          // One that has ended meanwhile is no longer known.
          workers.hung(front, worker)
          return {}
        },
      ),
      listening: message(64 * 1024, readListening, ({ addresses, certificate }) => {
        onListening(addresses, certificate)
        return {}
      }),
      failed: message(
        16 * 1024,
        ({ problem, ...rest }) => (hasOnly(rest) && isPlainProblem(problem) ? problem : undefined),
        (problem) => {
          onFailed(problem)
          return {}
        },
      ),
    },
    onBroken,
  )
}

interface ListeningSaid {
  readonly addresses: readonly string[]
  readonly certificate: MadeCertificate | undefined
}

function readListening({ addresses, certificate, ...rest }: Head): ListeningSaid | undefined {
  const texts = asTexts(addresses, mostAddresses, longestAddress)
  if (!hasOnly(rest) || texts === undefined) return undefined
  if (certificate === undefined) return { addresses: texts, certificate }
  if (typeof certificate !== 'object' || certificate === null) return undefined
  const { file, fingerprint, ...more } = certificate as Head
  if (!hasOnly(more) || !isPlainText(file, longestFile)) return undefined
  if (typeof fingerprint !== 'string' || !/^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$/.test(fingerprint)) return undefined
  return { addresses: texts, certificate: { file, fingerprint } }
}

/** Several lines, each fit for a terminal. */
export function isPlainProblem(value: unknown): value is string {
  return typeof value === 'string' && value.split('\n').every((line) => isPlainText(line, longestProblem))
}

/** A list of plain texts; undefined where it is none. */
export function asTexts(value: unknown, most: number, longest: number): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > most) return undefined
  const texts: readonly unknown[] = value
  return texts.every((text) => isPlainText(text, longest)) ? texts : undefined
}
