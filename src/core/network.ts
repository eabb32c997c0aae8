import { isIPv6 } from 'node:net'

/** What counts as one client: an IPv4 address, or the /64 of an IPv6 address, which is the least that one customer gets. */
export function networkOf(address: string): string {
  const bare = address.replace(/%.*$/, '').toLowerCase()
  // Colons first: the expression behind isIPv6 takes milliseconds to compile.
  if (!bare.includes(':') || !isIPv6(bare)) return bare
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(bare)
  const hex = (high = '', low = ''): string => ((Number(high) << 8) | Number(low)).toString(16)
  const plain = dotted ? `${dotted[1] ?? ''}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}` : bare
  const [head = '', tail] = plain.split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => '0'), ...back]
  const numbers = groups.map((group) => Number.parseInt(group, 16))
  if (numbers.slice(0, 5).every((number) => number === 0) && numbers[5] === 0xffff) {
    const [high = 0, low = 0] = numbers.slice(6)
    return [high >> 8, high & 255, low >> 8, low & 255].join('.')
  }
  return (
    numbers
      .slice(0, 4)
      .map((number) => number.toString(16))
      .join(':') + '::/64'
  )
}
