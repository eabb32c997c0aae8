import { describe, expect, it } from 'vitest'
import { createSeal } from '../catalog/seal.js'
import type { Mail } from './mail.js'
import { createNoticeSender, packNotice } from './notice.js'
import { createTemplates } from './templates.js'

const seal = createSeal(Buffer.alloc(32, 1), 'mail')
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
  it('is sent as it was packed, and can be read by nobody in between', async () => {
    const packed = packNotice(invitation, seal)
    expect(JSON.stringify(packed)).not.toContain('secret')
    const sent: Mail[] = []
    const send = createNoticeSender({
      transport: { send: async (mail) => void sent.push(mail), close: () => undefined },
      templates: createTemplates(),
      seal,
    })
    await send(JSON.parse(JSON.stringify(packed)))
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
    expect(() => packNotice({ ...invitation, to }, seal)).toThrow('like name@example.org')
  })

  it.each([undefined, {}, { sealed: 1 }, { sealed: 'AAAA' }])('of another is not sent: %j', async (body) => {
    const send = createNoticeSender({
      transport: { send: async () => expect.unreachable(), close: () => undefined },
      templates: createTemplates(),
      seal,
    })
    await expect(send(body)).rejects.toThrow()
  })
})
