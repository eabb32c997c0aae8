import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openLink, type Link, type Table } from '../src/privsep/wire/link.js'

const opened: (() => void)[] = []

afterAll(() => {
  for (const close of opened.splice(0)) close()
})

/** Both ends of a real socket between two processes, which here are one. Closed after the tests of the file. */
export async function socketPair(): Promise<readonly [one: Socket, other: Socket]> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-door-'))
  const path = join(folder, 'socket')
  try {
    const other = new Promise<Socket>((resolve) => {
      const server = createServer((socket) => {
        server.close()
        resolve(socket)
      }).listen(path)
    })
    const one = await new Promise<Socket>((resolve, reject) => {
      const socket = connect(path, () => {
        resolve(socket)
      }).on('error', reject)
    })
    const pair = [one, await other] as const
    opened.push(() => {
      for (const socket of pair) socket.destroy()
    })
    return pair
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A link to somebody who answers by this table, opened when something is first asked. */
export function doorTo(table: Table): Pick<Link, 'ask'> & { readonly link: () => Promise<Link> } {
  let link: Promise<Link> | undefined
  const open = async (): Promise<Link> => {
    const [front, auth] = await socketPair()
    openLink(auth, { table, maxAnswerBytes: 1024, maxAtOnce: 1024 })
    return openLink(front, { table: {}, maxAnswerBytes: 17 * 1024 * 1024, maxAtOnce: 1 })
  }
  return {
    link: () => (link ??= open()),
    ask: async (...asked) => (await (link ??= open())).ask(...asked),
  }
}
