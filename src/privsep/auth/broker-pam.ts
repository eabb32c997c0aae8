import type { PamHelper, StartPam } from '../../auth/pam/spawned-pam.js'
import { Failure } from '../../core/failure.js'
import type { Link } from '../wire/link.js'
import { connectTo } from '../wire/one-time.js'

/** How long the broker may take to start one. */
const startMilliseconds = 10_000

/** Has the broker start processes that ask PAM: this one may not, as an ordinary user. Rejects with `unavailable`. */
export function brokerPam(broker: Pick<Link, 'ask'>): StartPam {
  return async (): Promise<PamHelper> => {
    const { head } = await broker.ask('pam', {}, { timeoutMilliseconds: startMilliseconds })
    const { path, helper } = head
    if (typeof path !== 'string') throw unreachable()
    const socket = await connectTo(path)
    // It must not keep a process alive that wants to end.
    socket.unref()
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

function unreachable(): Failure {
  return new Failure('unavailable', 'A process that asks PAM cannot be reached.', { retryAfterSeconds: 1 })
}
