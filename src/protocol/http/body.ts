import { createHash } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { HttpRequest } from '../../core/http.js'
import type { Body, Digests } from '../../store/store.js'
import { checkDigests } from './digest-fields.js'
import type { ExpectedDigest } from './digest-fields.js'

/** The bytes that a header such as `Content-Length` announces; undefined without it. Throws `invalid` for anything but a number. */
export function announcedLength(request: Pick<HttpRequest, 'headers'>, name: string): number | undefined {
  const text = header(request, name)
  if (text === undefined) return undefined
  const length = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(length)) throw new Failure('invalid', `The header ${name} must be a number of bytes.`)
  return length
}

/** Passes a body on if it has exactly this many bytes and these digests; throws `incomplete` or `bad-digest` at its end otherwise. */
export async function* checkedBody(
  body: Body,
  length: number,
  expected: readonly ExpectedDigest[],
): AsyncGenerator<Uint8Array> {
  const hashes = expected.map(({ name }) => ({ name, hash: createHash(name) }))
  let size = 0
  for await (const piece of body) {
    size += piece.length
    if (size > length) throw wrongLength(length)
    for (const { hash } of hashes) hash.update(piece)
    yield piece
  }
  if (size < length) throw wrongLength(length)
  const digests: Digests = Object.fromEntries(hashes.map(({ name, hash }) => [name, hash.digest()]))
  checkDigests(expected, { digests })
}

/**
 * A chunked body that announced its length in `X-Expected-Entity-Length`. Some versions of Finder never end the chunked
 * coding, so once all bytes are there the end may be silent for `graceMilliseconds` and then counts as reached. Fewer or
 * more bytes throw `incomplete`.
 */
export async function* expectedBody(body: Body, length: number, graceMilliseconds: number): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]()
  let size = 0
  let silent = false
  try {
    while (size < length) {
      const next = await iterator.next()
      if (next.done === true) throw wrongLength(length)
      size += next.value.length
      if (size > length) throw wrongLength(length)
      yield next.value
    }
    const end = await orSilence(iterator.next(), graceMilliseconds)
    silent = end === undefined
    if (end !== undefined && end.done !== true && end.value.length > 0) throw wrongLength(length)
  } finally {
    const returned = iterator.return?.()
    // A pull that hangs would hold up `return` for as long.
    if (silent) returned?.catch(() => undefined)
    else await returned
  }
}

async function orSilence<Value>(pull: Promise<Value>, milliseconds: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), milliseconds)
  })
  try {
    pull.catch(() => undefined)
    return await Promise.race([pull, silence])
  } finally {
    clearTimeout(timer)
  }
}

function wrongLength(length: number): Failure {
  return new Failure('incomplete', `The body does not have the ${length} bytes that were announced.`)
}
