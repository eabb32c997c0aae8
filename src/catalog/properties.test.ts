import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Catalog } from './catalog.js'
import { openMemoryCatalog } from './memory.js'
import { catalogProperties, type Properties, type Property, type PropertyChange } from './properties.js'
import { ManualClock } from '../core/clock.js'
import { isWithin, rebase, toPath, type StorePath } from '../core/path.js'

let catalog: Catalog
let properties: Properties

beforeEach(() => {
  catalog = openMemoryCatalog({ clock: new ManualClock() })
  properties = catalogProperties(catalog)
})
afterEach(() => catalog.close())

function property(name: string, value = '', namespace = 'urn:x'): Property {
  return { namespace, name, xml: `<x:${name} xmlns:x="${namespace}">${value}</x:${name}>` }
}

function set(name: string, value = '', namespace?: string): PropertyChange {
  return { kind: 'set', property: property(name, value, namespace) }
}

function remove(name: string, namespace = 'urn:x'): PropertyChange {
  return { kind: 'remove', property: { namespace, name } }
}

async function give(...paths: readonly string[]): Promise<void> {
  for (const path of paths) await properties.change(toPath(path), [set('at', path)])
}

/** Every path that has properties, and where they say they were given. */
async function everything(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for await (const items of catalog.list('properties'))
    for (const { value } of items) {
      const { path, properties: own } = JSON.parse(Buffer.from(value).toString()) as { path: string; properties: Property[] } // prettier-ignore
      found[path] = own.map(({ xml }) => />(.*)</.exec(xml)?.[1] ?? '').join()
    }
  return found
}

const long = `/${'\u20ac'.repeat(80)}/${'\u{1f4be}'.repeat(60)}/${'x'.repeat(255)}`

describe('change', () => {
  it('carries out instructions in their order', async () => {
    const path = toPath('/a')
    await properties.change(path, [set('one', '1'), set('two'), set('one', '2'), remove('two'), remove('no'), set('three')])
    expect(await properties.of(path)).toEqual([property('one', '2'), property('three')])
    await properties.change(path, [remove('three'), set('three', 'new'), set('one', 'x'), remove('one')])
    expect(await properties.of(path)).toEqual([property('three', 'new')])
    await properties.change(path, [remove('three')])
    expect(await everything()).toEqual({})
  }) // prettier-ignore

  it('tells namespaces and names apart, odd ones too', async () => {
    const path = toPath('/a')
    const names = [['a', ''], ['a', 'u'], ['a', 'u\nb'], ['A', 'u'], ['__proto__', ''], ['constructor', '']] as const // prettier-ignore
    await properties.change(path, names.map(([name, namespace]) => set(name, '', namespace))) // prettier-ignore
    expect((await properties.of(path)).map(({ name, namespace }) => [name, namespace])).toEqual(names)
    await properties.change(path, [remove('a', 'u')])
    expect(await properties.of(path)).toHaveLength(names.length - 1)
  })

  it('writes nothing where there is nothing to write', async () => {
    await properties.change(toPath('/a'), [remove('no')])
    await properties.change(toPath('/a'), [])
    expect(await everything()).toEqual({})
  })

  it('holds 200 KiB for one resource and no more, and changes nothing when it refuses', async () => {
    const path = toPath('/a')
    await properties.change(path, [set('small', 'x')])
    await properties.change(path, [set('big', 'x'.repeat(190 * 1024))])
    const before = await properties.of(path)
    await expect(properties.change(path, [set('small', 'changed'), set('more', 'x'.repeat(20 * 1024))])).rejects.toMatchObject({ kind: 'no-space' }) // prettier-ignore
    await expect(properties.change(path, [set('euro', '\u20ac'.repeat(4 * 1024))])).rejects.toMatchObject({
      kind: 'no-space',
    })
    expect(await properties.of(path)).toEqual(before)
    await properties.change(path, [remove('big'), set('more', 'x'.repeat(20 * 1024))])
    expect((await properties.of(path)).map(({ name }) => name)).toEqual(['small', 'more'])
  })

  it('loses no change of several that are made at once, and none by half', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 2, max: 5 }), async (scheduler, count) => {
        const medium = openMemoryCatalog({ clock: new ManualClock() })
        const path = toPath('/a')
        const changes = Array.from({ length: count }, async (_, at) =>
          catalogProperties(scheduled(medium, scheduler)).change(path, [
            set(`own${at}`),
            set('first', `${at}`),
            set('second', `${at}`),
          ]),
        )
        await scheduler.waitFor(Promise.all(changes))
        const found = await catalogProperties(medium).of(path)
        expect(found).toHaveLength(count + 2)
        const valueOf = (name: string): string | undefined =>
          found.find((each) => each.name === name)?.xml.replace(/<[^>]*>/g, '')
        expect(valueOf('first')).toBe(valueOf('second'))
      }),
    )
  })
})

describe('members', () => {
  it('are those of the directory itself, not of what lies deeper or beside it', async () => {
    await give('/', '/a', '/a/b', '/a/c', '/a/b/d', '/a-b', '/a-b/x', '/ab/x', long, `${long}/y`)
    const names = async (path: string): Promise<readonly string[]> =>
      [...(await properties.members(toPath(path))).keys()].sort()
    expect(await names('/a')).toEqual(['/a/b', '/a/c'])
    expect(await names('/')).toEqual(['/a', '/a-b'])
    expect(await names('/a/b/d')).toEqual([])
    expect(await names(long)).toEqual([`${long}/y`])
    expect(await names('/nothing')).toEqual([])
    expect((await properties.members(toPath('/a'))).get(toPath('/a/c'))).toEqual([property('at', '/a/c')])
  })
})

describe('replace', () => {
  it('gives one resource other properties, and none at all', async () => {
    await give('/a', '/c', '/c/d')
    const [of, seen] = await properties.look([toPath('/a'), toPath('/c')])
    await properties.replace(seen!, of!.properties)
    expect(await everything()).toEqual({ '/a': '/a', '/c': '/a', '/c/d': '/c/d' })
    const [none, again] = await properties.look([toPath('/none'), toPath('/c')])
    await properties.replace(again!, none!.properties)
    expect(await everything()).toEqual({ '/a': '/a', '/c/d': '/c/d' })
  })

  it('keeps what has been set since, and no more of what was there', async () => {
    await give('/a')
    const [seen] = await properties.look([toPath('/a')])
    await properties.change(toPath('/a'), [{ kind: 'set', property: property('new', 'x') }])
    await properties.replace(seen!, [property('other', 'y')])
    expect(await properties.of(toPath('/a'))).toEqual([property('other', 'y'), property('new', 'x')])
    await properties.replace(seen!, [])
    expect((await properties.of(toPath('/a'))).map(({ name }) => name)).toEqual(['other', 'new'])
  })
})

describe('copyTree', () => {
  it('gives a tree the properties of another, and what it had is gone', async () => {
    await give('/a', '/a/b/c', `/a${long}`, '/a-b', '/to', '/to/old', '/to/b', '/to-o')
    await properties.copyTree(toPath('/a'), toPath('/to'))
    const after = {
      '/a': '/a',
      '/a/b/c': '/a/b/c',
      [`/a${long}`]: `/a${long}`,
      '/a-b': '/a-b',
      '/to': '/a',
      '/to/b/c': '/a/b/c',
      [`/to${long}`]: `/a${long}`,
      '/to-o': '/to-o',
    }
    expect(await everything()).toEqual(after)
    await properties.copyTree(toPath('/a'), toPath('/to'))
    expect(await everything()).toEqual(after)
  })

  it('is what a simple model says, for any trees', async () => {
    const name = fc.constantFrom('a', 'a-b', 'b', '\u20ac'.repeat(70), 'x'.repeat(100))
    const path = fc.array(name, { minLength: 1, maxLength: 5 }).map((names) => toPath(`/${names.join('/')}`))
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(path, { maxLength: 12 }), path, path, async (paths, from, to) => {
        fc.pre(!isWithin(to, from) && !isWithin(from, to))
        catalog = openMemoryCatalog({ clock: new ManualClock() })
        properties = catalogProperties(catalog)
        await give(...paths)
        const wanted: Record<string, string> = {}
        for (const each of paths) if (!isWithin(each, to)) wanted[each] = each
        for (const each of paths) if (isWithin(each, from)) wanted[rebase(each, from, to)] = each
        await properties.copyTree(from, to)
        expect(await everything()).toEqual(wanted)
      }),
    )
  })
})

describe('leaving and anyWithin', () => {
  it('reach what is at and below a path, and nothing beside it', async () => {
    await give('/a/b', `/a${long}`, '/a-b', '/ab')
    const any = (path: string): Promise<boolean> => properties.anyWithin(toPath(path))
    expect([await any('/a'), await any('/a/b'), await any('/'), await any('/b'), await any('/a/b/c')]).toEqual([
      true,
      true,
      true,
      false,
      false,
    ])
    expect(await any(`/a${long}`.slice(0, 200))).toBe(false)
    await (
      await properties.leaving(toPath('/a'), 'tree')
    )()
    expect(await any('/a')).toBe(false)
    expect(await everything()).toEqual({ '/a-b': '/a-b', '/ab': '/ab' })
    await (
      await properties.leaving(toPath('/'), 'tree')
    )()
    expect(await everything()).toEqual({})
  })

  it('knows the root', async () => {
    await give('/')
    expect(await properties.anyWithin(toPath('/'))).toBe(true)
    expect(await properties.anyWithin(toPath('/a'))).toBe(false)
    await (
      await properties.leaving(toPath('/a'), 'tree')
    )()
    expect(await everything()).toEqual({ '/': '/' })
  })
})

function scheduled(medium: Catalog, scheduler: fc.Scheduler): Catalog {
  const turn = (): Promise<unknown> => scheduler.schedule(Promise.resolve())
  return {
    get: async (group: string, name: StorePath | string) => turn().then(() => medium.get(group, name)),
    getAll: async (...args) => turn().then(() => medium.getAll(...args)),
    swap: async (...args) => turn().then(() => medium.swap(...args)),
    list: (...args) => medium.list(...args),
    add: (...args) => medium.add(...args),
    close: () => medium.close(),
  }
}
