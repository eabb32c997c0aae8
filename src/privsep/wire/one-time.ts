import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, unlinkSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { Failure } from '../../core/failure.js'

export interface OneTimeOptions {
  /** Connections that are wanted, in their order. */
  readonly count: number
  /** 2,000 without it. */
  readonly timeoutMilliseconds?: number
  /** Who alone may connect, besides root; without it everybody who can reach into the folder. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/** A socket that nobody else can find, for a few connections. */
export interface OneTimeSocket {
  readonly path: string
  /**
   * All of them, paused; rejects with `unavailable`, and closes those that came, where they are not there in time. In either
   * case the socket is gone by then.
   */
  readonly sockets: Promise<readonly Socket[]>
  /** Gives up waiting. */
  close(): void
}

/**
 * Listens on a new path in a folder into which only those may reach who are to connect: without an owner the socket itself
 * lets anybody. Rejects with `unavailable`.
 */
export function listenOnce(folder: string, options: OneTimeOptions): Promise<OneTimeSocket> {
  const { count, timeoutMilliseconds = 2000, owner } = options
  const path = join(folder, randomBytes(12).toString('hex'))
  const server = createServer({ pauseOnConnect: true })
  const came: Socket[] = []
  let finish: (failure?: Failure) => void = () => undefined
  const sockets = new Promise<readonly Socket[]>((resolve, reject) => {
    finish = (failure) => {
      clearTimeout(timer)
      // Nobody finds the path from here on, even where the server takes its time to close.
      unlink(path)
      server.close()
      finish = () => undefined
      if (failure === undefined) resolve(came)
      else {
        for (const socket of came) socket.destroy()
        reject(failure)
      }
    }
  })
  // Whoever has the path alone learns of it by `sockets`.
  sockets.catch(() => undefined)
  const timer = setTimeout(() => {
    finish(new Failure('unavailable', 'Nobody has connected in time.'))
  }, timeoutMilliseconds)
  server.on('connection', (socket) => {
    if (came.length >= count) {
      socket.destroy()
      return
    }
    came.push(socket)
    // What becomes of it is told to whoever gets it; until then a reset is no fault of this process.
    socket.on('error', ignore)
    if (came.length === count) finish()
  })
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const failure = new Failure('unavailable', 'A socket between the processes cannot be made.', { cause })
      finish(failure)
      reject(failure)
    })
    server.listen(path, () => {
      // A path that is guessed is of no use to those who cannot reach into the folder.
      if (owner === undefined) chmodSync(path, 0o666)
      else {
        chownSync(path, owner.uid, owner.gid)
        chmodSync(path, 0o600)
      }
      resolve({
        path,
        sockets,
        close: () => {
          finish(new Failure('unavailable', 'The connection is not wanted any more.'))
        },
      })
    })
  })
}

/** Connects to a path that `listenOnce` gave, or to any other. Rejects with `unavailable`. */
export function connectTo(path: string, timeoutMilliseconds = 2000): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    const fail = (cause: unknown): void => {
      clearTimeout(timer)
      socket.destroy()
      reject(
        new Failure('unavailable', 'Another process of the server cannot be reached; try again shortly.', { cause }),
      )
    }
    const timer = setTimeout(fail, timeoutMilliseconds, 'no answer')
    socket.once('error', fail)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', fail)
      // Whoever has it may not listen yet.
      socket.on('error', ignore)
      resolve(socket)
    })
  })
}

function unlink(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Already gone.
  }
}

function ignore(): void {
  return undefined
}
