import { describe, expect, it } from 'vitest'
import { ConnectionCount } from './connection-count.js'

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

  it('takes an IPv6 network for one client', () => {
    const count = new ConnectionCount(1)
    expect(count.enter('2001:db8:1:2::1')).toBeDefined()
    expect(count.enter('2001:db8:1:2:3::4')).toBeUndefined()
    expect(count.enter('2001:db8:1:3::1')).toBeDefined()
  })
})
