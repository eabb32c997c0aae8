import { read } from 'node:fs'
import { Failure } from '../core/failure.js'
import { isFileRange } from '../core/http.js'
import type { ByteRange, Content } from './store.js'

const bufferBytes = 256 * 1024

/** All bytes of a content, or a part, as pieces; closes the content at the end, whatever happens. Pull or return it. */
export async function* contentBytes(content: Content, range?: ByteRange): AsyncGenerator<Uint8Array> {
  try {
    const bytes = range === undefined ? content.bytes() : content.bytes(range)
    if (bytes instanceof Uint8Array) {
      yield bytes
      return
    }
    if (!isFileRange(bytes)) {
      yield* bytes
      return
    }
    try {
      yield* descriptorBytes(bytes.fd, bytes)
    } finally {
      bytes.close()
    }
  } finally {
    await content.close()
  }
}

/** Bytes of an open file as pieces; the descriptor stays open. Throws `incomplete` where the file is shorter by now. */
export async function* descriptorBytes(fd: number, range: ByteRange): AsyncGenerator<Uint8Array> {
  for (let at = range.start; at < range.end;) {
    const buffer = Buffer.allocUnsafe(Math.min(bufferBytes, range.end - at))
    const count = await readAt(fd, buffer, at)
    if (count === 0) throw new Failure('incomplete', 'The file became shorter while it was read.')
    at += count
    yield buffer.subarray(0, count)
  }
}

function readAt(fd: number, buffer: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.length, position, (cause, count) => {
      if (cause === null) resolve(count)
      else reject(new Failure('unavailable', 'The file could not be read.', { cause }))
    })
  })
}
