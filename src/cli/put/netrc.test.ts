import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { netrcLogin } from './netrc.js'

const file = `
# machine files.example.org login commented password out
machine other.example.org login o password p
macdef init
machine files.example.org login macro password wrong

machine files.example.org
  login anna
  account x
  password s3cret
default login guest password guest
`

describe('a .netrc', () => {
  it('gives the login of the host and of no other', () => {
    expect(netrcLogin(file, 'FILES.example.org')).toEqual({ login: 'anna', password: 's3cret' })
    expect(netrcLogin(file, 'elsewhere.example.org')).toEqual({ login: 'guest', password: 'guest' })
    expect(netrcLogin('machine a login b', 'a')).toBeUndefined()
    expect(netrcLogin('machine a login b password c', 'b')).toBeUndefined()
    expect(netrcLogin('machine a machine b login c password d', 'a')).toBeUndefined()
    expect(netrcLogin('machine a password', 'a')).toBeUndefined()
  })

  it('never throws, and gives nothing of another machine', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        netrcLogin(text, 'host')
        const known = /^[\w]*$/.test(text) ? netrcLogin(`machine other login o password p ${text}`, 'host') : undefined
        expect(known).toBeUndefined()
      }),
    )
  })
})
