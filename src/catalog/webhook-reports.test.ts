import { describe, expect, it } from 'vitest'
import type { Change } from '../core/events.js'
import { rootPath, toPath } from '../core/path.js'
import type { OutboxMessage } from './outbox.js'
import { createWebhookReports } from './webhook-reports.js'
import type { Webhook, WebhookBody } from './webhook-reports.js'

function setUp(hooks: readonly Partial<Webhook>[], fails = false) {
  const put: OutboxMessage[] = []
  const lost: number[] = []
  const reports = createWebhookReports({
    hooks: hooks.map((hook, n) => ({ name: `hook${n}`, below: rootPath, kinds: [], ...hook })),
    outbox: {
      async put(message) {
        if (fails) throw new Error('away')
        put.push(message)
      },
    },
    onLost: (_error, count) => lost.push(count),
  })
  return { put, lost, reports }
}

function change(path: string, more: Partial<Change> = {}): Change {
  return { kind: 'created', path: toPath(path), by: 'catalog:ann', at: 0, ...more }
}

const toldOf = ({ body }: OutboxMessage): readonly unknown[] => {
  const { hook, data } = body as WebhookBody
  const { changes } = data as { readonly changes: readonly Change[] }
  return [hook, changes.map(({ kind, path }) => `${kind} ${path}`)]
}

describe('changes for webhooks', () => {
  it('go to each that asks for them, together', async () => {
    const { put, reports } = setUp([{}, { below: toPath('/in') }, { kinds: ['removed'] }])
    reports.report(change('/in/a'))
    reports.report(change('/other'))
    reports.report(change('/inner', { kind: 'moved', from: toPath('/in/b') }))
    reports.report(change('/x', { kind: 'removed' }))
    await reports.flush()
    expect(put.map(toldOf)).toEqual([
      ['hook0', ['created /in/a', 'created /other', 'moved /inner', 'removed /x']],
      ['hook1', ['created /in/a', 'moved /inner']],
      ['hook2', ['removed /x']],
    ])
    expect(new Set(put.map(({ id }) => id)).size).toBe(3)
  })

  it('come in messages of a bounded size', async () => {
    const { put, reports } = setUp([{}])
    for (let n = 0; n < 450; n += 1) reports.report(change(`/${n}`))
    await reports.flush()
    expect(put).toHaveLength(3)
  })

  it('by default wait for a moment only', async () => {
    const { put, reports } = setUp([{}])
    reports.report(change('/a'))
    await expect.poll(() => put.length).toBe(1)
    reports.report(change('/b'))
    await expect.poll(() => put.length).toBe(2)
  })

  it('that cannot be kept are told to be lost', async () => {
    const { lost, reports } = setUp([{}], true)
    reports.report(change('/a'))
    await reports.flush()
    expect(lost).toEqual([1])
  })

  it('that concern nobody cost nothing', async () => {
    const { put, reports } = setUp([{ below: toPath('/in') }])
    reports.report(change('/inner'))
    await reports.flush()
    expect(put).toEqual([])
  })
})
