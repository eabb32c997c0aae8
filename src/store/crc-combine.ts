/**
 * CRCs of bytes put together, out of the CRCs of the pieces and their lengths, without the bytes (after Mark Adler's
 * `crc32_combine`): the CRC of what comes first is multiplied by x to the power of the bits behind it, in the field of polynomials
 * over GF(2) modulo that of the CRC. All of them are reflected: the highest bit stands for x^0.
 */

/** CRCs that can be combined. */
export type CrcName = 'crc32' | 'crc32c' | 'crc64nvme'

export interface CrcPiece {
  /** Big-endian, as in `Digests`. */
  readonly crc: Uint8Array
  /** Bytes that it is over. */
  readonly size: number
}

/** The CRC of all the pieces one behind the other, big-endian. */
export function combineCrcs(name: CrcName, pieces: readonly CrcPiece[]): Uint8Array {
  switch (name) {
    case 'crc32':
      return combined(field32(0xedb88320), pieces)
    case 'crc32c':
      return combined(field32(0x82f63b78), pieces)
    case 'crc64nvme':
      return combined(field64(0x9a6c9329, 0xac4bc9b5), pieces)
  }
}

/** Polynomials of lower degree than the one that all is taken modulo. */
interface Field<Value> {
  readonly zero: Value
  readonly one: Value
  readonly x: Value
  multiply(a: Value, b: Value): Value
  add(a: Value, b: Value): Value
  read(bytes: Uint8Array): Value
  write(value: Value): Uint8Array
}

function combined<Value>(field: Field<Value>, pieces: readonly CrcPiece[]): Uint8Array {
  const power = powersOf(field)
  let sum = field.zero
  for (const { crc, size } of pieces) sum = field.add(field.multiply(power(size), sum), field.read(crc))
  return field.write(sum)
}

/** Gives x to the power of the bits in so many bytes. Most pieces are of one size, so the last one is remembered. */
function powersOf<Value>(field: Field<Value>): (bytes: number) => Value {
  // x^(2^k) at k, from the bits of one byte on.
  const squares = [field.x]
  const square = (k: number): Value => {
    for (let known = squares.length; known <= k; known++) {
      const last = squares[known - 1] ?? field.x
      squares.push(field.multiply(last, last))
    }
    return squares[k] ?? field.x
  }
  let lastBytes = 0
  let lastPower = field.one
  return (bytes) => {
    if (bytes === lastBytes) return lastPower
    let power = field.one
    for (let left = bytes, k = 3; left > 0; left = Math.floor(left / 2), k++)
      if (left % 2 === 1) power = field.multiply(square(k), power)
    lastBytes = bytes
    lastPower = power
    return power
  }
}

function field32(polynomial: number): Field<number> {
  return {
    zero: 0,
    one: 1 << 31,
    x: 1 << 30,
    multiply(a, b) {
      let product = 0
      for (let bit = 31; bit >= 0; bit--) {
        if ((a >>> bit) & 1) product ^= b
        b = b & 1 ? (b >>> 1) ^ polynomial : b >>> 1
      }
      return product
    },
    add: (a, b) => a ^ b,
    read: (bytes) => viewOf(bytes).getInt32(0),
    write(value) {
      const bytes = new Uint8Array(4)
      viewOf(bytes).setInt32(0, value)
      return bytes
    },
  }
}

/** Halves of 32 bits: a BigInt for each bit of each piece would hold the process up. */
interface Halves {
  readonly high: number
  readonly low: number
}

function field64(polynomialHigh: number, polynomialLow: number): Field<Halves> {
  return {
    zero: { high: 0, low: 0 },
    one: { high: 1 << 31, low: 0 },
    x: { high: 1 << 30, low: 0 },
    multiply(a, { high, low }) {
      let productHigh = 0
      let productLow = 0
      for (let bit = 63; bit >= 0; bit--) {
        if ((bit > 31 ? a.high >>> (bit - 32) : a.low >>> bit) & 1) {
          productHigh ^= high
          productLow ^= low
        }
        const odd = low & 1
        low = (low >>> 1) | (high << 31)
        high >>>= 1
        if (odd) {
          high ^= polynomialHigh
          low ^= polynomialLow
        }
      }
      return { high: productHigh, low: productLow }
    },
    add: (a, b) => ({ high: a.high ^ b.high, low: a.low ^ b.low }),
    read(bytes) {
      const view = viewOf(bytes)
      return { high: view.getInt32(0), low: view.getInt32(4) }
    },
    write({ high, low }) {
      const bytes = new Uint8Array(8)
      const view = viewOf(bytes)
      view.setInt32(0, high)
      view.setInt32(4, low)
      return bytes
    },
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}
