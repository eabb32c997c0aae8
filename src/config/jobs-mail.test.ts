import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SMTPServer } from 'smtp-server'
import { afterEach, expect, it } from 'vitest'
import { openMemoryCatalog } from '../catalog/memory.js'
import { ManualClock } from '../core/clock.js'
import { checkedNotice } from '../mail/notice.js'
import { openJobs, runJobs } from './jobs.js'
import type { Jobs } from './jobs.js'
import type { MailSettings } from './schema-mail.js'

const ends: (() => unknown)[] = []
const clock = new ManualClock()
const values = { user: 'ann', server: 'files.example.org', address: '192.0.2.1', time: 'noon' }
const notice = checkedNotice({ notice: 'password-changed', to: 'ann@example.org', values })

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function jobsWith(mail: MailSettings): Jobs {
  const catalog = openMemoryCatalog({ clock })
  const log = { info: () => undefined, warn: () => undefined }
  const needs = { catalog, clock, secret: new Uint8Array(32), log, keepsUp: false }
  const jobs = openJobs({ jobs: { disabled: [] }, mail, webhooks: [] }, needs, [])
  ends.push(() => jobs.close())
  return jobs
}

/** A real server, which notes the subjects of what it is given. */
async function smtpServer(port = 0): Promise<{ readonly port: number; readonly subjects: string[] }> {
  const subjects: string[] = []
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    logger: false,
    onData(stream, _session, done) {
      const pieces: Buffer[] = []
      stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('end', () => {
        subjects.push(/^Subject: (.*)$/m.exec(Buffer.concat(pieces).toString())?.[1]?.trim() ?? '')
        done()
      })
    },
  })
  server.listen(port, '127.0.0.1')
  await once(server.server, 'listening')
  ends.push(() => new Promise<void>((closed) => server.close(closed)))
  return { port: (server.server.address() as AddressInfo).port, subjects }
}

async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-templates-'))
  ends.push(() => rm(folder, { recursive: true }))
  return folder
}

it('gives no mail up for settings that are wrong: it goes out when they are put right', async () => {
  const { port, subjects } = await smtpServer()
  const templates = await emptyFolder()
  const jobs = jobsWith({ from: 'a@example.org', smtp: { url: `smtp://127.0.0.1:${port}`, tls: 'never' }, templates })
  const file = join(templates, 'password-changed.txt')
  await writeFile(file, 'no subject')
  await jobs.outbox.put({ kind: 'mail', body: notice })
  await runJobs({ jobs }, ['deliver'])
  expect([await jobs.outbox.census(), subjects]).toEqual([{ waiting: 1, dead: 0 }, []])

  await writeFile(file, 'Subject: For {{user}}\n\nChanged.\n')
  clock.advanceSeconds(60)
  await runJobs({ jobs }, ['deliver'])
  expect([await jobs.outbox.census(), subjects]).toEqual([{ waiting: 0, dead: 0 }, ['For ann']])
})

it('loses none while the mail server is away for hours', async () => {
  const gone = await smtpServer()
  await ends.pop()?.()
  const jobs = jobsWith({ from: 'a@example.org', smtp: { url: `smtp://127.0.0.1:${gone.port}`, tls: 'never' } })
  for (let number = 0; number < 3; number++) await jobs.outbox.put({ kind: 'mail', body: notice })
  for (let hour = 0; hour < 3; hour++) {
    await runJobs({ jobs }, ['deliver'])
    expect(await jobs.outbox.census()).toEqual({ waiting: 3, dead: 0 })
    clock.advanceSeconds(3600)
  }
  const { subjects } = await smtpServer(gone.port)
  clock.advanceSeconds(7200)
  await runJobs({ jobs }, ['deliver'])
  expect(await jobs.outbox.census()).toEqual({ waiting: 0, dead: 0 })
  expect(subjects).toEqual(Array(3).fill('The password of ann at files.example.org was changed'))
})
