import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConnectionCount, clientKey } from './connection-count.js'

describe('a count of connections', () => {
  it('lets so many in for each client, and others as those leave', () => {
    const count = new ConnectionCount(2)
    const first = count.enter('192.0.2.1')
    expect(count.enter('192.0.2.1')).toBeDefined()
    expect(count.enter('192.0.2.1')).toBeUndefined()
    expect(count.enter('192.0.2.2')).toBeDefined()
    first?.()
    expect(count.enter('192.0.2.1')).toBeDefined()
    expect(count.enter('192.0.2.1')).toBeUndefined()
  })
})

describe('a client', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::1', '2001:db8:1:2'],
    ['2001:DB8:0001:2:ffff::', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
  ])('at %s is known as %s', (address, key) => {
    expect(clientKey(address)).toBe(key)
  })

  it('is one for all the addresses of its network, and for no others', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const [first = ''] = clientKey(address).split(':')
        expect(clientKey(address).split(':')).toHaveLength(4)
        expect(clientKey(`${clientKey(address)}:1:2:3:4`)).toBe(clientKey(address))
        expect(clientKey(`1${first.slice(1)}:0:0:1::`)).not.toBe(clientKey(`2${first.slice(1)}:0:0:1::`))
      }),
    )
  })
})
