import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cleanEnvironment, commandAs } from './spawn.js'

describe.skipIf(process.platform !== 'linux')('the command that becomes a user', () => {
  it('is none for root, nor for what the kernel takes for "as it is"', () => {
    const good = { uid: 1001, gid: 1001, groups: [1001, 50] }
    for (const id of [0, -1, 1.5, NaN, Infinity, 0xffffffff, 2 ** 32, '0' as unknown as number])
      for (const bad of [{ uid: id }, { gid: id }, { groups: [1001, id] }])
        expect(() => commandAs({ ...good, ...bad }, ['/bin/true']), JSON.stringify(bad)).toThrow('ids')
    const many = Array.from({ length: 9000 }, (_, index) => index + 1)
    expect(() => commandAs({ ...good, groups: many }, ['/bin/true'])).toThrow('ids')
  })

  it('names ids alone, and nothing of the command is an option of it', () => {
    const id = fc.integer({ min: 1, max: 0xfffffffe })
    fc.assert(
      fc.property(id, id, fc.array(id, { maxLength: 50 }), (uid, gid, groups) => {
        const command = commandAs({ uid, gid, groups }, ['--help', '--reuid=0'])
        expect(command.slice(command.indexOf('--'))).toEqual(['--', '--help', '--reuid=0'])
        expect(command).toContain(`--reuid=${uid}`)
        expect(command).toContain(groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`)
      }),
    )
  })
})

describe('the environment of a process', () => {
  it('holds nothing that changes how a program runs', () => {
    const given = {
      NODE_OPTIONS: '-r evil',
      NODE_PATH: '/tmp',
      UV_USE_IO_URING: '1',
      LD_PRELOAD: 'x.so',
      OPENSSL_CONF: '/x',
    }
    expect(Object.keys(cleanEnvironment({ ...given, TZ: 'UTC', AWS_REGION: 'x' })).sort()).toEqual([
      'AWS_REGION',
      'PATH',
      'TZ',
    ])
  })
})
