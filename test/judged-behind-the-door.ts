import type { SignatureJudge } from '../src/auth/sigv4/judge.js'
import { createKeyedJudge, type KeyedJudgeOptions } from '../src/auth/sigv4/keyed-judge.js'
import { ManualClock } from '../src/core/clock.js'
import type { Clock } from '../src/core/clock.js'
import { signaturesPart } from '../src/privsep/auth/signatures.js'
import { BrokerTickets } from '../src/privsep/auth/tickets.js'
import { RemoteChunkSignatures } from '../src/privsep/front/remote-chunks.js'
import { remoteJudge, remoteSignatures } from '../src/privsep/front/remote-signatures.js'
import { KeptTickets } from '../src/privsep/front/ticket-book.js'
import { Failure } from '../src/core/failure.js'
import { doorTo } from './privsep-door.js'
import { arrived, exampleKey, exampleTime, keySource, type Ways } from './s3-verification.js'

/** The key of whoever's tickets these are, in base64. */
export const workerKey = Buffer.alloc(32, 7)
export const generation = '0123456789abcdef'
export const ticketSeconds = 900

/** Tickets of a broker that knows `al`, and nobody else. */
export function ticketsFor(clock: Clock): BrokerTickets {
  const broker = doorTo({
    account: {
      maxBytes: 1024,
      handle: ({ head: { user } }) => {
        if (user !== 'al') throw new Failure('denied', 'there is no such account')
        return { head: { user, uid: 1001, generation, key: workerKey.toString('base64') } }
      },
    },
  })
  return new BrokerTickets(broker, clock, ticketSeconds)
}

/** Where a judge answers over a socket. */
export function judging(options: KeyedJudgeOptions): ReturnType<typeof doorTo> {
  const known = { judge: createKeyedJudge(options), noteLogin: options.audit }
  return doorTo(signaturesPart(known, ticketsFor(options.clock)))
}

export const behindTheDoor: Ways = {
  signatures: (options) => remoteSignatures({ door: judging(options), book: new KeptTickets(options.clock) }),
  chunks: ({ date, scope, seed }) => {
    const [day = '', region = ''] = scope.split('/')
    return new RemoteChunkSignatures(examples(), { accessKeyId: exampleKey.id, day, region, date, signature: seed })
  },
  form: (options) => {
    const kind = JSON.stringify([options.clock.now(), options.anonymous])
    const judge = judges.get(kind) ?? remoteJudge({ door: judging(options), book: new KeptTickets(options.clock) })
    judges.set(kind, judge)
    return (form) => judge.form(form, arrived({ method: 'POST' }))
  },
}

const judges = new Map<string, SignatureJudge>()

let known: ReturnType<typeof doorTo> | undefined

/** One for all chains: there are thousands in a suite. */
function examples(): ReturnType<typeof doorTo> {
  return (known ??= judging({
    directories: [keySource('keys', exampleKey)],
    clock: new ManualClock(exampleTime),
    basePath: '',
    audit: () => undefined,
  }))
}
