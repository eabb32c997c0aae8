import { createHash } from 'node:crypto'
import { encodePath, toPath } from '../../core/path.js'
import type { PartFacts } from './api.js'
import { refusalOf } from './door.js'
import type { Putting } from './put-file.js'

/** With 10,000 parts enough for 312 GiB. */
const usualPartBytes = 32 * 2 ** 20
/** Parts that are held in memory at once. */
const mostHeld = 2

/**
 * Puts what comes out of a stream, whose length nobody knows: in one request where it is short, else in parts, a few of
 * which are held in memory. It cannot be gone on with later. Gives the bytes and how they were verified.
 */
export async function putStream(
  stream: AsyncIterable<Uint8Array>,
  path: string,
  putting: Putting,
): Promise<{ readonly bytes: number; readonly verified: string }> {
  const { door, api, basePath, noClobber, ifMatch, onBytes } = putting
  const pieces = inPieces(stream, putting.partSize ?? usualPartBytes)
  const first = await pieces.next()
  const second = await pieces.next()
  if (second.done === true) {
    const bytes = first.done === true ? Buffer.alloc(0) : first.value
    const reply = await door.send('PUT', `${basePath}${encodePath(toPath(path))}?parents=1`, {
      headers: { accept: 'application/json', ...(noClobber && { 'if-none-match': '*' }), ...(ifMatch !== undefined && { 'if-match': ifMatch }) }, // prettier-ignore
      body: () => bytes,
    })
    if (reply.status < 200 || reply.status >= 300) throw refusalOf(reply)
    onBytes(bytes.length)
    return { bytes: bytes.length, verified: 'whole' }
  }
  const upload = await api.begin({
    path,
    partSize: putting.partSize ?? usualPartBytes,
    ...(noClobber && { ifNoneMatch: '*' }),
    ...(ifMatch !== undefined && { ifMatch }),
  })
  const whole = createHash('sha256')
  const parts: PartFacts[] = []
  const onTheirWay = new Set<Promise<void>>()
  let bytes = 0
  const send = async (piece: Buffer, facts: PartFacts): Promise<void> => {
    const way = upload.direct ? await api.offer(upload.id, facts, false) : { direct: false as const }
    if (way?.direct === true) {
      const reply = await door.send('PUT', way.url, { headers: way.headers, body: () => piece, length: piece.length })
      if (reply.status >= 300 && reply.status !== 412) throw refusalOf(reply)
    } else if (way !== undefined) await api.put(upload.id, facts, () => piece)
    onBytes(piece.length)
  }
  try {
    // The server may want other parts than were wished for.
    for await (const piece of rejoined(
      first.done === true ? [] : [first.value, second.value],
      pieces,
      upload.partSize,
    )) {
      whole.update(piece)
      bytes += piece.length
      const digest = (name: string): string => createHash(name).update(piece).digest('hex')
      const facts = { number: parts.length + 1, size: piece.length, sha256: digest('sha256'), md5: digest('md5') }
      parts.push(facts)
      const sending = send(piece, facts)
      onTheirWay.add(sending)
      sending.then(
        () => onTheirWay.delete(sending),
        () => undefined,
      )
      if (onTheirWay.size >= mostHeld) await Promise.race(onTheirWay)
    }
    await Promise.all(onTheirWay)
    return { bytes, verified: await api.complete(upload.id, parts, whole.digest('hex')) }
  } catch (error) {
    await Promise.allSettled(onTheirWay)
    await api.abort(upload.id).catch(() => undefined)
    throw error
  }
}

async function* rejoined(
  begun: readonly Buffer[],
  rest: AsyncIterable<Buffer>,
  size: number,
): AsyncGenerator<Buffer, void> {
  async function* all(): AsyncGenerator<Buffer, void> {
    yield* begun
    yield* rest
  }
  yield* inPieces(all(), size)
}

/** The same bytes in pieces of that size, but for the last one. */
async function* inPieces(stream: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer, void> {
  let held: Uint8Array[] = []
  let count = 0
  for await (const chunk of stream) {
    let rest = chunk
    while (count + rest.length >= size) {
      const taken = size - count
      yield Buffer.concat([...held, rest.subarray(0, taken)])
      rest = rest.subarray(taken)
      held = []
      count = 0
    }
    if (rest.length > 0) held.push(rest)
    count += rest.length
  }
  if (count > 0) yield Buffer.concat(held)
}
