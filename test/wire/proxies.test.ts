import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'

const forwarded = {
  Host: 'backend.internal:8080',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'files.example.org',
  'X-Forwarded-For': '203.0.113.7',
}

async function copyTo(server: Server, destination: string, headers: Record<string, string>): Promise<number> {
  await writeFile(join(server.root, 'from'), 'x')
  return (await server.request('COPY', '/from', { headers: { ...headers, Destination: destination } })).status
}

describe('behind a proxy that ends TLS', () => {
  it('takes a Destination under the name that a trusted proxy was asked by', async () => {
    await using server = await startServer({ config: 'trustedProxies: ["127.0.0.1/32"]\n' })
    expect(await copyTo(server, 'https://files.example.org/to', forwarded)).toBe(201)
    expect(await readFile(join(server.root, 'to'), 'utf8')).toBe('x')
    expect(await copyTo(server, 'https://FILES.example.org:443/to', forwarded)).toBe(204)
    expect(await copyTo(server, 'https://other.example.org/to', forwarded)).toBe(502)
    expect(await copyTo(server, 'https://files.example.org.evil.example/to', forwarded)).toBe(502)
    expect(await copyTo(server, 'https://files.example.org@evil.example/to', forwarded)).toBe(502)
  })

  it('takes a Destination under a configured origin', async () => {
    await using server = await startServer({ config: 'publicOrigins: ["https://files.example.org"]\n' })
    expect(await copyTo(server, 'https://files.example.org/to', {})).toBe(201)
    expect(await copyTo(server, `${server.url}/to`, {})).toBe(204)
    expect(await copyTo(server, 'https://other.example.org/to', {})).toBe(502)
  })
})

describe('from whoever is no trusted proxy', () => {
  it('believes no forwarded name', async () => {
    await using server = await startServer()
    const { 'X-Forwarded-Host': host, 'X-Forwarded-Proto': scheme } = forwarded
    const headers = { 'X-Forwarded-Host': host, 'X-Forwarded-Proto': scheme }
    expect(await copyTo(server, 'https://files.example.org/to', headers)).toBe(502)
    const spoofed = { ...headers, 'X-Forwarded-For': '127.0.0.1', Forwarded: 'for=127.0.0.1;host=files.example.org' }
    expect(await copyTo(server, 'https://files.example.org/to', spoofed)).toBe(502)
  })
})
