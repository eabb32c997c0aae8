/**
 * CRCs that Node lacks, by slicing-by-8 (Kounavis and Berry, 2005) over 32-bit halves, so that no BigInt is made per
 * byte. Both are reflected, begin with all ones and end inverted. The tables are built at the first use.
 */

const crc32cPolynomial = 0x82f63b78
const crc64Polynomial = { high: 0x9a6c9329, low: 0xac4bc9b5 }

/** A running checksum. */
export interface Crc {
  update(chunk: Uint8Array): void
  /** Big-endian; may be asked for at any time. */
  value(): Uint8Array
}

let crc32cTable: Int32Array | undefined
let crc64Tables: { readonly high: Int32Array; readonly low: Int32Array } | undefined

/** CRC-32C (Castagnoli), RFC 9260 appendix A: 4 bytes. */
export class Crc32c implements Crc {
  readonly #table = (crc32cTable ??= makeCrc32cTable())
  #crc = -1

  update(chunk: Uint8Array): void {
    this.#crc = crc32cOver(this.#table, this.#crc, chunk)
  }

  value(): Uint8Array {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setInt32(0, ~this.#crc)
    return bytes
  }
}

/** CRC-64/NVME, as `x-amz-checksum-crc64nvme` carries it: 8 bytes. */
export class Crc64Nvme implements Crc {
  readonly #tables = (crc64Tables ??= makeCrc64Tables())
  #high = -1
  #low = -1

  update(chunk: Uint8Array): void {
    const { high: highTable, low: lowTable } = this.#tables
    let high = this.#high
    let low = this.#low
    const bulk = chunk.length - (chunk.length % 8)
    let at = 0
    for (; at < bulk; at += 8) {
      low ^= word(chunk, at)
      high ^= word(chunk, at + 4)
      const a = 1792 + (low & 255)
      const b = 1536 + ((low >>> 8) & 255)
      const c = 1280 + ((low >>> 16) & 255)
      const d = 1024 + (low >>> 24)
      const e = 768 + (high & 255)
      const f = 512 + ((high >>> 8) & 255)
      const g = 256 + ((high >>> 16) & 255)
      const h = high >>> 24
      low = entry(lowTable, a) ^ entry(lowTable, b) ^ entry(lowTable, c) ^ entry(lowTable, d)
      low ^= entry(lowTable, e) ^ entry(lowTable, f) ^ entry(lowTable, g) ^ entry(lowTable, h)
      high = entry(highTable, a) ^ entry(highTable, b) ^ entry(highTable, c) ^ entry(highTable, d)
      high ^= entry(highTable, e) ^ entry(highTable, f) ^ entry(highTable, g) ^ entry(highTable, h)
    }
    for (; at < chunk.length; at++) {
      const index = (low ^ entry(chunk, at)) & 255
      low = entry(lowTable, index) ^ ((low >>> 8) | (high << 24))
      high = entry(highTable, index) ^ (high >>> 8)
    }
    this.#high = high
    this.#low = low
  }

  value(): Uint8Array {
    const bytes = new Uint8Array(8)
    const view = new DataView(bytes.buffer)
    view.setInt32(0, ~this.#high)
    view.setInt32(4, ~this.#low)
    return bytes
  }
}

function crc32cOver(table: Int32Array, start: number, chunk: Uint8Array): number {
  let crc = start
  const bulk = chunk.length - (chunk.length % 8)
  let at = 0
  for (; at < bulk; at += 8) {
    crc ^= word(chunk, at)
    const next = word(chunk, at + 4)
    crc =
      entry(table, 1792 + (crc & 255)) ^
      entry(table, 1536 + ((crc >>> 8) & 255)) ^
      entry(table, 1280 + ((crc >>> 16) & 255)) ^
      entry(table, 1024 + (crc >>> 24)) ^
      entry(table, 768 + (next & 255)) ^
      entry(table, 512 + ((next >>> 8) & 255)) ^
      entry(table, 256 + ((next >>> 16) & 255)) ^
      entry(table, next >>> 24)
  }
  for (; at < chunk.length; at++) crc = entry(table, (crc ^ entry(chunk, at)) & 255) ^ (crc >>> 8)
  return crc
}

/** Little-endian; a DataView per chunk would cost more for small chunks and gain nothing for large ones. */
function word(bytes: Uint8Array, at: number): number {
  return entry(bytes, at) | (entry(bytes, at + 1) << 8) | (entry(bytes, at + 2) << 16) | (entry(bytes, at + 3) << 24)
}

/** Every index here is in range; the cast costs nothing, a check per byte would. */
function entry(table: Int32Array | Uint8Array, index: number): number {
  return table[index] as number
}

/** Row k holds the CRC of each byte followed by k zero bytes. */
function makeCrc32cTable(): Int32Array {
  const table = new Int32Array(2048)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? crc32cPolynomial : 0)
    table[byte] = crc
  }
  for (let index = 256; index < 2048; index++) {
    const before = entry(table, index - 256)
    table[index] = entry(table, before & 255) ^ (before >>> 8)
  }
  return table
}

function makeCrc64Tables(): { readonly high: Int32Array; readonly low: Int32Array } {
  const high = new Int32Array(2048)
  const low = new Int32Array(2048)
  for (let byte = 0; byte < 256; byte++) {
    let h = 0
    let l = byte
    for (let bit = 0; bit < 8; bit++) {
      const odd = (l & 1) === 1
      l = (l >>> 1) | (h << 31)
      h >>>= 1
      if (odd) {
        h ^= crc64Polynomial.high
        l ^= crc64Polynomial.low
      }
    }
    high[byte] = h
    low[byte] = l
  }
  for (let index = 256; index < 2048; index++) {
    const h = entry(high, index - 256)
    const l = entry(low, index - 256)
    low[index] = entry(low, l & 255) ^ ((l >>> 8) | (h << 24))
    high[index] = entry(high, l & 255) ^ (h >>> 8)
  }
  return { high, low }
}
