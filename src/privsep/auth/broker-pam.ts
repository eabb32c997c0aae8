import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { PamHelper, StartPam } from '../../auth/pam/helper.js'
import { Failure } from '../../core/failure.js'
import type { Link } from '../wire/link.js'

/** How long the broker may take to start one. */
const startMilliseconds = 10_000

/** Has the broker start processes that ask PAM: this one may not, as an ordinary user. Rejects with `unavailable`. */
export function brokerPam(broker: Pick<Link, 'ask'>): StartPam {
  return async (): Promise<PamHelper> => {
    const { head } = await broker.ask('pam', {}, { timeoutMilliseconds: startMilliseconds })
    const { path, helper } = head
    if (typeof path !== 'string') throw unreachable()
    const socket = await connected(path)
    return {
      pid: undefined,
      questions: socket,
      answers: socket,
      gone: new Promise((resolve) => socket.once('close', () => resolve('it has ended'))),
      kill() {
        // Where the broker is gone, so is the helper soon.
        broker.ask('pam-end', { helper }).catch(() => undefined)
        socket.destroy()
      },
    }
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', () => reject(unreachable()))
    socket.once('connect', () => {
      socket.unref()
      resolve(socket)
    })
  })
}

function unreachable(): Failure {
  return new Failure('unavailable', 'A process that asks PAM cannot be reached.', { retryAfterSeconds: 1 })
}
