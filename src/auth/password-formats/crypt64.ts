const digits = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/**
 * The base 64 of crypt(3): the bytes in this order, three at a time with the first one highest, each three as four digits
 * with the lowest six bits first. One or two bytes at the end are as few digits as they need.
 */
export function crypt64(bytes: Uint8Array, order: readonly number[]): string {
  let text = ''
  for (let at = 0; at < order.length; at += 3) {
    const group = order.slice(at, at + 3)
    let value = group.reduce((sum, index) => (sum << 8) | (bytes[index] ?? 0), 0)
    for (let count = Math.ceil((group.length * 8) / 6); count > 0; count--) {
      text += digits.charAt(value & 63)
      value >>= 6
    }
  }
  return text
}
