import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createHostList } from './host-list.js'

const check = createHostList({ hosts: ['files.example.org', 'Nas', '192.168.1.5', '[::1]'], basePath: '/files' })
const lets = (authority: string, target = '/a'): boolean => {
  try {
    check({ target, origin: { scheme: 'http', authority } })
    return true
  } catch {
    return false
  }
}

describe('a list of hosts', () => {
  it.each([
    'evil.example',
    'files.example.org.evil.example',
    'evil.files.example.org',
    'files.example.org@evil.example',
    'xfiles.example.org',
    'files.example.org.',
    'files.example.org:80:80',
    '192.168.1.50',
    '::1',
    '',
    ':80',
  ])('keeps out %j', (authority) => {
    expect(lets(authority)).toBe(false)
  })

  it.each(['files.example.org', 'FILES.example.ORG:8443', 'nas:8080', '192.168.1.5:80', '[::1]', '[::1]:8080', 'nas:'])(
    'lets in %j',
    (authority) => {
      expect(lets(authority)).toBe(true)
    },
  )

  it('tells anybody whether the server is well, and nothing else', () => {
    for (const page of ['/-/health', '/-/ready', '/files/-/health', '/-/health?x'])
      expect(lets('10.0.0.7:8080', page), page).toBe(true)
    for (const page of ['/-/health/', '/-/healthy', '/x/-/health', '/-/metrics', '/?/-/health', '//-/health'])
      expect(lets('10.0.0.7:8080', page), page).toBe(false)
  })

  it('lets in no name that is not on it', () => {
    const known = ['files.example.org', 'nas', '192.168.1.5', '[::1]']
    fc.assert(
      fc.property(fc.domain(), (name) => {
        expect(lets(name)).toBe(known.includes(name))
      }),
    )
  })
})
