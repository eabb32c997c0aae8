import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import type { HttpResponse } from '../../core/http.js'
import { compressed } from './compress.js'

const asking = (field: string) => ({ headers: new Map([['accept-encoding', [field]]]) })
const silent = { headers: new Map<string, readonly string[]>() }

function answer(body: NonNullable<HttpResponse['body']>): HttpResponse {
  return { status: 207, headers: [['Content-Type', 'application/xml']], body }
}

/** Pieces that tell whether they were given back. */
function pieces(count: number, bytes: number, failAt = -1) {
  const state = { pulled: 0, ended: false }
  const body: AsyncIterable<Uint8Array> = {
    async *[Symbol.asyncIterator]() {
      try {
        for (; state.pulled < count; state.pulled++) {
          if (state.pulled === failAt) throw new Failure('not-found', 'Gone.')
          yield Buffer.alloc(bytes, 'x')
        }
      } finally {
        state.ended = true
      }
    },
  }
  return { state, body }
}

async function collect(body: HttpResponse['body']): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body)
  const found: Uint8Array[] = []
  for await (const piece of body as AsyncIterable<Uint8Array>) found.push(piece)
  return Buffer.concat(found)
}

describe('a body that fails', () => {
  it('before its first piece fails before the answer begins', async () => {
    await expect(compressed(asking('gzip'), answer(pieces(3, 10, 0).body))).rejects.toThrow('Gone.')
    await expect(compressed(silent, answer(pieces(3, 10, 0).body))).rejects.toThrow('Gone.')
  })

  it.each(['gzip', 'br', 'identity'])('in the middle breaks the answer: %s', async (coding) => {
    const { body } = await compressed(asking(coding), answer(pieces(5, 100_000, 3).body))
    await expect(collect(body)).rejects.toThrow('Gone.')
  })

  it.each(['gzip', 'identity'])('to be read to its end is ended all the same: %s', async (coding) => {
    const { body, state } = pieces(50, 100_000)
    const response = await compressed(asking(coding), answer(body))
    for await (const piece of response.body as AsyncIterable<Uint8Array>) {
      expect(piece.length).toBeGreaterThan(0)
      break
    }
    for (let turn = 0; turn < 50 && !state.ended; turn++) await new Promise(setImmediate)
    expect(state.ended).toBe(true)
    expect(state.pulled).toBeLessThan(50)
  })
})

describe('compression', () => {
  it.each([
    ['gzip', gunzipSync],
    ['br', brotliDecompressSync],
  ] as const)('by %s gives the same bytes, whole or streamed', async (coding, unpack) => {
    for (const count of [1, 4]) {
      const response = await compressed(asking(coding), answer(pieces(count, 70_000).body))
      expect(response.headers).toContainEqual(['Content-Encoding', coding])
      expect(response.headers).toContainEqual(['Vary', 'Accept-Encoding'])
      expect(unpack(await collect(response.body)).length).toBe(count * 70_000)
    }
  })

  it('leaves small bodies alone, and gives them their length', async () => {
    for (const body of [pieces(1, 1000).body, Buffer.alloc(1000)]) {
      const response = await compressed(asking('gzip'), answer(body))
      expect(response.headers).toContainEqual(['Content-Length', '1000'])
      expect(response.body).toBeInstanceOf(Uint8Array)
      expect((await collect(response.body)).length).toBe(1000)
    }
    expect(await collect((await compressed(silent, answer(pieces(0, 0).body))).body)).toHaveLength(0)
  })

  it('never touches the bytes of a file', async () => {
    const range = { fd: 3, start: 0, end: 9999, close: () => undefined }
    const response = answer(range)
    expect(await compressed(asking('gzip'), response)).toBe(response)
  })
})
