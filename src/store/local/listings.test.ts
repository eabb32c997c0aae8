import { closeSync, constants, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { toPath } from '../../core/path.js'
import { Beneath } from '../beneath.js'
import type { LocalContext } from './context.js'
import { type Known, knownOf } from './facts.js'
import { list } from './list.js'
import { batchEntries } from './members.js'
import { Listings } from './listings.js'
import { memoryNotes, NoteBook } from './notes.js'
import { Pace } from './pace.js'
import { FileSyncs } from './sync.js'
import { factsLength } from '../native.js'
import { SortedNames } from '../sorted-names.js'

const p = toPath
let root: string
let context: LocalContext
let read: string[]
let looked: number

/** The real calls, with a tally of directories read and of files looked at. */
function counted(beneath: Beneath): Beneath {
  const { calls } = beneath
  const counting: typeof calls = {
    ...calls,
    readdir(fd, first) {
      if (first) read.push(String(fd))
      return calls.readdir(fd, first)
    },
    statMany(directory, names, from, count, facts) {
      looked += count
      return calls.statMany(directory, names, from, count, facts)
    },
  }
  Object.defineProperty(beneath, 'calls', { value: counting })
  return beneath
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-listings-'))
  read = []
  looked = 0
  const beneath = counted(new Beneath({ root, symlinks: 'absent' }))
  context = {
    beneath,
    full: false,
    settlesAtOnce: true,
    notes: new NoteBook(memoryNotes(), 0),
    listings: new Listings(),
    syncs: new Map(),
    fileSyncs: new FileSyncs(beneath.calls),
    pace: new Pace(),
    rooms: { locks: new Map(), slotBytes: new Map() },
    later: () => undefined,
    closing: new AbortController().signal,
  }
})

afterEach(() => {
  vi.useRealTimers()
  context.beneath.close()
  rmSync(root, { recursive: true })
})

async function page(after: string | undefined, count: number): Promise<readonly string[]> {
  const found: string[] = []
  const options = { order: 'key', depth: 'infinity', ...(after === undefined ? {} : { after }) } as const
  for await (const batch of list(context, p('/'), options)) {
    for (const { path, kind } of batch) if (kind === 'file') found.push(path)
    if (found.length >= count) break
  }
  return found.slice(0, count)
}

/** So long after everything that was done, as far as anybody knows, that clocks have ticked. */
function later(): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 10_000 })
}

describe('pages of a listing', () => {
  it('read a directory once, and look at what they give out, the last page like the first', async () => {
    for (let folder = 0; folder < 10; folder++) {
      mkdirSync(join(root, `f${folder}`))
      for (let i = 0; i < 300; i++) writeFileSync(join(root, `f${folder}`, String(i).padStart(3, '0')), '')
    }
    later()
    const costs: { read: number; looked: number }[] = []
    let after: string | undefined
    let all = 0
    for (;;) {
      read = []
      looked = 0
      const found = await page(after, 100)
      if (found.length === 0) break
      all += found.length
      after = found.at(-1)
      costs.push({ read: read.length, looked })
    }
    expect(all).toBe(3000)
    expect(costs).toHaveLength(30)
    // The root and ten folders, each once.
    expect(costs.reduce((sum, { read }) => sum + read, 0)).toBe(11)
    expect(Math.max(...costs.slice(1).map(({ read }) => read))).toBe(1)
    // A batch of each folder that is come to, and the folder itself.
    expect(Math.max(...costs.map(({ looked }) => looked))).toBeLessThanOrEqual(2 * batchEntries + 2)
  })

  it('go straight to where the prefix leads', async () => {
    mkdirSync(join(root, 'a', 'b'), { recursive: true })
    for (const name of ['a/b/c1', 'a/b/c2', 'a/b/d', 'a/x']) writeFileSync(join(root, name), '')
    const found: string[] = []
    for await (const batch of list(context, p('/'), { order: 'key', depth: 'infinity', prefix: '/a/b/c' }))
      found.push(...batch.map(({ path }) => path))
    expect(found).toEqual(['/a/b/c1', '/a/b/c2'])
    expect([read.length, looked]).toEqual([1, 2])
    for (const prefix of ['/a/../a/b/', '/a//b/', '/./a/', '/a/b/c1/', '/.postern-parts/x', '/none/b'])
      for await (const batch of list(context, p('/'), { order: 'key', depth: 'infinity', prefix }))
        expect([prefix, batch]).toEqual([prefix, []])
  })
})

describe('names that were read', () => {
  it('are read again after any change, however soon', async () => {
    for (let round = 0; round < 300; round++) {
      writeFileSync(join(root, `f${round}`), '')
      expect(await page(undefined, 1000)).toHaveLength(round + 1)
      // And the same after one that leaves the number of names as it was.
      renameSync(join(root, `f${round}`), join(root, `g${round}`))
      expect(await page(undefined, 1000)).toContain(`/g${round}`)
    }
  })

  it('are not kept where the directory has changed within a tick of the clock, or was changed meanwhile', async () => {
    const names = await SortedNames.of(['a'], new Map(), new Pace())
    const known = directory()
    const at = (milliseconds: number): number => Math.max(known.modifiedMilliseconds, Date.now()) + milliseconds
    const listings = new Listings()
    listings.keep(names, known, known.modifiedMilliseconds + 40, known)
    expect(listings.find(known)).toBeUndefined()
    listings.keep(names, known, at(1000), { ...known, changed: 'other.1' })
    expect(listings.find(known)).toBeUndefined()
    const coarse = { ...known, modified: '1.0' }
    listings.keep(names, coarse, at(1000), coarse)
    expect(listings.find(coarse)).toBeUndefined()
    listings.keep(names, known, at(1000), known)
    expect(listings.find({ ...known, inode: 'other' })).toBeUndefined()
    expect(listings.find({ ...known, born: 'other' })).toBeUndefined()
    expect(listings.find(known)).toBe(names)
    expect(listings.find({ ...known, changed: 'other.1' })).toBeUndefined()
    expect(listings.find(known)).toBeUndefined()
  })

  it('go in the order of their use where there are too many', async () => {
    const names = await SortedNames.of(['a'.repeat(200)], new Map(), new Pace())
    const known = directory()
    const listings = new Listings(3 * names.weight)
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((inode): Known => ({ ...known, inode })) as [
      Known,
      Known,
      Known,
      Known,
    ]
    for (const one of [a, b, c]) listings.keep(names, one, Date.now() + 5000, one)
    expect(listings.find(a)).toBe(names)
    listings.keep(names, d, Date.now() + 5000, d)
    expect([a, b, c, d].map((one) => listings.find(one) !== undefined)).toEqual([true, false, true, true])
    const heavy = await SortedNames.of(['a'.repeat(2000)], new Map(), new Pace())
    listings.keep(heavy, b, Date.now() + 5000, b)
    expect([a, b, c, d].map((one) => listings.find(one) !== undefined)).toEqual([true, false, true, true])
  })

  function directory(): Known {
    const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY)
    const facts = new Float64Array(factsLength)
    context.beneath.calls.fstat(fd, facts)
    closeSync(fd)
    return knownOf(facts)
  }
})
