import { describe, expect, it } from 'vitest'
import { depthOf, overwriteOf, timeoutOf } from './depth.js'
import { requestOf } from '../../../test/http-exchange.js'

function withHeader(name: string, value: string | undefined): ReturnType<typeof requestOf> {
  return requestOf('X', '/', value === undefined ? {} : { headers: { [name]: value } })
}

describe('Depth', () => {
  it.each([
    [undefined, 'infinity'],
    ['', 'infinity'],
    ['0', 0],
    ['1', 1],
    ['infinity', 'infinity'],
    ['Infinity', 'infinity'],
    [' 0 ', 0],
  ])('%j is %j', (text, depth) => {
    expect(depthOf(withHeader('depth', text), [0, 1, 'infinity'], 'infinity')).toBe(depth)
  })

  it.each(['2', '-1', '01', '0.0', 'inf', '0, 0', '1,noroot', 'infinity;x', 'NaN'])('%j is refused', (text) => {
    expect(() => depthOf(withHeader('depth', text), [0, 1, 'infinity'], 'infinity')).toThrow('Depth must be')
  })

  it('is refused where the method does not know it', () => {
    expect(() => depthOf(withHeader('depth', '1'), [0, 'infinity'], 'infinity')).toThrow('0 or infinity')
  })
})

describe('Overwrite', () => {
  it.each([
    [undefined, true],
    ['T', true],
    ['t', true],
    [' F ', false],
    ['f', false],
  ])('%j is %j', (text, overwrite) => {
    expect(overwriteOf(withHeader('overwrite', text))).toBe(overwrite)
  })

  it.each(['', 'true', 'TF', 'T, F', '1'])('%j is refused', (text) => {
    expect(() => overwriteOf(withHeader('overwrite', text))).toThrow('Overwrite')
  })
})

describe('Timeout', () => {
  it.each([
    [undefined, 600],
    ['', 600],
    ['Second-600', 600],
    ['second-3600', 3600],
    ['Second-0', 180],
    ['Second-1', 180],
    ['Second-4100000000', 86_400],
    ['Second-99999999999999999999', 86_400],
    ['Infinite', 86_400],
    ['Infinite, Second-4100000000', 86_400],
    ['Second-200, Infinite', 200],
    ['Second--1', 600],
    ['Second-1e9', 600],
    ['Minute-5', 600],
    ['Second-', 600],
  ])('%j is %d seconds', (text, seconds) => {
    expect(timeoutOf(withHeader('timeout', text))).toBe(seconds)
  })
})
