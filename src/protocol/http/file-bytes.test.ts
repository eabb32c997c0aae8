import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openSite, read, requestOf } from '../../../test/http-exchange.js'
import { isFileRange } from '../../core/http.js'
import { parseTarget, toPath } from '../../core/path.js'
import { bound } from '../../store/bound.js'
import { contentBytes, descriptorBytes } from '../../store/content-bytes.js'
import { openMemoryStore } from '../../store/memory.js'
import type { Content, Store } from '../../store/store.js'
import { createHttpFiles } from './index.js'
import { multipart } from './multipart.js'

let folder = ''
const text = '0123456789'.repeat(60_000)

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-bytes-'))
  writeFileSync(join(folder, 'f'), text)
})

afterAll(() => rmSync(folder, { recursive: true }))

/** A content whose bytes are those of a real open file; `closed` counts how often it was given back. */
function descriptor(): { readonly content: Content; readonly fd: number; closed: number } {
  const fd = openSync(join(folder, 'f'), 'r')
  const entry = { path: toPath('/f'), kind: 'file', size: text.length, modified: 0, etag: 'e' } as const
  const state = { fd, closed: 0 }
  const content: Content = {
    entry,
    bytes: ({ start, end } = { start: 0, end: text.length }) => ({
      fd,
      start,
      end,
      close: () => {
        state.closed++
        closeSync(fd)
      },
    }),
    close: async () => undefined,
  }
  return Object.assign(state, { content })
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const found: Uint8Array[] = []
  for await (const piece of pieces) found.push(piece)
  return Buffer.concat(found).toString()
}

describe('an open file', () => {
  it('is read whole or in part, and closed once', async () => {
    const whole = descriptor()
    expect(await collect(contentBytes(whole.content))).toBe(text)
    const part = descriptor()
    expect(await collect(contentBytes(part.content, { start: 299_998, end: 300_003 }))).toBe('89012')
    expect([whole.closed, part.closed]).toEqual([1, 1])
  })

  it('is closed by a reader who stops early', async () => {
    const opened = descriptor()
    for await (const piece of contentBytes(opened.content)) {
      expect(piece.length).toBeGreaterThan(0)
      break
    }
    expect(opened.closed).toBe(1)
  })

  it('that is shorter than it was is an error, not a short answer', async () => {
    const opened = descriptor()
    await expect(collect(descriptorBytes(opened.fd, { start: text.length - 1, end: text.length + 1 }))).rejects.toThrow(
      'shorter',
    )
    expect(fstatSync(opened.fd).size).toBe(text.length)
    closeSync(opened.fd)
  })
})

describe('several ranges of an open file', () => {
  const ranges = [
    { start: 7, end: 9 },
    { start: 299_998, end: 300_001 },
  ]
  const context = {
    request: requestOf('GET', '/f'),
    target: parseTarget('/f'),
    session: { store: openMemoryStore() } as never,
  }

  it('come from the one descriptor, which is closed once', async () => {
    const opened = descriptor()
    const answer = await read(await multipart(context, opened.content, [['Content-Type', 'text/plain']], ranges))
    expect(answer.text).toContain('bytes 7-8/600000\r\n\r\n78\r\n')
    expect(answer.text).toContain('bytes 299998-300000/600000\r\n\r\n890\r\n')
    expect([opened.closed, Number(answer.header('content-length'))]).toEqual([1, answer.bytes.length])
  })

  it('close it even when nobody reads', async () => {
    const opened = descriptor()
    const { body } = await multipart(context, opened.content, [], ranges)
    await (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]().return?.()
    expect(opened.closed).toBe(1)
  })
})

describe('GET of an open file', () => {
  it('hands the descriptor to the transport', async () => {
    const opened = descriptor()
    const store: Store = { ...bound(openMemoryStore()), open: async () => opened.content }
    const site = openSite(createHttpFiles(), { store })
    const { body } = await site.respond('GET', '/f', { headers: { Range: 'bytes=5-' } })
    if (!isFileRange(body)) throw new Error('not a descriptor')
    expect([body.fd, body.start, body.end, opened.closed]).toEqual([opened.fd, 5, text.length, 0])
    body.close()
  })
})
