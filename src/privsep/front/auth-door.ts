import { join } from 'node:path'
import { openLink } from '../wire/link.js'
import { connectTo } from '../wire/one-time.js'
import { Reconnecting } from './reconnecting.js'
import type { ReconnectingOptions } from './reconnecting.js'

/** The list of all users of a source is the longest. */
const maxAnswerBytes = 17 * 1024 * 1024

export interface AuthDoorOptions extends Omit<ReconnectingOptions, 'connect'> {
  /** Where the sockets between the processes are. */
  readonly runtime: string
}

/** The way to the process that knows all callers, which must be there; found again when it was away. Rejects with `unavailable`. */
export function authDoor({ runtime, ...told }: AuthDoorOptions): Promise<Reconnecting> {
  return Reconnecting.open({
    ...told,
    connect: async () =>
      openLink(await connectTo(join(runtime, 'door', 'auth')), {
        // It asks nothing of a front.
        table: {},
        maxAnswerBytes,
        maxAtOnce: 1,
      }),
  })
}
