import { read as readCallback, readSync } from 'node:fs'
import type { FileRange } from '../core/http.js'

/** Ranges up to this size are read at once and sent in one write, in bytes. */
const wholeLimit = 64 * 1024
const pieceBytes = 512 * 1024
const keptPieces = 16
const pool: Buffer[] = []

/** The bytes of a small range, or undefined for a big one. Does not close it. Throws where the file has become shorter. */
export function readWhole(range: FileRange): Buffer | undefined {
  const length = range.end - range.start
  if (length > wholeLimit) return undefined
  const buffer = Buffer.allocUnsafe(length)
  for (let filled = 0; filled < length;) {
    const count = readSync(range.fd, buffer, filled, length - filled, range.start + filled)
    if (count === 0) throw new Error('the file became shorter while it was sent')
    filled += count
  }
  return buffer
}

/**
 * Sends a range piece by piece: while one piece is on its way to the client the next one is read. `write` resolves when
 * the kernel has the bytes (the piece is used again then), to false when the client is gone. Does not close the range,
 * but never leaves a read running on it. Throws where the file has become shorter.
 */
export async function sendPieces(range: FileRange, write: (piece: Buffer) => Promise<boolean>): Promise<void> {
  const buffers = [takePiece(), takePiece()] as const
  let position = range.start
  let turn = 0
  let reading = readPiece(range, position, buffers[0])
  try {
    for (;;) {
      const piece = await reading
      if (piece.length === 0) throw new Error('the file became shorter while it was sent')
      position += piece.length
      turn = 1 - turn
      const more = position < range.end
      if (more) reading = readPiece(range, position, turn === 0 ? buffers[0] : buffers[1])
      if (!(await write(piece))) return
      if (!more) break
    }
  } finally {
    // The descriptor must not be closed, and perhaps used for another file, under a running read.
    await reading.catch(() => undefined)
  }
  for (const buffer of buffers) if (pool.length < keptPieces) pool.push(buffer)
}

function takePiece(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(pieceBytes)
}

function readPiece(range: FileRange, position: number, buffer: Buffer): Promise<Buffer> {
  const length = Math.min(buffer.length, range.end - position)
  return new Promise((resolve, reject) => {
    readCallback(range.fd, buffer, 0, length, position, (error, count) => {
      if (error === null) resolve(buffer.subarray(0, count))
      else reject(error)
    })
  })
}
