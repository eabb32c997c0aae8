import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LineBatch } from './line-batch.js'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

function batch(characters: number) {
  const written: string[] = []
  return { written, lines: new LineBatch((text) => written.push(text), characters) }
}

describe('LineBatch', () => {
  it('writes what came within a moment as one', () => {
    const { written, lines } = batch(100)
    lines.write('a\n')
    lines.write('b\n')
    vi.advanceTimersByTime(49)
    expect(written).toEqual([])
    vi.advanceTimersByTime(1)
    expect(written).toEqual(['a\nb\n'])
    vi.advanceTimersByTime(1000)
    lines.flush()
    expect(written).toEqual(['a\nb\n'])
  })

  it('never splits a line, and writes no more at once than it may', () => {
    const { written, lines } = batch(6)
    for (const line of ['one\n', '2\n', 'three\n', 'fourteen\n']) lines.write(line)
    lines.flush()
    expect(written).toEqual(['one\n2\n', 'three\n', 'fourteen\n'])
  })
})
