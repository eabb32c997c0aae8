import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'
import type { SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, it } from 'vitest'
import { openSmtp } from './smtp.js'
import type { SmtpSettings } from './smtp.js'

interface Taken {
  readonly from: string
  readonly to: readonly string[]
  readonly data: string
  readonly user: string | undefined
  readonly secure: boolean
}

const mail = { to: 'ann@example.org', subject: 'Grüße', text: 'Hello\n.\nthere\n', html: '<p>Hello</p>' }
const open: { close(): unknown }[] = []

afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

/** A real server, which keeps what it is given. */
async function serve(options: SMTPServerOptions = {}): Promise<{ readonly port: number; readonly taken: Taken[] }> {
  const taken: Taken[] = []
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    logger: false,
    onData(stream, session, done) {
      const pieces: Buffer[] = []
      stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        taken.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          data: Buffer.concat(pieces).toString(),
          user: typeof session.user === 'string' ? session.user : undefined,
          secure: session.secure,
        })
        done()
      })
    },
    ...options,
  })
  server.on('error', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  open.push({ close: () => server.close() })
  return { port: (server.server.address() as AddressInfo).port, taken }
}

function transport(settings: Partial<SmtpSettings> & { readonly port: number }) {
  const made = openSmtp({ host: '127.0.0.1', tls: 'never', ...settings }, 'Files <files@example.org>')
  open.push(made)
  return made
}

const answer = (code: number): Error => Object.assign(new Error('no'), { responseCode: code })

describe('a message by SMTP', () => {
  it('arrives in text and HTML', async () => {
    const { port, taken } = await serve()
    await transport({ port }).send(mail)
    expect(taken).toHaveLength(1)
    expect(taken[0]).toMatchObject({ from: 'files@example.org', to: ['ann@example.org'], secure: false })
    expect(taken[0]?.data).toMatch(/^From: Files <files@example\.org>$/m)
    expect(taken[0]?.data).toContain('multipart/alternative')
    expect(taken[0]?.data).toContain('=?UTF-8?')
  })

  it('arrives with a login', async () => {
    const { port, taken } = await serve({
      disabledCommands: ['STARTTLS'],
      allowInsecureAuth: true,
      onAuth({ username, password }, _session, done) {
        if (password === 'right') done(null, { user: username ?? '' })
        else done(new Error('no'))
      },
    })
    await transport({ port, login: { user: 'files', password: 'right' } }).send(mail)
    expect(taken[0]?.user).toBe('files')
    await expect(
      transport({ port, login: { user: 'files', password: 'wrong-secret' } }).send(mail),
    ).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('refuses the login') as string,
    })
  })

  it('is not sent where TLS is required and there is none', async () => {
    const { port, taken } = await serve()
    await expect(transport({ port, tls: 'required' }).send(mail)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(taken).toEqual([])
  })

  it('is not sent to a server whose certificate nobody vouches for', async () => {
    const { port, taken } = await serve({ disabledCommands: ['AUTH'] })
    await expect(transport({ port, tls: 'required' }).send(mail)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(taken).toEqual([])
  })

  it.each([
    [550, 'invalid'],
    [450, 'unavailable'],
  ])('that is refused with %i for its recipient is %s', async (code, kind) => {
    const { port } = await serve({ onRcptTo: (_address, _session, done) => done(answer(code)) })
    await expect(transport({ port }).send(mail)).rejects.toMatchObject({ kind })
  })

  it('waits for a server that is away', async () => {
    const { port } = await serve()
    for (const one of open.splice(0)) one.close()
    await expect(transport({ port: port + 0 }).send(mail)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('waits for one that breaks off', async () => {
    const server = createServer((socket) => socket.end('220 hello\r\n'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    open.push({ close: () => server.close() })
    const { port } = server.address() as AddressInfo
    await expect(transport({ port }).send(mail)).rejects.toMatchObject({ kind: 'unavailable' })
  })
})
