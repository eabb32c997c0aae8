import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import { openCertificate } from './self-signed.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-tls-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

describe('a self-signed certificate', () => {
  it('names every host that can be named, and keeps its key to itself', async () => {
    const hosts = ['files.example', '192.0.2.1', '0.0.0.0', 'my_host']
    const { cert, fingerprint } = await openCertificate({ directory, hosts })
    const certificate = new X509Certificate(cert)
    expect(certificate.subjectAltName).toBe(
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:files.example, IP Address:192.0.2.1',
    )
    expect(certificate.fingerprint256).toBe(fingerprint)
    expect(certificate.ca).toBe(false)
    expect(statSync(join(directory, 'tls-key.pem')).mode & 0o777).toBe(0o600)
  })

  it('stays the same until it is about to expire, lacks a host or is damaged', async () => {
    const clock = new ManualClock()
    const open = async (...hosts: readonly string[]): Promise<string> =>
      (await openCertificate({ directory, hosts, clock })).fingerprint
    const first = await open('a.example')
    clock.advanceSeconds(365 * 24 * 3600)
    expect(await open('a.example')).toBe(first)
    clock.advanceSeconds(5 * 24 * 3600)
    const second = await open('a.example')
    expect(second).not.toBe(first)
    const third = await open('a.example', 'b.example')
    expect(third).not.toBe(second)
    writeFileSync(join(directory, 'tls-key.pem'), 'damaged')
    const fourth = await open('a.example', 'b.example')
    expect(fourth).not.toBe(third)
    expect(await open('b.example')).toBe(fourth)
  })
})
