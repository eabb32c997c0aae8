import { isIPv6 } from 'node:net'

/** Connections that are open, by the network that a single client can have for itself. */
export class ConnectionCount {
  readonly #most: number
  readonly #open = new Map<string, number>()

  /** @param most how many at a time one client may have */
  constructor(most: number) {
    this.#most = most
  }

  /** Counts a connection in; undefined where there are too many already, else what counts it out again. */
  enter(address: string): (() => void) | undefined {
    const key = clientKey(address)
    const open = this.#open.get(key) ?? 0
    if (open >= this.#most) return undefined
    this.#open.set(key, open + 1)
    return () => {
      const left = (this.#open.get(key) ?? 1) - 1
      if (left === 0) this.#open.delete(key)
      else this.#open.set(key, left)
    }
  }
}

/** The address itself, but of IPv6 its first 64 bits: whoever has one such address has them all (RFC 6177). */
export function clientKey(address: string): string {
  // Colons first: the expression behind isIPv6 takes milliseconds to compile.
  if (!address.includes(':') || !isIPv6(address)) return address
  const [front = '', back] = (address.split('%')[0] ?? '').split('::')
  const head = front === '' ? [] : front.split(':')
  const tail = back === undefined || back === '' ? [] : back.split(':')
  const groups =
    back === undefined
      ? head
      : [...head, ...Array<string>(Math.max(8 - head.length - tail.length, 0)).fill('0'), ...tail]
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
