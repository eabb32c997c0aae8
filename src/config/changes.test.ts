import { describe, expect, it } from 'vitest'
import { changesBetween } from './changes.js'
import { loadConfig } from './load.js'
import type { Config } from './load.js'

const load = (flags: Readonly<Record<string, unknown>> = {}): Config =>
  loadConfig({
    directory: '/tmp',
    environment: {},
    flags: Object.fromEntries(Object.entries(flags).map(([key, value]) => [key, { flag: key, value }])),
  })
const shared = { catalog: { postgres: 'postgres://h/d' }, secret: { env: 'S' } }

describe('a configuration that was loaded again', () => {
  it('changes nothing where nothing has changed, with or without a shared catalog', () => {
    for (const flags of [{}, shared, { mounts: [{ path: '/', local: 'a' }] }]) {
      const { changed, waiting } = changesBetween(load(flags), load(flags))
      expect([changed, waiting]).toEqual([[], []])
    }
  })

  it('waits with another catalog, and with the files that go with it', () => {
    const mounts = [{ path: '/', local: 'elsewhere' }]
    for (const [before, after] of [
      [{}, { ...shared, mounts }],
      [shared, { mounts }],
    ]) {
      const { config, changed, waiting } = changesBetween(load(before), load({ ...after, state: '/tmp/data.postern' }))
      expect(changed).toEqual([])
      expect(waiting).toEqual(['catalog', 'mounts', 'secret'])
      expect(config.catalog).toEqual(load(before).catalog)
    }
  })

  it('names the directory as it was given', () => {
    const named = (before: object, after: object): unknown => {
      const { changed, waiting } = changesBetween(load({ ...before }), load({ ...after }))
      return { changed, waiting }
    }
    expect(named({ root: 'a', state: 's' }, { root: 'b', state: 's' })).toEqual({ changed: ['root'], waiting: [] })
    expect(named({ root: 'a' }, { root: 'b' })).toEqual({ changed: [], waiting: ['root', 'state'] })
    const mounts = [{ path: '/', local: 'b' }]
    expect(named({ root: 'a', state: 's' }, { mounts, state: 's' })).toEqual({ changed: ['mounts'], waiting: [] })
  })

  it('waits with all that the processes of users know from their start on', () => {
    const separated = { privsep: { umask: '002' }, state: 's' }
    const before = load({ ...separated, mounts: [{ path: '/', local: 'a' }] })
    const after = load({
      ...separated,
      privsep: { umask: '022' },
      mounts: [{ path: '/', local: 'b' }],
      uniform403: true,
    })
    const { config, changed, waiting } = changesBetween(before, after)
    expect([changed, waiting]).toEqual([['uniform403'], ['mounts', 'privsep']])
    expect([config.mounts, config.privsep]).toEqual([before.mounts, before.privsep])
    for (const [one, other] of [
      [before, load({ state: 's', mounts: [{ path: '/', local: 'a' }] })],
      [load({ state: 's', mounts: [{ path: '/', local: 'a' }] }), before],
    ] as const) {
      const turned = changesBetween(one, other)
      expect([turned.changed, turned.waiting]).toEqual([[], ['mounts', 'privsep']])
      expect(turned.config.privsep).toEqual(one.privsep)
    }
  })

  it('takes other mounts at once', () => {
    const { changed, waiting } = changesBetween(
      load({ mounts: [{ path: '/', local: 'a' }] }),
      load({ mounts: [{ path: '/', local: 'a' }, { path: '/b', local: 'b' }] }), // prettier-ignore
    )
    expect([changed, waiting]).toEqual([['mounts'], []])
  })
})
