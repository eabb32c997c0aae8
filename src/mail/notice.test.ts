import { describe, expect, it } from 'vitest'
import type { Mail } from './mail.js'
import { checkedNotice, createNoticeSender } from './notice.js'
import { createTemplates } from './templates.js'

const invitation = {
  notice: 'invitation',
  to: 'ann@example.org',
  values: {
    user: 'ann',
    link: 'https://files.example.org/-/password#secret',
    server: 's',
    expires: 'e',
    invitedBy: 'b',
  },
} as const

describe('a notice', () => {
  it('is sent as it was written', async () => {
    const sent: Mail[] = []
    const send = createNoticeSender({
      transport: { send: async (mail) => void sent.push(mail), close: () => undefined },
      templates: createTemplates(),
    })
    await send(JSON.parse(JSON.stringify(checkedNotice(invitation))))
    expect(sent).toMatchObject([{ to: 'ann@example.org', text: expect.stringContaining('#secret') as string }])
  })

  it.each([
    '',
    'ann',
    'ann@',
    'a b@example.org',
    'ann@example.org\r\nBcc: x@y',
    'Ann <ann@example.org>',
    `a@${'b'.repeat(260)}`,
  ])('goes to a mailbox only, not to %j', (to) => {
    expect(() => checkedNotice({ ...invitation, to })).toThrow('like name@example.org')
  })

  it.each([
    undefined,
    {},
    { ...invitation, notice: 'toString' },
    { ...invitation, to: 'a' },
    { ...invitation, values: { user: 1 } },
  ])('of another kind is not sent: %j', async (body) => {
    const send = createNoticeSender({
      transport: { send: async () => expect.unreachable(), close: () => undefined },
      templates: createTemplates(),
    })
    await expect(send(body)).rejects.toThrow()
  })
})
