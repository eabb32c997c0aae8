import { afterEach, beforeEach, expect, it } from 'vitest'
import { Commits } from './sqlite-commits.js'
import type { Database } from './sqlite-engine.js'
import { openDatabase } from './sqlite-engine.js'

let database: Database
beforeEach(async () => {
  database = openDatabase(':memory:')
})
afterEach(() => database.close())

const nothing = (): void => undefined
const hooks = { begun: nothing, tidy: nothing, committed: nothing, failed: nothing }
const turns = async (): Promise<void> => {
  for (let at = 0; at < 5; at++) await new Promise((resolve) => setImmediate(resolve))
}

it('answers what must be durable only when it is synced, and the rest and the next commit at once', async () => {
  const syncs: (() => void)[] = []
  const commits = new Commits(database, hooks, () => new Promise((resolve) => syncs.push(resolve)))
  const answered: string[] = []
  void commits.add(() => answered.push('run')).then(() => answered.push('durable'))
  void commits.add(nothing, false).then(() => answered.push('fleeting'))
  await turns()
  expect(answered).toEqual(['run', 'fleeting'])
  await commits.add(nothing, false)
  const settled = commits.settled().then(() => answered.push('settled'))
  await turns()
  expect(answered).toEqual(['run', 'fleeting'])
  expect(syncs).toHaveLength(1)
  syncs[0]?.()
  await settled
  expect(answered).toEqual(['run', 'fleeting', 'durable', 'settled'])
})

it('says so where the disk does not sync', async () => {
  const commits = new Commits(database, hooks, () => Promise.reject(new Error('EIO')))
  await expect(commits.add(nothing)).rejects.toMatchObject({ kind: 'unavailable' })
  await commits.settled()
  await expect(commits.add(nothing, false)).resolves.toBeUndefined()
})

it('tells when a transaction has failed, and nothing of it is left', async () => {
  const told: string[] = []
  const telling = { ...hooks, committed: () => told.push('committed'), failed: () => told.push('failed') }
  database.exec('CREATE TABLE t (v)')
  const commits = new Commits(database, telling)
  const writing = commits.add(() => {
    database.exec('INSERT INTO t VALUES (1)')
    database.exec('INSERT INTO absent VALUES (1)')
  })
  await expect(writing).rejects.toMatchObject({ kind: 'unavailable' })
  expect(database.prepare('SELECT count(*) AS n FROM t').get()).toMatchObject({ n: 0 })
  await commits.add(nothing)
  expect(told).toEqual(['failed', 'committed'])
})
