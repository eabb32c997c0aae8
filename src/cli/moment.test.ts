import { describe, expect, it } from 'vitest'
import { parseDuration, parseMoment } from './moment.js'

const now = Date.UTC(2030, 0, 1)
const invalid = expect.objectContaining({ kind: 'invalid' }) as unknown

describe('a duration', () => {
  it.each(['', '7', '-7d', '7 d', '7D', '1.5h', '7days', 'd', '1e3s', '99999999999s', '9999w9d', '10000w', '٣d'])(
    'is not %j',
    (text) => {
      expect(() => parseDuration('--overlap', text)).toThrow(invalid)
    },
  )

  it.each([
    ['0', 0],
    ['0d', 0],
    ['45s', 45],
    ['30m', 1800],
    ['12h', 43_200],
    ['7d', 604_800],
    ['2w', 1_209_600],
  ])('%j is %d seconds', (text, seconds) => {
    expect(parseDuration('--overlap', text)).toBe(seconds)
  })
})

describe('a moment', () => {
  it.each(['', 'soon', '0', '0d', '2029-12-31', '2030-01-01', '2030-02-30', '2999-01-01', '99999w'])(
    'is not %j',
    (text) => {
      expect(() => parseMoment('--expires', text, now)).toThrow(invalid)
    },
  )

  it.each([
    ['1s', now + 1000],
    ['30d', now + 30 * 86_400_000],
    ['2030-01-02', now + 86_400_000],
    ['2030-01-01T00:00:01Z', now + 1000],
  ])('%j', (text, moment) => {
    expect(parseMoment('--expires', text, now)).toBe(moment)
  })
})
