import { wrongLogins } from '../lib/flood.mjs'
import { authorization, expectStatus, keyHeaders, Refused, send, Wrong } from '../lib/http.mjs'
import { steadyGets } from '../lib/load.mjs'

const path = '/data/1k.bin'
const size = 2 ** 10
const connections = 16
const turns = 6

/** Slices of two loads in turn: what changes on the machine changes both. */
async function inTurn(context, one, other) {
  const seconds = Math.max(1, context.seconds / 2)
  const rates = { one: 0, other: 0 }
  for (let turn = 0; turn < turns; turn++)
    for (const which of turn % 2 === 0 ? ['one', 'other'] : ['other', 'one'])
      rates[which] += (await (which === 'one' ? one : other)(seconds)).rate
  return rates.one / rates.other
}

const gets =
  ({ server }, credential) =>
  (seconds) =>
    steadyGets(server, path, size, { connections, seconds }, credential)

/** What it costs to know who asks, when it is remembered. @type {import('./index.mjs').Workload} */
export const login1k = {
  name: 'login1k',
  documents: ['1k.bin'],
  rows: [
    {
      name: 'login1k',
      title: 'GET 1 KiB, with a login : without',
      unit: 'part of the rate',
      goals: [{ peer: 'postern-known', atLeast: 0.9 }],
    },
    {
      name: 'keyed1k',
      title: 'GET 1 KiB, with an API key : without',
      unit: 'part of the rate',
      goals: [{ peer: 'postern-known', atLeast: 0.9 }],
    },
  ],
  async run(context) {
    const { status } = await send(context.server, 'GET', path, {}, '', {})
    if (status === 401) throw new Refused('401')
    const anonymous = gets(context, {})
    return {
      login1k: { value: await inTurn(context, gets(context, { Authorization: authorization }), anonymous) },
      keyed1k: { value: await inTurn(context, gets(context, keyHeaders), anonymous) },
    }
  },
}

/** The same key checked by a `map` of nginx and by Postern. @type {import('./index.mjs').Workload} */
export const key1k = {
  name: 'key1k',
  documents: ['1k.bin'],
  rows: [
    {
      name: 'key1k',
      title: 'GET 1 KiB with an API key, 16 connections',
      unit: 'req/s',
      goals: [{ peer: 'postern-known', ratio: 1 }],
    },
  ],
  async run({ server, seconds }) {
    const right = await send(server, 'GET', path, {}, '', keyHeaders)
    expectStatus(right.status, [200], 'a right key')
    const wrong = await send(server, 'GET', path, {}, '', { ...keyHeaders, 'X-Api-Secret': 'wrong' })
    expectStatus(wrong.status, [401], 'a wrong key')
    const result = await steadyGets(server, path, size, { connections, seconds }, keyHeaders)
    return { key1k: { ...result, value: result.rate } }
  },
}

/** What is left to those who are known while others guess. @type {import('./index.mjs').Workload} */
export const flood = {
  name: 'flood',
  documents: ['1k.bin'],
  fresh: true,
  rows: [
    {
      name: 'flood-one',
      title: 'GET 1 KiB beside 200 wrong logins/s from one address : without',
      unit: 'part of the rate',
      goals: [{ peer: 'postern-known', atLeast: 0.7 }],
    },
    {
      name: 'flood-many',
      title: 'GET 1 KiB beside 200 wrong logins/s, each from another address : without',
      unit: 'part of the rate',
      goals: [{ peer: 'postern-known', atLeast: 0.7 }],
    },
  ],
  async run(context) {
    const login = gets(context, { Authorization: authorization })
    const beside = async (spread) => {
      const answers = {}
      let slowest = Infinity
      const flooded = async (seconds) => {
        const wrong = wrongLogins(context.server, { perSecond: 200, spread })
        const result = await login(seconds).finally(() => wrong.end())
        const { perSecond, statuses } = wrong.said()
        slowest = Math.min(slowest, perSecond)
        for (const [status, count] of Object.entries(statuses)) answers[status] = (answers[status] ?? 0) + count
        return result
      }
      const value = await inTurn(context, flooded, login)
      if (slowest < 180) throw new Wrong(`only ${Math.round(slowest)} wrong logins/s`)
      const note = Object.entries(answers).map(([status, count]) => `${count} × ${status}`)
      return { value, note: note.join(', ') }
    }
    return { 'flood-one': await beside(false), 'flood-many': await beside(true) }
  },
}
