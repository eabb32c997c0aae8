import { describe, expect, it } from 'vitest'
import { workerSettings } from './worker-settings.js'

const alice = {
  name: 'alice',
  uid: 1001,
  gid: 1001,
  groups: [1001],
  home: '/srv/homes/alice',
  generation: 'ab12cd34',
  key: Buffer.from('key'),
}
const directoriesOf = (patterns: readonly string[], user = alice.name, home: string | undefined = alice.home) =>
  workerSettings(
    { ...alice, name: user, home },
    patterns.map((directory) => ({ directory, durability: 'full', symlinks: 'inside' })),
    0o007,
    false,
  ).mounts.map(({ directory }) => directory)

describe('the directory of a mount', () => {
  it('lies nowhere for an account without a home, and is never relative', () => {
    const patterns = ['{home}', '{home}/files', '/srv/all', '{user}', 'srv']
    const settings = workerSettings(
      { ...alice, home: undefined },
      patterns.map((directory) => ({ directory, durability: 'full', symlinks: 'inside' })),
      0o007,
      false,
    )
    expect(settings.mounts.map(({ directory }) => directory)).toEqual([
      '/nonexistent',
      '/nonexistent',
      '/srv/all',
      '/nonexistent',
      '/nonexistent',
    ])
  })

  it('is the account’s own', () => {
    expect(directoriesOf(['{home}', '{home}/files', '/home/{user}', '/x/{user}/y/{user}', '/srv'])).toEqual([
      '/srv/homes/alice',
      '/srv/homes/alice/files',
      '/home/alice',
      '/x/alice/y/alice',
      '/srv',
    ])
  })

  it('takes a name as it is', () => {
    expect(directoriesOf(['/home/{user}'], '$&{home}')).toEqual(['/home/$&{home}'])
  })
})
