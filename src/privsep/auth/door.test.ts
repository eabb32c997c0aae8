import { expect, it, vi } from 'vitest'
import { createAuthenticator } from '../../auth/authenticator.js'
import { createCredentialKey } from '../../auth/cached.js'
import { createCredentialCheck } from '../../auth/credential-check.js'
import type { Directory, Verdict } from '../../auth/identity.js'
import { createKeyedJudge } from '../../auth/sigv4/keyed-judge.js'
import { openThrottle } from '../front/remote-directories.js'
import { doorTo } from '../../../test/privsep-door.js'
import { Door } from './door.js'
import type { Knowledge } from './knowledge.js'

const noTickets = { grant: async () => undefined }
const credential = { kind: 'password', name: 'alice', password: 'secret' }
const question = { credential, facts: { method: 'GET', target: '/' } }

/** A configuration with one source, whose answers wait for a gate. */
function knowledge(source: string, { dependsOn }: Pick<Directory, 'dependsOn'> = {}, gate = Promise.resolve()) {
  const clock = { now: () => 0 }
  const close = vi.fn(async () => undefined)
  const noteLogin = vi.fn()
  const check = vi.fn(async (): Promise<Verdict> => {
    await gate
    return { kind: 'identity', identity: { name: 'alice', source, grants: [] } }
  })
  const directories: readonly Directory[] = [
    { name: source, accepts: new Set(['password'] as const), check, ...(dependsOn && { dependsOn }) },
    { name: 'tokens', accepts: new Set(['bearer', 'password'] as const), check },
  ]
  const keyOf = createCredentialKey()
  const known: Knowledge = {
    directories,
    users: [],
    links: [],
    judge: createKeyedJudge({ directories, clock, basePath: '', audit: noteLogin }),
    authenticator: createAuthenticator({ schemes: [], directories, throttle: openThrottle, keyOf, audit: noteLogin }),
    credentials: createCredentialCheck({ directories, throttle: openThrottle, audit: noteLogin }),
    keyOf,
    clock,
    basePath: '',
    noteLogin,
    noteAccount: () => undefined,
    close,
  }
  return { known, close, check, noteLogin }
}

it('a question that has begun is answered by the configuration of then, which is closed after it', async () => {
  let open: () => void = () => undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  const before = knowledge('before', {}, gate)
  const after = knowledge('after')
  const door = new Door(before.known, noTickets, () => undefined)
  const front = doorTo(door.table)
  const slow = front.ask('check', question)
  await vi.waitFor(() => expect(before.check).toHaveBeenCalledOnce())
  door.swap(after.known)
  expect((await front.ask('check', question)).head).toMatchObject({ identity: { source: 'after' } })
  expect(before.close).not.toHaveBeenCalled()
  open()
  expect((await slow).head).toMatchObject({ identity: { source: 'before' } })
  await vi.waitFor(() => expect(before.close).toHaveBeenCalledOnce())
  door.swap(knowledge('last').known)
  expect(after.close).toHaveBeenCalledOnce()
})

it('what cannot be closed is told of, and the door stays open', async () => {
  const before = knowledge('before')
  before.close.mockRejectedValue(new Error('a disk has gone'))
  const onFault = vi.fn()
  const door = new Door(before.known, noTickets, onFault)
  door.swap(knowledge('after').known)
  await vi.waitFor(() => expect(onFault).toHaveBeenCalledOnce())
  expect((await doorTo(door.table).ask('check', question)).head).toMatchObject({ identity: { source: 'after' } })
})

it('what is not remembered by a source is over at once, and a login is written down the first time', async () => {
  const { known, noteLogin } = knowledge('some')
  const front = doorTo(new Door(known, noTickets, () => undefined).table)
  for (let round = 0; round < 3; round += 1)
    expect((await front.ask('check', question)).head).toEqual({
      identity: { name: 'alice', source: 'some', grants: [] },
      until: 0,
    })
  expect(noteLogin.mock.calls).toEqual([[{ event: 'login', name: 'alice', source: 'some', with: 'password' }]])
})

it.each([
  [undefined, 'credential'],
  ['address', 'address'],
  ['request', 'request'],
] as const)('the most careful source says what a success is remembered by: %s', async (dependsOn, by) => {
  const { known } = knowledge('some', dependsOn && { dependsOn })
  const { head } = await doorTo(new Door(known, noTickets, () => undefined).table).ask('about')
  expect(head).toEqual({ kinds: { password: by, bearer: 'credential' }, linksBelow: [], hasUsers: false })
})
