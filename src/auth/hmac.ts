import { hash } from 'node:crypto'
import { Failure } from '../core/failure.js'

const blockBytes = 64
const digestBytes = 32

/**
 * HMAC-SHA256 (RFC 2104) under one key of at most 64 bytes, as base64. Made of two one-shot hashes: `createHmac` leaves an
 * object for the garbage collector to finalize at every call, which on the way of each request costs more than the hashing.
 */
export function hmacUnder(key: Uint8Array): (text: string) => string {
  if (key.length > blockBytes) throw new Failure('invalid', 'An HMAC key may have at most 64 bytes.')
  const inner = Buffer.alloc(blockBytes, 0x36)
  const outer = Buffer.alloc(blockBytes + digestBytes, 0x5c)
  key.forEach((byte, index) => {
    inner[index] = byte ^ 0x36
    outer[index] = byte ^ 0x5c
  })
  return (text) => {
    outer.write(hash('sha256', Buffer.concat([inner, Buffer.from(text)]), 'binary'), blockBytes, 'binary')
    return hash('sha256', outer, 'base64')
  }
}
