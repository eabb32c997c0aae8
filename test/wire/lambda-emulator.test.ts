import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { startLambda } from '../lambda/emulator.js'
import type { Lambda, LambdaOptions } from '../lambda/emulator.js'
import { cleanUp, temporaryFolder } from '../serving.js'

const started: Lambda[] = []

async function withFunction(code: string, options: Omit<LambdaOptions, 'root'> = {}): Promise<Lambda> {
  const root = temporaryFolder()
  writeFileSync(join(root, 'index.mjs'), code)
  const lambda = await startLambda({ root, ...options })
  started.push(lambda)
  return lambda
}

afterEach(async () => {
  for (const lambda of started.splice(0)) await lambda.close()
  await cleanUp()
})

const echo = `export const handler = async (event) => ({ statusCode: 200, body: JSON.stringify(event) })`
const streaming = `export const handler = awslambda.streamifyResponse(async (event, stream) => {
  const to = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'x-a': 'b' }, cookies: ['a=1', 'b=2'] })
  to.write(''); to.write('one '); to.end('two')
})`

describe('the emulated Lambda', () => {
  it('makes events of format 2.0, with the path as it was sent', async () => {
    const { url } = await withFunction(echo)
    const answer = await fetch(`${url}/pa2%2Fth/%7e?a=1&a=%20`, {
      method: 'POST',
      headers: { cookie: 'a=1; b=2', 'content-type': 'application/octet-stream' },
      body: 'x\u0000',
    })
    const event = (await answer.json()) as Record<string, unknown>
    expect(event).toMatchObject({
      version: '2.0',
      rawPath: '/pa2%2Fth/%7e',
      rawQueryString: 'a=1&a=%20',
      cookies: ['a=1', 'b=2'],
      body: 'eAA=',
      isBase64Encoded: true,
      requestContext: { http: { method: 'POST', sourceIp: '127.0.0.1' } },
    })
  })

  it('makes events of load balancers, with all values or the last', async () => {
    const multi = await withFunction(echo, { front: 'alb' })
    expect(await (await fetch(`${multi.url}/a%20b?x=1&x=2`)).json()).toMatchObject({
      path: '/a%20b',
      multiValueQueryStringParameters: { x: ['1', '2'] },
    })
    const single = await withFunction(echo, { front: 'alb-single' })
    expect(await (await fetch(`${single.url}/?x=1&x=2`)).json()).toMatchObject({ queryStringParameters: { x: '2' } })
  })

  it('refuses events over its limit, and answers over theirs', async () => {
    const lambda = await withFunction(
      `export const handler = async () => ({ statusCode: 200, body: 'x'.repeat(6291556) })`,
    )
    expect((await fetch(lambda.url, { method: 'POST', body: Buffer.alloc(4_718_592) })).status).toBe(413)
    expect((await fetch(lambda.url)).status).toBe(502)
  })

  it('passes streamed answers on as they come', async () => {
    const { url } = await withFunction(streaming, { streams: true })
    const answer = await fetch(url)
    expect(answer.status).toBe(201)
    expect(answer.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(await answer.text()).toBe('one two')
  })

  it('loses the status of a stream that ends before a write, as Lambda does', async () => {
    const code = streaming.replace(`to.write(''); to.write('one '); to.end('two')`, 'to.end()')
    const { url } = await withFunction(code, { streams: true })
    expect((await fetch(url)).status).not.toBe(201)
  })

  it('breaks the answer off whose function fails in the middle', async () => {
    const { url } = await withFunction(streaming.replace(`to.end('two')`, `throw new Error('x')`), { streams: true })
    await expect(fetch(url).then((answer) => answer.text())).rejects.toThrow()
  })

  it('lets a process stand still between invocations, and starts others for requests at the same time', async () => {
    const lambda = await withFunction(
      `import { setTimeout as after } from 'node:timers/promises'
       export const handler = async () => { await after(100); return { statusCode: 200, body: '' } }`,
    )
    await fetch(lambda.url)
    expect(lambda.coldStarts).toBe(1)
    await expect.poll(() => stateOf(lambda.pids()[0] ?? 0)).toBe('T')
    await Promise.all([fetch(lambda.url), fetch(lambda.url)])
    expect(lambda.coldStarts).toBe(2)
    await lambda.recycle()
    await fetch(lambda.url)
    expect(lambda.coldStarts).toBe(3)
  })

  it('ends what takes too long, and says why a function did not start', async () => {
    const slow = await withFunction(`export const handler = () => new Promise(() => setInterval(() => {}, 1000))`, {
      timeoutSeconds: 1,
    })
    expect((await fetch(slow.url)).status).toBe(502)
    expect(slow.outcomes).toEqual([{ kind: 'timeout' }])
    const broken = await withFunction(`throw new Error('no configuration')`)
    expect(await broken.invoke({})).toMatchObject({ kind: 'error', error: { errorMessage: 'no configuration' } })
  })
})

function stateOf(pid: number): string | undefined {
  return /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
}
