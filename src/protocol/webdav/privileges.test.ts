import { describe, expect, it } from 'vitest'
import { privilegesOf, refusedOf } from './privileges.js'
import type { Session } from '../protocol.js'
import { compileGrants } from '../../auth/grant.js'
import { toPath } from '../../core/path.js'
import { openMemoryStore } from '../../store/memory.js'
import type { Action, Entry } from '../../store/store.js'

const entry = (path: string, kind: Entry['kind']): Entry => ({ path: toPath(path), kind, size: 0, modified: 0, etag: 'e' }) // prettier-ignore

/** The privileges of a caller with these grants, where the medium refuses some `ACTION PATH`. */
async function told(grants: readonly string[], at: Entry, ...refusals: readonly string[]): Promise<readonly string[]> {
  const permit = compileGrants(grants, 'test')
  const asked: string[] = []
  const memory = openMemoryStore()
  const permits = async (action: Action, path: string): Promise<boolean> => {
    asked.push(`${action} ${path}`)
    return !refusals.includes(`${action} ${path}`)
  }
  const session = { permit, store: Object.assign(memory, { permits }) } as unknown as Session
  const names = privilegesOf(at, session, await refusedOf(session, at))
  expect(asked.filter((each) => !permit.allows(each.split(' ')[0] as Action, toPath(each.split(' ')[1] ?? '')))).toEqual([]) // prettier-ignore
  return names
}

const write = ['write', 'write-content', 'write-properties', 'unlock']
const read = ['read', 'read-current-user-privilege-set']

describe('the privileges that a caller is told of', () => {
  it('are no more than the medium allows', async () => {
    const file = entry('/d/f', 'file')
    expect(await told(['rw:/**'], file)).toEqual([...read, ...write])
    expect(await told(['rw:/**'], file, 'replace /d/f')).toEqual(read)
    expect(await told(['rw:/**'], file, 'read /d/f', 'list /d/f')).toEqual(write)
    expect(await told(['rw:/**'], file, 'read /d/f', 'list /d/f', 'replace /d/f')).toEqual([])
  })

  it('of a folder hang on what may become of its members', async () => {
    const folder = entry('/d', 'directory')
    expect(await told(['rw:/**'], folder)).toEqual([...read, ...write, 'bind', 'unbind'])
    expect(await told(['rw:/**'], folder, 'create /d/member')).toEqual([...read, ...write, 'unbind'])
    expect(await told(['rw:/**'], folder, 'delete /d/member')).toEqual([...read, ...write, 'bind'])
  })

  it('are no more than the grants, whatever the medium allows', async () => {
    expect(await told(['r:/**'], entry('/d', 'directory'))).toEqual(read)
    expect(await told(['rw:/other/**'], entry('/d/f', 'file'))).toEqual([])
  })
})
