import { describe, expect, it } from 'vitest'
import { Failure } from '../core/failure.js'
import { evaluate, rangeApplies, readPreconditions, wantedBytes, writeConditions } from './conditional.js'

const modified = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
const same = new Date(modified).toUTCString()
const earlier = new Date(modified - 60_000).toUTCString()
const later = new Date(modified + 60_000).toUTCString()
const current = { etag: 'now', modified }

function given(headers: Record<string, string>) {
  return readPreconditions({ headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])) })
}

function outcome(headers: Record<string, string>, method: string, state: typeof current | undefined = current) {
  try {
    return evaluate(given(headers), state, method)
  } catch (error) {
    return error instanceof Failure ? error.kind : error
  }
}

describe('conditions in the order of RFC 9110 §13.2.2', () => {
  it.each<[Record<string, string>, string, string]>([
    [{ 'if-match': '"old"' }, 'GET', 'precondition'],
    [{ 'if-match': 'W/"now"' }, 'PUT', 'precondition'],
    [{ 'if-match': '"old"', 'if-none-match': '"now"' }, 'GET', 'precondition'],
    [{ 'if-match': '"now"', 'if-unmodified-since': earlier }, 'PUT', 'proceed'],
    [{ 'if-match': '"now"', 'if-none-match': '"now"' }, 'GET', 'not-modified'],
    [{ 'if-unmodified-since': earlier }, 'DELETE', 'precondition'],
    [{ 'if-unmodified-since': same }, 'DELETE', 'proceed'],
    [{ 'if-none-match': 'W/"now"' }, 'HEAD', 'not-modified'],
    [{ 'if-none-match': '*' }, 'GET', 'not-modified'],
    [{ 'if-none-match': '*' }, 'PUT', 'precondition'],
    [{ 'if-none-match': '"now"' }, 'PATCH', 'precondition'],
    [{ 'if-none-match': '"old"', 'if-modified-since': later }, 'GET', 'proceed'],
    [{ 'if-modified-since': same }, 'GET', 'not-modified'],
    [{ 'if-modified-since': later }, 'PUT', 'proceed'],
    [{ 'if-modified-since': earlier }, 'GET', 'proceed'],
    [{ 'if-modified-since': 'yesterday' }, 'GET', 'proceed'],
    [{ 'if-none-match': 'JoplinIgnore-1', 'if-match': 'junk' }, 'PUT', 'proceed'],
    [{}, 'PUT', 'proceed'],
  ])('%j on %s: %s', (headers, method, expected) => {
    expect(outcome(headers, method)).toBe(expected)
  })

  it('knows what holds where nothing is', () => {
    expect(outcomeOfNothing({ 'if-match': '*' })).toBe('precondition')
    expect(outcomeOfNothing({ 'if-none-match': '*' })).toBe('proceed')
    expect(outcomeOfNothing({ 'if-unmodified-since': earlier })).toBe('proceed')
  })

  function outcomeOfNothing(headers: Record<string, string>) {
    try {
      return evaluate(given(headers), undefined, 'PUT')
    } catch (error) {
      return error instanceof Failure ? error.kind : error
    }
  }
})

describe('conditions for a store', () => {
  it('drop weak tags, and fail at once where none is left', () => {
    expect(writeConditions(given({ 'if-match': 'W/"a", "b"' }))).toEqual({ ifMatch: ['b'] })
    expect(() => writeConditions(given({ 'if-match': 'W/"a"' }))).toThrow(Failure)
  })

  it('leave out a date that If-Match overrules', () => {
    expect(writeConditions(given({ 'if-match': '*', 'if-unmodified-since': earlier }))).toEqual({ ifMatch: '*' })
    expect(writeConditions(given({ 'if-unmodified-since': earlier }))).toEqual({
      ifUnmodifiedSince: Date.parse(earlier),
    })
    expect(writeConditions(undefined)).toEqual({})
  })
})

describe('If-Range', () => {
  const now = modified + 60_000
  it.each([
    [undefined, true],
    ['"now"', true],
    ['W/"now"', false],
    ['"old"', false],
    [same, true],
    [later, false],
    [earlier, false],
    ['junk', false],
  ])('%s', (field, expected) => {
    expect(rangeApplies(field, current, now)).toBe(expected)
  })

  it('does not trust a date of the same second', () => {
    expect(rangeApplies(same, current, modified + 10)).toBe(false)
  })
})

describe('what a store is told beforehand', () => {
  it.each([
    [{}, undefined],
    [{ range: 'bytes=0-0' }, { part: { start: 0, end: 1 } }],
    [{ range: 'bytes=5-' }, { part: { start: 5 } }],
    [{ range: 'bytes=5-99' }, { part: { start: 5, end: 100 } }],
    [{ range: 'bytes=-5' }, { lazy: true }],
    [{ range: 'bytes=9-5' }, { lazy: true }],
    [{ range: 'bytes=0-1,5-6' }, { lazy: true }],
    [{ range: 'bytes=0-9999999999999999' }, { lazy: true }],
    [{ range: 'lines=0-1' }, { lazy: true }],
    [{ range: 'bytes=0-1', 'if-range': '"a"' }, { lazy: true }],
    [{ range: 'bytes=0-1', 'if-none-match': '"a"' }, { lazy: true }],
    [{ 'if-modified-since': 'x' }, { lazy: true }],
  ])('%j', (fields, expected) => {
    const headers = new Map(Object.entries(fields).map(([name, value]) => [name, [value]]))
    expect(wantedBytes({ headers })).toEqual(expected)
  })
})
