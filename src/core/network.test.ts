import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { networkOf } from './network.js'

describe('a client', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0DB8:0000:0000:0001::', '2001:db8:0:0::/64'],
    ['2001:db8:a:b:c:d:e:f', '2001:db8:a:b::/64'],
    ['2001:DB8:0001:2:ffff::', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['/run/socket', '/run/socket'],
  ])('at %s counts as %s', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })

  it('is one for all the addresses of its network, and for no others', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.nat(0xffff), (address, other) => {
        const network = networkOf(address)
        if (!network.endsWith('::/64')) return
        const prefix = network.slice(0, -'::/64'.length)
        expect(networkOf(`${prefix}:1:2:3:${other.toString(16)}`)).toBe(network)
        expect(
          networkOf(`${(Number.parseInt(prefix, 16) ^ 1).toString(16)}:${prefix.split(':').slice(1).join(':')}::1`),
        ).not.toBe(network)
      }),
    )
  })
})
