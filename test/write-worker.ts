import { openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Answer, Table } from '../src/privsep/wire/link.js'
import { serveWriting } from './worker-pair.js'
import type { WorkerSpec } from './write-workers.js'

/** A process that lets files be written, as one of a user does, and fails or cheats where it is told to. */
const spec = JSON.parse(process.argv[2] ?? '') as WorkerSpec
const { root, durability, channel, owner, dies, passes } = spec

function around(table: Table): Table {
  const odd: Table = Object.fromEntries(
    Object.entries(table)
      .filter(([name]) => name === dies || (name === 'write-open' && passes !== undefined))
      .map(([name, entry]) => [
        name,
        {
          maxBytes: entry.maxBytes,
          async handle(asked): Promise<Answer | undefined> {
            const answer = await entry.handle(asked)
            if (name === dies) process.kill(process.pid, 'SIGKILL')
            return passes === undefined ? answer : { head: { at: 0 }, descriptor: openSync(passes.path, passes.flags) }
          },
        },
      ]),
  )
  return { ...table, ...odd }
}

const socket = new Socket({ fd: 3, readable: true, writable: true })
const { store, writer, link } = await serveWriting(socket, {
  root,
  durability,
  symlinks: 'absent',
  sweeps: false,
  ...(owner && { owner }),
  channel: channel ? 4 : undefined,
  around,
})
await link.closed
await writer.close()
await store.close()
