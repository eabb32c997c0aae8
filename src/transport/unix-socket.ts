import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { Failure } from '../core/failure.js'

/**
 * Makes room for a Unix socket: removes one that a dead process left behind. Throws `exists` where a live process
 * listens on it or where something else has that name.
 */
export async function freeSocketPath(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new Failure('exists', `${path} is there already and is not a socket.`)
  if (await isListening(path)) throw new Failure('exists', `Another process listens on ${path}.`)
  unlinkSync(path)
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}
